"""Derivatives of features as arrays: rows for fitting on forces, and gradients of every center."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orbas.base.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class JacobianRows:
    """Derivatives of the features of one structure, summed separately for each center species.

    Columns are ordered as those of :meth:`orbas.Features.per_structure`: center species slowest, then features. A model
    that is linear in them, ``E = per_structure() @ w``, has the forces ``-(positions @ w)`` and the virial
    ``strain @ w``.

    Attributes
    ----------
    positions
        By the positions, in 1/Å: shape [n_atoms, 3, n_columns].
    strain
        By the strain, ``r -> (1 + strain) r``: shape [3, 3, n_columns].

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> rows = next(orbas.PowerSpectrum(density).jacobian_rows([ase.build.molecule("H2O")]))
    >>> rows.positions.shape, rows.strain.shape
    ((3, 3, 40), (3, 3, 40))
    """

    positions: FloatArray
    strain: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Derivatives of the features of every sample by the positions of the atoms in them.

    Pairs ``offsets[i]`` to ``offsets[i + 1]`` are those of sample i, in rising order of the atom that moves; the center
    itself is one of them. Periodic images of an atom move together and are one pair. Over all pairs of a sample the
    values add up to zero.

    Attributes
    ----------
    values
        In 1/Å: shape [n_pairs, 3, n_features], or [n_pairs, 3, 2 * o3_lambda + 1, q] of a block.
    offsets
        Shape [n_samples + 1].
    neighbors
        Shape [n_pairs]: the atom that moves, as an index into its structure.

    Examples
    --------
    >>> import ase.build
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> spectrum = orbas.PowerSpectrum(density)
    >>> gradients = spectrum.transform([ase.build.molecule("H2O")], gradients=True).gradients
    >>> gradients.offsets.tolist(), gradients.neighbors.tolist()
    ([0, 3, 6, 9], [0, 1, 2, 0, 1, 2, 0, 1, 2])
    >>> gradients.values.shape
    (9, 3, 20)
    """

    values: FloatArray
    offsets: IntArray
    neighbors: IntArray
