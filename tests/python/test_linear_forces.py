"""Linear potentials on energies, forces and stress: against dense least squares with rows by finite differences."""

from __future__ import annotations

import ase.build
import numpy as np
import orbas
import pytest
from fit_oracle import ATOMIC, check_derivatives, density, labeled, ridge, rows_of, silicon, stacked
from orbas.errors import LabelError
from orbas.fit import driver
from orbas.models import Evidence, Fixed, HoldOut, KFold, LeaveOneOut, LinearPotential, Noise, Prediction
from orbas.models.scores import score, score_by_config
from orbas.structures.io import Labels

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}
NOISE = Noise(0.003, 0.04, 0.05, by_config={"hot": Noise(0.01, 0.2, 0.3)})
ALPHAS = (1e-6, 1e-4, 1e-2)


def spectrum(species=(14,), **changes):
    return orbas.PowerSpectrum(density(species, **{"max_angular": 1, "n_radial": 2, **changes}))


def summed(representation):
    return lambda frames: representation.transform(frames).per_structure()


@pytest.fixture(scope="module")
def frames():
    """Ten structures of two species with noisy labels: no forces on three of them, no stress on three others."""
    made = labeled(silicon(10, carbon=True), noise=0.05)
    for k, atoms in enumerate(made):
        if k % 2:
            atoms.info["config_type"] = "hot"
        if k % 3 == 1:
            del atoms.arrays["REF_forces"]
        if k % 3 == 2:
            del atoms.info["REF_stress"]
    return made


@pytest.fixture(scope="module")
def parts(frames):
    """Weighted rows and targets of every structure."""
    return rows_of(frames, summed(spectrum((6, 14))), lambda atoms: NOISE.of(atoms))


def potential(rule, species=(6, 14), **changes):
    return LinearPotential(spectrum(species), **{"regularization": rule, "noise": NOISE, **changes})


def scale_of(parts):
    rows, _ = stacked(parts)
    return np.sum(rows**2) / len(rows)


def closed_form_evidence(rows, targets, alpha):
    covariance = np.eye(len(rows)) + rows @ rows.T / alpha
    _, log_determinant = np.linalg.slogdet(covariance)
    return -0.5 * (len(rows) * np.log(targets @ np.linalg.solve(covariance, targets)) + log_determinant)


