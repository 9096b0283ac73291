"""What all figures share: arguments, data, files and looks.

A figure is a dataclass of settings in two sizes (quick, full), a function that computes a dictionary of numbers from
settings and data, one that makes a table of it, and one that draws it. :func:`main` does the rest.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import orbas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase import Atoms
    from matplotlib.figure import Figure

KCAL_PER_MOL = 0.0433641  # eV
QM9_SPECIES = (1, 6, 7, 8, 9)
#: Seed of every random choice.
SEED = 0

#: Colors by what a curve is, the same in all figures.
COLORS = {"GTO": "black", "DVR": "#8c6bb1", "separate": "#1f5fd6", "optimal": "#d62728", "PCovR": "#2ca02c"}
#: Colors by the number of correlated neighbors.
NU_COLORS = {1: "#4c72b0", 2: "#dd8452", 3: "#55a868", 4: "#c44e52"}

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.dpi": 200,
}
_SIGNIFICANT = 7

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Data:
    """Where structures come from.

    Attributes
    ----------
    folder
        Of extended XYZ files named ``si_vasp_pbe.xyz.gz`` and so on; None if none was given.
    gap18
        The complete silicon set of Bartók et al. (2018), ``gp_iter6_sparse9k.xml.xyz``, instead of all other sets of
        silicon; None for the stand-ins.
    out
        Where the files of other figures stand.
    """

    folder: Path | None = None
    gap18: Path | None = None
    out: Path = Path()

    def silicon(self, *names: str) -> list[Atoms]:
        """Return the structures of these sets in turn, or of the complete GAP-18."""
        if self.gap18 is not None:
            return orbas.read(self.gap18)
        return [atoms for name in names for atoms in self.read(name)]

    def read(self, name: str) -> list[Atoms]:
        """Return the structures of one set.

        Raises
        ------
        SystemExit
            If there is no folder or no such file in it.
        """
        if self.folder is None:
            raise SystemExit(f"this figure needs {name}.xyz.gz: name its folder with --data")
        path = self.folder / f"{name}.xyz.gz"
        if not path.exists():
            raise SystemExit(f"no {path.name} in {self.folder}: name another folder with --data")
        return orbas.read(path)


def qm9(n: int) -> list[Atoms]:
    """Return molecules of QM9 in random order; more than 2,000 need ``pip install orbas[qm9]``."""
    return orbas.datasets.qm9(n, seed=SEED)


def evenly(frames: Sequence[Atoms], n: int) -> list[Atoms]:
    """Return n structures at equal steps through all, or all if there are no more."""
    if n >= len(frames):
        return list(frames)
    return [frames[k] for k in np.linspace(0, len(frames) - 1, n).round().astype(int)]


def main(
    path: str,
    description: str,
    quick: Settings,
    full: Settings,
    compute: Callable[[Settings, Data], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any], Figure], None],
) -> None:
    """Compute a figure as the command line says, print its table, and write NAME.json and NAME.png.

    Parameters
    ----------
    path
        ``__file__`` of the figure, which names what is written.
    description
        Its docstring, for ``--help``.
    quick, full
        Settings of both sizes.
    compute, table, draw
        Numbers from settings; text from numbers; a picture from numbers.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small size: at most two minutes")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="of extended XYZ files, such as si_vasp_pbe.xyz.gz")
    parser.add_argument("--gap18", type=Path, metavar="FILE", help="the complete GAP-18 set, for all silicon figures")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="for the files (default: this one)")
    options = parser.parse_args()
    settings = quick if options.quick else full
    start = time.perf_counter()
    result = rounded(compute(settings, Data(options.data, options.gap18, options.out)))
    name = Path(path).stem + ("_quick" if options.quick else "")
    print(table(result))
    print(f"\n{time.perf_counter() - start:.0f} s")
    write(options.out, name, dataclasses.asdict(settings), result, draw)  # type: ignore[call-overload]


def write(
    folder: Path,
    name: str,
    settings: dict[str, Any],
    result: dict[str, Any],
    draw: Callable[[dict[str, Any], Figure], None],
) -> None:
    """Write settings and numbers as JSON, and the picture; what begins with an underscore is not written."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    written = {key: value for key, value in result.items() if not key.startswith("_")}
    text = json.dumps({"settings": settings, "result": written}, indent=1, sort_keys=True)
    # Lists of numbers stay on one line.
    text = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    with pyplot.rc_context(_STYLE):
        figure = pyplot.figure(layout="constrained")
        draw(result, figure)
        figure.savefig(folder / f"{name}.png")
        pyplot.close(figure)
    print(f"wrote {folder / name}.json and .png")


def rounded(value: Any) -> Any:
    """Return what JSON can hold, numbers to seven digits: what a table or a picture shows is what the file says."""
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.{_SIGNIFICANT}g}")
    return int(value) if isinstance(value, np.integer) else value


def columns(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; floats to three digits."""
    lines = [[*head], ["---"] * len(head)]
    lines += [[f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
