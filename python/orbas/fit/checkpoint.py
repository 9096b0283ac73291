"""Long fits that survive being killed: what was accumulated, on disk, in two generations.

A checkpoint belongs to one fit: settings, structures and labels are hashed, and a file of another fit is refused. As
the state is restored to the bit, so are the weights in the end.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.fit.triangle import Triangle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from orbas.base.blocks import FloatArray, IntArray
    from orbas.fit.design import Design
    from orbas.fit.noise import Noise, Target

_LOG = logging.getLogger("orbas")
#: Structures whose rows are in the identity of a fit, about.
_N_SPEAKING = 16


class Checkpoint:
    """Where a fit keeps what it has done.

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

    def restore(self, triangles: list[Triangle]) -> int:
        """Fill the triangles from the youngest sound file; return how many structures they hold.

        Raises
        ------
        ValueError
            If a file belongs to another fit.
        """
        for path in self._generations:
            try:
                with np.load(path, allow_pickle=False) as archive:
                    stored = {name: archive[name] for name in archive.files}
                identity, done = str(stored["identity"]), int(stored["done"])
                # Another fit may have another number of folds.
                ours = triangles if identity == self._identity else []
                states = [
                    Triangle.restored(stored[f"factor_{k}"], stored[f"waiting_{k}"], int(stored[f"n_rows_{k}"]))
                    for k in range(len(ours))
                ]
            except FileNotFoundError:
                continue
            except Exception as error:  # whatever a damaged archive raises
                _LOG.warning("checkpoint %s is damaged and not used: %s", path, error)
                continue
            if identity != self._identity:
                raise ValueError(f"checkpoint {path} belongs to another fit: remove it, or name another file")
            triangles[:] = states
            _LOG.info("going on from %s: %d structures are done", path, done)
            return done
        return 0

    def save(self, triangles: list[Triangle], done: int) -> None:
        """Write the state, if the last time is long enough ago."""
        from orbas.optimal.basis_file import write_archive

        if time.monotonic() - self._saved < self._interval:
            return
        arrays: dict[str, Any] = {"identity": np.array(self._identity), "done": np.array(done)}
        for k, triangle in enumerate(triangles):
            factor, waiting, n_rows = triangle.state()
            arrays |= {f"factor_{k}": factor, f"waiting_{k}": waiting, f"n_rows_{k}": np.array(n_rows)}
        path, previous = self._generations
        if path.exists():
            path.replace(previous)
        write_archive(path, arrays)
        self._saved = time.monotonic()


def generations(path: Path) -> tuple[Path, Path]:
    """Return the names of a checkpoint and of the one before it."""
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
        for label in (target.forces, target.virial):
            digest.update(b"-" if label is None else label.tobytes())
    return digest.hexdigest()


def _add(digest: Any, *arrays: FloatArray | IntArray) -> None:
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
