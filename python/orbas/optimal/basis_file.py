"""A fitted optimal basis as one file, in the container of models (:mod:`orbas.files.container`).

The document holds settings, species and number of environments. Beside it stand, for every center kind, degree and
group of neighbor species, ``eigenvalues_...`` [n] and ``contraction_...`` [n, q]: exact doubles, so that a basis read
again expands to the same bits. Older versions wrote the same into a NumPy archive (``.npz``), which is still read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.errors import ModelFileError
from orbas.files import archive, container
from orbas.files.kinds import Content
from orbas.files.outputs import FileKind, check_output
from orbas.optimal import settings
from orbas.optimal.basis import OptimalBasis, Spectrum

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from orbas.base.types import FloatArray

_SECTIONS = ("settings", "species", "n_environments")
_ORTHONORMAL = 1e-8


def save_basis(optimal: OptimalBasis, path: str | os.PathLike[str]) -> None:
    """Write a fitted basis, best named ``*.orbas``; the file appears whole or not at all.

    Raises
    ------
    TypeError
        For something else, such as a :class:`orbas.PCovRBasis`.
    orbas.NotFittedError
        Before ``fit``.
    ValueError
        If the primitive basis is a :class:`orbas.bases.Custom` one: Python functions are not data. If the name does
        not end in ``.orbas`` (or ``.npz``, as older versions named bases).
    OSError
        If the file cannot be written; an older file of that name is then untouched.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(4)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> optimal = orbas.OptimalBasis(density, n_optimal=2).fit(orbas.datasets.silicon(n=5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     orbas.save_basis(optimal, Path(folder, "silicon.orbas"))
    ...     print([path.name for path in Path(folder).iterdir()])
    ['silicon.orbas']
    """
    if not isinstance(optimal, OptimalBasis):
        raise TypeError(f"a basis file holds an orbas.OptimalBasis, got a {type(optimal).__name__}")
    check_output(path, FileKind.BASIS)
    optimal = optimal._at_fit()
    document = {
        "settings": settings.describe(optimal),
        "species": [int(number) for number in optimal.species_],
        "n_environments": int(optimal.n_environments_),
    }
    arrays = {}
    for slot in _slots(optimal, optimal.species_):
        arrays[f"eigenvalues_{slot.name}"] = slot.of(optimal, optimal.eigenvalues_)
        arrays[f"contraction_{slot.name}"] = np.ascontiguousarray(slot.of(optimal, optimal.contraction_))
    container.write(path, document, arrays, Content.BASIS)


def load_basis(path: str | os.PathLike[str]) -> OptimalBasis:
    """Read a basis of :func:`save_basis`, ready to expand: the fitted attributes are the same bits.

    The covariances are not in the file: ``partial_fit`` on what is returned starts anew.

    Raises
    ------
    orbas.ModelFileError
        If the file is not a basis (the message says what it is), is damaged or contradicts itself, or was written by
        a newer orbas. It is a ValueError.
    OSError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(4)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> optimal = orbas.OptimalBasis(density, n_optimal=2).fit(orbas.datasets.silicon(n=5))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     orbas.save_basis(optimal, Path(folder, "silicon.orbas"))
    ...     again = orbas.load_basis(Path(folder, "silicon.orbas"))
    >>> again.residual_variance_.tolist() == optimal.residual_variance_.tolist()
    True
    """
    try:
        document, arrays = _contents(Path(path))
        optimal = settings.build_optimal(settings.check_basis(document["settings"]))
        species = _read_species(document["species"], optimal.density.given_species())
        environments = document["n_environments"]
        if isinstance(environments, bool) or not isinstance(environments, int) or environments < 0:
            raise ValueError(f"n_environments is {environments!r}")
        return _restore(optimal, species, environments, arrays)
    except ModelFileError:
        raise
    except KeyError as error:
        raise ModelFileError(f"{path} is not a whole basis file: it lacks {error}") from error
    except ValueError as error:
        raise ModelFileError(f"{path} is not a sound basis file: {error}") from error


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


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return document and arrays of a file, of this or of an older version."""
    if archive.is_archive(path):
        arrays = archive.read_archive(path)
        return _old_document(arrays), arrays
    contents = container.read(path, Content.BASIS)
    unknown = contents.document.keys() - set(_SECTIONS)
    if unknown and not contents.is_newer:
        raise ValueError(f"its document has unknown sections: {', '.join(sorted(unknown))}")
    if not isinstance(contents.document["settings"], dict):
        raise ValueError("its settings are not a table")
    return contents.document, contents.tensors


def _old_document(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Take the metadata out of the arrays of an archive."""
    text = arrays.pop("metadata")
    if text.shape != () or text.dtype.kind != "U":
        raise ValueError("its metadata are not a text")
    try:
        document = container.parse_json(text.item().encode(), "its metadata")
    except ModelFileError as error:
        raise ValueError(str(error)) from error
    if document.get("format") != Content.BASIS.value.format:
        raise ValueError(f"its metadata do not say {Content.BASIS.value.format!r}")
    if document["schema"] != 1:
        raise ValueError(f"it has schema {document['schema']!r}; archives of bases have 1")
    if not isinstance(document["settings"], dict):
        raise ValueError("its settings are not a table")
    return document


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
