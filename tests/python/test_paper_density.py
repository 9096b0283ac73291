"""The figures of the paper on the density and its power spectrum (1-3), at tiny sizes on data that come with orbas."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orbas
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "paper"))

import common
import fig1_functions as fig1
import fig2_density_qm9 as fig2
import fig3_gfre_silicon as fig3

FIG1 = fig1.Settings(n_structures=12, max_angular=4, end=20.0)
FIG2 = dataclasses.replace(
    fig2.QUICK,
    n_molecules=12,
    n_scanned=8,
    n_radial=12,
    max_angular=2,
    primitive_sizes=(2, 6, 11),
    target=1e-3,
    cutoffs=(3.5,),
    density_widths=(0.3, 0.4),
    scalings=(None,),
)
FIG3 = dataclasses.replace(
    fig3.QUICK, n_structures=80, n_half=500, n_full=8, max_angular=2, sizes=(3, 4), selected=(5,)
)


class Generated(common.Data):
    """Silicon that needs no file."""

    def silicon(self, *names: str) -> list[Any]:
        return orbas.datasets.silicon(80)


DATA = Generated()


@pytest.fixture(scope="module")
def functions() -> dict[str, Any]:
    return common.rounded(fig1.compute(FIG1, DATA))


@pytest.fixture(scope="module")
def channels() -> dict[str, Any]:
    return common.rounded(fig2.compute(FIG2, DATA))


@pytest.fixture(scope="module")
def errors() -> dict[str, Any]:
    return common.rounded(fig3.compute(FIG3, DATA))


# --- figure 1 ---------------------------------------------------------------------------------------------------------


def test_both_primitives_give_the_same_first_functions(functions):
    for part in functions["degrees"].values():
        assert min(part["overlap"]["fine DVR"][:3]) > 0.9999
        assert max(part["overlap"]["fine DVR"]) < 1 + 1e-6
        assert max(part["difference"]["fine DVR"][:3]) < 0.02


def test_drawn_functions_have_one_sign(functions):
    for part in functions["degrees"].values():
        for gto, dvr in zip(*part["functions"].values(), strict=True):
            # On other points than the sign was chosen on.
            assert max(gto) > 0.95 * max(np.abs(gto))
            assert np.dot(gto, dvr) > 0.99 * np.dot(gto, gto)
    assert [l for l, part in functions["degrees"].items() if part["functions"]] == ["0", "4"]


def test_optimal_functions_spill_less_than_primitive_ones(functions):
    primitive = functions["primitive"]
    np.testing.assert_allclose(primitive["norm"], 1, rtol=1e-6)
    for part in functions["degrees"].values():
        assert np.mean(part["outside"][:4]) < 0.1 * np.mean(primitive["outside"])
        assert np.argmax(part["outside"]) > 3


def test_eigenvalues_are_fractions_in_descending_order(functions):
    for part in functions["degrees"].values():
        for name in ("GTO", "DVR"):
            values = np.array(part["eigenvalues"][name])
            assert values.sum() == pytest.approx(1)
            assert (np.diff(values) <= 0).all()


# --- figure 2 ---------------------------------------------------------------------------------------------------------


def test_residual_variances_are_ordered(channels):
    """Mixing species, and functions for C alone, can only lose less with as many channels."""
    curves = {name: np.array(curve["residual"]) for name, curve in channels["chosen"]["curves"].items()}
    for name in ("separate", "separate, C only", "combined", "combined, C only"):
        assert (np.diff(curves[name]) <= 1e-12).all()
        assert curves[name][-1] < 1e-9
    for mixing in ("separate", "combined"):
        assert (curves[f"{mixing}, C only"] <= curves[mixing] + 1e-9).all()
    assert (curves["combined, C only"][4::5] <= curves["separate, C only"] + 1e-9).all()
    primitive = curves["primitive"][:-1]
    separate = curves["separate"][np.array(FIG2.primitive_sizes)[:-1] - 1]
    assert (primitive > separate).all()


def test_shared_functions_are_judged_by_what_they_keep_around_carbon(channels):
    """By the coefficients themselves instead of covariances."""
    chosen = fig2.Density(**channels["chosen"]["density"])
    molecules = common.qm9(FIG2.n_molecules)
    primitive = fig2.expansion(FIG2, chosen, FIG2.n_radial)

    def variance(expansion):
        blocks = expansion.transform(molecules).items()
        return sum(np.einsum("smq,smq->q", b.values, b.values) for key, b in blocks if key.center_species == 6)

    kept = np.cumsum(variance(orbas.OptimalBasis(primitive, 10).fit(molecules).expansion_))
    expected = 1 - kept / variance(primitive).sum()
    np.testing.assert_allclose(channels["chosen"]["curves"]["combined"]["residual"][:10], expected, rtol=1e-5)


def test_scan_takes_what_is_nearest_to_the_paper(channels):
    scan = channels["scan"]
    assert len(scan) == 2
    best = min(scan, key=lambda row: row["distance"])
    assert channels["chosen"]["density"]["density_width"] == best["density_width"]
    assert fig2.distance(fig2.PAPER) == 0
    assert fig2.distance({**fig2.PAPER, "combined": 60}) == pytest.approx(np.log(2))


@pytest.mark.parametrize("answer", range(1, 21))
def test_bisection_finds_the_smallest_number(answer):
    assert fig2.smallest(lambda n: n >= answer, 20) == answer


# --- figure 3 ---------------------------------------------------------------------------------------------------------


def test_optimal_functions_reconstruct_more(errors):
    assert errors["not_below"] == []
    for gto, optimal in zip(errors["errors"]["GTO"], errors["errors"]["optimal"], strict=True):
        assert optimal["all"] < gto["all"]
        for selector in ("CUR", "FPS"):
            assert optimal[selector][0] < gto[selector][0]
            assert optimal["all"] < optimal[selector][0] * 1.05
    assert errors["features"] == [18, 30]
    assert errors["full_features"] == 108


def test_where_gtos_are_better_is_said():
    one, other = ({"all": a, "CUR": [0.2, None], "FPS": [b, None]} for a, b in ((0.1, 0.3), (0.05, 0.4)))
    settings = dataclasses.replace(FIG3, sizes=(4,), selected=(5, 50))
    found = fig3.not_below({"GTO": [one], "optimal": [other]}, settings)
    assert found == ["n = 4, CUR 5", "n = 4, FPS 5"]


def test_full_basis_holds_itself():
    environments = fig3.Environments(DATA.silicon(), 500)
    full = environments.features(fig3.expansion(FIG3, FIG3.n_full))
    assert orbas.metrics.gfre(full, full, split=environments.split) < 1e-3


def test_environments_are_rows_of_all_and_halves_share_no_structure():
    frames = DATA.silicon()
    environments = fig3.Environments(frames, 100)
    density = fig3.expansion(FIG3, 2)
    every = orbas.PowerSpectrum(density).transform(frames)
    np.testing.assert_array_equal(environments.features(density), every.values[environments.rows])
    train, test = (set(every.samples[environments.rows[half], 0]) for half in environments.split)
    assert not train & test
    with pytest.raises(ValueError, match="environments were asked for"):
        fig3.Environments(frames[:2], 100_000)


# --- all --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "settings", "name", "words"),
    [
        (fig1, FIG1, "functions", "norm beyond it"),
        (fig2, FIG2, "channels", "about 100"),
        (fig3, FIG3, "errors", "nowhere"),
    ],
    ids=["1", "2", "3"],
)
def test_a_figure_is_the_same_again_and_can_be_shown(module, settings, name, words, request, tmp_path):
    result = request.getfixturevalue(name)
    assert common.rounded(module.compute(settings, DATA)) == result
    assert words in module.table(result)
    common.write(tmp_path, "figure", dataclasses.asdict(settings), result, module.draw)
    assert {path.name for path in tmp_path.iterdir()} == {"figure.json", "figure.png"}
