"""Sparse Gaussian-process potentials against loops over the kernel and the textbook formulas of a sparse process."""

from __future__ import annotations

import itertools

import ase.build
import numpy as np
import orbas
import pytest
from fit_oracle import check_derivatives, density, labeled, ridge, rows_of, silicon, stacked
from orbas.errors import UnknownSpeciesError
from orbas.models import CompositionBaseline, Fixed, KFold, LeaveOneOut, Noise, SparseGPR

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}
NOISE = Noise(0.003, 0.04, 0.05)
FIXED = Fixed(1e-4)


def power(species=(14,), **changes):
    return orbas.PowerSpectrum(density(species, **{"max_angular": 1, "n_radial": 2, **changes}))


def radial(species=(14,)):
    return orbas.RadialSpectrum(density(species, max_angular=0, n_radial=4))


def unit_rows(spectrum, frames):
    values = spectrum.transform(frames).values
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)


def environment_kernels(potential, frames):
    """Kernels of every environment with every point, [n_atoms, n_points]: term after term, species after species."""
    numbers, columns = np.concatenate([atoms.numbers for atoms in frames]), []
    for term in potential.design_.terms:
        unit = unit_rows(term.spectrum, frames)
        for species, points in term.points.items():
            for point in points:
                cosines = [float(np.dot(x, point)) for x in unit]
                columns.append(term.delta**2 * np.power(cosines, term.zeta) * (numbers == species))
    return np.stack(columns, axis=1)


def structure_kernels(potential, frames):
    """Summed over the atoms of a structure, [n_structures, n_points]."""
    kernels, ends = environment_kernels(potential, frames), np.cumsum([0, *map(len, frames)])
    return np.stack([kernels[a:b].sum(axis=0) for a, b in itertools.pairwise(ends)])


