"""Structures that every test file shares, all seeded. Copy a molecule before changing it."""

from __future__ import annotations

import os
import signal

# Tiny matrices on a busy machine: one BLAS thread is many times faster than several.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ase
import ase.build
import numpy as np
import pytest

# Started in the background by a shell, pytest would hand an ignored interrupt on to the programs it tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _silicon():
    atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True) * (2, 2, 2)
    atoms.rattle(0.15, seed=1)
    return atoms


def _silicon_small():
    atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True)
    atoms.rattle(0.15, seed=2)
    return atoms


def _molecule():
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=3)
    return atoms


def _crystal():
    atoms = ase.build.bulk("GaAs", "zincblende", a=5.65)  # heights 3.26 Å: much smaller than 2 rc
    atoms.rattle(0.1, seed=4)
    return atoms


def _alloy():
    atoms = ase.build.bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.numbers[0] = 79
    atoms.rattle(0.1, seed=5)
    return atoms


def _slab():
    atoms = ase.build.fcc111("Cu", (2, 2, 2), a=3.7, vacuum=6.0)
    atoms.numbers[::3] = 79
    atoms.pbc = (True, True, False)
    atoms.rattle(0.1, seed=6)
    return atoms


def _left_handed():
    cell = [[3.1, 0.4, -0.2], [-0.7, 0.3, 3.6], [0.5, 4.0, 0.6]]
    fractions = np.random.default_rng(7).uniform(0, 1, (3, 3)) * 0.3 + np.diag([0.0, 0.3, 0.6])
    atoms = ase.Atoms("COC", cell=cell, pbc=True, scaled_positions=fractions)
    assert np.linalg.det(atoms.cell.array) < 0
    return atoms


BUILDERS = {
    "silicon": _silicon,
    "silicon_small": _silicon_small,
    "molecule": _molecule,
    "crystal": _crystal,
    "alloy": _alloy,
    "slab": _slab,
    "single": lambda: ase.build.bulk("Cu", "fcc", a=3.6),
    "left_handed": _left_handed,
}


class Systems:
    """``systems("crystal")`` is a fresh copy of one of the named structures."""

    def __init__(self):
        self._made = {name: build() for name, build in BUILDERS.items()}

    def __call__(self, name):
        return self._made[name].copy()


@pytest.fixture(scope="session")
def systems():
    return Systems()


@pytest.fixture(scope="session")
def molecules():
    """Twelve molecules of H, C, N and O as in QM9, some without C, some without O; slightly rattled."""
    names = ["CH4", "H2O", "C2H6", "CH3OH", "NH3", "C2H4", "HCN", "CH3CHO", "C6H6", "HCOOH", "H3CNH2", "N2"]
    frames = [ase.build.molecule(name) for name in names]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=seed)
    return frames


@pytest.fixture
def rng():
    return np.random.default_rng(20211)


@pytest.fixture
def threads():
    """Restore the number of threads after a test that changes it."""
    import orbas

    before = orbas.get_num_threads()
    yield orbas.set_num_threads
    orbas.set_num_threads(before)
