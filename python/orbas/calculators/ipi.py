"""A client of i-PI and of every other code that speaks its protocol: positions come in, energies and forces go out.

The protocol and its atomic units are those of ``ase.calculators.socketio``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.socketio import IPIProtocol, SocketClosed, actualunixsocketname

from orbas.base.fields import checked
from orbas.base.kinds import Integer, Maybe, Number
from orbas.calculators.ase_calculator import OrbasCalculator
from orbas.structures.geometry import without_labels

if TYPE_CHECKING:
    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.calculators.engine import Evaluator

#: Where i-PI listens unless told otherwise.
DEFAULT_PORT = 31415
_MESSAGES = ("STATUS", "INIT", "POSDATA", "GETFORCE", "EXIT")
#: Bytes of an initialization that somebody could mean.
_MOST_BYTES = 2**24


def run_driver(
    potential: Evaluator,
    atoms: Atoms,
    *,
    unixsocket: str | None = None,
    host: str = "localhost",
    port: int = DEFAULT_PORT,
    timeout: float | None = None,
    **options: Any,
) -> int:
    """Answer a server until it says goodbye or closes the connection.

    The protocol sends cell and positions only, so that species, their order and ``pbc`` are those of ``atoms``. The
    virial is sent if ``atoms`` is periodic in three directions, else zeros.

    Parameters
    ----------
    potential
        A fitted model.
    atoms
        The structure that the server simulates, in the same order. Not changed.
    unixsocket
        Name of a Unix socket, which is ``/tmp/ipi_<name>``; then host and port do not matter.
    host, port
        Of an internet socket.
    timeout
        Seconds without a word of the server after which to give up; None waits forever.
    **options
        Those of :class:`orbas.calculators.OrbasCalculator`.

    Returns
    -------
    int
        How many structures were answered.

    Raises
    ------
    OSError
        If nobody listens there, for ``timeout``, or if the connection ends in the middle of a message.
    ValueError
        If the server sends what is no message of the protocol, another number of atoms, or numbers that are not finite.
    ase.calculators.calculator.CalculatorError
        As :class:`orbas.calculators.OrbasCalculator`.

    Examples
    --------
    >>> import threading
    >>> import uuid
    >>> from ase.calculators.socketio import SocketIOCalculator
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(3)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=15)
    >>> model = orbas.models.LinearPotential(orbas.PowerSpectrum(density)).fit(frames)
    >>> atoms, template, name = frames[0].copy(), frames[0].copy(), f"orbas_{uuid.uuid4().hex}"
    >>> with SocketIOCalculator(unixsocket=name, timeout=30) as server:
    ...     options = {"unixsocket": name, "timeout": 30, "on_extrapolation": "ignore"}
    ...     driver = threading.Thread(target=orbas.calculators.run_driver, args=(model, template), kwargs=options)
    ...     driver.start()
    ...     atoms.calc = server
    ...     energy = atoms.get_potential_energy()
    >>> driver.join()
    >>> bool(abs(energy - model.evaluate([atoms]).structures[0]) < 1e-9)
    True
    """
    checked(Integer(1, 65535), "port", port)
    checked(Maybe(Number(1e-3, 1e9, "s"), meaning="forever"), "timeout", timeout)
    own = without_labels(atoms)
    own.set_constraint()  # the server moves the atoms
    own.calc = OrbasCalculator(potential, **options)
    place = actualunixsocketname(unixsocket) if unixsocket is not None else f"{host}:{port}"
    with _connect(place, unixsocket, host, port) as connection:
        connection.settimeout(timeout)
        try:
            return _serve(_Protocol(connection, len(own)), own)
        except TimeoutError as error:
            raise TimeoutError(f"{place}: the server said nothing for {timeout:g} s") from error
        except (SocketClosed, ConnectionError) as error:
            raise ConnectionResetError(
                f"{place}: the server ended the connection in the middle of a message"
            ) from error
        except ValueError as error:
            error.add_note(f"said by what listens at {place}")
            raise


def _connect(place: str, unixsocket: str | None, host: str, port: int) -> socket.socket:
    """Return a socket to the server."""
    try:
        if unixsocket is None:
            connection = socket.create_connection((host, port))
            # Answers are several short messages: sent one by one they would wait for each other, 40 ms on Linux.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(place)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        reason = f"{error.strerror or error}: no server can be reached there; start it first"
        raise OSError(error.errno, reason, place) from error
    return connection


def _serve(protocol: _Protocol, atoms: Atoms) -> int:
    """Answer messages until the server says goodbye; return how many structures were answered."""
    answered, answer = 0, None
    while True:
        message = protocol.next_message()
        if message == "EXIT":
            return answered
        if message == "STATUS":
            protocol.sendmsg("READY" if answer is None else "HAVEDATA")
        elif message == "INIT":
            protocol.recvinit()  # a bead, and text that depends on the server: nothing that a potential needs
        elif message == "POSDATA":
            cell, _, positions = protocol.recvposdata()
            atoms.cell[:] = cell
            atoms.positions[:] = positions
            answer = _answer(atoms)
            answered += 1
        elif message == "GETFORCE":
            if answer is None:
                raise ValueError("the server asks for forces (GETFORCE) of positions that it did not send (POSDATA)")
            protocol.sendforce(*answer)
            answer = None
        else:
            raise ValueError(
                f"the server says {message!r}, which i-PI's protocol does not know ({', '.join(_MESSAGES)}): "
                "is another program listening there?"
            )


def _answer(atoms: Atoms) -> tuple[float, FloatArray, FloatArray]:
    """Return energy, forces and the virial of the protocol, minus ours."""
    energy, forces, virial = atoms.get_potential_energy(), atoms.get_forces(), np.zeros((3, 3))
    if all(atoms.pbc):
        virial = -abs(np.linalg.det(atoms.cell.array)) * atoms.get_stress(voigt=False)
    return energy, forces, virial


class _Protocol(IPIProtocol):
    """Checks what comes in before it is used or memory is made for it."""

    def __init__(self, connection: socket.socket, n_atoms: int) -> None:
        super().__init__(connection)
        self.n_atoms = n_atoms

    def next_message(self) -> str:
        """Return the next message; a connection that ends between two is a goodbye."""
        try:
            first = self.socket.recv(1)
        except ConnectionError:
            first = b""
        if not first:
            return "EXIT"
        header: bytes = first + self._recvall(11)
        return header.decode("ascii", errors="backslashreplace").rstrip()

    def recvinit(self) -> tuple[int, bytes]:
        bead, n_bytes = (int(self._numbers(1, np.int32)[0]) for _ in range(2))
        if not 0 <= n_bytes <= _MOST_BYTES:
            raise ValueError(f"the server announces {n_bytes} bytes of initialization (INIT)")
        return bead, self._recvall(n_bytes)

    def recvposdata(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        from ase import units

        cell, inverse = (self._numbers(9, np.float64).reshape(3, 3).T for _ in range(2))
        count = int(self._numbers(1, np.int32)[0])
        if count != self.n_atoms:
            raise ValueError(
                f"the server sends {count} atoms, the structure of the driver has {self.n_atoms}: "
                "give the one that the server simulates"
            )
        positions = self._numbers(3 * count, np.float64).reshape(count, 3)
        if not np.isfinite(cell).all():
            raise ValueError(f"the server sends a cell that is not finite: {cell.tolist()} Bohr")
        bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
        if bad.size:
            raise ValueError(f"the server sends a position of atom {bad[0]} that is not finite: its run has exploded")
        return cell * units.Bohr, inverse / units.Bohr, positions * units.Bohr

    def _numbers(self, count: int, dtype: Any) -> Any:
        return np.frombuffer(self._recvall(count * np.dtype(dtype).itemsize), dtype)