def point_kernels(potential):
    """K_MM: blocks of a term and a species, zero between them."""
    blocks = [
        term.delta**2 * (points @ points.T) ** term.zeta
        for term in potential.design_.terms
        for points in term.points.values()
    ]
    result, start = np.zeros((sum(map(len, blocks)),) * 2), 0
    for block in blocks:
        result[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return result


def textbook(potential, parts):
    """``K_MN S^-1 K_NM + lambda K_MM`` and the weights of the points, [n_points]."""
    rows, targets = stacked(parts)
    system = rows.T @ rows + potential.alpha_ * potential.scale_ * point_kernels(potential)
    return system, np.linalg.solve(system, rows.T @ targets)


@pytest.fixture(scope="module")
def frames():
    return labeled(silicon(8, carbon=True), noise=0.02)


MODELS = {
    "zeta 1": lambda: SparseGPR(power((6, 14)), 6, 1, regularization=FIXED, noise=NOISE),
    "zeta 2": lambda: SparseGPR(power((6, 14)), {6: 3, 14: 4}, 2, regularization=FIXED, noise=NOISE, selection="cur"),
    "zeta 3": lambda: SparseGPR(power((6, 14)), 7, 3, regularization=FIXED, noise=NOISE, delta=2.5),
    "zeta 4": lambda: SparseGPR(power((6, 14)), {6: 0, 14: 6}, 4, regularization=FIXED, noise=NOISE),
    "two terms": lambda: SparseGPR(
        [radial((6, 14)), power((6, 14))],
        [4, {6: 3, 14: 3}],
        [2, 3],
        delta=[0.5, 2.0],
        regularization=FIXED,
        noise=NOISE,
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, frames):
    return MODELS[request.param]().fit(frames, **ALL)


@pytest.fixture(scope="module")
def parts(fitted, frames):
    return rows_of(frames, lambda made: structure_kernels(fitted, made), NOISE.of)


def test_points_are_normalized_and_as_many_as_asked_for(fitted):
    for term, wanted in zip(fitted.design_.terms, np.atleast_1d(fitted.n_sparse), strict=True):
        counts = {number: len(points) for number, points in term.points.items()}
        assert counts == wanted if isinstance(wanted, dict) else sum(counts.values()) == wanted
        for points in term.points.values():
            np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, rtol=1e-14)


def test_the_mean_is_that_of_the_textbook(fitted, frames, parts):
    _, weights = textbook(fitted, parts)
    assert len(fitted.weights_) <= len(weights)
    unseen = labeled(silicon(5, seed=9, carbon=True))
    expected = structure_kernels(fitted, unseen) @ weights
    baseline = fitted.baseline_.predict(unseen)
    signal = np.abs(expected).max()
    found = fitted.predict(unseen)
    np.testing.assert_allclose(found.energies, baseline + expected, rtol=0, atol=1e-6 * signal)
    np.testing.assert_allclose([atoms.sum() for atoms in found.atoms], found.energies, rtol=1e-12)


def test_atomic_energies_are_sums_over_points(fitted, frames):
    """With the kernel weights of the model itself: explicit loops over atoms and points."""
    weights, start = [], 0
    for term in fitted.design_.terms:
        for root in term.roots.values():
            own = fitted.weights_[start : start + root.shape[1]]
            weights.append(root @ own / term.delta)
            start += root.shape[1]
    expected = environment_kernels(fitted, frames[:3]) @ np.concatenate(weights)
    numbers = np.concatenate([atoms.numbers for atoms in frames[:3]])
    expected += [fitted.baseline_.energies_[int(number)] for number in numbers]
    found = np.concatenate(fitted.evaluate(frames[:3]).atoms)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_the_variance_is_that_of_the_textbook(fitted, frames, parts):
    """Deterministic training conditional; what points do not hold is added for every atom by itself."""
    system, _ = textbook(fitted, parts)
    unseen = silicon(4, seed=9, rattle=0.2, carbon=True)
    kernels = structure_kernels(fitted, unseen)
    variance = np.einsum("km,mk->k", kernels, np.linalg.solve(system, kernels.T))
    single = environment_kernels(fitted, unseen)
    prior = sum(term.delta**2 for term in fitted.design_.terms)
    held = np.einsum("km,mk->k", single, np.linalg.solve(point_kernels(fitted), single.T))
    missing = np.maximum(prior - held, 0) / (fitted.alpha_ * fitted.scale_)
    start = 0
    for k, atoms in enumerate(unseen):
        variance[k] += missing[start : start + len(atoms)].sum()
        start += len(atoms)
    rows, targets = stacked(parts)
    residual = np.mean((rows @ textbook(fitted, parts)[1] - targets) ** 2)
    np.testing.assert_allclose(fitted.uncertainty(unseen), np.sqrt(residual * variance), rtol=1e-4)


def test_forces_and_stress_are_finite_differences(fitted, frames):
    check_derivatives(fitted, frames[5])


def test_forces_of_molecules_are_finite_differences():
    molecules = [ase.build.molecule(name) for name in ("CH3OH", "H2O", "CH4", "HCOOH")]
    for seed, atoms in enumerate(molecules):
        atoms.rattle(0.1, seed=seed)
        atoms.info["REF_energy"] = float(np.random.default_rng(seed).normal())
    spectra = [radial((1, 6, 8)), power((1, 6, 8))]
    fitted = SparseGPR(spectra, [6, 9], [2, 4], regularization=Fixed(1e-2), baseline={1: 0, 6: 0, 8: 0}).fit(molecules)
    check_derivatives(fitted, molecules[0])


def test_zeta_one_is_a_linear_model_of_normalized_features():
    """With as many points as features: ridge regression in the span, by dense least squares."""
    frames = labeled(silicon(12), noise=0.02)
    spectrum = power()
    fitted = SparseGPR(spectrum, 12, 1, regularization=FIXED, noise=NOISE).fit(frames, forces_key="REF_forces")

    def summed(made):
        unit, ends = unit_rows(spectrum, made), np.cumsum([0, *map(len, made)])
        return np.stack([unit[a:b].sum(axis=0) for a, b in itertools.pairwise(ends)])

    parts = rows_of(frames, summed, NOISE.of, stress=False)
    rows, targets = stacked(parts)
    weights = ridge(rows, targets, fitted.alpha_ * fitted.scale_)
    expected = summed(frames) @ weights + fitted.baseline_.predict(frames)
    np.testing.assert_allclose(fitted.predict(frames).energies, expected, rtol=0, atol=1e-6)


def test_only_ratios_of_amplitudes_matter(frames):
    def predicted(delta):
        model = SparseGPR([radial((6, 14)), power((6, 14))], 6, 2, delta=delta, regularization=KFold(3), noise=NOISE)
        return model.fit(frames, **ALL).predict(frames).energies

    reference = predicted([1.0, 2.0])
    np.testing.assert_allclose(predicted([3.0, 6.0]), reference, rtol=0, atol=1e-7)
    assert np.abs(predicted([2.0, 1.0]) - reference).max() > 1e-6


def test_leave_one_out_of_energies_is_that_of_refits():
    frames = labeled(silicon(30), noise=0.1)
    alphas = (1e-6, 1e-3)
    model = SparseGPR(power(), 5, 2, regularization=LeaveOneOut(alphas), noise=NOISE).fit(frames)
    design = model.design_
    errors = []
    parts = rows_of(frames, design.structures, NOISE.of, forces=False, stress=False)
    scale = np.mean(np.sum(stacked(parts)[0] ** 2, axis=1))
    for alpha in alphas:
        left = []
        for k, atoms in enumerate(frames):
            weights = ridge(*stacked(parts[:k] + parts[k + 1 :]), alpha * scale)
            gap = parts[k][1] - parts[k][0] @ weights
            left.append(abs(gap[0]) * NOISE.energy * np.sqrt(len(atoms)))
        errors.append(np.mean(left))
    np.testing.assert_allclose(model.cv_errors_, errors, rtol=1e-6)


def test_repeated_structures_do_no_harm(frames, caplog):  # docs/reliability.md, row 43
    model = SparseGPR(power((6, 14)), 10_000, 4, regularization=KFold(3), noise=NOISE)
    with pytest.warns(UserWarning, match="copies"):
        fitted = model.fit([*frames, *frames, *(atoms * (2, 1, 1) for atoms in labeled(silicon(2)))])
    assert "n_sparse = 10000: there are" in caplog.text
    found = fitted.predict(frames, uncertainty=True)
    assert all(np.isfinite(part).all() for part in (found.energies, *found.forces, found.stress, found.uncertainty))
    term = fitted.design_.terms[0]
    for number, points in term.points.items():
        gaps = np.linalg.norm(points[:, None] - points[None], axis=2) + 10 * np.eye(len(points))
        assert gaps.min(initial=10) > 0
        assert np.isfinite(term.roots[number]).all()


# --- edges


@pytest.fixture(scope="module")
def two_terms(frames):
    return MODELS["two terms"]().fit(frames, **ALL)


def test_isolated_atoms_and_empty_structures(two_terms):  # docs/reliability.md, row 18
    baseline = two_terms.baseline_.energies_
    alone, far = ase.Atoms("Si"), ase.Atoms("SiC", positions=[[0, 0, 0], [0, 0, 50]])
    empty = ase.Atoms()
    found = two_terms.predict([alone, far, empty], uncertainty=True)
    assert np.isfinite(found.energies).all()
    assert np.isfinite(found.uncertainty).all()
    assert found.energies[2] == 0.0
    assert found.uncertainty[2] == 0.0
    assert found.energies[0] == pytest.approx(found.atoms[1][0], abs=1e-12)
    assert np.array_equal(found.forces[1], np.zeros((2, 3)))
    assert found.forces[2].shape == (0, 3)
    nothing = two_terms.predict([], uncertainty=True)
    assert (len(nothing.energies), nothing.forces, nothing.stress.shape) == (0, [], (0, 6))
    assert two_terms.extrapolation([]) == []
    assert [len(ratios) for ratios in two_terms.extrapolation([alone, empty, far])] == [1, 0, 2]
    assert set(baseline) == {6, 14}


def test_atoms_without_features_have_the_energy_of_the_baseline():
    """The center does not count: an atom without neighbors has nothing to compare."""
    frames = [*labeled(silicon(6)), ase.Atoms("Si", info={"REF_energy": -3.5})]
    spectrum = orbas.PowerSpectrum(density(max_angular=1, n_radial=2, center_weight=0.0))
    fitted = SparseGPR(spectrum, 5, 2, regularization=FIXED).fit(frames, forces_key="REF_forces")
    alone = fitted.predict([ase.Atoms("Si")])
    assert fitted.baseline_.energies_[14] == -3.5
    assert alone.energies[0] == -3.5 + fitted.baseline_.binding_[14]
    assert np.array_equal(alone.forces[0], np.zeros((1, 3)))
    empty = SparseGPR(spectrum, 5, 2, regularization=FIXED)
    with pytest.raises(ValueError, match="no environment has features to compare"):
        empty.fit([ase.Atoms("Si", info={"REF_energy": -3.5})])
    with pytest.raises(ValueError, match="no environment has features to compare"):
        empty.fit([ase.Atoms(info={"REF_energy": 0.0})])


def test_unknown_species_are_refused_before_any_work(two_terms, monkeypatch):  # docs/reliability.md, row 22
    monkeypatch.setattr(type(two_terms.design_.terms[0].spectrum), "transform", None)
    bad = [ase.build.bulk("Si"), ase.Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.6]])]
    for call in (two_terms.predict, two_terms.evaluate, two_terms.uncertainty, two_terms.extrapolation):
        with pytest.raises(UnknownSpeciesError, match=r"structure 1, atom 1: species 8 \(O\).*6 \(C\), 14 \(Si\)"):
            call(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_bad_positions_are_refused(two_terms, frames, value):  # docs/reliability.md, row 19
    bad = frames[1].copy()
    bad.positions[2, 1] = value
    for call in (two_terms.predict, two_terms.uncertainty):
        with pytest.raises(ValueError, match=r"structure 1.*atom 2"):
            call([frames[0], bad])
    with pytest.raises(ValueError, match=r"structure 1.*atom 2"):
        MODELS["two terms"]().fit([frames[0], bad, *frames[1:]])


def test_coincident_atoms_are_refused(two_terms):
    bad = ase.Atoms("Si2", positions=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="structure 0"):
        two_terms.predict([bad])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"zeta": 0}, "zeta must be an integer"),
        ({"zeta": 2.0}, "zeta must be an integer"),
        ({"zeta": [2, 2]}, "zeta has 2 values for 1"),
        ({"delta": 0.0}, "delta must be a number from 1e-10 to 1e10"),
        ({"delta": np.nan}, "delta must be a number from 1e-10 to 1e10"),
        ({"n_sparse": 1}, "n_sparse must be an integer >= 2"),
        ({"n_sparse": {6: 2}}, "n_sparse says nothing of species"),
        ({"n_sparse": {6: 2, 14: 2, 8: 1}}, "n_sparse asks for species 8"),
        ({"selection": "best"}, "'best'"),
        ({"representation": "soap"}, "representation must be an orbas.PowerSpectrum or orbas.RadialSpectrum"),
    ],
)
def test_bad_settings_are_refused(frames, changes, error):
    model = SparseGPR(**{"representation": power((6, 14)), "n_sparse": 6, "regularization": FIXED, **changes})
    with pytest.raises((ValueError, TypeError), match=error):
        model.fit(frames)


