"""Structures: from files and ase to the arrays of the core, their labels, neighbors and harmonics.

``io`` reads files with labels, ``batch`` makes the arrays of the core, ``neighbors`` and ``angular`` are the public
neighbor list, spherical harmonics and Clebsch-Gordan coefficients.
"""

from __future__ import annotations

from orbas.structures.angular import clebsch_gordan, spherical_harmonics
from orbas.structures.batch import as_frames, atomic_numbers, samples_of, species_of, to_batch
from orbas.structures.neighbors import SkinList, brute_force_neighbor_list, neighbor_list

__all__ = [
    "SkinList",
    "as_frames",
    "atomic_numbers",
    "brute_force_neighbor_list",
    "clebsch_gordan",
    "neighbor_list",
    "samples_of",
    "species_of",
    "spherical_harmonics",
    "to_batch",
]
