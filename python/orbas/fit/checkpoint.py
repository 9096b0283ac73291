"""Long fits that survive being killed: what was accumulated, in the container of models, in two generations.

A checkpoint belongs to one fit: settings, structures and labels are hashed, and a file of another fit is refused. As
the state is restored to the bit, so are the weights in the end.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.errors import ModelFileError
from orbas.files import container
from orbas.files.kinds import Content
from orbas.files.locks import locking
from orbas.files.replacing import is_swallowed
from orbas.fit.triangle import Triangle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from ase import Atoms

    from orbas.base.types import FloatArray, IntArray
    from orbas.fit.design import Design
    from orbas.fit.noise import Noise, Target

_LOG = logging.getLogger("orbas")
#: Structures whose rows are in the identity of a fit, about.
_N_SPEAKING = 16


class Checkpoint:
    """Where a fit keeps what it has done; to be entered by one fit at a time.

    It is a safety net: what cannot be written is one warning, and the fit goes on.

    Parameters
    ----------
    path
        The file; the generation before it is ``path`` + ``.previous``.
    identity
        From :func:`identity_of`.
    interval
        Seconds between two savings.
    """

    def __init__(self, path: Path, identity: str, interval: float = 30.0) -> None:
        self._generations = generations(path)
        self._identity = identity
        self._interval = interval
        self._saved = time.monotonic()
        self._warned = False
        self._held = ExitStack()

    def __enter__(self) -> Self:
        """Keep others out.

        Raises
        ------
        ValueError
            If another fit uses the file at this time.
        """
        try:
            self._held.enter_context(locking(self._generations[0]))
        except BlockingIOError:
            raise ValueError(
                f"checkpoint {self._generations[0]} is in use by another fit that runs: name another file"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Let others in."""
        self._held.close()

    def restore(self, triangles: list[Triangle]) -> int:
        """Fill the triangles from the youngest sound file; return how many structures they hold.

        Raises
        ------
        ValueError
            If a file belongs to another fit, or is no checkpoint.
        """

        def fill(document: dict[str, Any], tensors: dict[str, FloatArray]) -> None:
            triangles[:] = [
                Triangle.restored(tensors[f"factor_{k}"], tensors[f"waiting_{k}"], document["n_rows"][k])
                for k in range(len(triangles))
            ]

        return self._restore("triangles", fill)

    def restore_rows(self, rows: FloatArray) -> int:
        """Fill the first rows of a design matrix, [n_structures, n_columns]; as :meth:`restore`."""

        def fill(document: dict[str, Any], tensors: dict[str, FloatArray]) -> None:
            rows[: document["done"]] = tensors["rows"]

        return self._restore("rows", fill)

    def save(self, triangles: list[Triangle], done: int) -> None:
        """Write the state, if the last time is long enough ago."""
        if self._is_due():
            states = [triangle.state() for triangle in triangles]
            tensors = {f"factor_{k}": factor for k, (factor, _, _) in enumerate(states)}
            tensors |= {f"waiting_{k}": waiting for k, (_, waiting, _) in enumerate(states)}
            self._write({"state": "triangles", "done": done, "n_rows": [int(n) for _, _, n in states]}, tensors)

    def save_rows(self, rows: FloatArray, done: int) -> None:
        """Write the first rows of a design matrix, if the last time is long enough ago."""
        if self._is_due():
            self._write({"state": "rows", "done": done}, {"rows": rows[:done]})

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved >= self._interval

    def _restore(self, state: str, fill: Callable[[dict[str, Any], dict[str, FloatArray]], None]) -> int:
        for path in self._generations:
            try:
                contents = container.read(path, Content.CHECKPOINT)
            except FileNotFoundError:
                continue
            except ModelFileError as error:
                _check_replaced(path)
                _LOG.warning("checkpoint %s is damaged and not used: %s", path, error)
                continue
            document = contents.document
            if (document.get("identity"), document.get("state")) != (self._identity, state):
                raise ValueError(f"checkpoint {path} belongs to another fit: remove it, or name another file")
            try:
                fill(document, contents.tensors)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ValueError(f"checkpoint {path} is no sound one: remove it ({error})") from error
            _LOG.info("going on from %s: %d structures are done", path, document["done"])
            return int(document["done"])
        return 0

    def _write(self, document: dict[str, Any], tensors: dict[str, FloatArray]) -> None:
        path, previous = self._generations
        try:
            container.write(
                path, {"identity": self._identity, **document}, tensors, Content.CHECKPOINT, backup=previous
            )
        except (OSError, ValueError, MemoryError) as error:
            if not self._warned:
                _LOG.warning("the checkpoint cannot be written, and the fit goes on without it: %s", error)
            self._warned = True
        self._saved = time.monotonic()


def check_checkpoint(path: str | os.PathLike[str] | None) -> None:
    """Look at a checkpoint before any work; None is none.

    Raises
    ------
    ValueError
        If what would be replaced, of either generation, is no checkpoint.
    """
    for own in () if path is None or is_swallowed(path) else generations(Path(path)):
        _check_replaced(own)


def _check_replaced(path: Path) -> None:
    """Raise ValueError for a file that is there and no checkpoint, not even a damaged one."""
    if not path.exists() or container.claims(path, Content.CHECKPOINT):
        return
    try:
        container.read(path, Content.CHECKPOINT)
    except ModelFileError as error:
        raise ValueError(f"{error}; it is not used as a checkpoint: remove it, or name another file") from error


def generations(path: Path) -> tuple[Path, Path]:
    """Return the names of a checkpoint and of the one before it."""
    path = Path(os.path.realpath(path))
    return path, path.with_name(path.name + ".previous")


def identity_of(
    design: Design,
    frames: Sequence[Atoms],
    targets: Sequence[Target],
    noise: Noise | None,
    fold: IntArray,
    chunk: int,
) -> str:
    """Return a hash of everything that decides on the accumulated rows.

    Settings speak through the rows of a few structures: a single one may be an isolated atom, which has little to say.
    """
    digest = hashlib.sha256(repr((design.n_columns, noise, chunk)).encode())
    _add(digest, fold, design.structures(frames[:: max(1, len(frames) // _N_SPEAKING)]))
    for frame, target in zip(frames, targets, strict=True):
        _add(digest, frame.numbers, frame.positions, frame.cell.array, frame.pbc, np.array(target.energy))
        if noise is not None:
            own = noise.of(frame)
            _add(digest, np.array([own.energy, own.forces, own.virial]))
        for label in (target.forces, target.virial, target.trust.forces_sigma):
            digest.update(b"-" if label is None else label.tobytes())
        digest.update(repr((target.weights, target.trust.energy_sigma, target.trust.virial_sigma)).encode())
    return digest.hexdigest()


def _add(digest: Any, *arrays: FloatArray | IntArray) -> None:
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
