"""Neighbors remembered from step to step against a fresh search (docs/reliability.md, row 14)."""

import ase.build
import numpy as np
import orbas
import pytest
from orbas import SkinList

CUTOFF = 4.0


def spectrum(kind=orbas.PowerSpectrum):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(CUTOFF, 1.0, smoothing="smooth"),
        density_width=0.4,
        max_angular=2,
        basis=orbas.bases.GTO(3),
        species=(14,),
    )
    return kind(density)


def weights_of(model, atoms):
    n_features = model.transform([atoms]).values.shape[1]
    return np.random.default_rng(3).normal(size=(1, n_features))


def silicon():
    atoms = ase.build.bulk("Si", cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=1)
    return atoms


def assert_same(remembered, fresh):
    assert abs(remembered.structures[0] - fresh.structures[0]) <= 1e-10
    np.testing.assert_allclose(remembered.forces[0], fresh.forces[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(remembered.virials, fresh.virials, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [orbas.PowerSpectrum, orbas.RadialSpectrum])
def test_a_thousand_steps_with_wrapping(kind):
    """A hot walk with drift: atoms leave the cell, and are wrapped back every 50 steps."""
    model, atoms, rng = spectrum(kind), silicon(), np.random.default_rng(0)
    weights, remembered = weights_of(model, atoms), SkinList(0.8)
    for step in range(1000):
        atoms.positions += 0.02 * rng.normal(size=(len(atoms), 3)) + [0.02, -0.01, 0.005]
        if step % 50 == 49:
            atoms.wrap()
        if step % 5 == 0 or step % 50 == 49:
            fresh = model.linear_energies([atoms], weights)
            assert_same(model.linear_energies([atoms], weights, skin_list=remembered), fresh)
        else:
            model.linear_energies([atoms], weights, skin_list=remembered)
    assert 20 <= remembered.n_listed < 500  # once per wrap at least, by far not at every step


@pytest.mark.parametrize("kind", [orbas.Bispectrum, lambda density: orbas.NICE(density, 3, n_pairs=20, n_components=5)])
def test_iterations_remember_too(kind):
    """Blocks of many centers, whose neighbors are looked up on the way forward and back."""
    model, atoms, rng = spectrum(kind).fit([silicon()]), silicon(), np.random.default_rng(0)
    weights, remembered = weights_of(model, atoms), SkinList(0.8)
    for _ in range(10):
        atoms.positions += 0.02 * rng.normal(size=(len(atoms), 3))
        assert_same(
            model.linear_energies([atoms], weights, skin_list=remembered), model.linear_energies([atoms], weights)
        )
    assert 1 <= remembered.n_listed < 5


def test_listed_anew_when_needed_and_only_then():
    model, atoms = spectrum(), silicon()
    weights, remembered = weights_of(model, atoms), SkinList(skin=0.6)
    assert (remembered.skin, remembered.n_listed) == (0.6, 0)

    def listed_after(change):
        before = remembered.n_listed
        change()
        assert_same(
            model.linear_energies([atoms], weights, skin_list=remembered), model.linear_energies([atoms], weights)
        )
        return remembered.n_listed - before

    def move(distance):
        atoms.positions[5] += [distance, 0.0, 0.0]

    assert listed_after(lambda: None) == 1
    assert listed_after(lambda: None) == 0
    assert listed_after(lambda: move(0.29)) == 0
    assert listed_after(lambda: move(0.02)) == 1
    assert listed_after(lambda: atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)) == 1
    assert listed_after(lambda: atoms.set_pbc([True, True, False])) == 1
    assert listed_after(lambda: atoms.__delitem__(3)) == 1
    assert listed_after(lambda: None) == 0


def test_several_structures_and_another_cutoff():
    model = spectrum()
    frames = [silicon(), ase.build.bulk("Si"), ase.build.bulk("Si", cubic=True)]
    weights, remembered = weights_of(model, frames[0]), SkinList()
    for _ in range(2):
        together = model.linear_energies(frames, weights, skin_list=remembered)
        fresh = model.linear_energies(frames, weights)
        np.testing.assert_allclose(together.structures, fresh.structures, rtol=0, atol=1e-10)
    assert remembered.n_listed == 3
    model.density.cutoff = orbas.Cutoff(4.5, 1.0)
    assert_same(
        model.linear_energies(frames[:1], weights, skin_list=remembered), model.linear_energies(frames[:1], weights)
    )


@pytest.mark.parametrize("skin", [0.0, -1.0, np.nan, np.inf])
def test_a_skin_is_a_length(skin):
    with pytest.raises(ValueError, match="skin"):
        SkinList(skin)
