"""Jacobian rows and gradients: against the adjoint, finite differences, featomic, and each other."""

from __future__ import annotations

import ase
import ase.build
import featomic
import numpy as np
import orbas
import pytest
from orbas.base.gradients import Gradients, JacobianRows

SPECTRA = [orbas.PowerSpectrum, orbas.RadialSpectrum]
SCALING = orbas.RadialScaling(1.0, 2.0, 4.5)


def expansion(species, **changes):
    settings = {
        "cutoff": orbas.Cutoff(4.5, 1.0, "smooth"),
        "density_width": 0.4,
        "max_angular": 3,
        "basis": orbas.bases.GTO(n_radial=4),
        "scaling": SCALING,
        "species": species,
        "spline_accuracy": 1e-10,
    }
    return orbas.DensityExpansion(**{**settings, **changes})


@pytest.fixture(scope="module")
def frames(systems):
    """A cell smaller than the cutoff with self-images, a slab, a molecule, a one-atom cell and nothing at all."""
    named = [systems(name) for name in ("left_handed", "slab", "molecule", "single")]
    return [*named, ase.Atoms()]


SPECIES = (1, 6, 7, 8, 29, 79)  # 7 does not occur


@pytest.fixture(scope="module")
def densities(frames):
    """Primitive, ragged, and contracted in every way."""
    ragged = orbas.bases.LaplacianEigenstates(n_radial=3)
    made = {"primitive": expansion(SPECIES), "ragged": expansion(SPECIES, basis=ragged)}
    for mixing in ("combined", "separate"):
        for per_center in (False, True):
            optimal = orbas.OptimalBasis(expansion(SPECIES), residual=3e-3, mixing=mixing, per_center=per_center)
            name = mixing + (", per center" if per_center else "")
            made[name] = optimal.fit(frames[:4]).expansion_
    return made


NAMES = ["primitive", "ragged", "combined", "separate", "combined, per center", "separate, per center"]


def random_weights(n):
    return np.random.default_rng(n).normal(size=n)


def contract(rows, w):
    return -(rows.positions @ w), rows.strain @ w


def assert_same(actual, expected, tolerance, scale):
    assert np.abs(actual - expected).max(initial=0.0) <= tolerance * scale


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_rows_times_weights_are_the_adjoint(frames, densities, name, spectrum):
    representation = spectrum(densities[name])
    width = representation.transform(frames).values.shape[1]
    w = random_weights(len(SPECIES) * width)
    expected = representation.linear_energies(frames, w.reshape(len(SPECIES), width))
    rows = list(representation.jacobian_rows(frames))
    assert [r.positions.shape for r in rows] == [(len(atoms), 3, w.size) for atoms in frames]
    for k, one in enumerate(rows):
        assert isinstance(one, JacobianRows)
        forces, virial = contract(one, w)
        scale = np.abs(expected.virials[k]).max(initial=1e-300)
        assert_same(forces, expected.forces[k], 1e-12, scale)
        assert_same(virial, expected.virials[k], 1e-12, scale)


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_coefficients_are_the_adjoint(frames, densities, name):
    density = densities[name]
    counts = density.channel_counts(SPECIES)
    widths = [sum((2 * l + 1) * q for l, q in enumerate(center)) for center in counts]
    w = random_weights(sum(widths))
    weights, start = {}, 0
    for number, center in zip(SPECIES, counts, strict=True):
        n = sum(int((atoms.numbers == number).sum()) for atoms in frames)
        for l, q in enumerate(center):
            part = w[start : start + (2 * l + 1) * q].reshape(1, 2 * l + 1, q)
            weights[1, l, 1, number] = np.repeat(part, n, axis=0)
            start += part.size
    expected = density.pull_back(frames, weights)
    for k, rows in enumerate(density.jacobian_rows(frames)):
        forces, virial = contract(rows, w)
        scale = np.abs(expected.virials[k]).max(initial=1e-300)
        assert_same(forces, expected.forces[k], 1e-12, scale)
        assert_same(virial, expected.virials[k], 1e-12, scale)


def slope(function):
    h = 2e-4
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


