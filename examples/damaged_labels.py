"""Ten damaged copies of a training set: what orbas says of each, and what the damage does to the errors of a test set.

Run it: `python examples/damaged_labels.py --data FOLDER` (a minute or two), FOLDER with `si_zuo_train.xyz.gz` and
`si_zuo_test.xyz.gz`: silicon of Zuo et al., J. Phys. Chem. A 124, 731 (2020). Each damaged copy is compared with the
undamaged set without the labels that were damaged: nothing better can be had. Where energies are damaged, those of
the model count from another zero, and only forces are compared.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orbas
from ase import Atoms

if TYPE_CHECKING:
    from collections.abc import Callable

Frames = list[Atoms]
#: The structure that is damaged where one is: an AIMD snapshot of 64 atoms.
ONE = 100
HARTREE, KBAR = 27.211386245988, 1602.1766


@dataclass(frozen=True)
class Damage:
    """What is done to a copy of the training structures, and to what it is compared: the set without those labels."""

    name: str
    apply: Callable[[Frames], Frames | None]
    without: Callable[[Frames], Frames | None] = lambda frames: frames
    compares_energies: bool = True


def exchanged(frames: Frames) -> None:
    """Exchange xz and yz of two kinds of structures, as the published file has them."""
    for atoms in frames:
        if atoms.info["config_type"] in ("AIMD-NVT", "Vacancy"):
            atoms.info["REF_stress"] = atoms.info["REF_stress"][[0, 1, 2, 4, 3, 5]]


def gradients(frames: Frames) -> None:
    """Give all forces the other sign."""
    for atoms in frames:
        atoms.arrays["REF_forces"] *= -1.0


def kbar(frames: Frames) -> None:
    """Give stresses in kbar."""
    for atoms in frames:
        atoms.info["REF_stress"] = atoms.info["REF_stress"] * KBAR


def hartree(frames: Frames) -> None:
    """Give energies in Hartree, forces in eV/Å."""
    for atoms in frames:
        atoms.info["REF_energy"] /= HARTREE


def outlier(frames: Frames) -> None:
    """Put the energy of one structure off by 20 eV."""
    frames[ONE].info["REF_energy"] += 20.0


def zeros(frames: Frames) -> None:
    """Set the forces of a fifth of the structures to zero."""
    for atoms in frames[::5]:
        atoms.arrays["REF_forces"] *= 0.0


def placeholders(frames: Frames) -> None:
    """Write a placeholder for the energy of two structures."""
    frames[ONE].info["REF_energy"], frames[ONE + 1].info["REF_energy"] = 1e6, 0.0


def shuffled(frames: Frames) -> None:
    """Give the atoms of one structure the forces of others."""
    forces = frames[ONE].arrays["REF_forces"]
    frames[ONE].arrays["REF_forces"] = forces[np.random.default_rng(0).permutation(len(forces))]


def repeated(frames: Frames) -> Frames:
    """Let every third structure stand twice."""
    return frames + copy.deepcopy(frames[::3])


def other_composition(frames: Frames) -> None:
    """Make eight of 64 atoms of one structure germanium, without another energy."""
    frames[ONE].numbers[:8] = 32


def without_label(name: str, *structures: int) -> Callable[[Frames], None]:
    """Return what takes a label out of some structures, of all if none is named."""

    def take(frames: Frames) -> None:
        for k in structures or range(len(frames)):
            frames[k].info.pop(name, None)
            frames[k].arrays.pop(name, None)

    return take


def without_zeros(frames: Frames) -> None:
    """Take out the forces that :func:`zeros` damages."""
    without_label("REF_forces", *range(0, len(frames), 5))(frames)


DAMAGES = (
    Damage("exchanged virials (xz, yz)", exchanged),
    Damage("sign of forces", gradients, without_label("REF_forces")),
    Damage("kbar for eV/Å^3", kbar, without_label("REF_stress")),
    Damage("Hartree for eV", hartree, compares_energies=False),
    Damage("one energy off by 20 eV", outlier, without_label("REF_energy", ONE)),
    Damage("zero forces in a fifth", zeros, without_zeros),
    Damage("placeholders", placeholders, without_label("REF_energy", ONE, ONE + 1)),
    Damage("shuffled forces of one", shuffled, without_label("REF_forces", ONE)),
    Damage("repeated structures", repeated),
    Damage("another composition", other_composition, lambda frames: frames[:ONE] + frames[ONE + 1 :]),
)


class Said(logging.Handler):
    """Keeps the warnings of orbas."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


