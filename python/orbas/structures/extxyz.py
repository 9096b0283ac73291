"""Extended XYZ: from the bytes of a file to structures, one at a time, as ase has them.

ase's reader is not used: it takes atoms without a column of elements for element 0, and those without positions for
atoms at 0 0 0, passes over columns that nobody named, and takes time that grows with the square of a damaged line.
What it makes of regular files is the same; with constraints, charges, masses and momenta.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.errors import StructureFileError
from orbas.files.door import open_input
from orbas.files.kinds import looks_like
from orbas.structures.columns import RowError, parse_rows
from orbas.structures.comment import CommentError, parse_comment
from orbas.structures.label_table import LARGEST
from orbas.structures.motion import set_motion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray

    from orbas.files.door import InputFile

#: Bytes of a line: a comment, or a row with its columns; and of the line with the number of atoms.
MOST_LINE = 1 << 24
MOST_HEAD = 1 << 12
#: A structure takes kilobytes of memory: beyond a first part, each has at least so many bytes of a file, packed too.
FREE_FRAMES, FEWEST_BYTES = 20_000, 8
#: How files of other kinds begin, and what to do with them.
_OTHER_FORMATS = (
    (b"\xff\xfe", "text in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16: save it as UTF-8"),
    (b"- of Ulm", "an ase trajectory: read it with ase.io.read, or convert it with `ase convert`"),
    (b"\x1f\x8b", "packed twice: unpack it once"),
    (b"BZh", "packed by bzip2: unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "packed by xz: unpack it, or pack it with gzip"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd: unpack it, or pack it with gzip"),
    (b"PK\x03\x04", "a zip archive or a NumPy file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"SQLite format 3", "an ase database: read it with ase.io.read"),
    (b"\x89HDF", "an HDF5 file"),
    (b"CDF", "a NetCDF file"),
    (b"{", "JSON"),
    (b"<?xml", "XML, as of VASP: convert it with `ase convert`"),
    (b"ITEM:", "a dump of LAMMPS: convert it with `ase convert`"),
    (b"data_", "a CIF file: convert it with `ase convert`"),
    (b"CRYST1", "a PDB file: convert it with `ase convert`"),
    (b"ATOM ", "a PDB file: convert it with `ase convert`"),
    (b"HEADER", "a PDB file: convert it with `ase convert`"),
    (b"BEGIN", "a RuNNer file: convert it"),
)
#: Names of columns that ase changes.
_ASE_NAMES = {"charge": "charges"}


@dataclass(frozen=True, slots=True)
class RawFrame:
    """The lines of one structure: ``line`` is the number, from 1, of the one with the number of atoms."""

    path: Path
    index: int
    line: int
    comment: bytes
    rows: list[bytes]

    def place(self, offset: int = 0) -> str:
        """Name file, line and structure; ``offset`` counts lines from the number of atoms."""
        return f"{self.path}, line {self.line + offset}: structure {self.index}"

    def fault(self, message: str, offset: int = 0) -> StructureFileError:
        """Return the error that says so."""
        return StructureFileError(f"{self.place(offset)}: {message}")


@dataclass
class Frame:
    """A structure with all that its file says in ``info`` and ``arrays``; nothing is in a calculator yet."""

    raw: RawFrame
    atoms: Atoms
    n_undeclared: int


def raw_frames(file: InputFile) -> Iterator[RawFrame]:
    """Yield the lines of the structures of a file, holding one at a time.

    Raises
    ------
    StructureFileError
        If the file is no extended XYZ, is cut or damaged; it says how many whole structures come before.
    """
    number, index = 1, 0
    try:
        while head := file.readline(MOST_HEAD):
            if number == 1:
                head = head.removeprefix(b"\xef\xbb\xbf")  # the mark that Windows writes
            if not head.strip():
                number += 1
                continue
            n_atoms = _number_of_atoms(file.path, head, number, index)
            comment = file.readline(MOST_LINE)
            rows = list(islice(iter(partial(file.readline, MOST_LINE), b""), min(n_atoms, sys.maxsize)))
            if len(rows) < n_atoms or (not n_atoms and not comment):
                raise StructureFileError(
                    f"{file.path}, line {number}: structure {index} announces {n_atoms} atoms, the file ends after "
                    f"{len(rows)}{_whole(index)}"
                )
            if max(len(comment), max(map(len, rows), default=0)) >= MOST_LINE:
                raise StructureFileError(f"{file.path}, line {number}: structure {index} has a line without an end")
            if file.size is not None and index >= FREE_FRAMES + file.size // FEWEST_BYTES:
                raise StructureFileError(f"{file.path}, line {number}: more structures than {file.size} bytes can hold")
            yield RawFrame(file.path, index, number, comment, rows)
            number, index = number + n_atoms + 2, index + 1
    except StructureFileError:
        raise
    except ValueError as error:  # of the door
        raise StructureFileError(
            f"{file.path}, from line {number} on: structure {index}: {error}{_whole(index)}"
        ) from error


def _whole(count: int) -> str:
    """What can be read in front of a structure that cannot."""
    if count == 0:
        return ""
    return f"; the whole ones before it, {count} in number, are read with index=':{count}'"


def _number_of_atoms(path: Path, head: bytes, number: int, index: int) -> int:
    text = head.strip()
    if text.isdigit() and len(text) < 20:
        return int(text)
    if index == 0 and number == 1:
        for opening, name in _OTHER_FORMATS:
            if head.startswith(opening):
                raise StructureFileError(f"{path}, line 1: not extended XYZ, but {name}")
        if not text.isdigit() and (seen := looks_like(_start(path, head))) is not None:
            raise StructureFileError(f"{path}, line 1: not extended XYZ: it looks like {seen}")
    kind = "not text" if b"\0" in text else f"got {_decoded(text[:60])!r}"
    raise StructureFileError(
        f"{path}, line {number}: expected the number of atoms of structure {index}, {kind}{_whole(index)}"
    )


def _start(path: Path, head: bytes) -> bytes:
    """Return the first bytes of a file, whose first line may be any part of binary data; of a pipe the first line."""
    try:
        with open_input(path, unpack=True, pipes=False) as file:
            return file.read(256)
    except (OSError, ValueError):
        return head[:256]


def _decoded(text: bytes) -> str:
    return text.decode(errors="replace")


def parse_frame(raw: RawFrame) -> Frame:
    """Make a structure of its lines.

    Raises
    ------
    StructureFileError
        If a line is not understood, or a position or cell is not finite; names file, line and structure.
    """
    try:
        line = raw.comment.decode()
    except UnicodeDecodeError as error:
        raise raw.fault(
            f"the comment is not text in UTF-8 (byte 0x{raw.comment[error.start]:02x}, as of Latin-1): convert it "
            "with iconv -f latin1 -t utf-8", 1
        ) from None  # fmt: skip
    try:
        comment = parse_comment(line)
        table = parse_rows(raw.rows, comment.columns)
    except CommentError as error:
        raise raw.fault(str(error), 1) from error
    except RowError as error:
        raise raw.fault(str(error), 1 if error.row is None else error.row + 2) from error
    _check_finite(raw, table.positions, comment.cell)

    from ase import Atoms

    arrays = {_ASE_NAMES.get(name, name): array for name, array in table.arrays.items()}
    atoms = Atoms(
        numbers=table.numbers,
        positions=table.positions,
        charges=arrays.pop("initial_charges", None),
        cell=comment.cell,
        pbc=comment.pbc,
        info=comment.entries,
    )
    frame = Frame(raw, atoms, table.n_undeclared)
    try:
        mask = arrays.pop("move_mask", None)
        set_motion(atoms, arrays)
        for name, array in arrays.items():
            if name in atoms.arrays:
                raise RowError(f"the columns say twice what {name} are")
            atoms.arrays[name] = array
        if mask is not None:
            atoms.set_constraint(_constraints(mask))  # type: ignore[no-untyped-call]
    except RowError as error:
        raise raw.fault(str(error), 1 if error.row is None else error.row + 2) from error
    return frame


def _check_finite(raw: RawFrame, positions: NDArray[np.float64], cell: NDArray[np.float64] | None) -> None:
    if not (np.abs(positions) < LARGEST).all():
        atom = int(np.argmin((np.abs(positions) < LARGEST).all(axis=1)))
        raise StructureFileError(f"{raw.place(atom + 2)}, atom {atom}: position {positions[atom]} is not finite")
    if cell is not None and not (np.abs(cell) < LARGEST).all():
        vector = int(np.argmin((np.abs(cell) < LARGEST).all(axis=1)))
        raise raw.fault(f"cell vector {vector}, {cell[vector]}, is not finite", 1)


def _constraints(mask: NDArray[Any]) -> Any:
    """Return what holds the atoms, or components, that a mask does not let move."""
    from ase.constraints import FixAtoms, FixCartesian

    if mask.dtype.kind not in "bi" or mask.shape[1:] not in ((), (3,)):
        raise RowError("the column 'move_mask' must be move_mask:L:1 or move_mask:L:3")
    moves = mask.astype(bool)
    if moves.ndim == 1:
        return FixAtoms(mask=~moves)  # type: ignore[no-untyped-call]
    return [FixCartesian(atom, mask=~moves[atom]) for atom in range(len(moves))]  # type: ignore[no-untyped-call]


def to_calculator(atoms: Atoms) -> None:
    """Move what ase knows as results, such as ``energy``, into a calculator, as ase's reader does."""
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io.extxyz import per_config_properties

    results = {}
    for name in all_properties:
        # A column called stress is not the stress of the structure.
        if name in atoms.arrays and name != "stress":
            results[name] = atoms.arrays.pop(name)
        elif (
            name in atoms.info and name in per_config_properties and (name != "stress" or _is_tensor(atoms.info[name]))
        ):
            value = atoms.info.pop(name)
            results[name] = _voigt(value) if name == "stress" else value
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)  # type: ignore[no-untyped-call]
    virial = atoms.info.get("virial")
    if isinstance(virial, np.ndarray) and virial.shape == (6,):
        atoms.info["virial"] = virial[_FULL]  # ase reads no other


_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
_FULL = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "if" and value.size in (6, 9)


def _voigt(value: NDArray[Any]) -> NDArray[Any]:
    return value.reshape(3, 3)[_VOIGT] if value.size == 9 else value