@pytest.mark.parametrize("name", ["primitive", "combined, per center"])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_rows_are_finite_differences(frames, densities, name, spectrum):
    representation = spectrum(densities[name])
    for atoms in frames[:3]:
        (rows,) = representation.jacobian_rows(atoms)
        scale = np.abs(rows.strain).max()

        def summed(changed):
            return representation.transform([changed]).per_structure()[0]

        def moved(h, atom, axis, atoms=atoms):
            changed = atoms.copy()
            changed.positions[atom, axis] += h
            return summed(changed)

        def strained(h, a, b, atoms=atoms):
            changed, strain = atoms.copy(), np.eye(3)
            strain[a, b] += h
            changed.set_cell(changed.cell.array @ strain.T)
            changed.positions = changed.positions @ strain.T
            return summed(changed)

        for atom, axis in [(0, 0), (1, 2), (2, 1)]:
            expected = slope(lambda h, atom=atom, axis=axis: moved(h, atom, axis))
            assert_same(rows.positions[atom, axis], expected, 1e-7, scale)
        for a, b in [(0, 0), (0, 1), (2, 1)]:
            assert_same(rows.strain[a, b], slope(lambda h, a=a, b=b: strained(h, a, b)), 1e-7, scale)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_gradients_summed_over_centers_are_rows(frames, densities, name, spectrum):
    representation = spectrum(densities[name])
    features = representation.transform(frames, gradients=True)
    np.testing.assert_array_equal(features.values, representation.transform(frames).values)
    assert representation.transform(frames).gradients is None
    gradients = features.gradients
    assert isinstance(gradients, Gradients)
    assert gradients.offsets.size == len(features.values) + 1
    n_features = features.values.shape[1]
    rows = [np.zeros((len(atoms), 3, len(SPECIES), n_features)) for atoms in frames]
    for i, (structure, atom) in enumerate(features.samples):
        pairs = slice(gradients.offsets[i], gradients.offsets[i + 1])
        neighbors, values = gradients.neighbors[pairs], gradients.values[pairs]
        assert (np.diff(neighbors) > 0).all()
        assert atom in neighbors
        assert_same(values.sum(axis=0), 0, 1e-13, np.abs(values).max(initial=1e-300))
        rows[structure][neighbors, :, SPECIES.index(features.center_numbers[i])] += values
    for ours, expected in zip(representation.jacobian_rows(frames), rows, strict=True):
        scale = np.abs(expected).max(initial=1e-300)
        assert_same(ours.positions, expected.reshape(ours.positions.shape), 1e-12, scale)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_power_spectrum_are_those_of_the_coefficients(frames, densities, name):
    """The chain rule on stored arrays."""
    density = densities[name]
    features = orbas.PowerSpectrum(density).transform(frames, gradients=True)
    blocks = density.transform(frames, gradients=True)
    n_channels = [max(q) for q in zip(*density.channel_counts(SPECIES), strict=True)]
    expected = np.zeros_like(features.gradients.values)
    for number in SPECIES:
        start = 0
        for l, n in enumerate(n_channels):
            block = blocks[1, l, 1, number]
            (samples,) = np.nonzero(features.center_numbers == number)
            counts = np.diff(block.gradients.offsets)
            assert (counts == np.diff(features.gradients.offsets)[samples]).all()
            rows = [np.arange(*features.gradients.offsets[i : i + 2]) for i in samples]
            rows = np.concatenate([np.zeros(0, int), *rows])
            np.testing.assert_array_equal(block.gradients.neighbors, features.gradients.neighbors[rows])
            c = np.repeat(block.values, counts, axis=0)
            half = np.einsum("gxmp,gmq->gxpq", block.gradients.values, c) / np.sqrt(2 * l + 1)
            full = np.zeros((len(rows), 3, n, n))
            full[:, :, : c.shape[2], : c.shape[2]] = half + half.swapaxes(2, 3)
            p, q = np.triu_indices(n)
            factor = np.where(p == q, 1, np.sqrt(2))
            expected[rows, :, start : start + p.size] = factor * full[:, :, p, q]
            start += p.size
    assert_same(features.gradients.values, expected, 1e-13, np.abs(expected).max())


def featomic_settings(n, l):
    return {
        "cutoff": {"radius": 4.5, "smoothing": {"type": "ShiftedCosine", "width": 1.0}},
        "density": {"type": "Gaussian", "width": 0.4},
        "basis": {
            "type": "TensorProduct",
            "max_angular": l,
            "radial": {"type": "Gto", "max_radial": n - 1},
            "spline_accuracy": None,
        },
    }


@pytest.fixture(scope="module")
def crystal():
    atoms = ase.build.bulk("GaAs", "zincblende", a=5.65)
    atoms.rattle(0.15, seed=3)
    return atoms


def like_featomic():
    return expansion((31, 33), cutoff=orbas.Cutoff(4.5, 1.0), scaling=None, spline_accuracy=1e-13)


