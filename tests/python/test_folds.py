"""Which training structures are held out together: copies, groups, isolated atoms, rare species and labels."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import ase
import ase.build
import ase.io
import numpy as np
import orbas
import pytest
from orbas.fit.copies import common, find_copies, imprints
from orbas.fit.dense import fit_ridge
from orbas.fit.folds import folds_for, joined
from orbas.fit.isolated import is_isolated
from orbas.models import (
    CompositionBaseline,
    Evidence,
    Fixed,
    HoldOut,
    KFold,
    LeaveOneOut,
    LinearPotential,
    Noise,
    RidgeRegressor,
    SparseGPR,
    learning_curve,
    recommended,
)

ALPHAS = (1e-8, 1e-6, 1e-4, 1e-2)


def copper(seed, rattle=0.2):
    atoms = ase.build.bulk("Cu", cubic=True, a=3.6 * (1 + 0.03 * np.sin(seed)))
    atoms.rattle(rattle, seed=seed)
    return atoms


def labeled(frames, noise=0.0):
    """Energies and forces of a pair potential, with an error."""
    rng = np.random.default_rng(len(frames))
    for atoms in frames:
        i, d, vectors = orbas.neighbor_list("idD", atoms, 4.0)
        slopes = -2.0 * np.exp(-2.0 * d) * (1.0 - d / 4.0) ** 2 - 0.5 * np.exp(-2.0 * d) * (1.0 - d / 4.0)
        energy = float(np.sum(0.5 * np.exp(-2.0 * d) * (1.0 - d / 4.0) ** 2))
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, slopes[:, None] * vectors / np.maximum(d, 1e-12)[:, None])
        atoms.info["REF_energy"] = energy + noise * float(rng.normal())
        atoms.arrays["REF_forces"] = forces + 10 * noise * rng.normal(size=forces.shape)
    return frames


def spectrum(**changes):
    options = {"cutoff": orbas.Cutoff(4.0, 1.0, "smooth"), "density_width": 0.5, "max_angular": 3}
    return orbas.PowerSpectrum(orbas.DensityExpansion(**{**options, "basis": orbas.bases.GTO(4), **changes}))


def methane(seed):
    atoms = ase.build.molecule("CH4")
    atoms.rattle(0.1, seed=seed)
    return atoms


# --- copies


def shifted(atoms):
    atoms.positions += [0.3, -1.1, 7.0]


def wrapped(atoms):
    atoms.positions += [0.3, -1.1, 7.0]
    atoms.wrap()


def turned(atoms):
    atoms.rotate(47.0, (1, 2, 3), rotate_cell=True)


def permuted(atoms):
    order = np.random.default_rng(1).permutation(len(atoms))
    atoms.positions, atoms.numbers = atoms.positions[order], atoms.numbers[order]


def rounded(atoms):
    atoms.positions = np.round(atoms.positions, 3)


def mirrored(atoms):
    atoms.positions[:, 0] *= -1
    atoms.set_cell(atoms.cell.array * [-1, 1, 1])


@pytest.mark.parametrize("make", [copper, methane], ids=["crystal", "molecule"])
@pytest.mark.parametrize("move", [None, shifted, wrapped, turned, permuted, rounded, mirrored])
def test_copies_are_found(make, move):
    frames = [make(seed) for seed in range(12)]
    twin = frames[7].copy()
    if move is not None:
        move(twin)
    found = find_copies([*frames, twin])
    assert found[12] == found[7] == 7
    assert len(set(found.tolist())) == 12


@pytest.mark.parametrize("make", [copper, methane], ids=["crystal", "molecule"])
def test_what_differs_is_no_copy(make):
    frames = [make(seed) for seed in range(30)]
    displaced = [atoms.copy() for atoms in frames]
    for seed, atoms in enumerate(displaced):
        atoms.rattle(0.02, seed=100 + seed)
    assert len(set(find_copies([*frames, *displaced]).tolist())) == 60
    assert len(set(find_copies([frames[0], frames[0]]).tolist())) == 1
    other = frames[0].copy()
    other.numbers[0] = 1 if other.numbers[0] != 1 else 9
    assert len(set(find_copies([frames[0], other]).tolist())) == 2


def test_strained_crystals_are_no_copies():
    frames = [ase.build.bulk("Cu", a=3.6 * (1 + 0.002 * k)) for k in range(20)]
    assert len(set(find_copies(frames).tolist())) == 20


@pytest.mark.parametrize("move", [None, shifted, wrapped, turned, permuted])
def test_training_structures_are_known_again(move, tmp_path):
    frames = labeled([copper(seed) for seed in range(8)])
    model = LinearPotential(spectrum(), regularization=Fixed(1e-6)).fit(frames)
    model.save(tmp_path / "m.orbas")
    read = orbas.load(tmp_path / "m.orbas")
    twin = frames[3].copy()
    if move is not None:
        move(twin)
    fresh = [copper(seed) for seed in range(100, 120)]
    for known in (model, read):
        assert known.trained_on([*fresh, twin]).tolist() == [False] * 20 + [True]
    assert common(imprints([twin]), imprints(fresh)).size == 0
    ase.io.write(tmp_path / "a.xyz", twin)
    assert read.trained_on(ase.io.read(tmp_path / "a.xyz", ":")).all()


@pytest.mark.parametrize("rule", [KFold(4, alphas=ALPHAS), LeaveOneOut(alphas=ALPHAS), HoldOut(4, alphas=ALPHAS)])
@pytest.mark.parametrize("noise", [None, Noise(0.01)], ids=["kept", "streamed"])
def test_copies_do_not_change_what_is_chosen(rule, noise, caplog):
    """Held-out errors of a set with copies of everything are those of a fit to the other structures."""
    frames = labeled([copper(seed) for seed in range(16)], noise=0.01)
    twins = [atoms.copy() for atoms in frames]
    for atoms in twins:
        turned(atoms)
    options = {"regularization": rule, "noise": noise, "baseline": {"Cu": 0.0}}
    model = LinearPotential(spectrum(), **options).fit([*frames, *twins])
    assert "16 of 32 training structures are equal" in caplog.text
    units = find_copies([*frames, *twins])
    kinds, always = np.ones((32, 1), dtype=bool), np.zeros(32, dtype=bool)
    folds = folds_for(rule, units, kinds, always)
    rows = spectrum(species=[29]).transform([*frames, *twins]).per_structure()
    energies = np.array([atoms.info["REF_energy"] for atoms in [*frames, *twins]])
    widths = 1.0 if noise is None else 0.01 * np.sqrt(4.0)
    for a, alpha in enumerate(ALPHAS):
        scale = np.mean(np.sum((rows / widths) ** 2, axis=1))
        errors = []
        for members in folds.members:
            rest = np.setdiff1d(np.arange(32), members)
            x = rows[rest] / widths
            weights = np.linalg.solve(x.T @ x + alpha * scale * np.eye(x.shape[1]), x.T @ energies[rest] / widths)
            errors.append(np.abs(energies[members] - rows[members] @ weights))
        assert model.cv_errors_[a] == pytest.approx(np.mean(np.concatenate(errors)), rel=1e-4)


# --- folds


def random_samples(rng, n):
    units = rng.integers(n, size=n) if rng.random() < 0.5 else np.arange(n)
    kinds = rng.random((n, 6)) < rng.random(6)
    kinds[:, 0] = True
    kinds[rng.integers(n, size=2), 1] = True
    return units, kinds, rng.random(n) < 0.1


@pytest.mark.parametrize("rule", [KFold(3), KFold(5), HoldOut(5), LeaveOneOut()], ids=str)
@pytest.mark.parametrize("seed", range(20))
def test_every_training_part_has_every_kind_and_no_twin_of_what_is_held_out(rule, seed):
    rng = np.random.default_rng(seed)
    units, kinds, always = random_samples(rng, int(rng.integers(12, 50)))
    if isinstance(rule, KFold):
        rule = KFold(rule.n_folds, seed=seed)
    folds = folds_for(rule, units, kinds, always)
    assert (folds.fold[always] == -1).all()
    assert sum(map(len, folds.members)) == (folds.fold >= 0).sum() > 0
    for members in folds.members:
        rest = np.setdiff1d(np.arange(len(units)), members)
        assert len(members)
        assert kinds[rest].any(axis=0)[kinds.any(axis=0)].all()
        assert not set(units[members]) & set(units[rest[~always[rest]]])


def test_folds_of_structures_on_their_own_are_those_of_the_rule():
    rule = KFold(4, seed=3)
    folds = folds_for(rule, np.arange(30), np.ones((30, 1), dtype=bool), np.zeros(30, dtype=bool))
    for found, expected in zip(folds.members, rule.folds(30), strict=True):
        assert np.array_equal(found, expected)


def test_groups_and_copies_together():
    first, second = np.array([0, 0, 1, 2, 3]), np.array([5, 6, 6, 7, 8])
    assert joined(first, second)[0] == joined(first, second)[2] != joined(first, second)[3]


@pytest.mark.parametrize("rule", [KFold, LeaveOneOut, HoldOut])
@pytest.mark.parametrize("kind", ["key", "list", "array", "integers"])
def test_groups_are_held_out_together(rule, kind):
    frames = labeled([copper(seed) for seed in range(12)], noise=0.01)
    names = [f"run {k // 3}" for k in range(12)]
    for atoms, name in zip(frames, names, strict=True):
        atoms.info["run"] = name
    groups = {"key": "run", "list": names, "array": np.array(names), "integers": np.arange(12) // 3}[kind]
    options = {"alphas": ALPHAS, "groups": groups, **({"n_validation": 1} if rule is HoldOut else {})}
    if rule is KFold:
        options["n_folds"] = 4
    model = LinearPotential(spectrum(), regularization=rule(**options), baseline={"Cu": 0.0}).fit(frames)
    rows = spectrum(species=[29]).transform(frames).per_structure()
    energies = np.array([atoms.info["REF_energy"] for atoms in frames])
    held_out = range(3, 4) if rule is HoldOut else range(4)
    for alpha, error in zip(ALPHAS, model.cv_errors_, strict=True):
        gaps = []
        for k in held_out:
            rest = np.arange(12) // 3 != k
            x, scale = rows[rest], np.mean(np.sum(rows**2, axis=1))
            weights = np.linalg.solve(x.T @ x + alpha * scale * np.eye(x.shape[1]), x.T @ energies[rest])
            gaps.append(np.abs(energies[~rest] - rows[~rest] @ weights))
        assert error == pytest.approx(np.mean(gaps), rel=1e-4)
    if rule is not HoldOut:
        curve = learning_curve(model, frames, frames[:2], [8, 12])
        assert np.isfinite(curve.mae).all()


def test_groups_that_are_wrong_are_refused(caplog):
    frames = labeled([copper(seed) for seed in range(10)])
    for groups, message in (("trajectory", "no structure has groups='trajectory'"), (["a"] * 3, "3 labels for 10")):
        with pytest.raises(ValueError, match=message):
            LinearPotential(spectrum(), regularization=KFold(groups=groups)).fit(frames)
    with pytest.raises(ValueError, match="needs two groups"):
        LinearPotential(spectrum(), regularization=KFold(groups=["a"] * 10)).fit(frames)
    LinearPotential(spectrum(), regularization=KFold(groups=["a"] * 5 + ["b"] * 5)).fit(frames)
    assert "2 folds of 5 were asked for" in caplog.text
    with pytest.raises(ValueError, match="groups must be"):
        KFold(groups=5)
    with pytest.raises(ValueError, match="a key of structures"):
        RidgeRegressor(KFold(groups="run")).fit(np.ones((10, 2)), np.ones(10))


@pytest.mark.parametrize("rule", [KFold, LeaveOneOut])
def test_groups_of_rows_of_a_matrix(rule):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    options = {"n_folds": 4} if rule is KFold else {}
    for targets in (y, np.stack([y, 2 * y], axis=1)):
        grouped = RidgeRegressor(rule(alphas=ALPHAS, groups=np.arange(12) // 3, **options), fit_intercept=False)
        found = grouped.fit(x, targets).cv_errors_
        gaps = []
        for k in range(4):
            rest = np.arange(12) // 3 != k
            penalty = ALPHAS[-1] * np.mean(np.sum(x**2, axis=1)) * np.eye(3)
            gaps.append(
                np.abs(
                    targets[~rest]
                    - x[~rest] @ np.linalg.solve(x[rest].T @ x[rest] + penalty, x[rest].T @ targets[rest])
                )
            )
        assert found[-1] == pytest.approx(np.mean(gaps), rel=1e-9)


def test_a_supervised_basis_holds_out_groups_and_leaves_isolated_atoms_out():
    frames = labeled([copper(seed) for seed in range(10)])
    for k, atoms in enumerate(frames):
        atoms.info["run"] = k // 2
    fits = []
    for some in (frames, [*frames, isolated("Cu", -1.0, "mace")]):
        basis = orbas.PCovRBasis(spectrum().density, 2, regularization=KFold(groups="run"))
        fits.append(basis.fit(some))
    assert fits[0].weights_ == pytest.approx(fits[1].weights_, rel=1e-9)
    assert fits[1].baseline_.energies_ == {29: -1.0}


def test_groups_of_settings_and_files(tmp_path):
    frames = labeled([copper(seed) for seed in range(10)])
    for k, atoms in enumerate(frames):
        atoms.info["config_type"] = f"run{k % 5}"
    for groups in ("config_type", [k % 5 for k in range(10)]):
        model = LinearPotential(spectrum(), regularization=KFold(groups=groups)).fit(frames)
        model.save(tmp_path / "m.orbas")
        kept = orbas.load(tmp_path / "m.orbas").regularization.groups
        assert kept == (groups if isinstance(groups, str) else None)
    chosen = recommended(frames, time_budget=1e-6, groups="config_type", report=lambda _: None)
    assert chosen.regularization.groups == "config_type"


# --- rare labels and species


@pytest.mark.parametrize("seed", range(4))
def test_two_structures_with_a_label_of_sixty_are_never_lost(seed):
    frames = labeled([copper(k) for k in range(60)])
    for atoms in frames[:58]:
        del atoms.arrays["REF_forces"]
    for make in (
        lambda rule: LinearPotential(spectrum(), regularization=rule),
        lambda rule: SparseGPR(spectrum(), 20, 2, regularization=rule),
    ):
        model = make(KFold(seed=seed, alphas=(1e-6, 1e-3))).fit(frames, forces_key="REF_forces")
        assert np.isfinite(model.cv_errors_).all()
    rare = [*frames[:10], *labeled([ase.build.bulk("Au", cubic=True, a=4.0)])]
    model = LinearPotential(spectrum(), regularization=KFold(seed=seed)).fit(rare)
    assert model.species_ == (29, 79)
    recommended(frames[50:], forces_key="REF_forces", time_budget=1e-6, seed=seed, report=lambda _: None)


# --- isolated atoms


MARKS = {
    "mace": {"config_type": "IsolatedAtom"},
    "gap_fit": {"config_type": "isolated_atom"},
    "no mark": {},
    "in a box": {"config_type": "IsolatedAtom", "box": True},
}


def isolated(symbol, energy, mark):
    atoms = ase.Atoms(symbol)
    if MARKS[mark].get("box"):
        atoms.set_cell([20, 20, 20])
        atoms.pbc = True
    if "config_type" in MARKS[mark]:
        atoms.info["config_type"] = MARKS[mark]["config_type"]
    atoms.info["REF_energy"] = energy
    atoms.arrays["REF_forces"] = np.zeros((1, 3))
    return atoms


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("rule", [KFold(4, alphas=ALPHAS), HoldOut(3, alphas=ALPHAS), Evidence(), Fixed(1e-6)], ids=str)
def test_isolated_atoms_are_the_zero_and_change_nothing_else(mark, place, rule):
    frames = labeled([methane(seed) for seed in range(16)], noise=0.01)
    for atoms in frames:
        atoms.info["REF_energy"] += 4 * -13.5 - 1030.0 - 18.0
    zeros = {"H": -13.5, "C": -1030.0}
    atoms_alone = [isolated(symbol, energy, mark) for symbol, energy in zeros.items()]
    together = [*atoms_alone, *frames] if place == "first" else [*frames, *atoms_alone]
    for make in (
        lambda: LinearPotential(spectrum(), regularization=rule),
        lambda: SparseGPR(spectrum(), 12, 2, regularization=rule),
    ):
        without = make().fit(frames, forces_key="REF_forces")
        model = make().fit(together, forces_key="REF_forces")
        assert model.baseline_.energies_ == {1: -13.5, 6: -1030.0}
        assert model.alpha_ == pytest.approx(without.alpha_)
        test = [methane(seed) for seed in range(100, 110)]
        found, right = model.predict(test), without.predict(test)
        np.testing.assert_allclose(found.energies, right.energies, atol=1e-6)
        np.testing.assert_allclose(np.concatenate(found.forces), np.concatenate(right.forces), atol=1e-6)


def test_a_primitive_crystal_is_no_isolated_atom():
    assert not is_isolated(ase.build.bulk("Cu"))
    assert not is_isolated(ase.build.molecule("CH4"))
    assert is_isolated(ase.Atoms("H"))


@pytest.mark.parametrize(
    ("cell", "pbc", "expected"),
    [
        ([20, 20, 20], True, True),
        ([20, 20, 20, 90, 90, 60], True, True),
        ([[0, 10, 10], [10, 0, 10], [10, 10, 0]], True, True),
        ([20, 20, 2.5], True, False),
        ([20, 20, 2.5], (True, True, False), True),
        ([2.5, 0, 0], (True, False, False), False),
        ([12, 0, 0], (True, False, False), True),
        ([[20, 0, 0], [19.9, 2, 0], [0, 0, 20]], True, False),
    ],
)
def test_an_atom_in_a_box_is_isolated(cell, pbc, expected):
    """As programs with plane waves have it, with or without a config_type."""
    assert is_isolated(ase.Atoms("H", cell=cell, pbc=pbc)) is expected


def test_isolated_atoms_that_disagree_are_said(caplog):
    frames = labeled([copper(seed) for seed in range(8)])
    alone = [isolated("Cu", energy, "mace") for energy in (-1.0, -1.5)]
    model = LinearPotential(spectrum(), regularization=Fixed(1e-6)).fit([*frames, *alone])
    assert model.baseline_.energies_ == {29: -1.5}
    assert "isolated atoms of Cu have energies from -1.5 to -1 eV" in caplog.text
    given = LinearPotential(spectrum(), regularization=Fixed(1e-6), baseline={"Cu": -3.0}).fit([*frames, *alone])
    assert given.baseline_.energies_ == {29: -3.0}
    assert "the baseline is not that of the isolated atoms" in caplog.text


def test_isolated_atoms_with_a_noise_are_rows():
    frames = labeled([methane(seed) for seed in range(16)])
    alone = [isolated("H", -13.5, "mace"), isolated("C", -1030.0, "mace")]
    noise = Noise(by_config={"IsolatedAtom": Noise(energy=1e-4)})
    model = LinearPotential(spectrum(), regularization=KFold(4), noise=noise).fit([*frames, *alone])
    np.testing.assert_allclose(model.predict(alone).energies, [-13.5, -1030.0], atol=1e-2)


def test_baselines_of_isolated_atoms_predict_what_those_of_compositions_do():
    frames = labeled([methane(seed) for seed in range(6)])
    energies = [atoms.info["REF_energy"] for atoms in frames]
    alone = [isolated("C", -1030.0, "mace")]
    baseline = CompositionBaseline().fit([*frames, *alone], [*energies, -1030.0])
    np.testing.assert_allclose(baseline.predict(frames), CompositionBaseline().fit(frames, energies).predict(frames))
    assert baseline.energies_[6] == -1030.0
    assert set(baseline.binding_) == {6}


# --- said


def test_an_alpha_at_the_edge_is_said(caplog):
    frames = labeled([copper(seed) for seed in range(12)])
    LinearPotential(spectrum(), regularization=KFold(alphas=(1e-2, 1e-1, 1.0))).fit(frames)
    assert "the chosen alpha, 0.01, is the smallest of 3 candidates" in caplog.text
    caplog.clear()
    LinearPotential(spectrum(), regularization=Fixed(1e-2)).fit(frames)
    assert "alpha" not in caplog.text


def test_more_than_there_is_is_said(caplog):
    frames = labeled([copper(seed) for seed in range(6)])
    density = spectrum().density
    basis = orbas.OptimalBasis(density, 400).fit(frames)
    assert "n_optimal = 400 for l = 0: there are 4 functions" in caplog.text
    assert basis.contraction_[0].shape == (4, 4)
    orbas.NICE(density, 2, n_pairs=10_000, n_components=9_999, n_invariants=8_888).fit(frames)
    for name in ("n_pairs = 10000", "n_components = 9999", "n_invariants = 8888"):
        assert name in caplog.text
    caplog.clear()
    SparseGPR(spectrum(), 1000, 2, regularization=Fixed(1e-3)).fit(frames)
    assert "n_sparse = 1000" in caplog.text


def test_the_best_settings_are_taken_though_they_are_late(caplog):
    frames = labeled([copper(seed) for seed in range(12)])
    lines = []
    recommended(frames, time_budget=1e-6, report=lines.append)
    assert "the best settings are taken, though" in caplog.text
    assert not [record for record in caplog.records if record.levelno < logging.INFO]


def test_one_file_twice_and_structures_to_test_on_that_were_trained_on(tmp_path, capsys, monkeypatch):
    from orbas.cli import main

    monkeypatch.chdir(tmp_path)
    frames = labeled([copper(seed) for seed in range(12)])
    for name, part in (("a.xyz", frames[:8]), ("b.xyz", frames[6:])):
        orbas_frames = [atoms.copy() for atoms in part]
        ase.io.write(name, orbas_frames, format="extxyz")
    with gzip.open("a.xyz.gz", "wb") as file:
        file.write(Path("a.xyz").read_bytes())
    settings = "[cutoff]\nradius = 4.0\n[density]\ndensity_width = 0.5\nmax_angular = 2\n[basis]\nn_radial = 3\n"
    settings += '[regularization]\nkind = "fixed"\nalpha = 1e-6\n'
    Path("t.toml").write_text(f'[data]\ntrain = ["a.xyz", "./a.xyz"]\ntest = "b.xyz"\n{settings}')
    assert main(["train", "t.toml", "--output", "m.orbas", "--quiet"]) == 0
    said = capsys.readouterr().err
    assert "a.xyz: given twice" in said
    assert "2 of 6 structures are training structures" in said
    assert main(["eval", "m.orbas", "b.xyz"]) == 0
    assert "2 of 6 structures are training structures" in capsys.readouterr().err
    assert main(["report", "m.orbas", "--test", "a.xyz.gz", "--output", "r.md"]) == 0
    assert "8 of 8 structures are training structures" in capsys.readouterr().err


def test_rows_of_all_that_is_held_out_are_compared():
    """Dense and in one pass, whatever the folds are."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 5)), rng.normal(size=20)
    rule = KFold(3, alphas=ALPHAS)
    folds = folds_for(rule, np.arange(20) // 2, np.ones((20, 1), bool), np.arange(20) < 3)
    fit = fit_ridge(x, y, rule, folds)
    for alpha, error in zip(ALPHAS, fit.errors, strict=True):
        gaps = []
        for members in folds.members:
            rest = np.setdiff1d(np.arange(20), members)
            penalty = alpha * np.mean(np.sum(x**2, axis=1)) * np.eye(5)
            weights = np.linalg.solve(x[rest].T @ x[rest] + penalty, x[rest].T @ y[rest])
            gaps.append(np.abs(y[members] - x[members] @ weights))
        assert error == pytest.approx(np.mean(np.concatenate(gaps)), rel=1e-9)
