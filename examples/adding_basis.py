"""A radial basis of your own: Slater functions, fitted, saved, loaded, and used by `orbas train`.

Run it: `python examples/adding_basis.py` (a few seconds). The command line finds the basis in this file too:
`orbas train --import adding_basis settings.toml --output model.orbas`, from the folder that the file is in.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orbas
from ase.io import write
from orbas import bases
from orbas.base.fields import check_settings, setting
from orbas.base.kinds import Integer, Number
from orbas.cli import main as command_line

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

# Functions are integrated up to where they fell to exp(-46) = 1e-20 of their peak.
DECAY = 46.0

SETTINGS = """
[data]
train = "molecules.xyz"
energy_key = "U0"
[cutoff]
radius = 4.0
[density]
density_width = 0.3
max_angular = 3
[basis]
kind = "Slater"
n_radial = 6
decay = 3.0
[optimal]
n_optimal = 4
"""


@bases.register
@dataclass(frozen=True, slots=True)
class Slater(bases.OrthonormalizedBasis):
    """Slater functions ``r^n exp(-decay r)``, n = 0 .. n_radial - 1, the same for every l.

    Parameters
    ----------
    n_radial
        Number of functions for every l.
    decay
        In 1/Å.
    """

    n_radial: int = field(metadata=setting(Integer(1, 100), "number of functions for every l"))
    decay: float = field(default=3.0, metadata=setting(Number(0.1, 100.0, "1/Å"), "decay of the functions"))

    def __post_init__(self) -> None:
        check_settings(self)

    def counts(self, max_angular: int) -> tuple[int, ...]:
        """Return ``n_radial`` for every l."""
        return (self.n_radial,) * (max_angular + 1)

    def twin(self, degree: int) -> int:
        """Return 0: the functions are the same for every l."""
        return 0

    def extent(self, setup: bases.Setup) -> tuple[float, float]:
        """Return where the last function ends in Å, and about the largest wave number in 1/Å."""
        power = float(self.n_radial)  # r R_n ~ r^(n+1) exp(-x) with x = decay r: its peak is at x = n + 1
        x = DECAY + power
        for _ in range(50):
            x = DECAY + power + power * np.log(x / power)
        return x / self.decay, 10.0 * self.decay

    def primitives(self, r: NDArray[np.float64], degree: int, setup: bases.Setup, order: int) -> NDArray[np.float64]:
        """Return the functions and ``order`` derivatives at distances, [order + 1, n_r, n_radial]."""
        values = np.empty((order + 1, len(r), self.n_radial))
        decaying, k = np.exp(-self.decay * r), self.decay
        for n in range(self.n_radial):
            values[0, :, n] = r**n * decaying
            if order > 0:
                down, twice = n * r ** max(n - 1, 0), n * (n - 1) * r ** max(n - 2, 0)
                values[1, :, n] = (down - k * r**n) * decaying
                values[2, :, n] = (twice - 2.0 * k * down + k * k * r**n) * decaying
        return values


def density(basis: bases.PrimitiveBasis) -> orbas.DensityExpansion:
    """Return the same density on any basis."""
    return orbas.DensityExpansion(cutoff=orbas.Cutoff(4.0), density_width=0.3, max_angular=3, basis=basis)


def main() -> None:
    """Compare Slater functions with GTOs, then use them in files."""
    parser = argparse.ArgumentParser(description="a radial basis of your own")
    parser.add_argument("--folder", type=Path, help="keep the files there (default: they are only tried)")
    folder = parser.parse_args().folder

    frames = orbas.datasets.qm9(200)
    for basis in (Slater(6, decay=3.0), bases.GTO(6)):
        optimal = orbas.OptimalBasis(density(basis), n_optimal=4).fit(frames)
        lost = optimal.residual_variance_[3]
        print(f"4 optimal functions made of {basis}: {lost:.1e} of its variance is lost")
    if folder is not None:
        use_in_files(frames, folder)
        return
    with tempfile.TemporaryDirectory() as name:
        use_in_files(frames, Path(name))


def use_in_files(frames: list[Atoms], folder: Path) -> None:
    """Write an optimal basis and read it, train a potential from a file of settings and load it."""
    optimal = orbas.OptimalBasis(density(Slater(6)), n_optimal=4).fit(frames)
    orbas.save_basis(optimal, folder / "slater.orbas")
    again = orbas.load_basis(folder / "slater.orbas")
    print(f"read again: {again.density.basis}, {'the same' if same(optimal, again) else 'other'} functions")

    write(folder / "molecules.xyz", frames, format="extxyz")
    (folder / "slater.toml").write_text(SETTINGS)
    code = command_line(["train", str(folder / "slater.toml"), "--output", str(folder / "potential.orbas")])
    if code:
        raise SystemExit(code)
    potential = orbas.load(folder / "potential.orbas")
    print(f"the potential stands on {potential.representation.density.primitive_basis()}")


def same(one: orbas.OptimalBasis, other: orbas.OptimalBasis) -> bool:
    """Whether two bases expand a molecule to the same numbers."""
    molecule = orbas.datasets.qm9(1)
    first, second = (basis.expansion_.transform(molecule) for basis in (one, other))
    return all(np.array_equal(block.values, second[key].values) for key, block in first.items())


if __name__ == "__main__":
    main()