def dense(gradients, samples, n_atoms):
    """Gradients as [sample, atom, 3, ...]."""
    out = np.zeros((len(samples), n_atoms, *gradients.values.shape[1:]))
    rows = np.repeat(np.arange(len(samples)), np.diff(gradients.offsets))
    out[rows, gradients.neighbors] = gradients.values
    return out


def test_coefficients_against_featomic(crystal):
    blocks = like_featomic().transform([crystal], gradients=True)
    theirs = featomic.SphericalExpansion(**featomic_settings(4, 3)).compute(crystal, gradients=["positions"])
    factor = (np.pi * 0.4**2) ** 0.75
    for key, block in theirs.items():
        mine = blocks[1, key["o3_lambda"], 1, key["center_type"]]
        a = (31, 33).index(key["neighbor_type"])
        actual = dense(mine.gradients, mine.samples, len(crystal))[..., 4 * a : 4 * a + 4]
        gradient = block.gradient("positions")
        expected = np.zeros_like(actual)
        expected[gradient.samples["sample"], gradient.samples["atom"]] = factor * gradient.values
        assert_same(actual, expected, 1e-9, np.abs(expected).max(initial=1e-6))


def test_power_spectrum_against_featomic(crystal):
    features = orbas.PowerSpectrum(like_featomic()).transform([crystal], gradients=True)
    actual = dense(features.gradients, features.samples, len(crystal))
    theirs = featomic.SoapPowerSpectrum(**featomic_settings(4, 3)).compute(crystal, gradients=["positions"])
    columns = {pair: k for k, pair in enumerate(zip(*np.triu_indices(8), strict=True))}
    expected = np.zeros_like(actual)
    factor = (np.pi * 0.4**2) ** 1.5
    for key, block in theirs.items():
        a, b = ((31, 33).index(key[f"neighbor_{k}_type"]) for k in (1, 2))
        gradient = block.gradient("positions")
        centers = np.asarray(block.samples["atom"])[gradient.samples["sample"]]
        for k, (l, n1, n2) in enumerate(block.properties.values.tolist()):
            if a == b and n1 > n2:
                continue
            scale = factor * (-1) ** l * (np.sqrt(2) if a == b and n1 < n2 else 1)
            column = 36 * l + columns[4 * a + n1, 4 * b + n2]
            expected[centers, gradient.samples["atom"], :, column] = scale * gradient.values[..., k]
    assert_same(actual, expected, 1e-9, np.abs(expected).max())


def test_a_lone_atom_among_its_images_has_no_gradient(systems, densities):
    atoms = systems("single")
    for transformer in (densities["primitive"], *(spectrum(densities["primitive"]) for spectrum in SPECTRA)):
        (rows,) = transformer.jacobian_rows(atoms)
        assert not rows.positions.any()
        assert rows.strain.any()
    gradients = orbas.PowerSpectrum(densities["primitive"]).transform(atoms, gradients=True).gradients
    assert gradients.neighbors.tolist() == [0]
    assert not gradients.values.any()


def test_threads_and_batches_do_not_matter(systems, densities, threads):
    frames = [systems("silicon_small"), systems("silicon")]
    representation = orbas.PowerSpectrum(expansion(None, max_angular=2))

    def compute():
        rows = [array for one in representation.jacobian_rows(frames) for array in (one.positions, one.strain)]
        return [*rows, representation.transform(frames[:1], gradients=True).gradients.values]

    threads(1)
    first = compute()
    for n in (2, 8):
        threads(n)
        for ours, expected in zip(compute(), first, strict=True):
            np.testing.assert_array_equal(ours, expected)
    (alone,) = representation.jacobian_rows(frames[1])
    np.testing.assert_array_equal(alone.positions, first[2])


@pytest.mark.parametrize("make", [lambda d: d, orbas.PowerSpectrum, orbas.RadialSpectrum])
def test_errors_come_before_any_work(systems, densities, make):
    transformer = make(densities["primitive"])
    with pytest.raises(orbas.UnknownSpeciesError, match="structure 1, atom 0"):
        transformer.jacobian_rows([systems("molecule"), ase.Atoms("Si")])
    with pytest.raises(ValueError, match="structure 1, atom 0"):
        transformer.jacobian_rows([systems("molecule"), ase.Atoms("C", positions=[[np.nan, 0, 0]])])
    rows = transformer.jacobian_rows([systems("molecule"), ase.Atoms("CC", positions=np.zeros((2, 3)))])
    next(rows)
    with pytest.raises(ValueError, match="structure 1: atoms 0 and 1 coincide"):
        next(rows)
    with pytest.raises(orbas.UnknownSpeciesError):
        transformer.transform([ase.Atoms("Si")], gradients=True)