def copper() -> tuple[Frames, Frames]:
    """Return a small set without a file: copper by effective medium theory, rattled and strained."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    frames = []
    for k in range(150):
        rng = np.random.default_rng(k)
        atoms = bulk("Cu", "fcc", a=3.61, cubic=True) * (2, 1, 1)
        hot = k % 5 != 0
        atoms.set_cell(atoms.cell @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.12 if hot else 0.03, seed=k)
        truth = atoms.copy()
        truth.calc = EMT()
        atoms.info |= {"config_type": "AIMD-NVT" if hot else "Elastic", "REF_energy": truth.get_potential_energy()}
        atoms.info["REF_stress"], atoms.arrays["REF_forces"] = truth.get_stress(), truth.get_forces()
        frames.append(atoms)
    return frames[:120], frames[120:]


def fitted(train: Frames, n_optimal: int, max_angular: int) -> orbas.models.LinearPotential:
    """Return a linear model, fitted with default settings to the labels there are."""
    primitive = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, 1.0, "smooth"), density_width=0.4, max_angular=max_angular, basis=orbas.bases.GTO(10)
    )
    expansion = orbas.OptimalBasis(primitive, n_optimal=n_optimal).fit(train).expansion_
    has_forces = any("REF_forces" in atoms.arrays for atoms in train)
    has_stress = any("REF_stress" in atoms.info for atoms in train)
    return orbas.models.LinearPotential(orbas.PowerSpectrum(expansion)).fit(
        train, forces_key="REF_forces" if has_forces else None, stress_key="REF_stress" if has_stress else None
    )


def errors(train: Frames, test: Frames, size: tuple[int, int]) -> tuple[float, float]:
    """Return the mean absolute errors of test energies (meV/atom) and forces (meV/Å)."""
    found = fitted(train, *size).score(test, forces_key="REF_forces")
    return 1e3 * (found.mae_per_atom or 0.0), 1e3 * (found.forces_mae or 0.0)


def study(train: Frames, test: Frames, size: tuple[int, int], said: Said) -> list[dict[str, object]]:
    """Return a row for every damage."""
    rows: list[dict[str, object]] = []
    for damage in DAMAGES:
        damaged, best = copy.deepcopy(train), copy.deepcopy(train)
        damaged, best = damage.apply(damaged) or damaged, damage.without(best) or best
        expected = errors(best, test, size)
        said.texts.clear()
        found = errors(damaged, test, size)
        rows.append({
            "damage": damage.name,
            "without": expected,
            "with": found,
            "energies": damage.compares_energies,
            "said": said.texts[:],
        })  # fmt: skip
    return rows


def main() -> None:
    """Damage, fit, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with si_zuo_train.xyz.gz and si_zuo_test.xyz.gz")
    parser.add_argument("--quick", action="store_true", help="copper by effective medium theory and a small model")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args()
    if not options.quick and options.data is None:
        parser.error("give --data FOLDER, or --quick")
    said = Said()
    logging.getLogger("orbas").addHandler(said)
    if options.quick:
        train, test, size = *copper(), (5, 3)
    else:
        train, test = (orbas.read(options.data / f"si_zuo_{part}.xyz.gz") for part in ("train", "test"))
        size = (8, 5)
    plain = errors(train, test, size)
    usual = set(said.texts)
    print(f"undamaged: energies {plain[0]:.2f} meV/atom, forces {plain[1]:.1f} meV/Å")
    print("\n".join(f"  {text}" for text in usual))
    rows = study(train, test, size, said)
    for row in rows:
        (e0, f0), (e1, f1) = row["without"], row["with"]  # type: ignore[misc]
        energies = f"energies {e0:6.2f} -> {e1:6.2f}" if row["energies"] else " " * 25
        print(f"{row['damage']:28s} {energies}, forces {f0:6.1f} -> {f1:6.1f}")
        print("\n".join(f"  {text}" for text in row["said"] if text not in usual))  # type: ignore[attr-defined]
    for row in rows:
        # Where nothing but the damaged labels can be set aside, nothing else may suffer.
        if options.quick and row["damage"] in ("sign of forces", "kbar for eV/Å^3", "placeholders"):
            assert np.allclose(row["with"], row["without"], rtol=0.05), row  # type: ignore[arg-type]
        assert row["said"] or options.quick, row
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
