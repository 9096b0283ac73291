"""Chunks in threads and processes give the same bits as one call (docs/reliability.md, row 25)."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import ase
import ase.build
import joblib
import numpy as np
import orbas
import pytest
from oracle import Setup

SPECIES = (1, 6, 7, 8)
SETUP = Setup(species=SPECIES, max_angular=2, n_radial=3, radius=3.5)
SPECTRUM = orbas.PowerSpectrum(SETUP.density(spline_accuracy=1e-4))
WEIGHTS = np.random.default_rng(0).normal(size=(len(SPECIES), 3 * 12 * 13 // 2))
WORKERS = 2


@pytest.fixture(scope="module")
def frames():
    """A thousand and one structures, so that chunks of 1,000 leave a rest; every tenth is a crystal."""
    kinds = [ase.build.molecule(name) for name in ("H2O", "CH4", "NH3", "CO2", "C2H4", "N2", "CH3OH", "HCN", "H2CO")]
    kinds.append(ase.Atoms("CO", scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.6]], cell=[2.6, 2.8, 3.0], pbc=True))
    result = []
    for k in range(1001):
        atoms = kinds[k % 10].copy()
        atoms.rattle(0.05, seed=k)
        result.append(atoms)
    return result


def density_of(frames):
    """Coefficients of every l, rows in the order of the atoms."""
    blocks = SPECTRUM.density.transform(frames)
    rows = np.concatenate([[0], np.cumsum([len(atoms) for atoms in frames])])
    result = []
    for l in range(SETUP.max_angular + 1):
        parts = [(block.samples, block.values) for key, block in blocks.items() if key.o3_lambda == l]
        values = np.zeros((rows[-1], *parts[0][1].shape[1:]))
        for samples, block in parts:
            values[rows[samples[:, 0]] + samples[:, 1]] = block
        result.append(values)
    return result


def features_of(frames):
    return [SPECTRUM.transform(frames).values]


def energies_of(frames):
    result = SPECTRUM.linear_energies(frames, WEIGHTS)
    return [np.concatenate(result.atoms), np.concatenate(result.forces), result.virials]


def work(frames):
    """What a worker does; it must be found by name in another process."""
    return [*density_of(frames), *features_of(frames), *energies_of(frames)]


def in_threads(jobs):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, jobs))


def in_spawned_processes(jobs):
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, jobs, chunksize=8))


def in_loky(jobs):
    return joblib.Parallel(WORKERS, backend="loky")(joblib.delayed(work)(job) for job in jobs)


def in_this_process(jobs):
    return [work(job) for job in jobs]


@pytest.mark.parametrize("executor", [in_this_process, in_threads, in_spawned_processes, in_loky])
def test_chunks_and_executors_give_the_same_bits(executor, frames):
    """Chunks of one structure for the first of them, of 7 and of 1,000 for all."""
    cuts = [(frames[:100], 1), (frames, 7), (frames, 1000)]
    jobs = [some[k : k + size] for some, size in cuts for k in range(0, len(some), size)]
    results = iter(executor(jobs))
    for some, size in cuts:
        parts = [next(results) for _ in range(0, len(some), size)]
        for pieces, whole in zip(zip(*parts, strict=True), work(some), strict=True):
            assert np.array_equal(np.concatenate(pieces), whole), size
    assert next(results, None) is None


def test_threads_of_both_kinds_at_once(frames, threads):
    """Python's threads share the pool of the core, whatever its size."""
    some = frames[:200]
    expected = work(some)
    for n in (1, 2, 3):
        threads(n)
        for result in in_threads([some] * 8):
            assert all(np.array_equal(a, b) for a, b in zip(result, expected, strict=True))
