"""Odd structures, bad numbers, threads, forks, interrupts, panics (docs/reliability.md, rows 18 to 30)."""

from __future__ import annotations

import math
import multiprocessing
import re
import signal
import sys
import time

import ase
import ase.build
import numpy as np
import orbas
import pytest
from oracle import Setup, by_degree, relative_error

SETUP = Setup(species=(1, 6, 8), max_angular=3, n_radial=4)


def values(frames, setup=SETUP):
    return by_degree(setup.density().transform(frames), frames)


def spectrum(frames, setup=SETUP):
    return orbas.PowerSpectrum(setup.density()).transform(frames).values


def names(error, *numbers):
    """Whether the message contains these numbers as words of their own."""
    found = re.findall(r"(?<![\w.])\d+(?![\w.]*\d)", str(error.value))
    return all(str(number) in found for number in numbers)


# ------------------------------------------------------------------ odd structures [18, 20, 21]


@pytest.mark.parametrize("cell", [None, [30.0, 30.0, 30.0]])
def test_isolated_atoms(cell):
    alone = ase.Atoms("O", cell=cell, pbc=cell is not None)
    reference = SETUP.coefficients([ase.Atoms("O")])
    assert relative_error(values([alone]), reference) <= 1e-8
    apart = ase.Atoms("O2", positions=[[0, 0, 0], [9, 0, 0]], cell=cell, pbc=cell is not None)
    for c, single in zip(values([apart]), values([alone]), strict=True):
        assert np.array_equal(c, np.concatenate([single, single]))


def test_empty_structures_among_others(molecules):
    frames = [ase.Atoms(), molecules[0], ase.Atoms(cell=[3, 3, 3], pbc=True), molecules[1], ase.Atoms()]
    features = orbas.PowerSpectrum(SETUP.density()).transform(frames)
    assert np.array_equal(features.values, spectrum(molecules[:2]))
    assert sorted(set(features.samples[:, 0].tolist())) == [1, 3]
    assert np.count_nonzero(features.per_structure()[[0, 2, 4]]) == 0


@pytest.mark.parametrize("frames", [[], [ase.Atoms()], [ase.Atoms(), ase.Atoms()]])
def test_nothing_at_all(frames):
    """Species are known: no samples, the right number of features."""
    features = orbas.PowerSpectrum(SETUP.density()).transform(frames)
    assert features.values.shape == (0, 4 * 12 * 13 // 2)
    assert features.samples.shape == (0, 2)
    assert features.per_structure().shape == (len(frames), 3 * features.values.shape[1])
    for block in SETUP.density().transform(frames).values():
        assert block.values.shape[0] == 0


def test_nothing_at_all_and_no_species():
    with pytest.raises(ValueError, match=r"(?i)species|structure|empty|atom"):
        Setup().density().transform([])


@pytest.mark.parametrize("distance", [1e-6, 1e-3, 0.1])
def test_very_close_atoms_are_finite(distance):
    frames = [ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, distance]])]
    assert relative_error(values(frames)[0], SETUP.coefficients(frames)[0]) <= 1e-7
    assert all(np.isfinite(c).all() for c in values(frames))


@pytest.mark.parametrize("shift", [0, 1])
def test_coincident_atoms_are_named(shift, molecules):
    """Also when they coincide only through a lattice vector."""
    positions = [[0, 0, 0], [1, 1, 1], [2, 2, 2], [1 + 4 * shift, 1, 1]]
    bad = ase.Atoms("H4", positions=positions, cell=[4, 4, 4], pbc=True)
    with pytest.raises(ValueError, match=r"\d") as error:
        SETUP.density().transform([*molecules[:2], bad])
    assert names(error, 2, 1, 3)


@pytest.mark.parametrize("far", [1e6, 1e9])
def test_far_atom_changes_nothing(far, molecules):
    atoms = molecules[3]
    extended = atoms + ase.Atoms("H", positions=[[far, -far, far]])
    assert relative_error(spectrum([extended])[:-1], spectrum([atoms])) <= 1e-13


def test_huge_cell_is_like_none(molecules):
    atoms = molecules[3].copy()
    free = spectrum([atoms])
    atoms.set_cell([1e6, 1e6, 1e6])
    atoms.pbc = True
    assert relative_error(spectrum([atoms]), free) <= 1e-9


@pytest.mark.parametrize(
    "cell",
    [
        np.zeros((3, 3)),
        [[4, 0, 0], [8, 0, 0], [0, 0, 4]],
        [[4, 0, 0], [0, 4, 0], [4, 4, 0]],
        [[4, 0, 0], [0, 4, 0], [0, 0, 0]],
    ],
    ids=["zero", "parallel", "flat", "missing"],
)
def test_singular_periodic_cells_are_refused(cell, molecules):
    bad = ase.Atoms("H", cell=cell, pbc=True)
    with pytest.raises(ValueError, match="cell") as error:
        SETUP.density().transform([molecules[0], bad])
    assert names(error, 1)


