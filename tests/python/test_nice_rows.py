"""Rows of NICE and of the bispectrum: against the adjoint and finite differences."""

from __future__ import annotations

import ase
import ase.build
import numpy as np
import orbas
import pytest
from orbas.base.gradients import JacobianRows

SPECIES = (1, 6, 8, 29, 79)
CUTS = {
    "all": {},
    "cut": {"n_pairs": 40, "n_components": 10, "n_invariants": 25},
    "purified": {"n_pairs": 40, "n_components": 10, "n_invariants": 25, "n_purify": 4, "parity": "even"},
}


@pytest.fixture(scope="module")
def frames(systems):
    """A cell smaller than the cutoff with self-images, a molecule, a one-atom cell, a slab, a lone atom, no atom."""
    named = [systems(name) for name in ("left_handed", "molecule", "single", "slab")]
    return [*named, ase.Atoms("O"), ase.Atoms()]


def density_for(max_angular=2, n_radial=1, **changes):
    settings = {
        "cutoff": orbas.Cutoff(4.0, 1.0, "smooth"),
        "density_width": 0.45,
        "max_angular": max_angular,
        "basis": orbas.bases.GTO(n_radial=n_radial),
        "species": SPECIES,
        "spline_accuracy": 1e-10,
    }
    return orbas.DensityExpansion(**{**settings, **changes})


def random_weights(representation, frames):
    """Weights that give every feature a say: its values may be small, so each weight grows with 1 / scale."""
    features = representation.transform(frames)
    scale = np.sqrt(np.mean(features.values**2, axis=0))
    weights = np.random.default_rng(7).normal(size=(len(features.species), len(scale)))
    return weights / np.maximum(scale, 1e-3 * scale.max())


def largest(array):
    return np.abs(array).max(initial=0.0)


def assert_rows_are_the_adjoint(representation, frames):
    """To 1e-12 of the virial, forces too: those of an atom among its images are zero."""
    weights = random_weights(representation, frames)
    expected = representation.linear_energies(frames, weights)
    w = weights.ravel()
    made = list(representation.jacobian_rows(frames))
    assert len(made) == len(frames)
    for k, (atoms, rows) in enumerate(zip(frames, made, strict=True)):
        assert isinstance(rows, JacobianRows)
        assert rows.positions.shape == (len(atoms), 3, w.size)
        assert rows.strain.shape == (3, 3, w.size)
        scale = max(largest(expected.virials[k]), 1e-300)
        forces, virial = -(rows.positions @ w), rows.strain @ w
        assert largest(forces - expected.forces[k]) <= 1e-12 * scale
        assert largest(virial - expected.virials[k]) <= 1e-12 * scale
        # All atoms move alike: nothing changes.
        assert largest(rows.positions.sum(axis=0)) <= 1e-13 * max(largest(rows.positions), 1e-300)


@pytest.mark.parametrize("cut", ["cut", "purified"])
@pytest.mark.parametrize("nu_max", [1, 2, 3, 4, 5])
def test_rows_times_weights_are_the_adjoint(frames, nu_max, cut):
    nice = orbas.NICE(density_for(), nu_max=nu_max, **CUTS[cut]).fit(frames)
    assert_rows_are_the_adjoint(nice, frames)


@pytest.mark.parametrize(("nu_max", "max_angular"), [(2, 2), (3, 1), (4, 1)])
def test_nothing_truncated(frames, nu_max, max_angular):
    species = (1, 6, 8)
    nice = orbas.NICE(density_for(max_angular, species=species), nu_max=nu_max).fit(frames[:2])
    assert_rows_are_the_adjoint(nice, frames[:2])


@pytest.mark.parametrize("mixing", ["combined", "separate"])
def test_an_iteration_for_every_center(frames, mixing):
    """Densities of another size for every center species leave gaps in the columns."""
    optimal = orbas.OptimalBasis(density_for(n_radial=4), residual=0.05, mixing=mixing, per_center=True).fit(frames)
    counts = optimal.expansion_.channel_counts(SPECIES)
    assert len(set(counts)) > 1
    nice = orbas.NICE(optimal.expansion_, nu_max=3, per_center=True, **CUTS["cut"]).fit(frames)
    assert_rows_are_the_adjoint(nice, frames)


