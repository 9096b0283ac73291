"""Sparse Gaussian-process potentials of two terms (docs/reliability.md, rows 1 to 5, 14, 24 and 26)."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import orbas
import pytest
import test_potential_symmetry as symmetry
from fit_oracle import density, labeled, moved, silicon
from orbas import _core
from orbas.models import Fixed, SparseGPR

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}


def terms(species, **changes):
    first = orbas.RadialSpectrum(density(species, max_angular=0, n_radial=4))
    return [first, orbas.PowerSpectrum(density(species, **{"max_angular": 1, "n_radial": 2, **changes}))]


def fit(frames):
    settings = {"delta": [0.5, 2.0], "regularization": Fixed(1e-4)}
    return SparseGPR(terms((6, 14)), [4, {6: 3, 14: 3}], [2, 3], **settings).fit(frames, **ALL)


@pytest.fixture(scope="module")
def frames():
    return labeled(silicon(8, carbon=True), noise=0.02)


@pytest.fixture(scope="module")
def two_terms(frames):
    return fit(frames)


class SmallEnergies:
    """A fitted model as the tests of linear models have it: the largest energy of an atom is 1 eV."""

    def __init__(self, potential, frames):
        largest = np.abs(np.concatenate(potential.evaluate(frames).atoms)).max()
        potential._record = replace(potential._record, weights=potential.weights_ / largest)
        self.potential = potential

    def __call__(self, frames):
        return self.potential.evaluate(frames)

    def tensors(self, frames):
        volumes = [abs(np.linalg.det(atoms.cell.array)) if all(atoms.pbc) else np.inf for atoms in frames]
        return self(frames).virials / np.array(volumes)[:, None, None]


def sparse_model_for(atoms):
    rng, frames = np.random.default_rng(3), [atoms.copy()]
    for _ in range(5):
        frames.append(atoms.copy())
        frames[-1].positions += 0.1 * rng.normal(size=atoms.positions.shape)
        frames[-1].set_cell(atoms.cell.array * rng.uniform(0.97, 1.03), scale_atoms=True)
    for frame in frames:
        frame.info["REF_energy"] = rng.normal() * len(frame)
    species = tuple(sorted({int(z) for z in atoms.numbers}))
    spectra = [terms(species)[0], orbas.PowerSpectrum(symmetry.SETUP.density(species=list(species)))]
    settings = {"regularization": Fixed(1e-2), "baseline": dict.fromkeys(species, 0.0)}
    n_sparse = min(6, 6 * len(atoms))
    return SmallEnergies(SparseGPR(spectra, n_sparse, [2, 3], delta=[0.5, 1.0], **settings).fit(frames), frames)


@pytest.mark.parametrize("name", ["molecule", "crystal", "slab", "single", "left_handed"])
@pytest.mark.parametrize(
    "check",
    [
        symmetry.test_rotations,
        symmetry.test_inversion_turns_forces_around,
        symmetry.test_order_of_the_atoms,
        symmetry.test_translation,
        symmetry.test_unwrapped_atoms,
        symmetry.test_supercells,
    ],
    ids=lambda check: check.__name__[5:],
)
def test_rows_1_to_5(monkeypatch, systems, rng, name, check):
    monkeypatch.setattr(symmetry, "model_for", sparse_model_for)
    given = {"systems": systems, "rng": rng, "name": name}
    arguments = check.__code__.co_varnames[: check.__code__.co_argcount]
    check(**{argument: given[argument] for argument in arguments})


def test_any_number_of_threads_gives_the_same_bits(frames, threads):  # docs/reliability.md, row 24
    results = []
    for count in (1, 2, 3, 8):
        threads(count)
        fitted = fit(frames)
        found = fitted.predict(frames, uncertainty=True)
        results.append([fitted.weights_, found.energies, *found.forces, found.stress, found.uncertainty])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, results[0], strict=True))


def test_structures_together_are_structures_alone(two_terms, frames):  # docs/reliability.md, row 3
    together = two_terms.evaluate(frames)
    for k, atoms in enumerate(frames):
        alone = two_terms.evaluate([atoms])
        assert np.array_equal(alone.forces[0], together.forces[k])
        assert np.array_equal(alone.atoms[0], together.atoms[k])
        assert np.array_equal(alone.virials[0], together.virials[k])


def test_remembered_neighbors_of_a_hundred_steps(two_terms, frames, rng):  # docs/reliability.md, row 14
    atoms, skins = frames[1].copy(), two_terms.skin_lists(0.5)
    assert len(skins) == 2
    for _ in range(100):
        atoms = moved(atoms, int(rng.integers(len(atoms))), int(rng.integers(3)), 0.05 * rng.normal())
        remembered, fresh = two_terms.evaluate([atoms], skin_lists=skins), two_terms.evaluate([atoms])
        assert abs(remembered.structures[0] - fresh.structures[0]) <= 1e-10
        assert np.abs(remembered.forces[0] - fresh.forces[0]).max() <= 1e-10
    assert 1 <= skins[0].n_listed < 60


def test_instruction_sets_agree(two_terms, frames, monkeypatch):  # docs/reliability.md, row 26
    """The fastest of this machine against the narrowest of the build: wheels have what every machine has."""
    fastest = two_terms.evaluate(frames)
    monkeypatch.setattr(_core, "DensityPlan", functools.partial(_core.DensityPlan, level="narrowest"))
    for term in two_terms.design_.terms:
        monkeypatch.delattr(term.spectrum.density, "_compiled", raising=False)
    narrowest = two_terms.evaluate(frames)
    largest = max(np.abs(forces).max() for forces in fastest.forces)
    for k in range(len(frames)):
        assert np.abs(narrowest.atoms[k] - fastest.atoms[k]).max() <= 1e-13 * np.abs(fastest.atoms[k]).max()
        assert np.abs(narrowest.forces[k] - fastest.forces[k]).max() <= 1e-12 * largest
