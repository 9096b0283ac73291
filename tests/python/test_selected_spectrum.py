"""A power spectrum of selected features against the columns of the full one, and potentials on it."""

from __future__ import annotations

import numpy as np
import orbas
import pytest
from fit_oracle import check_derivatives, density, labeled, silicon
from orbas.models import Fixed, LinearPotential, Noise, SparseGPR
from orbas.selection import CUR

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}
SPECIES = (6, 14)
#: Of all degrees, not in order, some of them squares: 6 channels, 21 pairs for each of l = 0, 1, 2.
SELECTION = (40, 0, 7, 62, 21, 3, 55, 22)


@pytest.fixture(scope="module")
def frames():
    return labeled(silicon(6, carbon=True), noise=0.02)


@pytest.fixture(scope="module")
def full():
    return orbas.PowerSpectrum(density(SPECIES))


@pytest.fixture(scope="module")
def some(full):
    return orbas.SelectedPowerSpectrum(full.density, SELECTION)


def test_features_are_the_selected_columns(full, some, frames):
    everything, found = full.transform(frames), some.transform(frames)
    np.testing.assert_allclose(found.values, everything.values[:, SELECTION], rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found.samples, everything.samples)
    assert (found.species, found.n_structures) == (everything.species, everything.n_structures)
    one_by_one = np.concatenate([some.transform([atoms]).values for atoms in frames])
    np.testing.assert_array_equal(found.values, one_by_one)
    single = some.transform(frames, single_precision=True).values
    np.testing.assert_array_equal(single, found.values.astype(np.float32))


def close(found, expected):
    """Equal but for the order of sums."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * np.abs(expected).max(initial=1e-300))


def test_derivatives_are_the_selected_columns(full, some, frames):
    everything, found = (
        full.transform(frames, gradients=True).gradients,
        some.transform(frames, gradients=True).gradients,
    )
    close(found.values, everything.values[..., SELECTION])
    np.testing.assert_array_equal(found.neighbors, everything.neighbors)
    close(some.strain_gradients(frames), full.strain_gradients(frames)[..., SELECTION])
    n_all = full.transform(frames[:1]).values.shape[1]
    columns = [a * n_all + k for a in range(len(SPECIES)) for k in SELECTION]
    for row, all_of_it in zip(some.jacobian_rows(frames), full.jacobian_rows(frames), strict=True):
        close(row.positions, all_of_it.positions[..., columns])
        close(row.strain, all_of_it.strain[..., columns])


def test_linear_energies_are_sums_of_selected_features(some, frames, rng):
    weights = rng.normal(size=(len(SPECIES), len(SELECTION)))
    found = some.linear_energies(frames, weights)
    np.testing.assert_allclose(found.structures, some.transform(frames).per_structure() @ weights.ravel(), rtol=1e-12)
    for forces, virial, row in zip(found.forces, found.virials, some.jacobian_rows(frames), strict=True):
        np.testing.assert_allclose(forces, -row.positions @ weights.ravel(), rtol=0, atol=1e-11)
        np.testing.assert_allclose(virial, row.strain @ weights.ravel(), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "make",
    [
        lambda features: SparseGPR(features, {6: 4, 14: 6}, 3, regularization=Fixed(1e-4), noise=Noise()),
        lambda features: LinearPotential(features, regularization=Fixed(1e-4), noise=Noise()),
    ],
    ids=["sparse", "linear"],
)
def test_potentials_predict_what_their_rows_say_and_forces_are_its_slopes(make, some, frames, tmp_path):
    potential = make(some).fit(frames, **ALL)
    found = potential.predict(frames)
    rows = potential._fitted().design.structures(frames) @ potential.weights_ + potential.baseline_.predict(frames)
    np.testing.assert_allclose(found.energies, rows, rtol=1e-11)
    check_derivatives(potential, frames[1])
    potential.save(tmp_path / "potential.orbas")
    again = orbas.load(tmp_path / "potential.orbas").predict(frames)
    np.testing.assert_array_equal(again.energies, found.energies)
    np.testing.assert_array_equal(np.concatenate(again.forces), np.concatenate(found.forces))


def test_all_features_give_the_potential_of_the_full_spectrum(full, frames):
    n_all = full.transform(frames[:1]).values.shape[1]
    whole = orbas.SelectedPowerSpectrum(full.density, np.arange(n_all))
    models = [SparseGPR(kind, 8, 4, regularization=Fixed(1e-4)).fit(frames, **ALL) for kind in (full, whole)]
    one, other = (model.predict(frames) for model in models)
    np.testing.assert_allclose(other.energies, one.energies, rtol=1e-9)
    np.testing.assert_allclose(np.concatenate(other.forces), np.concatenate(one.forces), rtol=0, atol=1e-7)
    np.testing.assert_allclose(other.stress, one.stress, rtol=0, atol=1e-8)


def test_what_is_not_selected_is_no_part_of_the_norm(some, frames):
    term = SparseGPR(some, {6: 4, 14: 6}, 2, regularization=Fixed(1e-4)).fit(frames, **ALL).design_.terms[0]
    for points in term.points.values():
        assert points.shape[1] == len(SELECTION)
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, rtol=1e-12)


def test_atoms_without_neighbors(frames):
    lonely = [*frames, frames[0][:1]]
    lonely[-1].pbc = False
    features = orbas.SelectedPowerSpectrum(density(SPECIES, center_weight=0.0), SELECTION)
    potential = SparseGPR(features, 8, 3, regularization=Fixed(1e-4)).fit(frames, **ALL)
    found = potential.predict(lonely)
    number = int(lonely[-1].numbers[0])
    assert found.energies[-1] == pytest.approx(potential.baseline_.energies_[number], rel=1e-12)
    np.testing.assert_array_equal(found.forces[-1], np.zeros((1, 3)))


def test_a_selection_by_cur(full, frames):
    features = full.transform(frames)
    chosen = CUR(5).fit(features.values).selected_idx_
    found = orbas.SelectedPowerSpectrum(full.density, chosen).transform(frames)
    np.testing.assert_allclose(found.values, features.values[:, chosen], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ((), "indices"),
        ((0.5,), "indices"),
        ([[1]], "indices"),
        ((-1, 2), "from 0 on|0..62"),
        ((63,), "0..62"),
        ((3, 3), "twice"),
    ],
)
def test_wrong_selections_are_refused(full, frames, selection, message):
    spectrum = orbas.SelectedPowerSpectrum(full.density, selection)
    with pytest.raises(ValueError, match=message):
        spectrum.transform(frames)
    with pytest.raises(ValueError, match=message):
        spectrum.linear_energies(frames, np.zeros((2, 1)))


def test_weights_of_another_shape_are_refused(some, frames):
    with pytest.raises(ValueError, match="2 species, 8 features"):
        some.linear_energies(frames, np.zeros((2, 9)))


def test_center_species_with_channels_of_their_own_number_are_refused(frames):
    basis = orbas.OptimalBasis(density(SPECIES), residual=0.05, per_center=True).fit(frames)
    counts = basis.expansion_.channel_counts(SPECIES)
    assert counts[0] != counts[1]
    with pytest.raises(ValueError, match="different numbers of channels"):
        orbas.SelectedPowerSpectrum(basis.expansion_, (0,)).transform(frames)