def test_the_oracle_takes_jacobian_rows_apart(frames, parts):
    """Finite differences and analytic rows are the same numbers, so that either may stand for the other."""
    representation = spectrum((6, 14))
    own = next(iter(representation.jacobian_rows(frames[:1])))
    rows = -own.positions.reshape(3 * len(frames[0]), -1) / NOISE.forces
    expected = parts[0][0][1 : 1 + len(rows)]
    np.testing.assert_allclose(rows, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("alpha", [1e-8, 1e-4, 1e-2])
def test_weights_are_those_of_dense_least_squares(frames, parts, alpha):
    fitted = potential(Fixed(alpha)).fit(frames, **ALL)
    rows, targets = stacked(parts)
    scale = scale_of(parts)
    assert fitted.scale_ == pytest.approx(scale, rel=1e-7)
    assert fitted.alpha_ == alpha
    expected = ridge(rows, targets, alpha * scale)
    signal = np.abs(rows @ expected).max()
    assert np.abs(rows @ (fitted.weights_ - expected)).max() <= 1e-6 * signal
    residual = np.mean((rows @ expected - targets) ** 2)
    assert fitted.posterior_.noise == pytest.approx(residual, rel=1e-5)


@pytest.mark.parametrize("keys", [{}, {"forces_key": "REF_forces"}, {"stress_key": "REF_stress"}])
def test_only_what_is_named_is_fitted(frames, keys):
    parts = rows_of(frames, summed(spectrum((6, 14))), NOISE.of, "forces_key" in keys, "stress_key" in keys)
    rows, targets = stacked(parts)
    fitted = potential(Fixed(1e-4)).fit(frames, **keys)
    expected = ridge(rows, targets, 1e-4 * scale_of(parts))
    assert np.abs(rows @ (fitted.weights_ - expected)).max() <= 1e-6 * np.abs(rows @ expected).max()


def test_a_virial_label_is_minus_stress_times_volume(frames):
    copies = [atoms.copy() for atoms in frames]
    for atoms in copies:
        if "REF_stress" in atoms.info:
            xx, yy, zz, yz, xz, xy = -atoms.info.pop("REF_stress") * atoms.get_volume()
            atoms.info["virial"] = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    by_stress = potential(Fixed(1e-4)).fit(frames, **ALL)
    by_virial = potential(Fixed(1e-4)).fit(copies, forces_key="REF_forces", virial_key="virial")
    np.testing.assert_allclose(by_virial.weights_, by_stress.weights_, rtol=1e-9, atol=1e-12)


def held_out_errors(parts, held, alphas):
    """Squared residuals of held-out rows of every alpha, where a fit sees the other structures."""
    rest = stacked([part for k, part in enumerate(parts) if k not in held])
    rows, targets = stacked([parts[k] for k in held])
    return [(rows @ ridge(*rest, alpha) - targets) ** 2 for alpha in alphas]


def test_k_fold_errors_are_those_of_refits(frames, parts):
    rule = KFold(n_folds=3, seed=5, alphas=ALPHAS)
    fitted = potential(rule).fit(frames, **ALL)
    alphas = np.array(ALPHAS) * scale_of(parts)
    order = np.random.default_rng(5).permutation(len(frames))
    squares = [held_out_errors(parts, held.tolist(), alphas) for held in np.array_split(order, 3)]
    expected = [np.sqrt(np.mean(np.concatenate([fold[a] for fold in squares]))) for a in range(3)]
    np.testing.assert_allclose(fitted.cv_errors_, expected, rtol=1e-6)
    np.testing.assert_array_equal(fitted.alphas_, ALPHAS)
    assert fitted.alpha_ == ALPHAS[int(np.argmin(expected))]
    assert fitted.posterior_.noise == pytest.approx(min(expected) ** 2, rel=1e-6)


def test_hold_out_errors_are_those_of_a_refit(frames, parts):
    fitted = potential(HoldOut(4, alphas=ALPHAS)).fit(frames, **ALL)
    squares = held_out_errors(parts, [6, 7, 8, 9], np.array(ALPHAS) * scale_of(parts))
    np.testing.assert_allclose(fitted.cv_errors_, np.sqrt(np.mean(squares, axis=1)), rtol=1e-6)
    best = ALPHAS[int(np.argmin(np.mean(squares, axis=1)))]
    rows, targets = stacked(parts)
    expected = ridge(rows, targets, best * scale_of(parts))
    assert np.abs(rows @ (fitted.weights_ - expected)).max() <= 1e-6 * np.abs(targets).max()


def test_evidence_is_the_closed_form(frames, parts):
    fitted = potential(Evidence(ALPHAS)).fit(frames, **ALL)
    rows, targets = stacked(parts)
    expected = [-closed_form_evidence(rows, targets, alpha * scale_of(parts)) / len(rows) for alpha in ALPHAS]
    np.testing.assert_allclose(np.diff(fitted.cv_errors_), np.diff(expected), rtol=1e-5, atol=1e-8)
    assert fitted.alpha_ == ALPHAS[int(np.argmin(expected))]


def test_leave_one_out_is_refused_with_forces(frames):
    with pytest.raises(ValueError, match="LeaveOneOut is for energies alone"):
        potential("loo").fit(frames, **ALL)


def test_leave_one_out_of_weighted_energies_is_that_of_refits():
    """The noise of config types gives structures different weights, hence leverages."""
    frames = labeled(silicon(40), noise=0.1)
    for atoms in frames[::3]:
        atoms.info["config_type"] = "hot"
    fitted = potential(LeaveOneOut(ALPHAS), (14,)).fit(frames)
    parts = rows_of(frames, summed(spectrum()), NOISE.of, forces=False, stress=False)
    alphas = np.array(ALPHAS) * scale_of(parts)
    scaled = np.sqrt([held_out_errors(parts, [k], alphas) for k in range(len(frames))])[:, :, 0]
    widths = np.array([NOISE.of(atoms).energy * np.sqrt(len(atoms)) for atoms in frames])
    expected = np.mean(scaled * widths[:, None], axis=0)
    np.testing.assert_allclose(fitted.cv_errors_, expected, rtol=1e-6)
    best = int(np.argmin(expected))
    assert fitted.posterior_.noise == pytest.approx(np.mean(scaled[:, best] ** 2), rel=1e-6)  # of weighted rows


@pytest.mark.parametrize("rule", [KFold(4, alphas=ALPHAS), LeaveOneOut(ALPHAS), HoldOut(9, ALPHAS), Evidence(ALPHAS)])
def test_streamed_energies_are_fitted_as_dense_ones(monkeypatch, rule):
    frames = labeled(silicon(40), noise=0.05)
    dense = potential(rule, (14,), noise=None).fit(frames)
    monkeypatch.setattr(driver, "_DENSE", 0)
    monkeypatch.setattr(driver, "design_matrix", None)  # the dense road is closed
    streamed = potential(rule, (14,), noise=None).fit(frames)
    errors = (streamed.cv_errors_, dense.cv_errors_)
    if isinstance(rule, Evidence):
        errors = tuple(map(np.diff, errors))
    np.testing.assert_allclose(*errors, rtol=1e-7)
    assert streamed.alpha_ == dense.alpha_
    assert streamed.scale_ == pytest.approx(dense.scale_, rel=1e-12)
    assert streamed.posterior_.noise == pytest.approx(dense.posterior_.noise, rel=1e-6)
    expected = dense.predict(frames, uncertainty=True)
    found = streamed.predict(frames, uncertainty=True)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, rtol=1e-5)