def test_a_learning_curve_fits_every_size_on_the_same_points():
    frames = [frame for frame in orbas.datasets.qm9(200) if 9 not in frame.numbers][:150]
    train, test = frames[:120], frames[120:]
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 0.5),
        density_width=0.4,
        max_angular=3,
        basis=orbas.bases.GTO(3),
        species=[1, 6, 7, 8],
    )
    model = SparseGPR(orbas.PowerSpectrum(density), 60, 2, regularization=orbas.models.HoldOut(15))
    curve = orbas.models.learning_curve(model, train, test, [60, 120], energy_key="U0", seed=1)
    ordered = [train[i] for i in np.random.default_rng(1).permutation(120)]
    design = model._make_design(model.get_params(deep=False), ordered)
    np.testing.assert_allclose(
        design.structures(ordered[:7]),
        [design.atoms([frame]).sum(axis=0) for frame in ordered[:7]],
        rtol=1e-9,
        atol=1e-9,
    )
    baseline = CompositionBaseline().fit(ordered[:60], [frame.info["U0"] for frame in ordered[:60]])
    widths = 0.002 * np.sqrt([len(frame) for frame in ordered])
    rows = design.structures(ordered)
    targets = np.array([frame.info["U0"] for frame in ordered]) - baseline.predict(ordered)
    labels = np.array([frame.info["U0"] for frame in test]) - baseline.predict(test)
    for size, mae in zip(curve.sizes, curve.mae, strict=True):
        x, y = rows[:size] / widths[:size, None], targets[:size] / widths[:size]
        head, errors, weights = size - 15, [], []
        scale, full = np.sum(x[:head] ** 2) / head, np.sum(x**2) / size
        for alpha in orbas.models.DEFAULT_ALPHAS:
            w = np.linalg.solve(x[:head].T @ x[:head] + alpha * scale * np.eye(x.shape[1]), x[:head].T @ y[:head])
            errors.append(np.abs(targets[head:size] - rows[head:size] @ w).mean())
            weights.append(np.linalg.solve(x.T @ x + alpha * full * np.eye(x.shape[1]), x.T @ y))
        expected = np.abs(labels - design.structures(test) @ weights[int(np.argmin(errors))]).mean()
        assert mae == pytest.approx(expected, rel=1e-4)
