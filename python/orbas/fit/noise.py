"""What is expected of labels: their noise, which is one over their weight in a fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from orbas.base.fields import SettingsError, check_settings, setting
from orbas.base.kinds import Instance, Maybe, Number, Tables
from orbas.base.names import did_you_mean
from orbas.files.stored import stored
from orbas.fit.quantities import Quantity
from orbas.structures.trust import FULL_TRUST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from orbas.base.gradients import JacobianRows
    from orbas.base.types import FloatArray
    from orbas.structures.trust import Trust

#: Voigt components, and the weight of each so that the sum of squares is that of the full tensor.
_VOIGT = ((0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1))
_PER_ROOT = Number(1e-10, 1e10, "eV")
_VOIGT_WEIGHTS = np.array([1.0, 1.0, 1.0, math.sqrt(2), math.sqrt(2), math.sqrt(2)])


@stored("Noise")
@dataclass(frozen=True, slots=True)
class Noise:
    """The expected error of labels after a fit; rows of the design matrix are divided by it.

    Parameters
    ----------
    energy
        In eV per square root of atoms: the energy of N atoms is off by ``energy * sqrt(N)``.
    forces
        In eV/Å.
    virial
        In eV per square root of atoms, each of nine components.
    by_config
        Others for structures whose ``info["config_type"]`` is the key.

    Raises
    ------
    SettingsError
        If one is not a number from 1e-10 to 1e10.

    Examples
    --------
    >>> import ase
    >>> from orbas.models import Noise
    >>> noise = Noise(energy=0.001, forces=0.04, by_config={"liquid": Noise(forces=0.2)})
    >>> liquid, crystal = ase.Atoms("Si", info={"config_type": "liquid"}), ase.Atoms("Si")
    >>> noise.forces, noise.by_config["liquid"].forces  # eV/Å
    (0.04, 0.2)
    """

    energy: float = field(default=0.002, metadata=setting(_PER_ROOT, "of energies, per root of the number of atoms"))
    forces: float = field(default=0.05, metadata=setting(Number(1e-10, 1e10, "eV/Å"), "of forces"))
    virial: float = field(default=0.02, metadata=setting(_PER_ROOT, "of virials, per root of the number of atoms"))
    by_config: Mapping[str, Noise] = field(
        default_factory=dict,
        hash=False,
        metadata=setting(
            Tables(lambda: Noise, "config_type"), "others by config_type; what they leave out is as for all"
        ),
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for config, other in self.by_config.items():
            if other.by_config:
                raise SettingsError(f"Noise.by_config[{config!r}] must be without a by_config of its own")

    def of(self, frame: Atoms) -> Noise:
        """Return the noise of one structure.

        Examples
        --------
        >>> noise.of(liquid).forces, noise.of(crystal).forces
        (0.2, 0.04)
        """
        return self.by_config.get(_config_type(frame), self)

    def among(self, frames: Sequence[Atoms]) -> Noise:
        """Return the same noise, without what is for a ``config_type`` that none of these structures has.

        Examples
        --------
        >>> noise.among([crystal]).by_config
        {}
        """
        there = set(map(_config_type, frames))
        return replace(self, by_config={name: other for name, other in self.by_config.items() if name in there})

    def check_configs(self, frames: Sequence[Atoms]) -> None:
        """Raise SettingsError, with those that there are, for a ``config_type`` that no structure has.

        Examples
        --------
        >>> noise.check_configs([liquid, crystal])
        >>> noise.check_configs([crystal])
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: Noise.by_config: no structure has the config_type ...
        """
        there = sorted({_config_type(frame) for frame in frames if "config_type" in frame.info})
        for name in self.by_config:
            if name not in there:
                raise SettingsError(
                    f"Noise.by_config: no structure has the config_type {name!r}{did_you_mean(name, there)}",
                    f"noise.by_config.{name}",
                )


def _config_type(frame: Atoms) -> str:
    return str(frame.info.get("config_type"))


#: Of models.
NOISE = Maybe(
    Instance(lambda: (Noise,), "an orbas.models.Noise"), meaning="the default where there are forces or virials"
)


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The labels of one structure above the baseline.

    ``energy`` in eV; ``forces`` [n_atoms, 3] in eV/Å or None; ``virial`` [6] in eV or None: the derivative of the
    energy by the strain, stress times volume, in Voigt order. What is not known is not-a-number. ``weights`` of squared
    residuals by kind of label, 1 for those that are not there; 0 takes labels out. ``trust`` holds expected errors that
    the structure itself names.
    """

    energy: float
    forces: FloatArray | None = None
    virial: FloatArray | None = None
    weights: Mapping[Quantity, float] = field(default_factory=dict)
    trust: Trust = FULL_TRUST

    @property
    def has_derivatives(self) -> bool:
        """Whether anything but the energy is known."""
        return self.forces is not None or self.virial is not None

    def without(self, quantity: Quantity) -> Target:
        """Return the target without the labels of a kind."""
        if quantity is Quantity.ENERGY:
            return replace(self, energy=math.nan)
        return replace(self, forces=None) if quantity is Quantity.FORCES else replace(self, virial=None)

    def weighted(self, weights: Mapping[Quantity, float]) -> Target:
        """Return the target with weights multiplied by others."""
        return replace(self, weights={q: self.weights.get(q, 1.0) * weights.get(q, 1.0) for q in Quantity})