def test_bispectrum(frames):
    assert_rows_are_the_adjoint(orbas.Bispectrum(density_for(max_angular=1)).fit(frames), frames)


def test_every_feature_is_its_own_adjoint(frames):
    """Where no weights mix them: small features among large ones are as good as rounding of the large ones allows."""
    nice = orbas.NICE(density_for(), nu_max=4, **CUTS["cut"]).fit(frames)
    n_features = sum(nice.n_features_)
    made = list(nice.jacobian_rows(frames[:2]))
    for column in range(n_features):
        for a in range(len(SPECIES)):
            weights = np.zeros((len(SPECIES), n_features))
            weights[a, column] = 1
            energies = nice.linear_energies(frames[:2], weights)
            for k, rows in enumerate(made):
                bound = 1e-12 * largest(energies.virials[k]) + 1e-14 * largest(rows.strain)
                place = a * n_features + column
                assert largest(-rows.positions[:, :, place] - energies.forces[k]) <= bound
                assert largest(rows.strain[:, :, place] - energies.virials[k]) <= bound


def slope(function):
    h = 2e-4
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


@pytest.mark.parametrize("which", ["nice", "bispectrum"])
def test_rows_are_finite_differences(frames, which):
    if which == "nice":
        representation = orbas.NICE(density_for(), nu_max=4, **CUTS["cut"]).fit(frames)
    else:
        representation = orbas.Bispectrum(density_for(max_angular=1)).fit(frames)
    for atoms in frames[:2]:
        (rows,) = representation.jacobian_rows(atoms)
        scale = largest(rows.strain)

        def moved(h, atom, axis, atoms=atoms):
            changed = atoms.copy()
            changed.positions[atom, axis] += h
            return representation.transform(changed).per_structure()[0]

        def strained(h, x, y, atoms=atoms):
            changed, strain = atoms.copy(), np.eye(3)
            strain[x, y] += h
            changed.set_cell(changed.cell.array @ strain.T)
            changed.positions = changed.positions @ strain.T
            return representation.transform(changed).per_structure()[0]

        for atom, axis in [(0, 0), (1, 2), (2, 1)]:
            expected = slope(lambda h, atom=atom, axis=axis: moved(h, atom, axis))
            assert largest(rows.positions[atom, axis] - expected) <= 1e-7 * scale
        for x, y in [(0, 0), (0, 1), (2, 1)]:
            assert largest(rows.strain[x, y] - slope(lambda h, x=x, y=y: strained(h, x, y))) <= 1e-7 * scale


def test_threads_and_batches_do_not_matter(frames, threads):
    nice = orbas.NICE(density_for(), nu_max=3, **CUTS["cut"]).fit(frames)

    def compute():
        return [array for one in nice.jacobian_rows(frames) for array in (one.positions, one.strain)]

    threads(1)
    first = compute()
    for n in (2, 8):
        threads(n)
        for ours, expected in zip(compute(), first, strict=True):
            np.testing.assert_array_equal(ours, expected)
    (alone,) = nice.jacobian_rows(frames[1])
    np.testing.assert_array_equal(alone.positions, first[2])


def test_errors_come_before_any_work(frames):
    nice = orbas.NICE(density_for(), nu_max=2, **CUTS["cut"])
    with pytest.raises(orbas.NotFittedError):
        nice.jacobian_rows(frames)
    for representation in (nice.fit(frames), orbas.Bispectrum(density_for(max_angular=1)).fit(frames)):
        with pytest.raises(orbas.UnknownSpeciesError, match="structure 1, atom 0"):
            representation.jacobian_rows([frames[1], ase.Atoms("Si")])
        with pytest.raises(ValueError, match="structure 1, atom 0"):
            representation.jacobian_rows([frames[1], ase.Atoms("C", positions=[[np.nan, 0, 0]])])
        rows = representation.jacobian_rows([frames[1], ase.Atoms("CC", positions=np.zeros((2, 3)))])
        next(rows)
        with pytest.raises(ValueError, match="structure 1: atoms 0 and 1 coincide"):
            next(rows)
