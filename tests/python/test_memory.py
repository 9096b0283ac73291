"""Memory that is not there, a budget, and calls that must not leak (docs/reliability.md, rows 31, 32 and 33).

Every test measures a process of its own, by the means of Linux.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEGABYTE = 1 << 20

SETTINGS = """
import json, resource, sys
import ase, ase.build
import numpy as np
import orbas

def density(n, l, species, cutoff=4.0):
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(cutoff, 0.5), density_width=0.5, max_angular=l, basis=orbas.bases.GTO(n), species=species
    )

def silicon(side, seed=0):
    atoms = ase.build.bulk("Si", cubic=True) * (side, side, side)
    atoms.rattle(0.1, seed=seed)
    return atoms

def peak():  # not getrusage: its ru_maxrss counts what the process that started this one held
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
"""


def run(program, **arguments):
    """What a program prints, as JSON; ``arguments`` are names in it."""
    given = "".join(f"{name} = {value!r}\n" for name, value in arguments.items())
    command = [sys.executable, "-c", SETTINGS + given + program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    return json.loads(done.stdout)


# ------------------------------------------------------------------ memory that is not there [31]

REFUSED = """
species = [6, 7, 8, 14, 16]
expansion, spectrum = density(12, 8, species), orbas.PowerSpectrum(density(12, 4, species))
large = method in ("density", "power spectrum")
few, many = silicon(1), silicon(16 if large else 15)
directions = np.ones((1_000_000, 3))
calls = {
    "density": lambda size: expansion.transform([many if size else few]),
    "power spectrum": lambda size: [spectrum.transform([many if size else few]).values],
    "neighbor list": lambda size: orbas.neighbor_list("ijSDd", many if size else few, 13.0 if size else 4.0),
    "harmonics": lambda size: orbas.spherical_harmonics(directions if size else directions[:9], 12, gradients=True),
}
call = calls[method]

def numbers(result):
    arrays = [block.values for block in result.values()] if method == "density" else result
    return np.concatenate([np.ravel(array) for array in arrays])

before = numbers(call(0))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
refused = 0
for _ in range(3):
    try:
        call(1)
    except MemoryError:
        refused += 1
print(json.dumps([refused, bool(np.array_equal(numbers(call(0)), before))]))
"""


@pytest.mark.parametrize("method", ["density", "power spectrum", "neighbor list", "harmonics"])
def test_too_much_is_a_memory_error_and_the_process_lives(method):
    """Results of 1.3 to 2 GB in an address space of 1 GiB, three times; small work goes on as before."""
    assert run(REFUSED, method=method) == [3, True]


# ------------------------------------------------------------------ a budget [32]

STREAMED = """
crystal, spectrum = silicon(5), orbas.PowerSpectrum(density(8, 6, [14]))
weights = np.linspace(-1, 1, 7 * 36)[None, :]
sums, environments = np.zeros(7 * 36), 0
while environments < 1_000_000:
    chunk = [crystal] * 20
    features = spectrum.transform(chunk)
    sums += features.values.sum(axis=0)
    environments += len(features.values)
exact = bool(np.allclose(sums, (environments // 1000) * spectrum.transform([crystal]).values.sum(axis=0), rtol=1e-10))
print(json.dumps([environments, exact, peak()]))
"""


def test_a_million_environments_in_half_a_gigabyte():
    """Their features are 2 GB; a chunk of 20,000 environments has 40 MB of them."""
    environments, exact, peak = run(STREAMED)
    assert (environments, exact) == (1_000_000, True)
    assert peak <= 1.1 * 500 * MEGABYTE


# ------------------------------------------------------------------ leaks [33]

REPEATED = """
atoms = ase.build.molecule("H2O")
spectrum = orbas.PowerSpectrum(density(2, 1, [1, 8]))
weights = np.ones((2, 2 * 10))
calls = {
    "density": lambda: spectrum.density.transform([atoms]),
    "power spectrum": lambda: spectrum.transform([atoms]),
    "energies": lambda: spectrum.linear_energies([atoms], weights),
    "neighbor list": lambda: orbas.neighbor_list("ijSDd", atoms, 4.0),
    "harmonics": lambda: orbas.spherical_harmonics(atoms.positions + 1.0, 4, gradients=True),
    "a new expansion": lambda: orbas.PowerSpectrum(density(2, 1, [1, 8])).transform([atoms]),
    "an error": lambda: refused(),
}

def refused():
    try:
        spectrum.transform([ase.Atoms("Si")])
    except ValueError:
        pass

growth = {}
for name, call in calls.items():
    repeats = 300 if name == "a new expansion" else 10_000
    for _ in range(repeats // 10):
        call()
    before = resident()
    for _ in range(repeats):
        call()
    growth[name] = resident() - before
print(json.dumps(growth))
"""


def test_repeated_calls_do_not_leak():
    growth = run(REPEATED)
    assert {name: grown for name, grown in growth.items() if grown > 5 * MEGABYTE} == {}
