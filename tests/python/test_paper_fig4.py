"""Figure 4 and what goes beyond the paper: the norms behind the curves, their laws; scripts draw and repeat."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import sys
from pathlib import Path

import ase
import ase.io
import numpy as np
import orbas
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "paper"))
import beyond_adapted_basis
import beyond_methane
import fig4_correlations_qm9 as fig4
from common import Data, rounded, write

MAX_ANGULAR = 2


@pytest.fixture(scope="module")
def frames():
    return [atoms for atoms in orbas.datasets.qm9(40, seed=1) if 6 in atoms.numbers][:12]


@pytest.fixture(scope="module")
def expansion(frames):
    """Two channels for each degree."""
    settings = fig4.Settings(max_angular=MAX_ANGULAR)
    return orbas.OptimalBasis(fig4.density(settings, 3.5, 3), 2).fit(frames).expansion_


@pytest.fixture(scope="module")
def grams(expansion, frames):
    blocks = expansion.transform(frames)
    values = [blocks[1, l, 1, fig4.CARBON].values for l in range(MAX_ANGULAR + 1)]
    return [c @ c.transpose(0, 2, 1) for c in values]


@pytest.fixture(scope="module")
def norms(grams):
    return fig4.Rotations(MAX_ANGULAR, 4).invariant_norms(grams, 4)


def by_coupling(grams):
    """Norms of invariants of order 1 to 4 by Clebsch-Gordan coefficients instead of rotations.

    Products of two densities have the matrix ``CG^T (D_l1 x D_l2) CG`` in place of D. Invariants pair equivariants of
    one symmetry; their squared norm over all channels is ``tr(A B) / (2 o3_lambda + 1)`` of these matrices.
    """
    pairs = {}
    for (l1, first), (l2, second) in itertools.product(enumerate(grams), repeat=2):
        for o3_lambda in range(abs(l1 - l2), l1 + l2 + 1):
            table = orbas.clebsch_gordan(l1, l2, o3_lambda)
            matrix = np.einsum("abm,iac,ibd,cdn->imn", table, first, second, table, optimize=True)
            key = o3_lambda, (-1) ** (l1 + l2 + o3_lambda)
            pairs[key] = pairs.get(key, 0) + matrix

    def paired(a, b, o3_lambda):
        return np.sum(a * b, axis=(1, 2)) / (2 * o3_lambda + 1)

    return [
        grams[0][:, 0, 0],
        sum(paired(D, D, l) for l, D in enumerate(grams)),
        sum(paired(D, pairs[l, 1], l) for l, D in enumerate(grams)),
        sum(paired(matrix, matrix, o3_lambda) for (o3_lambda, _), matrix in pairs.items()),
    ]


def test_norms_by_rotations_are_those_by_coupling(grams, norms):
    np.testing.assert_allclose(norms, by_coupling(grams), rtol=1e-12)


def test_norms_are_those_of_the_features(expansion, frames, norms):
    for nu, spectrum in ((1, orbas.RadialSpectrum), (2, orbas.PowerSpectrum), (3, orbas.Bispectrum)):
        features = spectrum(expansion).transform(frames)
        carbon = features.values[features.center_numbers == fig4.CARBON]
        np.testing.assert_allclose(norms[nu - 1], np.sum(carbon**2, axis=1), rtol=1e-10)


def test_norms_are_those_of_the_uncut_iteration(expansion, frames, grams, norms):
    nice = orbas.NICE(expansion, nu_max=3).fit(frames)
    ends = np.cumsum([0, *nice.n_features_])
    features = nice.transform(frames)
    squares = features.values[features.center_numbers == fig4.CARBON] ** 2
    for nu, (first, last) in enumerate(itertools.pairwise(ends), start=1):
        np.testing.assert_allclose(norms[nu - 1], squares[:, first:last].sum(axis=1), rtol=1e-10)
    blocks = nice.equivariants(frames).items()
    density = sum(np.trace(D, axis1=1, axis2=2) for D in grams)
    for nu in (1, 2, 3):
        own = [b.values for key, b in blocks if key.nu == nu and key.center_species == fig4.CARBON]
        np.testing.assert_allclose(sum(np.sum(v**2, axis=(1, 2)) for v in own), density**nu, rtol=1e-10)


# --- the figure -----------------------------------------------------------------------------------------------------

SMALL = fig4.Settings(
    n_molecules=20,
    cutoffs=(3.5,),
    max_angular=2,
    n_full=6,
    n_gto=(1, 2, 4),
    n_optimal=(1, 2, 5, 10, 20, 30),
    n_compared=(5, 10),
)


@pytest.fixture(scope="module")
def result():
    return rounded(fig4.compute(SMALL, Data()))


def test_residual_variances_are_lawful(result):
    bases = result["cutoffs"]["3.5"]
    optimal, gto = bases["optimal"], bases["GTO"]
    for kind in fig4.KINDS:
        lost = np.array(optimal[kind])
        assert (np.diff(lost, axis=0) < 0).all(), "channels are nested"
        assert (np.diff(lost[:-1], axis=1) > 0).all(), "higher orders lose more"
        assert np.abs(lost[-1]).max() < 1e-7, "all channels lose nothing"
        for q in SMALL.n_compared:
            assert (lost[optimal["q"].index(q)] < np.array(gto[kind])[gto["q"].index(q)]).all()
    # Order 1 of all components is what the fit minimizes.
    primitive = fig4.density(SMALL, 3.5, SMALL.n_full)
    basis = orbas.OptimalBasis(primitive, 1, per_center=True).fit(fig4.qm9(SMALL.n_molecules))
    expected = basis.residual_variance_[fig4.CARBON][np.array(optimal["q"]) - 1]
    np.testing.assert_allclose(np.array(optimal["all"])[:, 0], expected, atol=1e-7)


def test_law_of_the_paper():
    assert fig4.law(0.1, 1) == pytest.approx(0.1)
    assert fig4.law(0.1, 3) == pytest.approx(1 - 0.9**3)


def check_files(script, result, folder):
    """Write and read what the command writes; return the table."""
    write(folder, "name", {}, result, script.draw)
    assert json.loads((folder / "name.json").read_text(encoding="utf-8"))["result"] == result
    assert (folder / "name.png").stat().st_size > 10_000
    return script.table(result)


def test_figure_repeats_and_draws(result, tmp_path):
    assert rounded(fig4.compute(SMALL, Data())) == result
    text = check_files(fig4, result, tmp_path)
    assert "| 3.5 | invariants | optimal | 10 |" in text
    assert f"{result['n_environments']:,} environments" in text


# --- random methane -------------------------------------------------------------------------------------------------


def random_methane(n):
    """Random hydrogens; the energy is a sum over pairs of them, which correlations of two neighbors can learn."""
    rng, frames = np.random.default_rng(5), []
    while len(frames) < n:
        directions = rng.normal(size=(4, 3))
        radii = rng.uniform(0.8, 2.0, size=(4, 1))
        hydrogens = radii * directions / np.linalg.norm(directions, axis=1)[:, None]
        distances = np.array([np.linalg.norm(a - b) for a, b in itertools.combinations(hydrogens, 2)])
        if distances.min() > 0.5:
            energy = float(np.exp(-distances).sum())
            frames.append(ase.Atoms("CH4", positions=[[0, 0, 0], *hydrogens], info={"REF_energy": energy}))
    return frames


METHANE = beyond_methane.Settings(
    sizes=(60, 120),
    n_read=160,
    n_test=40,
    n_fit=40,
    cutoff=4.0,
    max_angular=3,
    n_primitive=12,
    n_optimal=3,
    n_pairs=(40, 60, 1),
    n_components=(15, 15, 0),
    n_invariant_pairs=(None, 100, 100),
    n_invariants=(None, 30, 30),
    n_purify=(4, 4, 4),
)


@pytest.fixture(scope="module")
def methane_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methane")
    with gzip.open(folder / "methane_random.xyz.gz", "wt") as file:
        for atoms in random_methane(METHANE.n_read):
            energy = atoms.info["REF_energy"]
            ase.io.write(file, ase.Atoms(atoms.symbols, atoms.positions, info={"energy": energy}), format="extxyz")
    return folder


def test_methane_learns_what_its_order_can(methane_folder, tmp_path):
    result = rounded(beyond_methane.compute(METHANE, Data(methane_folder)))
    one, two = (result["curves"][nu]["rmse_percent"][-1] for nu in "12")
    assert two < 0.5 * one
    assert result["n_features"][0] == METHANE.n_optimal
    assert rounded(beyond_methane.compute(METHANE, Data(methane_folder))) == result
    assert "| 120 |" in check_files(beyond_methane, result, tmp_path)


def test_methane_says_what_it_needs(methane_folder):
    with pytest.raises(SystemExit, match=r"needs methane_random\.xyz\.gz: name its folder with --data"):
        beyond_methane.compute(METHANE, Data())
    with pytest.raises(SystemExit, match="holds 160 structures, 10000 are needed"):
        beyond_methane.compute(beyond_methane.FULL, Data(methane_folder))


# --- bases adapted to terms -----------------------------------------------------------------------------------------

ADAPTED = beyond_adapted_basis.Settings(
    n_molecules=24,
    max_angular=2,
    n_primitive=4,
    n_optimal=20,
    n_compared=(2, 6),
    n_density=3,
    n_pairs=(20, 20),
    n_components=(4, 4),
    components=(0, 2),
)


def test_adapted_bases_are_those_of_the_library():
    """Judged on what it was fitted to, a basis loses what ``adapted_basis`` says, the least possible."""
    frames = fig4.qm9(ADAPTED.n_molecules)
    nice = beyond_adapted_basis.iteration(ADAPTED, frames)
    shared = orbas.OptimalBasis(beyond_adapted_basis.density(ADAPTED), 3, per_center=True).fit(frames)
    weights = beyond_adapted_basis.weights(ADAPTED, nice, frames)
    carbon = np.concatenate([atoms.numbers for atoms in frames]) == fig4.CARBON
    for term in ((1, 1, 1, 0), (2, 2, -1, 2), (3, 0, 1, 0)):
        nu, o3_lambda, o3_sigma, channel = term
        where = {"nu": nu, "o3_lambda": o3_lambda, "o3_sigma": o3_sigma, "channel": channel}
        ours, theirs = weights[term], orbas.invariants.nice.term_weights(nice, frames, **where)
        np.testing.assert_allclose(ours[carbon], theirs[carbon], rtol=1e-12)
        assert not ours[~carbon].any()
        judge = orbas.OptimalBasis(**shared.get_params(deep=False)).fit(frames, sample_weight=ours)
        best, common = (beyond_adapted_basis.lost(basis, judge) for basis in (judge, shared))
        np.testing.assert_allclose(best, judge.residual_variance_[fig4.CARBON][:3], atol=1e-12)
        np.testing.assert_allclose(common[-1], 1 - judge.captured_variance(shared), atol=1e-12)
        assert (best <= common + 1e-12).all()


def test_weights_of_all_terms_add_up():
    """Eq. 15: over all terms of an uncut iteration they are the norm of the density, to the power of the order."""
    frames = fig4.qm9(6)
    settings = dataclasses.replace(ADAPTED, n_primitive=1, max_angular=1, components=tuple(range(1000)))
    nice = orbas.NICE(beyond_adapted_basis.density(settings), nu_max=3, per_center=True).fit(frames)
    weights = beyond_adapted_basis.weights(settings, nice, frames)
    for nu in beyond_adapted_basis.ORDERS:
        single = sum(values for term, values in weights.items() if term[0] == nu and len(term) > 1)
        np.testing.assert_allclose(single, weights[nu,], rtol=1e-9)


def test_adapted_bases_repeat_and_draw(tmp_path):
    result = rounded(beyond_adapted_basis.compute(ADAPTED, Data()))
    assert rounded(beyond_adapted_basis.compute(ADAPTED, Data())) == result
    for nu in beyond_adapted_basis.ORDERS:
        together, single = beyond_adapted_basis.of_order(result, nu)
        assert together["shared"][-1] == pytest.approx(0, abs=1e-9), "all functions lose nothing"
        assert {entry["term"][3] for entry in single} == {0, 2}
        assert all(1 <= entry["environments"] < together["environments"] for entry in single)
        assert together["environments"] <= result["n_environments"]
    text = check_files(beyond_adapted_basis, result, tmp_path)
    assert text.count("\n| ") == 2 * 2 + len(ADAPTED.n_compared) * len(beyond_adapted_basis.ORDERS) + 2
