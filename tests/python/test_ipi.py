"""The driver against ase's server of i-PI's protocol, over real sockets (row 47)."""

from __future__ import annotations

import socket
import threading
import uuid

import ase.build
import numpy as np
import pytest
from ase import units
from ase.calculators.calculator import InputError
from ase.calculators.socketio import SocketIOCalculator
from ase.md.verlet import VelocityVerlet
from orbas.calculators import run_driver
from silicon_potential import crystal, silicon_potential, skewed


class Driver(threading.Thread):
    """A driver in a thread; what it raises or returns is kept."""

    def __init__(self, atoms, **where):
        super().__init__(daemon=True)
        self.atoms, self.where, self.result = atoms, where, None

    def run(self):
        try:
            self.result = run_driver(silicon_potential(), self.atoms, timeout=30, **self.where)
        except Exception as error:
            self.result = error


@pytest.fixture(params=["unix", "inet"])
def where(request):
    if request.param == "unix":
        return {"unixsocket": f"orbas_{uuid.uuid4().hex}"}
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return {"port": free.getsockname()[1]}


def cluster():
    atoms = crystal(rattle=0.2)
    atoms.pbc = False
    return atoms


@pytest.mark.parametrize("build", [crystal, skewed, cluster])
def test_values_are_those_of_the_calculator(where, build):
    atoms, direct = build(), silicon_potential().calculator(skin=0)
    template = build()
    template.rattle(0.1, seed=8)  # positions of the template do not matter
    before = template.copy()
    with SocketIOCalculator(timeout=30, **where) as server:
        driver = Driver(template, **where)
        driver.start()
        atoms.calc = server
        for step in range(4):
            atoms.rattle(0.02, seed=step)
            if step == 2:
                atoms.set_cell(1.01 * atoms.cell, scale_atoms=True)
            assert abs(atoms.get_potential_energy() - direct.get_potential_energy(atoms)) <= 1e-10
            np.testing.assert_allclose(atoms.get_forces(), direct.get_forces(atoms), rtol=0, atol=1e-10)
            if all(atoms.pbc):
                np.testing.assert_allclose(atoms.get_stress(), direct.get_stress(atoms), rtol=0, atol=1e-12)
    driver.join(30)
    assert driver.result == 4
    assert template == before
    assert template.calc is None


def test_dynamics_of_a_server_are_those_without(where):
    remote, direct = crystal(), crystal()
    with SocketIOCalculator(timeout=30, **where) as remote.calc:
        driver = Driver(crystal(), **where)
        driver.start()
        VelocityVerlet(remote, 1.0 * units.fs).run(20)
    driver.join(30)
    assert driver.result == 21
    direct.calc = silicon_potential().calculator()
    VelocityVerlet(direct, 1.0 * units.fs).run(20)
    np.testing.assert_allclose(remote.positions, direct.positions, rtol=0, atol=1e-10)


@pytest.mark.parametrize("theirs", [ase.build.bulk("Si")[:1], ase.build.bulk("Si")], ids=["one", "two"])
def test_another_number_of_atoms_is_refused(where, theirs):
    with SocketIOCalculator(timeout=30, **where) as theirs.calc:
        driver = Driver(skewed(), **where)
        driver.start()
        with pytest.raises(OSError, match=r".*"):
            theirs.get_potential_energy()
    driver.join(30)
    assert isinstance(driver.result, ValueError)
    assert f"the server sends {len(theirs)} atoms, the structure of the driver has 16" in str(driver.result)


def test_an_unknown_species_ends_the_driver(where):
    atoms = skewed()
    carbide = skewed()
    carbide.symbols[2] = "C"
    with SocketIOCalculator(timeout=30, **where) as atoms.calc:
        driver = Driver(carbide, **where)
        driver.start()
        with pytest.raises(OSError, match=r".*"):
            atoms.get_potential_energy()
    driver.join(30)
    assert isinstance(driver.result, InputError)
    assert "atom 2: species 6 (C) is unknown" in str(driver.result)


def test_nobody_listens(where):
    with pytest.raises(OSError, match=r"refused|No such file"):
        run_driver(silicon_potential(), crystal(), **where)
