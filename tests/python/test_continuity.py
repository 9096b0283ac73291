"""Continuity at the cutoff: whatever the representation, the model, the center weight and the cutoff function.

An atom drawn across the cutoff in steps of 1e-6 Å changes the energy by 1e-10 eV a step at most, and forces are
continuous. Atoms that lose their last neighbor are the hard case: kernels compare directions of features, and where the
density has no center nothing is left to have a direction.
"""

from __future__ import annotations

import numpy as np
import orbas
import pytest
from ase import Atoms
from orbas.invariants.selected_spectrum import SelectedPowerSpectrum
from orbas.models import Fixed, LinearPotential, SparseGPR

RADIUS = 3.0
STEP = 1e-6
CENTER_WEIGHTS = (1.0, 0.0, 0.02)
SMOOTHINGS = ("cosine", "smooth")


def training(seed=0):
    """Clusters of silicon and carbon with energies and forces of a pair potential."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(12):
        n = 2 + k % 4
        positions = np.array([[0, 0, 0], [1.9, 0, 0], [0.8, 1.8, 0], [0.9, 0.7, 1.7], [-1.5, 0.9, 0.8]])[:n]
        atoms = Atoms(rng.choice([6, 14], n), positions + rng.uniform(-0.2, 0.2, (n, 3)))
        vectors = atoms.positions[:, None] - atoms.positions
        distances = np.linalg.norm(vectors, axis=2) + 10 * np.eye(n)
        atoms.info["REF_energy"] = float(np.sum(np.exp(-distances)))
        slopes = 2 * np.exp(-distances) / distances
        atoms.arrays["REF_forces"] = np.sum(slopes[:, :, None] * vectors, axis=1)
        frames.append(atoms)
    return frames


def density(center_weight, smoothing, **options):
    settings = {"max_angular": 2, "basis": orbas.bases.GTO(3), "species": [6, 14], "density_width": 0.5}
    cutoff = orbas.Cutoff(RADIUS, 1.0, smoothing)
    return orbas.DensityExpansion(cutoff=cutoff, center_weight=center_weight, **{**settings, **options})


def optimal(center_weight, smoothing, mixing):
    basis = orbas.OptimalBasis(density(center_weight, smoothing, species=None), n_optimal=2, mixing=mixing)
    return basis.fit(training()).expansion_


def radial(center_weight, smoothing):
    return orbas.RadialSpectrum(density(center_weight, smoothing))


def power(center_weight, smoothing):
    return orbas.PowerSpectrum(density(center_weight, smoothing))


def selected(center_weight, smoothing):
    """Without a single product of the center's own density with itself, for either species."""
    return SelectedPowerSpectrum(density(center_weight, smoothing), [3, 4, 9, 25, 30, 44, 50, 61])


REPRESENTATIONS = {
    "radial": radial,
    "power": power,
    "combined": lambda *given: orbas.PowerSpectrum(optimal(*given, "combined")),
    "separate": lambda *given: orbas.PowerSpectrum(optimal(*given, "separate")),
    "selected": selected,
    "NICE": lambda *given: orbas.NICE(density(*given), 3, n_pairs=12, n_components=6, n_invariants=8).fit(training()),
    "bispectrum": lambda *given: orbas.Bispectrum(density(*given, basis=orbas.bases.GTO(2))),
}
KERNELS = ("radial", "power", "combined", "separate", "selected")


def worst_step(model, others):
    """Largest change of the energy and of a force in a step, for an atom that goes from inside to outside."""
    frames = []
    for k in range(-6, 7):
        positions = [*(position for _, position in others), (RADIUS + k * STEP, 0, 0)]
        frames.append(Atoms([*(number for number, _ in others), 14], positions))
    predicted = model.predict(frames)
    forces = np.array(predicted.forces)
    return np.abs(np.diff(predicted.energies)).max(), np.abs(np.diff(forces, axis=0)).max()


def check(model):
    # Alone with one that is left without neighbors; and leaving two that stay together.
    for others in ([(6, (0, 0, 0))], [(14, (0, 0, 0))], [(6, (0, 0, 0)), (14, (0.3, 1.8, 0.2))]):
        energy, force = worst_step(model, others)
        assert energy <= 1e-10, f"{others}: {energy:.1e} eV"
        assert force <= 1e-4, f"{others}: {force:.1e} eV/Å"


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("center_weight", CENTER_WEIGHTS)
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_linear_models_are_continuous(name, center_weight, smoothing):
    representation = REPRESENTATIONS[name](center_weight, smoothing)
    model = LinearPotential(representation, regularization=Fixed(1e-4))
    check(model.fit(training(), forces_key="REF_forces"))


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("center_weight", CENTER_WEIGHTS)
@pytest.mark.parametrize("name", KERNELS)
def test_sparse_kernels_are_continuous(name, center_weight, smoothing):
    representation = REPRESENTATIONS[name](center_weight, smoothing)
    for zeta in (1, 2, 3, 4):
        model = SparseGPR(representation, n_sparse=12, zeta=zeta, regularization=Fixed(1e-4))
        check(model.fit(training(), forces_key="REF_forces"))