# ------------------------------------------------------------------ bad numbers [19, 22]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("method", ["density", "spectrum", "fit"])
def test_bad_positions_name_structure_and_atom(bad, method, molecules):
    frames = [atoms.copy() for atoms in molecules[:4]]
    frames[3].positions[5, 1] = bad
    setup = SETUP.density()
    call = {
        "density": setup.transform,
        "spectrum": orbas.PowerSpectrum(setup).transform,
        "fit": orbas.OptimalBasis(setup, n_optimal=2).fit,
    }[method]
    with pytest.raises(ValueError, match="position") as error:
        call(frames)
    assert names(error, 3, 5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_bad_cells_name_the_structure(bad, molecules):
    cell = np.eye(3) * 6
    cell[1, 2] = bad
    frames = [*molecules[:2], ase.Atoms("H", cell=cell, pbc=True)]
    with pytest.raises(ValueError, match="cell") as error:
        SETUP.density().transform(frames)
    assert names(error, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_neighbor_list_refuses_bad_positions(bad, molecules):
    atoms = molecules[3].copy()
    atoms.positions[4, 0] = bad
    for function in (orbas.neighbor_list, orbas.brute_force_neighbor_list):
        with pytest.raises(ValueError, match="position") as error:
            function("ij", atoms, 3.0)
        assert names(error, 4)


@pytest.mark.parametrize("method", ["density", "spectrum", "fit"])
def test_unknown_species_lists_the_known(method, molecules):
    setup = SETUP.density()
    call = {
        "density": setup.transform,
        "spectrum": orbas.PowerSpectrum(setup).transform,
        "fit": orbas.OptimalBasis(setup, n_optimal=2).fit,
    }[method]
    with pytest.raises(orbas.UnknownSpeciesError) as error:
        call([molecules[0], molecules[1], molecules[4]])  # NH3
    assert isinstance(error.value, ValueError)
    assert names(error, 2, 7, 1, 6, 8)


@pytest.mark.parametrize("frames", [None, 3, "CH4", [1, 2], [None], np.zeros((4, 3))], ids=repr)
def test_not_structures(frames):
    with pytest.raises((TypeError, ValueError)):
        SETUP.density().transform(frames)


def test_structures_are_left_alone(molecules, systems):
    for atoms in (molecules[3].copy(), systems("crystal")):
        before = atoms.copy()
        Setup().density().transform([atoms])
        orbas.neighbor_list("ijS", atoms, 3.0)
        assert atoms == before


# ------------------------------------------------------------------ threads, forks [24, 27]


@pytest.mark.parametrize("name", ["silicon", "molecules"])
def test_any_number_of_threads_gives_the_same_bits(name, systems, molecules, threads):
    frames = molecules if name == "molecules" else [systems("silicon")]
    setup = Setup(max_angular=4, n_radial=6, species=(1, 6, 7, 8) if name == "molecules" else (14,))
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        assert orbas.get_num_threads() == n
        small = orbas.OptimalBasis(setup.density(), n_optimal=3).fit(frames)
        results.append([*values(frames, setup), spectrum(frames, setup), *small.contraction_])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(other, results[0], strict=True))


@pytest.mark.parametrize("n", [0, -1, 1.5])
def test_bad_numbers_of_threads(n):
    before = orbas.get_num_threads()
    with pytest.raises((ValueError, TypeError, OverflowError)):
        orbas.set_num_threads(n)
    assert orbas.get_num_threads() == before


def _child(density, frames, expected):
    got = orbas.PowerSpectrum(density).transform(frames).values
    sys.exit(0 if np.array_equal(got, expected) else 3)


def test_fifty_forks_after_warming_up(molecules, threads):
    threads(2)
    density = Setup(species=(1, 6, 7, 8), n_radial=4, max_angular=3).density()
    expected = orbas.PowerSpectrum(density).transform(molecules).values
    fork = multiprocessing.get_context("fork")
    for _ in range(50):
        child = fork.Process(target=_child, args=(density, molecules, expected))
        child.start()
        child.join(timeout=20)
        hangs = child.is_alive()
        if hangs:
            child.kill()
            child.join()
        assert not hangs, "a forked child hangs"
        assert child.exitcode == 0
    assert np.array_equal(orbas.PowerSpectrum(density).transform(molecules).values, expected)


# ------------------------------------------------------------------ interrupts, panics [28, 30]


def _interrupt(signum, frame):
    raise KeyboardInterrupt


def interrupted_after(seconds, call):
    """How long the call still took after the signal; fails if it was not interrupted."""
    before = signal.signal(signal.SIGALRM, _interrupt)
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        return time.perf_counter() - start - seconds
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("method", ["transform", "fit"])
def test_keyboard_interrupt(method, systems, threads):
    """The only test with a clock: 0.3 s is the goal, 1 s the bound for a busy machine."""
    threads(1)
    density = Setup(radius=16.0, max_angular=8, n_radial=10, species=(14,)).density(1e-4)
    atoms = systems("silicon")
    expected = density.transform([atoms])  # makes the splines
    start = time.perf_counter()
    density.transform([atoms])
    once = max(time.perf_counter() - start, 1e-3)
    frames = [atoms] * min(200, 2 + math.ceil(4 / once))  # some seconds of work
    call = density.transform if method == "transform" else orbas.OptimalBasis(density, n_optimal=2).fit
    assert interrupted_after(0.2, lambda: call(frames)) <= 1.0
    for key, block in density.transform([atoms]).items():
        assert np.array_equal(block.values, expected[key].values)


def test_injected_panic_is_an_error_and_the_library_lives(molecules):
    import orbas._core

    before = spectrum(molecules[:4])
    for _ in range(3):
        with pytest.raises(orbas.InternalError) as error:
            orbas._core._panic_for_tests()
        assert isinstance(error.value, RuntimeError)
    assert np.array_equal(spectrum(molecules[:4]), before)


# ------------------------------------------------------------------ import
