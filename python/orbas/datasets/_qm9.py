"""QM9: 130,831 molecules of up to nine C, N, O, F atoms and their hydrogens.

Geometries and properties at B3LYP/6-31G(2df,p): Ramakrishnan et al., Sci. Data 1, 140022 (2014),
DOI 10.1038/sdata.2014.22 (data CC0), without the 3,054 molecules that failed its consistency check.
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import checked
from orbas.base.kinds import Integer
from orbas.base.progress import progress_bar
from orbas.datasets import _packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

HARTREE = 27.211386245988
"""eV (CODATA 2018)."""

# name: (column of qm9pack, factor from its unit to ours)
TARGETS = {
    "A": ("RotA_GHz", 1.0),
    "B": ("RotB_GHz", 1.0),
    "C": ("RotC_GHz", 1.0),
    "mu": ("Dipole_debye", 1.0),
    "alpha": ("Polarizability_bohr3", 1.0),
    "homo": ("HOMO_au", HARTREE),
    "lumo": ("LUMO_au", HARTREE),
    "gap": ("HOMO_LUMO_gap_au", HARTREE),
    "r2": ("R2_bohr2", 1.0),
    "zpve": ("ZPVE_au", HARTREE),
    "U0": ("InternalEnergy_0K_au", HARTREE),
    "U": ("InternalEnergy_298K_au", HARTREE),
    "H": ("Enthalphy_298K_au", HARTREE),
    "G": ("GibbsFreeEnergy_298K_au", HARTREE),
    "Cv": ("Heatcapacity_Cv_cal_mol_K", 1.0),
}
_FACTORS = [factor for _, factor in TARGETS.values()]
_SHIPPED = 2000
_RESOLUTION = 1e-6
"""Å: the unit of the integer positions in the shipped file."""


def qm9(n: int = _SHIPPED, seed: int = 0) -> list[Atoms]:
    """Molecules of QM9 with their properties, in random order.

    Up to 2,000 molecules come with the package, evenly spaced over the whole set (positions rounded to 1e-6 Å).
    More are read, with a progress bar, from the optional ``orbas[qm9]``, which brings all 130,831 from PyPI's qm9pack.

    Parameters
    ----------
    n
        Number of molecules.
    seed
        Of the random choice and order; the same seed gives the same list.

    Returns
    -------
    list of Atoms
        Without cell. ``info`` holds ``index`` (the number in QM9, from 1) and the targets: ``U0``, ``U``, ``H``, ``G``
        (internal energy at 0 K and at 298.15 K, enthalpy, free energy), ``homo``, ``lumo``, ``gap``, ``zpve`` in eV;
        ``mu`` in Debye; ``alpha`` in bohr³; ``r2`` in bohr²; ``Cv`` in cal/(mol K); rotational constants ``A``, ``B``,
        ``C`` in GHz.

    Raises
    ------
    ValueError
        If `n` is not between 1 and the number of molecules there are.
    ImportError
        If `n` exceeds 2,000 and ``orbas[qm9]`` is not installed.

    References
    ----------
    Ramakrishnan et al., Sci. Data 1, 140022 (2014), DOI 10.1038/sdata.2014.22.

    Examples
    --------
    >>> import orbas
    >>> frames = orbas.datasets.qm9(n=4)
    >>> len(frames), "U0" in frames[0].info
    (4, True)
    """
    if checked(Integer(1), "n", n) > _SHIPPED:
        return _whole(n, seed)
    data = _packed.load("qm9.npz")
    positions, numbers = data["positions"] * _RESOLUTION, data["numbers"]
    begin = data["offsets"]
    molecules = []
    for k in _packed.draw(n, _SHIPPED, seed, "the shipped part of QM9"):
        atoms = slice(begin[k], begin[k + 1])
        molecules.append(_molecule(int(data["index"][k]), numbers[atoms], positions[atoms], data["targets"][k]))
    return molecules


def pack(rows: Iterable[Mapping[str, str]]) -> dict[str, np.ndarray]:
    """Turn rows of qm9pack into the arrays that are shipped (targets in the units of the source)."""
    from ase.data import atomic_numbers

    parsed = [_parse(row) for row in rows]
    return {
        "index": np.array([index for index, *_ in parsed], dtype=np.int32),
        "offsets": _packed.offsets([len(symbols) for _, symbols, *_ in parsed]),
        "numbers": np.array([atomic_numbers[s] for _, symbols, *_ in parsed for s in symbols], dtype=np.uint8),
        "positions": np.rint(np.concatenate([x for *_, x, _ in parsed]) / _RESOLUTION).astype(np.int32),
        "targets": np.array([targets for *_, targets in parsed]),
    }


def rows(chosen: Sequence[int] | np.ndarray, *, progress: bool = False) -> Iterator[dict[str, str]]:
    """Yield the rows `chosen` (sorted, from 0) of qm9pack's tables, in that order."""
    wanted = iter(chosen)
    nearest = next(wanted, None)
    k = 0
    with progress_bar(len(chosen), "QM9", "molecule", shown=progress) as bar:
        for table in _tables():
            with table.open(newline="", encoding="utf-8") as file:
                reader = csv.reader(file)
                names = next(reader)
                for row in reader:
                    if k == nearest:
                        yield dict(zip(names, row, strict=True))
                        bar.update()
                        nearest = next(wanted, None)
                    k += 1


def size() -> int:
    """Return the number of molecules in qm9pack."""
    total = 0
    for table in _tables():
        with table.open("rb") as file:
            total += sum(1 for line in file if line.strip()) - 1
    return total


def _whole(n: int, seed: int) -> list[Atoms]:
    drawn = _packed.draw(n, size(), seed, "the whole of QM9")
    order = np.argsort(drawn)
    ordered = [_molecule(*_parse(row)) for row in rows(drawn[order], progress=True)]
    return [ordered[k] for k in np.argsort(order)]


def _tables() -> list[Path]:
    """Return qm9pack's tables without importing it: it needs ``pkg_resources``, gone from newer setuptools."""
    spec = importlib.util.find_spec("qm9pack")
    for folder in (spec and spec.submodule_search_locations) or ():
        tables = sorted((Path(folder) / "data").glob("qm9_part*.csv"))
        if tables:
            return tables
    raise ImportError(f"{_SHIPPED} molecules of QM9 come with orbas; for more: pip install orbas[qm9]")


def _parse(row: Mapping[str, str]) -> tuple[int, list[str], np.ndarray, list[float]]:
    """Return index, symbols, positions [n_atoms, 3] in Å and targets in the units of the source."""
    index = int(row["Index"])
    symbols = [symbol.strip("'\" ") for symbol in row["Elements"].strip("[]").split(",")]
    # Numbers like `1.` make the column invalid JSON, so brackets are dropped and the order is relied on.
    flat = row["XYZ_Ang"].replace("[", "").replace("]", "").split(",")
    targets = [float(row[column]) for column, _ in TARGETS.values()]
    if len(flat) != 3 * len(symbols):
        raise ValueError(f"molecule {index} of QM9 has {len(symbols)} atoms but {len(flat)} coordinates")
    return index, symbols, np.array(flat, dtype=np.float64).reshape(-1, 3), targets


def _molecule(index: int, atoms: Sequence[str] | np.ndarray, positions: np.ndarray, targets: ArrayLike) -> Atoms:
    from ase import Atoms

    values = np.asarray(targets) * _FACTORS
    info = {"index": index, **dict(zip(TARGETS, values.tolist(), strict=True))}
    return Atoms(atoms, positions=positions, info=info)
