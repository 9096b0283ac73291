"""A fitted optimal basis as one file: a NumPy archive without pickles, readable anywhere.

``metadata`` holds JSON: format, schema, settings, species, number of environments. Beside it stand, for every center
kind, degree and group of neighbor species, ``eigenvalues_...`` [n] and ``contraction_...`` [n, q]: exact doubles, so
that a basis read again expands to the same bits.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.files.outputs import FileKind, check_output
from orbas.files.replacing import replacing
from orbas.optimal import settings
from orbas.optimal.basis import OptimalBasis, Spectrum

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from orbas.base.blocks import FloatArray

FORMAT = "orbas.basis"
SCHEMA = 1
_ORTHONORMAL = 1e-8


def save_basis(optimal: OptimalBasis, path: str | os.PathLike[str]) -> None:
    """Write a fitted basis; the file appears whole or not at all.

    Raises
    ------
    TypeError
        For something else, such as a :class:`orbas.PCovRBasis`.
    orbas.NotFittedError
        Before ``fit``.
    ValueError
        If the primitive basis is a :class:`orbas.bases.Custom` one: Python functions are not data.
    OSError
        If the file cannot be written; an older file of that name is then untouched.
    """
    if not isinstance(optimal, OptimalBasis):
        raise TypeError(f"a basis file holds an orbas.OptimalBasis, got a {type(optimal).__name__}")
    check_output(path, FileKind.BASIS)
    optimal = optimal._at_fit()
    metadata = {
        "format": FORMAT,
        "schema": SCHEMA,
        "settings": settings.describe(optimal),
        "species": [int(number) for number in optimal.species_],
        "n_environments": int(optimal.n_environments_),
    }
    arrays = {"metadata": np.array(json.dumps(metadata))}
    for slot in _slots(optimal, optimal.species_):
        arrays[f"eigenvalues_{slot.name}"] = slot.of(optimal, optimal.eigenvalues_)
        arrays[f"contraction_{slot.name}"] = np.ascontiguousarray(slot.of(optimal, optimal.contraction_))
    write_archive(path, arrays)


def load_basis(path: str | os.PathLike[str]) -> OptimalBasis:
    """Read a basis of :func:`save_basis`, ready to expand: the fitted attributes are the same bits.

    The covariances are not in the file: ``partial_fit`` on what is returned starts anew.

    Raises
    ------
    ValueError
        If the file is not a basis, is damaged or contradicts itself, or was written by a newer orbas.
    OSError
        If there is no such file.
    """
    try:
        arrays = _read_archive(Path(path))
        metadata = _read_metadata(arrays)
        optimal = settings.build_optimal(settings.check_basis(metadata["settings"]))
        species = _read_species(metadata["species"], optimal.density.given_species())
        environments = metadata["n_environments"]
        if isinstance(environments, bool) or not isinstance(environments, int) or environments < 0:
            raise ValueError(f"n_environments is {environments!r}")
        return _restore(optimal, species, environments, arrays)
    except KeyError as error:
        raise ValueError(f"{path} is not a whole basis file: it lacks {error}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a sound basis file: {error}") from error


def write_archive(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a NumPy archive of exactly this name, whole or not at all."""
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of one matrix: a center species (None: all), a degree, a neighbor species (None: all mixed)."""

    center: int | None
    degree: int
    group: int | None
    n_rows: int

    @property
    def name(self) -> str:
        center = "" if self.center is None else f"c{self.center}_"
        group = "" if self.group is None else f"_a{self.group}"
        return f"{center}l{self.degree}{group}"

    def of(self, optimal: OptimalBasis, nested: Any) -> FloatArray:
        """Return the item in an attribute nested like ``OptimalBasis.contraction_``."""
        item = (nested if self.center is None else nested[self.center])[self.degree]
        array: FloatArray = item if self.group is None else item[optimal.species_.index(self.group)]
        return array


def _slots(optimal: OptimalBasis, species: tuple[int, ...]) -> Iterator[_Slot]:
    counts = optimal.density.primitive_basis().counts(optimal.density.max_angular)
    combined = optimal.mixing == "combined"
    for center in species if optimal.per_center else (None,):
        for l, n in enumerate(counts):
            for group in (None,) if combined else species:
                yield _Slot(center, l, group, n * len(species) if combined else n)


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays; members are stored, never compressed, so that the file's size bounds the memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise ValueError("its members are compressed")
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (zipfile.BadZipFile, EOFError, MemoryError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not a NumPy archive, or damaged ({error})") from error


def _read_metadata(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    text = arrays.pop("metadata")
    if text.shape != () or text.dtype.kind != "U":
        raise ValueError("its metadata are not a text")
    try:
        metadata = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata are not JSON ({error})") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"its metadata do not say {FORMAT!r}")
    schema = metadata["schema"]
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise ValueError(f"its schema is {schema!r}")
    if schema > SCHEMA:
        raise ValueError(f"it has schema {schema}, written by a newer orbas; this one reads up to {SCHEMA}")
    if not isinstance(metadata["settings"], dict):
        raise ValueError("its settings are not a table")
    return metadata


def _read_species(value: Any, given: tuple[int, ...] | None) -> tuple[int, ...]:
    sound = isinstance(value, list) and all(type(number) is int and 0 <= number <= 255 for number in value)
    if not sound or not value or value != sorted(set(value)):
        raise ValueError(f"species must be rising atomic numbers, got {value!r}")
    species = tuple(value)
    if given is not None and given != species:
        raise ValueError(f"species are {species} here and {given} in its settings")
    return species


def _restore(
    optimal: OptimalBasis, species: tuple[int, ...], environments: int, arrays: dict[str, np.ndarray]
) -> OptimalBasis:
    """Set the fitted attributes from checked arrays."""
    values: dict[int | None, list[list[FloatArray]]] = {}
    vectors: dict[int | None, list[list[FloatArray]]] = {}
    for slot in _slots(optimal, species):
        eigenvalues, matrix = arrays.pop(f"eigenvalues_{slot.name}"), arrays.pop(f"contraction_{slot.name}")
        _check_slot(optimal, slot, eigenvalues, matrix)
        for nested, array in ((values, eigenvalues), (vectors, matrix)):
            by_degree = nested.setdefault(slot.center, [])
            if slot.degree == len(by_degree):
                by_degree.append([])
            by_degree[slot.degree].append(array)
    if arrays:
        raise ValueError(f"unknown entries: {', '.join(sorted(arrays))}")

    spectra = {key: Spectrum(values[key], vectors[key]) for key in values}
    optimal.set_fitted(species, environments, spectra, vectors)
    return optimal


def _check_slot(optimal: OptimalBasis, slot: _Slot, eigenvalues: np.ndarray, matrix: np.ndarray) -> None:
    n = slot.n_rows
    if optimal.n_optimal is None:
        expected = min(matrix.shape[1], n) if matrix.ndim == 2 else 0
    else:
        expected = min(optimal.wanted_counts(optimal.density.max_angular + 1)[slot.degree], n)
    for name, array, shape in (("eigenvalues", eigenvalues, (n,)), ("contraction", matrix, (n, expected))):
        if array.dtype != np.float64 or array.shape != shape:
            raise ValueError(
                f"{name}_{slot.name} must be float64 of the shape {shape}, got {array.dtype} of the shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name}_{slot.name} is not finite")
    if (eigenvalues < 0).any() or (np.diff(eigenvalues) > 0).any():
        raise ValueError(f"eigenvalues_{slot.name} must fall and not be negative")
    if not np.allclose(matrix.T @ matrix, np.eye(expected), rtol=0, atol=_ORTHONORMAL):
        raise ValueError(f"the columns of contraction_{slot.name} are not orthonormal")