def test_chunks_and_threads(frames, threads):
    reference = potential(KFold(3, alphas=ALPHAS)).fit(frames, **ALL)
    for chunk in (1, 7):
        other = potential(KFold(3, alphas=ALPHAS), chunk=chunk).fit(frames, **ALL)
        difference = other.predict(frames).energies - reference.predict(frames).energies
        assert np.abs(difference).max() <= 1e-9
    for count in (1, 2, 3, 8):
        threads(count)
        other = potential(KFold(3, alphas=ALPHAS)).fit(frames, **ALL)
        assert np.array_equal(other.weights_, reference.weights_)
        assert np.array_equal(other.predict(frames).stress, reference.predict(frames).stress, equal_nan=True)
    with pytest.raises(ValueError, match="chunk must be an integer from 1"):
        potential(Fixed(1e-4), chunk=0).fit(frames, **ALL)


def test_the_order_of_structures_teaches_nothing(frames, rng):
    reference = potential(Evidence(ALPHAS)).fit(frames, **ALL).predict(frames)
    for _ in range(3):
        order = rng.permutation(len(frames)).tolist()
        found = potential(Evidence(ALPHAS)).fit([frames[k] for k in order], **ALL).predict(frames)
        assert np.abs(found.energies - reference.energies).max() <= 1e-8
        assert max(np.abs(a - b).max() for a, b in zip(found.forces, reference.forces, strict=True)) <= 1e-8


def test_a_known_model_is_recovered_with_its_sign():
    """Labels of a linear model, fitted in the same features; compressed silicon has the stress of the model."""
    frames = labeled([*silicon(30, strain=0.04), *silicon(6, seed=50)])
    frames, unseen = frames[:30], frames[30:]
    representation = orbas.PowerSpectrum(density())
    fitted = LinearPotential(representation, regularization=Fixed(1e-13), baseline=ATOMIC).fit(frames, **ALL)
    found = fitted.predict(unseen)
    for k, atoms in enumerate(unseen):
        assert abs(found.energies[k] - atoms.info["REF_energy"]) <= 1e-5
        np.testing.assert_allclose(found.forces[k], atoms.arrays["REF_forces"], atol=1e-5)
        np.testing.assert_allclose(found.stress[k], atoms.info["REF_stress"], atol=1e-6)


def test_compressed_silicon_pushes_outward():
    """Of a repulsive pair energy the stress is negative and the derivative of the energy by volume, at any volume."""
    frames = []
    for k, atoms in enumerate(silicon(40, strain=0.04)):
        atoms.set_cell(atoms.cell.array * (0.92 + 0.16 * k / 39), scale_atoms=True)
        distances, vectors = orbas.neighbor_list("dD", atoms, 4.0)
        atoms.info["REF_energy"] = 0.5 * np.sum((4.0 - distances) ** 3)
        pull = 0.5 * 3 * (4.0 - distances) ** 2 / distances
        tensor = -np.einsum("p,pa,pb->ab", pull, vectors, vectors) / atoms.get_volume()
        atoms.info["REF_stress"] = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        frames.append(atoms)
    fitted = LinearPotential(orbas.PowerSpectrum(density()), regularization=Fixed(1e-10))
    fitted.fit(frames, stress_key="REF_stress")
    bulk = ase.build.bulk("Si", "diamond", a=5.2)
    larger, smaller = bulk.copy(), bulk.copy()
    larger.set_cell(bulk.cell.array * (1 + 1e-4), scale_atoms=True)
    smaller.set_cell(bulk.cell.array * (1 - 1e-4), scale_atoms=True)
    found = fitted.predict([bulk, larger, smaller])
    assert (found.stress[0, :3] < -0.01).all()
    slope = (found.energies[1] - found.energies[2]) / (larger.get_volume() - smaller.get_volume())
    assert found.stress[0, :3].mean() == pytest.approx(slope, rel=1e-5)