@pytest.mark.parametrize("center_weight", CENTER_WEIGHTS)
def test_sums_of_kernels_are_continuous(center_weight):
    terms = [radial(center_weight, "cosine"), power(center_weight, "smooth"), selected(center_weight, "cosine")]
    model = SparseGPR(terms, n_sparse=8, zeta=[1, 2, 3], delta=[1.0, 0.5, 0.2], regularization=Fixed(1e-4))
    check(model.fit(training(), forces_key="REF_forces"))


@pytest.mark.parametrize("center_weight", [1.0, 0.0])
def test_a_basis_that_does_not_see_the_center(center_weight):
    """Functions that vanish at the origin, of a delta density: a lone atom has no features, whatever its weight."""
    basis = orbas.bases.Custom([lambda r: r**2 * np.exp(-r), lambda r: r**2 * np.exp(-2 * r)], support=12.0)
    for spectrum in (orbas.RadialSpectrum, orbas.PowerSpectrum):
        representation = spectrum(density(center_weight, "cosine", basis=basis, density_width=0.0))
        for zeta in (1, 4):
            model = SparseGPR(representation, n_sparse=12, zeta=zeta, regularization=Fixed(1e-4))
            check(model.fit(training(), forces_key="REF_forces"))


@pytest.mark.parametrize("mixing", ["combined", "separate"])
def test_optimal_functions_without_a_center_have_no_spikes(mixing):
    """They are fitted to neighbors and are small at the origin: the kernel fades out over tenths of an Å, not less."""
    representation = orbas.PowerSpectrum(optimal(0.0, "cosine", mixing))
    model = SparseGPR(representation, n_sparse=12, zeta=2, regularization=Fixed(1e-4))
    model.fit(training(), forces_key="REF_forces")
    pairs = [Atoms([6, 14], [(0, 0, 0), (d, 0, 0)]) for d in np.linspace(RADIUS - 0.5, RADIUS - 1e-3, 200)]
    forces = np.array(model.predict(pairs).forces)[:, 0, 0]
    assert np.abs(forces).max() < 3.0
    assert np.abs(np.diff(forces)).max() < 0.05


@pytest.mark.parametrize("name", KERNELS)
def test_floors_are_zero_where_the_center_has_its_whole_norm(name):
    floors = REPRESENTATIONS[name](1.0, "cosine").norm_floors((6, 14))
    if name == "selected":
        assert min(floors.values()) > 0.0
    else:
        assert set(floors.values()) == {0.0}
    assert all(floor > 0.0 for floor in REPRESENTATIONS[name](0.0, "cosine").norm_floors((6, 14)).values())


@pytest.mark.parametrize("name", KERNELS)
def test_derivatives_of_kernels_with_a_floor(name):
    """Rows of the fit against differences of the features, and forces against differences of the energy."""
    frames = training()
    model = SparseGPR(REPRESENTATIONS[name](0.0, "smooth"), n_sparse=8, zeta=2, regularization=Fixed(1e-4))
    model.fit(frames, forces_key="REF_forces")
    atoms, h = frames[5].copy(), 1e-4
    rows = next(iter(model.design_.derivatives([atoms]))).positions[1, 0]
    ends, energies = [], []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 0] += sign * h
        ends.append(model.design_.structures([moved])[0])
        energies.append(model.predict([moved]).energies[0])
    np.testing.assert_allclose(rows, (ends[0] - ends[1]) / (2 * h), rtol=0, atol=1e-6)
    assert model.predict([atoms]).forces[0][1, 0] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-6)


def test_floors_are_written_and_read(tmp_path):
    frames = training()
    model = SparseGPR(power(0.0, "cosine"), n_sparse=8, regularization=Fixed(1e-4)).fit(frames)
    model.save(tmp_path / "model.orbas")
    read = orbas.load(tmp_path / "model.orbas")
    assert read.design_.terms[0].floors == model.design_.terms[0].floors
    assert np.array_equal(read.predict(frames).energies, model.predict(frames).energies)
