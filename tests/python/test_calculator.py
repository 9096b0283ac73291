"""The contract of ase's calculators (docs/reliability.md, row 46), and what happens far from the training set."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
import warnings

import ase
import ase.io
import numpy as np
import orbas
import pytest
from ase.calculators.calculator import CalculatorSetupError, InputError, PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import ExpCellFilter, FrechetCellFilter
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS
from ase.phonons import Phonons
from orbas.calculators import ExtrapolationError, ExtrapolationWarning, OrbasCalculator
from orbas.models import Unknown
from silicon_potential import crystal, silicon_potential, skewed


@pytest.fixture
def potential():
    return silicon_potential()


@pytest.fixture
def atoms(potential):
    structure = skewed()
    structure.calc = potential.calculator()
    return structure


def free(n=3):
    """Return a cluster without periodicity."""
    return ase.Atoms("Si3", positions=[[0, 0, 0], [2.3, 0, 0], [0.4, 2.4, 0.3]])[:n]


# --- values


def test_values_are_those_of_the_potential(potential, atoms):
    atoms.calc = potential.calculator(skin=0)
    expected = potential.evaluate([atoms])
    assert atoms.get_potential_energy() == expected.structures[0]
    assert atoms.get_potential_energy(force_consistent=True) == expected.structures[0]
    np.testing.assert_array_equal(atoms.get_forces(), expected.forces[0])
    np.testing.assert_array_equal(atoms.get_potential_energies(), expected.atoms[0])
    np.testing.assert_array_equal(atoms.get_stress(), expected.stress([atoms])[0])
    np.testing.assert_array_equal(atoms.calc.virial, expected.virials[0])
    assert abs(atoms.get_potential_energies().sum() - atoms.get_potential_energy()) <= 1e-10


def test_shapes_and_types(atoms):
    n = len(atoms)
    assert isinstance(atoms.get_potential_energy(), float)
    assert atoms.get_forces().shape == (n, 3)
    assert atoms.get_stress().shape == (6,)
    assert atoms.get_stress(voigt=False).shape == (3, 3)
    assert atoms.get_potential_energies().shape == (n,)
    assert atoms.calc.get_property("extrapolation", atoms).shape == (n,)
    assert isinstance(atoms.calc.get_property("uncertainty", atoms), float)
    assert {"free_energy", "energies"} <= set(atoms.get_properties(["energy", "forces", "stress"]))


def test_forces_and_stress_are_derivatives(atoms):
    """Central differences of the energy, as ase takes them; their own error is about 1e-8 here."""
    forces = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 7])
    np.testing.assert_allclose(atoms.get_forces()[[0, 7]], forces, rtol=0, atol=1e-6)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, rtol=0, atol=1e-8)


def test_compressed_silicon_pushes_outwards(potential):
    atoms = crystal(rattle=0.0)
    atoms.set_cell(0.97 * atoms.cell, scale_atoms=True)
    atoms.calc = potential.calculator()
    assert (atoms.get_stress()[:3] < 0.0).all()


def test_small_structures(potential):
    for n in (0, 1, 3):
        atoms = free(n)
        atoms.calc = potential.calculator()
        assert atoms.get_forces().shape == (n, 3)
        assert "stress" not in atoms.calc.results


# --- caching


def test_nothing_is_computed_twice(potential, atoms):
    for _ in range(2):
        atoms.get_potential_energy()
        atoms.get_forces()
        atoms.get_stress()
        atoms.get_potential_energies()
        assert atoms.copy().info == {}
    assert (potential.n_evaluated, atoms.calc.n_evaluations) == (1, 1)
    atoms.calc.get_property("uncertainty", atoms)
    assert potential.n_evaluated == 1
    assert not atoms.calc.calculation_required(atoms, ["energy", "forces", "stress", "uncertainty"])


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda atoms: atoms.positions.__setitem__((0, 0), atoms.positions[0, 0] + 1e-9), True),
        (lambda atoms: atoms.set_cell(atoms.cell * 1.001), True),
        (lambda atoms: atoms.set_pbc([True, True, False]), True),
        (lambda atoms: atoms.__delitem__(0), True),
        (lambda atoms: atoms.set_velocities(np.ones((len(atoms), 3))), False),
        (lambda atoms: atoms.set_initial_magnetic_moments(np.ones(len(atoms))), False),
        (lambda atoms: atoms.set_initial_charges(np.ones(len(atoms))), False),
    ],
    ids=["position", "cell", "pbc", "atom", "velocities", "magnetic moments", "charges"],
)
def test_computed_again_after_a_change_that_matters(potential, atoms, change, again):
    before = atoms.get_potential_energy()
    change(atoms)
    after = atoms.get_potential_energy()
    assert potential.n_evaluated == 1 + again
    assert after == pytest.approx(potential.evaluate([atoms]).structures[0], abs=1e-10)
    assert again or after == before


def test_results_of_another_structure_do_not_stay(potential, atoms):
    calc = atoms.calc
    atoms.get_stress()
    calc.get_property("uncertainty", atoms)
    cluster = free()
    calc.calculate(cluster, ["energy"])
    assert not {"stress", "uncertainty"} & set(calc.results)
    assert calc.get_potential_energy(atoms) == pytest.approx(potential.evaluate([atoms]).structures[0], abs=1e-10)


def test_atoms_are_not_changed_and_arrays_are_copies(atoms):
    before = atoms.copy()
    kept = pickle.dumps((before.arrays, before.info, before.cell.array, before.pbc))
    atoms.get_stress()
    forces, energies = atoms.get_forces(), atoms.get_potential_energies()
    forces[:] = energies[:] = np.nan
    assert np.isfinite(atoms.get_forces()).all()
    assert np.isfinite(atoms.get_potential_energies()).all()
    assert pickle.dumps((atoms.arrays, atoms.info, atoms.cell.array, atoms.pbc)) == kept
    assert atoms.copy().calc is None


# --- neighbors remembered


def test_a_skin_changes_last_bits_only(potential):
    walk, rng = crystal(), np.random.default_rng(0)
    remembering, fresh = potential.calculator(skin=0.8), potential.calculator(skin=0)
    for step in range(60):
        walk.positions += 0.02 * rng.normal(size=(len(walk), 3))
        if step % 20 == 19:
            walk.wrap()
        assert abs(remembering.get_potential_energy(walk) - fresh.get_potential_energy(walk)) <= 1e-10
        assert abs(remembering.get_forces(walk) - fresh.get_forces(walk)).max() <= 1e-10
    assert remembering._memory[0].n_listed < 30


def test_without_a_skin_the_same_structure_has_the_same_bits(potential):
    atoms, other = crystal(), crystal(rattle=0.2)
    calc = potential.calculator(skin=0)
    energy, forces = calc.get_potential_energy(atoms), calc.get_forces(atoms)
    calc.get_potential_energy(other)
    assert calc.get_potential_energy(atoms) == energy
    np.testing.assert_array_equal(calc.get_forces(atoms), forces)


# --- at work in ase


@pytest.mark.parametrize("kind", [FrechetCellFilter, ExpCellFilter])
def test_cells_relax(atoms, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ase's, of ExpCellFilter
        relaxation = BFGS(kind(atoms), logfile=None)
    assert relaxation.run(fmax=1e-3, steps=200)
    assert abs(atoms.get_stress()).max() < 1e-4
    assert abs(atoms.get_forces()).max() <= 1e-3


def test_phonons(potential, tmp_path):
    """Many displaced copies with one calculator: three acoustic branches have no frequency at Gamma."""
    primitive = ase.build.bulk("Si")
    primitive.calc = potential.calculator()
    BFGS(FrechetCellFilter(primitive), logfile=None).run(fmax=1e-5)
    phonons = Phonons(primitive, primitive.calc, supercell=(2, 2, 2), delta=0.01, name=str(tmp_path / "phonons"))
    phonons.run()
    phonons.read(acoustic=True)
    energies = np.sort(np.abs(phonons.band_structure([[0, 0, 0]])[0]))
    assert energies[:3].max() < 1e-4 < 0.03 < energies[3:].min()
    assert np.ptp(energies[3:]) < 1e-4  # the optical ones are degenerate


def test_files_of_ase_take_what_was_asked_for(atoms, tmp_path):
    atoms.get_stress()
    SinglePointCalculator(atoms, **atoms.calc.results)
    for name in ("uncertainty", "extrapolation"):
        atoms.calc.get_property(name, atoms)
    assert "extrapolation" not in atoms.calc.export_properties()
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    with Trajectory(tmp_path / "a.traj", "w", atoms) as file:
        file.write()
    for name in ("a.xyz", "a.traj"):
        read = ase.io.read(tmp_path / name)
        np.testing.assert_allclose(read.get_forces(), atoms.get_forces(), rtol=0, atol=1e-7)


def test_copies(potential, atoms):
    energy = atoms.get_potential_energy()
    for other in (copy.deepcopy(atoms.calc), pickle.loads(pickle.dumps(atoms.calc)), copy.deepcopy(atoms).calc):
        assert other is not atoms.calc
        assert other._memory is None
        assert not other.calculation_required(atoms, ["energy"])
        assert other.parameters == atoms.calc.parameters
        other.reset()
        assert other.get_potential_energy(atoms) == pytest.approx(energy, abs=1e-10)
    assert atoms.calc._memory is not None


def energy_of(calculator, atoms):
    return calculator.get_potential_energy(atoms)


def test_other_processes(potential, atoms):
    plain = orbas.models.LinearPotential(**potential.get_params(deep=False))
    plain.__dict__.update(potential.__dict__)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(energy_of, (plain.calculator(skin=0, check_every=None), crystal()))
    assert found == potential.evaluate([crystal()]).structures[0]


# --- what is refused


def test_an_unknown_species_is_named(potential):
    carbide = crystal()
    carbide.symbols[5] = "C"
    carbide.calc = potential.calculator()
    with pytest.raises(
        InputError, match=r"Si5CSi58: structure 0, atom 5: species 6 \(C\) is unknown; known .* 14 \(Si\)"
    ):
        carbide.get_potential_energy()
    carbide.symbols[5] = "Si"
    assert np.isfinite(carbide.get_potential_energy())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_none(atoms, value):
    atoms.positions[3, 1] = value
    for _ in range(2):
        with pytest.raises(InputError, match="atom 3"):
            atoms.get_forces()


def test_coincident_atoms(atoms):
    atoms.positions[4] = atoms.positions[9]
    with pytest.raises(InputError, match=r"atoms? .*4"):
        atoms.get_forces()


@pytest.mark.parametrize("pbc", [False, [True, True, False]])
def test_no_stress_without_a_volume(atoms, pbc):
    atoms.set_pbc(pbc)
    with pytest.raises(PropertyNotImplementedError, match="not periodic in three directions"):
        atoms.get_stress()
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match="not periodic"):
        atoms.get_stress()


def test_other_properties(atoms):
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()
    with pytest.raises(InputError, match="no atoms yet"):
        OrbasCalculator(silicon_potential()).get_stress()


@pytest.mark.parametrize("wrong", [None, "model.orbas", 3, {}])
def test_what_is_no_potential(wrong):
    with pytest.raises(CalculatorSetupError, match=r"is no potential: .* orbas.load"):
        OrbasCalculator(wrong)


def test_not_fitted():
    with pytest.raises(CalculatorSetupError, match="fit"):
        orbas.models.LinearPotential(silicon_potential().representation).calculator()


@pytest.mark.parametrize(
    "options",
    [
        {"skin": -1.0}, {"skin": np.nan}, {"skin": np.inf}, {"skin": "1"}, {"skin": None}, {"check_every": 0},
        {"check_every": 2.5}, {"check_every": True}, {"on_extrapolation": "stop"}, {"on_extrapolation": None},
    ],
    ids=str,
)  # fmt: skip
def test_options_are_checked(potential, options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name} must be"):
        potential.calculator(**options)
    calc = potential.calculator()
    with pytest.raises(InputError, match=f"{name} must be"):
        calc.set(**options)
    with pytest.raises(InputError, match="unknown option 'cutoff'"):
        calc.set(cutoff=4.0)


def test_options_can_be_changed(atoms):
    atoms.get_potential_energy()
    assert atoms.calc.set(skin=0.5) == {"skin": 0.5}
    atoms.rattle(0.01, seed=9)
    atoms.get_potential_energy()
    assert atoms.calc._memory[0].skin == 0.5
    assert atoms.calc.set(skin=0.5) == {}
    assert atoms.calc.todict() == {"skin": 0.5, "check_every": 100, "on_extrapolation": "warn"}
    assert atoms.calc.name == "orbas"


# --- far from the training set


def moved(atoms, seed):
    atoms.rattle(1e-3, seed=seed)
    return atoms.get_potential_energy()


def test_a_warning_names_the_atom_and_comes_once(potential, atoms):
    potential.farthest = 3.25
    atoms.calc.set(check_every=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for seed in range(4):
            moved(atoms, seed)
    assert [warning.category for warning in caught] == [ExtrapolationWarning]
    assert [str(warning.message) for warning in caught] == [
        "Si16, evaluation 0, atom 15 (Si) is far from the training set: extrapolation 3.25, above 1 for 1 of 16 atoms; "
        "do not trust energy and forces"
    ]
    assert atoms.calc.largest_extrapolation == 3.25
    atoms.calc.reset()
    with pytest.warns(ExtrapolationWarning, match="evaluation 4"):
        moved(atoms, 4)


def test_raised(potential, atoms):
    atoms.calc.set(on_extrapolation="raise", check_every=2)
    moved(atoms, 0)
    potential.farthest = 1.5
    moved(atoms, 1)
    with pytest.raises(ExtrapolationError, match=r"evaluation 2, atom 15 \(Si\)"):
        moved(atoms, 2)
    with pytest.raises(ExtrapolationError, match="evaluation 2"):
        atoms.get_forces()
    atoms.calc.set(on_extrapolation="ignore")
    assert np.isfinite(atoms.get_potential_energy())
    assert atoms.calc.largest_extrapolation == 1.5


@pytest.mark.parametrize(("every", "looks"), [(1, 7), (3, 3), (100, 1), (None, 0)])
def test_how_often_it_looks(potential, atoms, every, looks):
    potential.farthest = 9.0
    atoms.calc.set(check_every=every, on_extrapolation="ignore")
    for seed in range(7):
        moved(atoms, seed)
        atoms.get_forces()
    assert potential.n_looked == looks
    assert atoms.calc.largest_extrapolation == (9.0 if looks else None)
    assert not {"extrapolation", "uncertainty"} & set(atoms.calc.results)


def test_inside_the_training_set_it_is_quiet(potential, atoms):
    potential.farthest = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atoms.get_potential_energy()
    assert atoms.calc.largest_extrapolation == 1.0


def test_a_potential_that_cannot_tell(potential, atoms, monkeypatch):
    def missing(frames):
        raise NotImplementedError

    monkeypatch.setattr(potential, "extrapolation", missing)
    with pytest.warns(UserWarning, match="CountingPotential has no extrapolation: nothing will tell"):
        atoms.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError, match="no extrapolation"):
        atoms.calc.get_property("extrapolation", atoms)
    atoms.calc.set(on_extrapolation="raise")
    atoms.calc.reset()
    atoms.calc.set(check_every=1)
    with pytest.raises(PropertyNotImplementedError, match="no extrapolation"):
        atoms.get_potential_energy()
    atoms.calc.set(check_every=None)
    assert np.isfinite(atoms.get_potential_energy())


# --- new structures are looked at


def compressed(atoms, factor):
    atoms.set_cell(atoms.cell * factor, scale_atoms=True)


NEW = {
    "another number of atoms": lambda atoms: atoms.__delitem__(0),
    "another cell": lambda atoms: compressed(atoms, 0.99),
    "another periodicity": lambda atoms: atoms.set_pbc([True, True, False]),
    "a jump of one atom": lambda atoms: atoms.positions.__setitem__((3, 1), atoms.positions[3, 1] + 0.4),
    "another order": lambda atoms: atoms.set_positions(atoms.positions[::-1]),
    "rattled": lambda atoms: atoms.rattle(0.2, seed=12),
}
GOES_ON = {
    "a step": lambda atoms: atoms.rattle(0.02, seed=3),
    "wrapped": lambda atoms: atoms.set_positions(atoms.positions + 0.01 - atoms.cell.array[0]),
    "a step of a barostat": lambda atoms: compressed(atoms, 1.0002),
    "wrapped in a new cell": lambda atoms: (compressed(atoms, 0.9999), atoms.wrap()),
}


@pytest.mark.parametrize("name", [*NEW, *GOES_ON])
def test_structures_that_do_not_go_on_are_looked_at(potential, atoms, name):
    atoms.get_potential_energy()
    (NEW | GOES_ON)[name](atoms)
    atoms.get_potential_energy()
    assert potential.n_looked == 1 + (name in NEW)


def test_a_box_around_a_cluster_does_not_matter(potential):
    atoms = free()
    atoms.calc = potential.calculator()
    for vacuum in (3.0, 5.0, 9.0):
        atoms.set_cell([vacuum] * 3)
        atoms.get_potential_energy()
    assert potential.n_looked == 1


def test_small_steps_far_away_are_looked_at(potential, atoms):
    """A scan: every step is small, the last structure is another one than the first."""
    for _ in range(50):
        atoms.positions[0, 2] += 0.1
        atoms.get_potential_energy()
    assert 3 <= potential.n_looked <= 5


def test_a_screening_is_looked_at_as_a_whole(potential):
    potential.farthest = 2.0
    calculator = potential.calculator(on_extrapolation="raise")
    for build in (crystal, skewed, free, crystal):
        with pytest.raises(ExtrapolationError):
            calculator.get_potential_energy(build())


def test_a_jump_that_was_refused_is_refused_again(potential, atoms):
    atoms.calc.set(on_extrapolation="raise")
    atoms.get_potential_energy()
    potential.farthest = 2.0
    atoms.rattle(0.2, seed=12)
    for _ in range(3):
        with pytest.raises(ExtrapolationError):
            atoms.get_potential_energy()


# --- what ase has no name for


def test_results_can_be_frozen_whatever_was_asked_for(potential, atoms):
    for name in ("uncertainty", "extrapolation", "stress", "energies", "free_energy"):
        atoms.calc.get_property(name, atoms)
        frozen = atoms.copy()
        frozen.calc = SinglePointCalculator(frozen, **atoms.calc.results)
        assert frozen.get_potential_energy() == atoms.get_potential_energy()
    assert {"uncertainty", "extrapolation"} <= set(atoms.calc.diagnostics)
    atoms.rattle(0.01, seed=5)
    assert atoms.calc.calculation_required(atoms, ["uncertainty"])
    atoms.get_potential_energy()
    assert not {"uncertainty", "extrapolation"} & set(atoms.calc.diagnostics)
    assert atoms.calc.get_property("uncertainty", atoms, allow_calculation=False) is None
    assert atoms.calc.get_property("uncertainty") == 0.16
    assert atoms.calc.get_property("uncertainty", crystal()) == 0.64


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_wait_for_the_memory_of_its_parent(potential, atoms):
    """The parent's neighbor memory may be locked by another of its threads: the child has its own."""
    atoms.get_potential_energy()
    memory = atoms.calc._memory
    child = os.fork()
    if child == 0:
        atoms.rattle(0.01, seed=1)
        good = np.isfinite(atoms.get_potential_energy()) and atoms.calc._memory is not memory
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert atoms.calc._memory is memory


