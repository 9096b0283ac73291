"""Extrapolation and error bars in pieces of atoms: large structures give what they give at once, in bounded memory."""

from __future__ import annotations

import tracemalloc

import ase
import ase.build
import numpy as np
import orbas
import pytest
from orbas.fit import environments
from orbas.models import Fixed, LinearPotential, SparseGPR
from orbas.structures.clusters import clusters
from silicon_potential import crystal, skewed


def left_handed():
    atoms = skewed() * (2, 1, 2)
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def unwrapped():
    atoms = crystal()
    atoms.positions += np.random.default_rng(3).integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    return atoms


def partly(pbc):
    atoms = crystal(rattle=0.2)
    atoms.pbc = pbc
    if not any(pbc):
        atoms.cell = None
    return atoms


def thin():
    """The cell is shorter than the cutoff: an atom sees many of its own images."""
    return ase.build.bulk("Si") * (1, 1, 40)


STRUCTURES = {
    "crystal": crystal,
    "skewed": lambda: skewed() * (2, 2, 1),
    "left-handed": left_handed,
    "unwrapped": unwrapped,
    "slab": lambda: partly((True, True, False)),
    "wire": lambda: partly((False, True, False)),
    "cluster": lambda: partly((False, False, False)),
    "thin": thin,
}


def density(species=(14,), max_angular=3, n_radial=4):
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.5, 1.0, "smooth"), density_width=0.5, max_angular=max_angular,
        basis=orbas.bases.GTO(n_radial), species=species,
    )  # fmt: skip


MODELS = {
    "linear": lambda: LinearPotential(orbas.PowerSpectrum(density()), regularization=Fixed(1e-6)),
    "selected": lambda: LinearPotential(
        orbas.SelectedPowerSpectrum(density(), [0, 5, 7, 20]), regularization=Fixed(1e-6)
    ),
    "sparse": lambda: SparseGPR(
        [orbas.RadialSpectrum(density(max_angular=0)), orbas.PowerSpectrum(density())], 12, regularization=Fixed(1e-6)
    ),
    "NICE": lambda: LinearPotential(
        orbas.NICE(density(max_angular=2, n_radial=2), n_pairs=10, n_invariants=8).fit([crystal()]),
        regularization=Fixed(1e-6),
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]().fit(orbas.datasets.silicon(20))


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(environments, "_MOST", 32)


@pytest.mark.parametrize("name", STRUCTURES)
def test_clusters_have_the_environments_of_the_structure(name):
    atoms, cutoff = STRUCTURES[name](), 4.5
    seen = []
    for centers, cluster in clusters(atoms, cutoff, 7):
        assert len(centers) <= 7
        assert not cluster.pbc.any()
        assert np.array_equal(cluster.numbers[: len(centers)], atoms.numbers[centers])
        i, d = orbas.neighbor_list("id", cluster, cutoff)
        for k, center in enumerate(centers):
            of, distances = orbas.neighbor_list("id", atoms, cutoff)
            np.testing.assert_allclose(np.sort(d[i == k]), np.sort(distances[of == center]), rtol=0, atol=1e-12)
        seen += centers.tolist()
    assert sorted(seen) == list(range(len(atoms)))


@pytest.mark.parametrize("name", STRUCTURES)
def test_pieces_give_what_the_whole_gives(model, name, monkeypatch):
    frames = [crystal()[:5], STRUCTURES[name](), ase.Atoms(), STRUCTURES[name]()[:40], crystal()[:3]]
    whole, errors = model.extrapolation(frames), model.uncertainty(frames)
    monkeypatch.setattr(environments, "_MOST", 32)
    for found, right in zip(model.extrapolation(frames), whole, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.uncertainty(frames), errors, rtol=1e-6)


def test_memory_does_not_grow_with_the_structure():
    """1,904 weights of two species: at once the rows of 6,912 atoms and their features are 158 MB."""
    frames = []
    for k in range(6):
        atoms = ase.build.bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.numbers[: 1 + k % 3] = 79
        atoms.rattle(0.1, seed=k)
        atoms.info["REF_energy"] = 0.1 * k
        frames.append(atoms)
    wide = orbas.PowerSpectrum(density(species=(29, 79), max_angular=6, n_radial=8))
    fitted = LinearPotential(wide, regularization=Fixed(1e-6)).fit(frames)
    large = frames[0] * (12, 12, 12)
    fitted.evaluate([large])
    tracemalloc.start()
    try:
        fitted.extrapolation([large])
        fitted.uncertainty([large])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20


def test_what_is_wrong_is_said_of_the_structure(model, small_pieces):
    atoms = crystal()
    atoms.positions[61] = atoms.positions[3]
    with pytest.raises(ValueError, match=r"atoms? .*3.*61"):
        model.extrapolation([crystal(), atoms])
    atoms.positions[17, 1] = np.nan
    with pytest.raises(ValueError, match="atom 17"):
        model.uncertainty([atoms])


def test_a_representation_without_a_cutoff_is_not_cut(small_pieces):
    class OfTheUser:
        inner = orbas.PowerSpectrum(density())

        def transform(self, frames):
            return self.inner.transform(frames)

    fitted = LinearPotential(OfTheUser(), regularization=Fixed(1e-6)).fit(orbas.datasets.silicon(20))
    assert fitted._fitted().design.cutoff is None
    right = MODELS["linear"]().fit(orbas.datasets.silicon(20)).extrapolation([crystal()])[0]
    np.testing.assert_allclose(fitted.extrapolation([crystal()])[0], right, rtol=1e-6)
