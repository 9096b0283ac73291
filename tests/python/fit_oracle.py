"""Potentials fitted the slow way: rows by finite differences, dense least squares; and structures with labels."""

from __future__ import annotations

import ase.build
import numpy as np
import orbas
from linear_model import linear_model

STEP = 1e-3
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: eV for one atom of a species.
ATOMIC = {14: -4.1, 6: -7.3}


def density(species=(14,), max_angular=2, n_radial=3, radius=4.0, **changes):
    settings = {
        "cutoff": orbas.Cutoff(radius, 1.0, "smooth"),
        "density_width": 0.45,
        "max_angular": max_angular,
        "basis": orbas.bases.GTO(n_radial),
        "species": species,
        "spline_accuracy": 1e-10,
    }
    return orbas.DensityExpansion(**{**settings, **changes})


def silicon(n, seed=0, rattle=0.1, strain=0.02, carbon=False):
    """Sheared cells of two to four atoms, some of which are carbon if asked for."""
    rng, frames = np.random.default_rng(seed), []
    for k in range(n):
        atoms = ase.build.bulk("Si", "diamond", a=5.43) * (1 + k % 2, 1, 1)
        if carbon:
            atoms.numbers[:: 2 + k % 3] = 6
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += rattle * rng.normal(size=(len(atoms), 3))
        frames.append(atoms)
    return frames


def labeled(frames, spectrum=None, noise=0.0, seed=7):
    """Labels of a linear model with random weights above atomic energies, and noise; in the keys ``REF_...``."""
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    model = linear_model(density(species, max_angular=2), frames, spectrum or orbas.PowerSpectrum, seed=seed)
    truth, stress, rng = model(frames), model.stress(frames), np.random.default_rng(seed)
    for k, atoms in enumerate(frames):
        energy = truth.structures[k] + sum(ATOMIC[z] for z in atoms.numbers)
        atoms.info["REF_energy"] = energy + noise * rng.normal()
        atoms.arrays["REF_forces"] = truth.forces[k] + noise * rng.normal(size=(len(atoms), 3))
        if all(atoms.pbc):
            atoms.info["REF_stress"] = stress[k] + 0.01 * noise * rng.normal(size=6)
    return frames


def strained(atoms, a, b, step):
    """``r -> (1 + strain) r``, of atoms and cell, with a symmetric strain."""
    copy, strain = atoms.copy(), np.zeros((3, 3))
    strain[a, b] += 0.5 * step
    strain[b, a] += 0.5 * step
    turn = np.eye(3) + strain
    copy.positions = atoms.positions @ turn.T
    copy.cell[:] = atoms.cell.array @ turn.T
    return copy


def moved(atoms, k, axis, step):
    copy = atoms.copy()
    copy.positions[k, axis] += step
    return copy


def slopes(function, changes):
    """Fourth-order derivatives at 0: ``function`` of a list of structures gives [n, ...], ``changes`` map a step."""
    steps = (-2 * STEP, -STEP, STEP, 2 * STEP)
    values = np.asarray(function([change(h) for change in changes for h in steps]))
    values = values.reshape(len(changes), 4, *values.shape[1:])
    return np.einsum("c,ac...->a...", [1, -8, 8, -1], values) / (12 * STEP)


def position_slopes(function, atoms):
    """[n_atoms, 3, ...]"""
    changes = [lambda h, k=k, x=x: moved(atoms, k, x, h) for k in range(len(atoms)) for x in range(3)]
    found = slopes(function, changes)
    return found.reshape(len(atoms), 3, *found.shape[1:])


def strain_slopes(function, atoms):
    """By the six components of the symmetric strain, [6, ...], Voigt order."""
    return slopes(function, [lambda h, a=a, b=b: strained(atoms, a, b, h) for a, b in VOIGT])


def baseline_energies(frames):
    """Atomic energies by least squares of the total energies, [n_frames] above nothing."""
    species = sorted({int(z) for atoms in frames for z in atoms.numbers})
    counts = np.array([[np.sum(atoms.numbers == z) for z in species] for atoms in frames], dtype=float)
    energies = np.array([atoms.info["REF_energy"] for atoms in frames])
    return counts @ np.linalg.lstsq(counts, energies, rcond=None)[0]


def rows_of(frames, function, noise_of, forces=True, stress=True):
    """Weighted rows and targets, one pair per structure, where ``function(frames)`` gives rows [n, c] to sum up.

    A virial is nine numbers of the same noise: of six rows the off-diagonal ones have the weight sqrt 2.
    """
    result = []
    above = np.array([atoms.info["REF_energy"] for atoms in frames]) - baseline_energies(frames)
    for atoms, energy in zip(frames, above, strict=True):
        noise, root = noise_of(atoms), np.sqrt(len(atoms))
        rows, targets = [function([atoms]) / (noise.energy * root)], [[energy / (noise.energy * root)]]
        if forces and "REF_forces" in atoms.arrays:
            slope = position_slopes(function, atoms)
            rows.append(-slope.reshape(3 * len(atoms), -1) / noise.forces)
            targets.append(atoms.arrays["REF_forces"].ravel() / noise.forces)
        if stress and "REF_stress" in atoms.info:
            slope, volume = strain_slopes(function, atoms), atoms.get_volume()
            factors = np.sqrt([1, 1, 1, 2, 2, 2]) / (noise.virial * root)
            rows.append(factors[:, None] * slope)
            targets.append(factors * atoms.info["REF_stress"] * volume)
        result.append((np.vstack(rows), np.concatenate(targets)))
    return result


def stacked(parts):
    return np.vstack([rows for rows, _ in parts]), np.concatenate([targets for _, targets in parts])


def ridge(rows, targets, alpha):
    n = rows.shape[1]
    augmented = np.vstack([rows, np.sqrt(alpha) * np.eye(n)])
    return np.linalg.lstsq(augmented, np.concatenate([targets, np.zeros(n)]), rcond=None)[0]


def check_derivatives(potential, atoms, force=1e-7, stress=1e-8):
    """Forces and stress of a potential against finite differences of its energies, in eV/Å and eV/Å^3."""
    found = potential.predict([atoms])
    forces = -position_slopes(lambda frames: potential.predict(frames).energies, atoms)
    assert np.abs(forces).max() > 1e-4
    np.testing.assert_allclose(found.forces[0], forces, rtol=0, atol=force)
    if all(atoms.pbc):
        tensor = strain_slopes(lambda frames: potential.predict(frames).energies, atoms) / atoms.get_volume()
        np.testing.assert_allclose(found.stress[0], tensor, rtol=0, atol=stress)
    else:
        assert np.isnan(found.stress[0]).all()
