"""A client of i-PI and of every other code that speaks its protocol: positions come in, energies and forces go out.

The protocol, sockets and atomic units are those of ``ase.calculators.socketio``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ase.calculators.socketio import IPIProtocol, SocketClient

if TYPE_CHECKING:
    from ase import Atoms

    from orbas.base.blocks import FloatArray
    from orbas.models.potential import Potential

#: Where i-PI listens unless told otherwise.
DEFAULT_PORT = 31415


def run_driver(
    potential: Potential,
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
        If nobody listens there, or for ``timeout``.
    ValueError
        If the server sends another number of atoms.
    ase.calculators.calculator.CalculatorError
        As :class:`orbas.calculators.OrbasCalculator`.
    """
    own = atoms.copy()
    own.calc = potential.calculator(**options)
    client = SocketClient(host=host, port=port, unixsocket=unixsocket, timeout=timeout)
    if unixsocket is None:
        # Answers are several short messages: sent one by one they would wait for each other, 40 ms on Linux.
        client.protocol.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.protocol = _Protocol(client.protocol.socket, len(own))
    return len([None for _ in client.irun(own, use_stress=all(own.pbc))])


class _Protocol(IPIProtocol):
    """Counts atoms: one alone would otherwise be taken for all."""

    def __init__(self, connection: Any, n_atoms: int) -> None:
        super().__init__(connection)
        self.n_atoms = n_atoms

    def recvposdata(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        cell, inverse, positions = super().recvposdata()
        if len(positions) != self.n_atoms:
            raise ValueError(
                f"the server sends {len(positions)} atoms, the structure of the driver has {self.n_atoms}: "
                "give the one that the server simulates"
            )
        return cell, inverse, positions
