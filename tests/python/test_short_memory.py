"""Short memory is MemoryError: no size that comes from structures or settings ends the process [kind 15]."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ase
import ase.build
import numpy as np
import orbas
import pytest
from orbas.base import linalg

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are those of Linux")

#: MiB beyond what the process has taken.
HEADROOM = (60, 5)


def copper(n):
    atoms = ase.build.bulk("Cu", cubic=True, a=3.6) * (n, n, n)
    atoms.rattle(0.1, seed=n)
    return atoms


def density(n_radial=4, max_angular=3, **options):
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0),
        density_width=0.5,
        max_angular=max_angular,
        basis=orbas.bases.GTO(n_radial),
        **{"species": [29], **options},
    )


SMALL, LARGE = copper(1), copper(18)
DENSE = ase.Atoms("Cu", cell=[0.13] * 3, pbc=True)  # half a million neighbors
CROWD = ase.Atoms("Cu1200", positions=np.random.default_rng(0).random((1200, 3)))  # as many pairs again
SPECTRUM = orbas.PowerSpectrum(density())
N_FEATURES = 4 * 10
WEIGHTS = np.ones((1, N_FEATURES))
MATRIX = np.random.default_rng(1).normal(size=(1500, 1500))


@pytest.fixture(scope="module", autouse=True)
def warmed():
    """Tables and buffers are there before memory is short, as in a session."""
    SPECTRUM.linear_energies([SMALL], WEIGHTS)
    np.linalg.eigh(MATRIX[:50, :50])


CALLS = {
    "density": lambda: density(12, 8).transform([LARGE]),
    "features": lambda: SPECTRUM.transform([LARGE]),
    "rows": lambda: list(SPECTRUM.jacobian_rows([LARGE])),
    "gradients": lambda: SPECTRUM.transform([LARGE], gradients=True),
    "many species": lambda: density(12, 8, species=list(range(1, 40))).transform([SMALL]),
    "harmonics": lambda: orbas.spherical_harmonics(np.ones((10**6, 3)), max_angular=12),
    "NICE": lambda: orbas.NICE(density(8, 6), nu_max=4).fit([SMALL]),
    "a large density in NICE": lambda: orbas.NICE(density(20, 12), nu_max=3).fit([SMALL]),
    "dense: features": lambda: SPECTRUM.transform([DENSE]),
    "dense: energies": lambda: SPECTRUM.linear_energies([DENSE], WEIGHTS),
    "dense: skin": lambda: SPECTRUM.linear_energies([DENSE], WEIGHTS, skin_list=orbas.SkinList(1.0)),
    "dense: rows": lambda: list(SPECTRUM.jacobian_rows([DENSE])),
    "dense: gradients": lambda: SPECTRUM.transform([DENSE], gradients=True),
    "dense: strain": lambda: SPECTRUM.strain_gradients([DENSE]),
    "dense: neighbors": lambda: orbas.neighbor_list("ijdDS", DENSE, 5.0),
    "crowd: energies": lambda: SPECTRUM.linear_energies([CROWD], WEIGHTS, skin_list=orbas.SkinList(1.0)),
    "crowd: neighbors": lambda: orbas.neighbor_list("ijdDS", CROWD, 5.0),
    "crowd: gradients": lambda: SPECTRUM.transform([CROWD], gradients=True),
    "product": lambda: linalg.product(MATRIX, MATRIX),
}


def in_child(call, headroom):
    """0 for a call that is done, 1 for MemoryError; the process must go on in either case."""
    import resource

    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            with Path("/proc/self/status").open() as file:
                taken = next(int(line.split()[1]) for line in file if line.startswith("VmSize")) * 1024
            resource.setrlimit(resource.RLIMIT_AS, (taken + headroom * 2**20,) * 2)
            try:
                call()
                code = 0
            except MemoryError:
                code = 1
            SPECTRUM.transform([SMALL])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("headroom", HEADROOM)
@pytest.mark.parametrize("name", CALLS)
def test_short_memory_is_an_error(name, headroom):
    assert in_child(CALLS[name], headroom) in (0, 1)


@pytest.mark.parametrize(
    ("atoms", "cutoff"),
    [
        (ase.Atoms("Cu", cell=[0.05] * 3, pbc=True), 5.0),  # a dense cell
        (ase.Atoms("Cu", cell=[2.5] * 3, pbc=True), 400.0),  # a huge cutoff
        (ase.Atoms("Cu", cell=[1e-4, 0, 0], pbc=[True, False, False]), 500.0),  # along one direction
        (ase.Atoms("Cu4000", positions=np.random.default_rng(0).random((4000, 3)), cell=[1.0] * 3, pbc=True), 4.0),
    ],
)
def test_neighbors_are_bounded_before_they_are_made(atoms, cutoff):
    with pytest.raises(
        ValueError, match=r"structure 0: about .*neighbors per atom .*mend the cell or lower the cutoff"
    ):
        orbas.neighbor_list("i", atoms, cutoff)


def test_large_structures_are_not_refused():
    """Millions of atoms, or a cell that is large in two directions only, are no dense cells."""
    n = 1_100_000
    line = ase.Atoms(numbers=np.full(n, 29), positions=np.arange(3.0 * n).reshape(n, 3) * [1, 0, 0])
    assert len(orbas.neighbor_list("i", line, 4.0)) == 2 * (n - 1)