def representations(species):
    small = density(species, max_angular=1, n_radial=2)
    nice = orbas.NICE(small, nu_max=3, n_pairs=None, n_components=None, n_invariants=None)
    return {
        "radial": orbas.RadialSpectrum(density(species, max_angular=0, n_radial=4)),
        "power": orbas.PowerSpectrum(density(species)),
        "bispectrum": orbas.Bispectrum(small),
        "nice": nice,
    }


@pytest.mark.parametrize("name", ["radial", "power", "bispectrum", "nice"])
@pytest.mark.parametrize("shape", ["triclinic", "molecule"])
def test_forces_and_stress_are_finite_differences(name, shape):
    frames = labeled(silicon(6, carbon=True))
    if shape == "molecule":
        for atoms in frames:
            atoms.pbc, atoms.cell = False, None
            atoms.info.pop("REF_stress")
    representation = representations((6, 14))[name]
    if name == "nice":
        representation.fit(frames)
    keys = ALL if shape == "triclinic" else {"forces_key": "REF_forces"}
    fitted = LinearPotential(representation, regularization=Fixed(1e-4)).fit(frames, **keys)
    check_derivatives(fitted, frames[5])


def test_scores_are_plain_loops(frames):
    fitted = potential(Fixed(1e-4)).fit(frames, **ALL)
    found, predicted = fitted.score(frames, **ALL), fitted.predict(frames)
    energies, per_atom, forces, stress = [], [], [], []
    for k, atoms in enumerate(frames):
        energies.append(predicted.energies[k] - atoms.info["REF_energy"])
        per_atom.append(energies[-1] / len(atoms))
        if "REF_forces" in atoms.arrays:
            forces += (predicted.forces[k] - atoms.arrays["REF_forces"]).ravel().tolist()
        if "REF_stress" in atoms.info:
            stress += (predicted.stress[k] - atoms.info["REF_stress"]).tolist()
    for name, errors in {"": energies, "per_atom": per_atom, "forces": forces, "stress": stress}.items():
        mae, rmse = sum(map(abs, errors)) / len(errors), (sum(e * e for e in errors) / len(errors)) ** 0.5
        names = {"": ("mae", "rmse"), "per_atom": ("mae_per_atom", "rmse_per_atom")}
        first, second = names.get(name, (f"{name}_mae", f"{name}_rmse"))
        assert getattr(found, first) == pytest.approx(mae, rel=1e-12)
        assert getattr(found, second) == pytest.approx(rmse, rel=1e-12)


def test_scores_by_config_are_scores_of_the_members():
    frames = silicon(5)
    for atoms, config in zip(frames, ["b", None, "a", "b", None], strict=True):
        atoms.info |= {} if config is None else {"config_type": config}
    prediction = Prediction(np.arange(5.0), [np.ones((len(atoms), 3)) for atoms in frames], np.ones((5, 6)))
    stress = np.full((5, 6), np.nan)
    stress[3] = 0.0
    labels = Labels(np.zeros(5), [None, np.zeros((4, 3)), None, np.zeros((4, 3)), None], stress)
    found = score_by_config(prediction, labels, frames)
    assert list(found) == ["a", "b", "none"]
    assert (found["a"].mae, found["a"].forces_mae, found["a"].stress_mae) == (2.0, None, None)
    assert (found["b"].mae, found["b"].rmse) == (1.5, pytest.approx(np.sqrt(4.5)))
    assert (found["b"].forces_mae, found["b"].stress_rmse) == (1.0, 1.0)
    assert (found["none"].mae, found["none"].stress_mae) == (2.5, None)
    assert score(prediction, labels, frames).mae == 2.0


@pytest.mark.parametrize("key", ["energy_key", "forces_key", "stress_key", "virial_key"])
def test_wrong_label_keys_say_what_there_is(frames, key):  # docs/reliability.md, row 42
    what = {"virial_key": "stress"}.get(key, key[:-4])
    message = rf"0 of 10 structures carry {what} under 'dft'; keys seen: REF_energy, REF_forces, REF_stress"
    with pytest.raises(LabelError, match=message):
        potential("cv").fit(frames, **{key: "dft"})
    fitted = potential(Fixed(1e-4)).fit(frames)
    with pytest.raises(LabelError, match=message):
        fitted.score(frames, **{key: "dft"})