def energy_width(noise: Noise, n_atoms: int) -> float:
    """Return the expected error of the energy of a structure in eV; one without atoms counts as one atom."""
    return noise.energy * math.sqrt(max(n_atoms, 1))


def energy_widths(frames: Sequence[Atoms], noise: Noise | None) -> FloatArray:
    """Return what the energy of every structure is divided by in a fit, [n_structures]; ones without noise."""
    if noise is None:
        return np.ones(len(frames))
    return np.array([energy_width(noise.of(frame), len(frame)) for frame in frames])


def weighted_rows(
    row: FloatArray, derivatives: JacobianRows | None, target: Target, noise: Noise | None, frame: Atoms
) -> dict[Quantity, tuple[FloatArray, FloatArray]]:
    """Return the rows [k, n_columns] of one structure and their targets [k] by kind of label, divided by the noise.

    Parameters
    ----------
    row
        What is multiplied by the weights to give the energy, [n_columns].
    derivatives
        Of that row; None if the target has an energy only.
    target
        Labels; what is not known has no row.
    noise
        Of labels; None for an energy of weight one.
    frame
        The structure.
    """
    trust, n_atoms = target.trust, len(frame)
    if noise is None:
        found = {Quantity.ENERGY: (row[None], np.array([target.energy]))}
        return {quantity: _known(*rows, target.weights.get(quantity, 1.0)) for quantity, rows in found.items()}
    noise = noise.of(frame)
    width = energy_width(noise, n_atoms) if trust.energy_sigma is None else trust.energy_sigma
    found = {Quantity.ENERGY: (row[None] / width, np.array([target.energy / width]))}
    if derivatives is not None and target.forces is not None:
        widths = np.asarray(noise.forces if trust.forces_sigma is None else trust.forces_sigma)
        widths = np.broadcast_to(widths, target.forces.shape).ravel()
        rows = derivatives.positions.reshape(3 * n_atoms, len(row)) / -widths[:, None]
        found[Quantity.FORCES] = rows, target.forces.ravel() / widths
    if derivatives is not None and target.virial is not None:
        width = noise.virial * math.sqrt(max(n_atoms, 1)) if trust.virial_sigma is None else trust.virial_sigma
        factors = _VOIGT_WEIGHTS / width
        symmetric = 0.5 * (derivatives.strain + derivatives.strain.transpose(1, 0, 2))
        found[Quantity.VIRIAL] = symmetric[_VOIGT] * factors[:, None], target.virial * factors
    return {quantity: _known(*rows, target.weights.get(quantity, 1.0)) for quantity, rows in found.items()}


def _known(rows: FloatArray, targets: FloatArray, weight: float) -> tuple[FloatArray, FloatArray]:
    """Return the rows with a known target, times the root of their weight; none for a weight of 0."""
    known = np.isfinite(targets) & (weight > 0)
    if not known.all():
        rows, targets = rows[known], targets[known]
    return (rows, targets) if weight == 1.0 else (rows * math.sqrt(weight), targets * math.sqrt(weight))