# --- a calculator owns the fit that it was made of


@pytest.mark.parametrize("through", [lambda calc: calc, copy.deepcopy, lambda calc: pickle.loads(pickle.dumps(calc))])
def test_a_later_fit_does_not_reach_a_calculator(through):
    frames = orbas.datasets.silicon(40)
    model = orbas.models.LinearPotential(silicon_potential().representation, regularization=orbas.models.Fixed(1e-6))
    model.fit(frames[:20])
    atoms = crystal()
    expected, errors = model.evaluate([atoms]), model.uncertainty([atoms])
    calculator = through(model.calculator(check_every=None))
    model.fit(frames[20:])
    assert abs(model.evaluate([atoms]).structures[0] - expected.structures[0]) > 1e-3
    assert calculator.get_potential_energy(atoms) == pytest.approx(expected.structures[0], abs=1e-10)
    np.testing.assert_allclose(calculator.get_forces(atoms), expected.forces[0], rtol=0, atol=1e-10)
    assert calculator.get_property("uncertainty", atoms) == pytest.approx(errors[0], rel=1e-9)
    assert model.calculator().get_potential_energy(atoms) == pytest.approx(model.evaluate([atoms]).structures[0])


# --- threads and forks


def test_threads_that_share_a_calculator_get_their_own(potential):
    calculator = potential.calculator(check_every=None)
    builds = [crystal, skewed, free, lambda: crystal(rattle=0.1)]
    expected = [potential.evaluate([build()]).structures[0] for build in builds]
    wrong = []

    def work(k):
        for seed in range(15):
            atoms = builds[k]()
            if seed % 2:  # another structure of the same thread between two
                atoms.positions[0, 0] += 1e-3 * seed
                calculator.get_potential_energy(atoms)
            found = calculator.get_property("energy", builds[k]())
            if abs(found - expected[k]) > 1e-9:
                wrong.append((k, found))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_is_inside(potential, atoms, monkeypatch):
    """The child has the lock that the other thread holds, without the thread."""
    inside, leave = threading.Event(), threading.Event()
    evaluate = potential.evaluate

    def waiting(frames, **options):
        inside.set()
        leave.wait(10)
        return evaluate(frames, **options)

    atoms.get_potential_energy()
    with monkeypatch.context() as context:
        context.setattr(potential, "evaluate", waiting)
        thread = threading.Thread(target=lambda: atoms.calc.calculate(crystal(), ["energy"]))
        thread.start()
        inside.wait(10)
        child = os.fork()
        if child == 0:
            leave.set()
            os._exit(0 if np.isfinite(atoms.calc.get_property("energy", skewed(0.2))) else 1)
    leave.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_old_results_for_a_structure_that_could_not_be_computed(potential, atoms):
    atoms.get_potential_energy()
    broken = crystal()
    broken.positions[3] = np.nan
    with pytest.raises(InputError):
        atoms.calc.calculate(broken, ["energy"])
    assert atoms.calc.results == {}


# --- what cannot be known


@pytest.mark.parametrize("every", [1, 100, None])
def test_atoms_without_neighbors_are_said_once(potential, caplog, every):
    potential._record.told.clear()  # all of these tests share the fit
    far = ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 9.0]])
    calculator = potential.calculator(check_every=every, on_extrapolation="ignore")
    with caplog.at_level("WARNING", logger="orbas"):
        calculator.get_potential_energy(crystal())
        assert (caplog.messages, calculator.diagnostics["unknown"]) == ([], 0)
        for z in (9.0, 12.0, 15.0):
            far.positions[1, 2] = z
            calculator.get_potential_energy(far)
            assert Unknown.NO_NEIGHBORS in Unknown(calculator.diagnostics["unknown"])
        another = potential.calculator(on_extrapolation="ignore")
        another.get_potential_energy(far)
    assert len(caplog.messages) == 1
    assert "without any neighbor" in caplog.messages[0]
