"""The driver against ase's server of i-PI's protocol, over real sockets (docs/reliability.md, row 47)."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid

import ase.build
import numpy as np
import pytest
from ase import units
from ase.calculators.calculator import InputError
from ase.calculators.socketio import SocketIOCalculator
from ase.constraints import FixAtoms
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


# --- servers that say something else


class Server(threading.Thread):
    """Sends bytes to the first driver that comes, and reads nothing; or lets a function talk to it."""

    def __init__(self, talk):
        super().__init__(daemon=True)
        self.talk = talk
        self.listener = socket.socket()
        self.listener.bind(("localhost", 0))
        self.listener.listen(1)
        self.port = self.listener.getsockname()[1]

    def run(self):
        connection, _ = self.listener.accept()
        with connection:
            if callable(self.talk):
                self.talk(connection)
            else:
                connection.sendall(self.talk)
            with contextlib.suppress(OSError):  # the driver has gone
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        self.listener.close()


def answered(talk, atoms=None, **options):
    server = Server(talk)
    server.start()
    return run_driver(
        silicon_potential(), crystal() if atoms is None else atoms, port=server.port, timeout=5, **options
    )


def posdata(positions=None, count=None, cell=None):
    atoms = crystal()
    positions = atoms.positions if positions is None else positions
    cell = atoms.cell.array if cell is None else cell
    parts = [cell.T / units.Bohr, np.eye(3)]
    numbers = b"".join(np.ascontiguousarray(part, dtype=np.float64).tobytes() for part in parts)
    count = np.array([len(positions) if count is None else count], dtype=np.int32).tobytes()
    return message("POSDATA") + numbers + count + (positions / units.Bohr).astype(np.float64).tobytes()


def message(text):
    return text.encode("latin-1").ljust(12)


def nan_position():
    positions = crystal().positions
    positions[7, 1] = np.nan
    return positions


INIT = message("INIT") + np.array([3, 5], dtype=np.int32).tobytes() + b"hello"
WRONG = {
    "another program": (b"HTTP/1.1 400 Bad Request\r\n", "says 'HTTP/1.1 400', .*is another program listening there"),
    "no text": (b"\xff\x00\x81" * 4, "which i-PI's protocol does not know"),
    "lower case": (message("posdata"), "says 'posdata'"),
    "forces of nothing": (message("GETFORCE"), r"asks for forces \(GETFORCE\) of positions that it did not send"),
    "no atoms": (posdata(np.zeros((0, 3))), "sends 0 atoms, the structure of the driver has 64"),
    "minus one atom": (posdata(count=-1), "sends -1 atoms"),
    "two thousand million atoms": (posdata(count=2**31 - 1), "sends 2147483647 atoms"),
    "NaN": (posdata(nan_position()), "position of atom 7 that is not finite: its run has exploded"),
    "NaN cell": (posdata(cell=np.full((3, 3), np.inf), positions=crystal().positions), "cell that is not finite"),
    "a flat cell": (posdata(cell=np.diag([5.0, 5.0, 0.0])), "cell"),
    "initialization of -1 bytes": (message("INIT") + np.array([0, -1], dtype=np.int32).tobytes(), "announces -1 bytes"),
    "endless initialization": (message("INIT") + np.array([0, 2**31 - 1], dtype=np.int32).tobytes(), "announces 21"),
}
CUT = {
    "in a message": message("STATUS")[:5],
    "in the cell": posdata()[:50],
    "in positions": posdata()[:-8],
    "in an initialization": INIT[:-1],
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_message_of_the_protocol(name):
    talk, expected = WRONG[name]
    with pytest.raises((ValueError, InputError), match=expected):
        answered(talk)


@pytest.mark.parametrize("name", CUT)
def test_connections_that_end_in_the_middle(name):
    with pytest.raises(ConnectionError, match="ended the connection in the middle of a message"):
        answered(CUT[name])


@pytest.mark.parametrize("talk", [b"", message("EXIT"), INIT, INIT + message("STATUS"), posdata() + message("EXIT")])
def test_every_goodbye_is_one(talk):
    assert answered(talk) == (1 if talk[:7] == b"POSDATA" else 0)


def test_a_server_that_goes_while_it_is_answered():
    def leave(connection):
        connection.sendall(posdata())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # the next close is a reset
        connection.shutdown(socket.SHUT_RD)

    assert answered(leave) == 1


def test_a_server_that_says_nothing():
    listener = socket.socket()
    listener.bind(("localhost", 0))
    listener.listen(1)
    with listener, pytest.raises(TimeoutError, match=r"the server said nothing for 0\.05 s"):
        run_driver(silicon_potential(), crystal(), port=listener.getsockname()[1], timeout=0.05)


def test_labels_and_constraints_of_the_start_do_not_matter(where):
    atoms = crystal()
    atoms.info["REF_energy"] = 5.0
    atoms.set_constraint(FixAtoms(range(30)))
    free = crystal()
    with SocketIOCalculator(timeout=30, **where) as free.calc:
        driver = Driver(atoms, **where)
        driver.start()
        forces = free.get_forces()
    driver.join(30)
    np.testing.assert_allclose(forces, silicon_potential().evaluate([crystal()]).forces[0], rtol=0, atol=1e-10)


def test_beads_that_take_turns_go_on(where):
    """Four copies of a structure, half an Å apart, as of a path integral: each is looked at once."""
    beads = [crystal(rattle=0.2 * k) for k in range(4)]
    for k, atoms in enumerate(beads):
        atoms.positions[0, 0] += 0.5 * k
    potential = silicon_potential()
    calculator = potential.calculator(on_extrapolation="ignore")
    for step in range(5):
        for atoms in beads:
            atoms.rattle(0.01, seed=step)
            calculator.get_potential_energy(atoms)
    assert potential.n_looked == 4
