"""The optimal radial basis of a data set: principal components of its own density coefficients.

Goscinski et al., J. Chem. Phys. 155, 104106 (2021), Eq. 6-9, 17, 18. The primitive basis may be as large as one likes:
it is only used to fit; what is evaluated afterwards is a table of the few contracted functions.
"""

from __future__ import annotations

import logging
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np

from orbas import structures
from orbas.base.arrays import as_matrix
from orbas.base.estimator import Fitted
from orbas.base.fields import SettingsError, check_settings, checked, setting
from orbas.base.kinds import Choice, Each, Integer, Maybe, Number, Switch, listed
from orbas.base.linalg import eigh
from orbas.density.contraction import ContractedBasis
from orbas.density.expansion import DENSITY, DensityExpansion
from orbas.errors import not_fitted
from orbas.optimal.fitted_basis import BasisRecord, FittedBasis, Mixing, Nesting
from orbas.structures.neighbors import neighbor_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ase import Atoms

    from orbas.base.types import FloatArray
    from orbas.optimal.fitted_basis import Matrices

_LOG = logging.getLogger("orbas")
#: Coefficients held at a time while fitting, in bytes.
CHUNK_BYTES = 1 << 22
PER_DEGREE = Each(Integer(0, 1_000_000), per="l")
MIXING = Choice(get_args(Mixing))


@dataclass
class _Covariance:
    """Sums of ``c c^T`` over environments and m, for one kind of center: [l][species a, species b] -> [n_l, n_l]."""

    environments: int = 0
    sums: dict[tuple[int, int, int], FloatArray] = field(default_factory=dict)

    def add(self, l: int, a: int, b: int, product: FloatArray) -> None:
        key = (l, a, b)
        self.sums[key] = self.sums[key] + product if key in self.sums else product

    def joint(self, l: int, n: int, species: Sequence[int]) -> FloatArray:
        """Eq. 6 over the joint index (a, n), divided by the number of all environments."""
        zero = np.zeros((n, n))
        rows = [[self.sums.get((l, a, b), zero) for b in species] for a in species]
        matrix = np.block(rows) if n else np.zeros((0, 0))
        return matrix / max(1, self.environments)


@dataclass
class _Seen:
    """What structures have added up to: covariances by kind of center, and the species that occurred."""

    covariances: dict[int | None, _Covariance] = field(default_factory=dict)
    species: set[int] = field(default_factory=set)

    def copy(self) -> _Seen:
        """Return one that can be added to; sums are never changed in place."""
        covariances = {kind: _Covariance(c.environments, dict(c.sums)) for kind, c in self.covariances.items()}
        return _Seen(covariances, set(self.species))

    @property
    def n_environments(self) -> int:
        """Number of environments of all kinds."""
        return sum(covariance.environments for covariance in self.covariances.values())

    def of(self, kind: int | None) -> _Covariance:
        """Return the covariance of a kind of center, an empty one if none was seen."""
        return self.covariances.get(kind, _Covariance())


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenpairs of one kind of center: ``[l][group]``, a group being a species, or all of them when combined."""

    values: list[list[FloatArray]]
    vectors: list[list[FloatArray]]

    def residual_variance(self) -> FloatArray:
        """Fraction of the variance lost when q functions are kept of every group and degree, q = 1, 2, ..."""
        flat = [values for groups in self.values for values in groups]
        kept = np.zeros(max((values.size for values in flat), default=0))
        for values in flat:
            kept[: values.size] += values
        total = kept.sum()
        lost = total - np.cumsum(kept)
        return np.maximum(lost, 0.0) / total if total > 0 else np.zeros_like(kept)

    def counts_for(self, residual: float) -> list[list[int]]:
        """Fewest functions, taken in the order of their variance over all l and groups, that leave a residual."""
        ranked = sorted(
            (-float(value), l, g)
            for l, groups in enumerate(self.values)
            for g, values in enumerate(groups)
            for value in values
        )
        total = -sum(value for value, _, _ in ranked)
        counts = [[0] * len(groups) for groups in self.values]
        left = total
        for value, l, g in ranked:
            if left <= residual * total:
                break
            left += value
            counts[l][g] += 1
        return counts


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class OptimalRecord(BasisRecord):
    """The record of an :class:`OptimalBasis`; ``seen`` is None if it was read from a file."""

    eigenvalues: Any
    seen: _Seen | None


def check_per_degree(given: int | Sequence[int], max_angular: int) -> None:
    """Raise SettingsError unless there is one number of functions for every degree, and not all are zero."""
    items = listed(given)
    if items is not None and len(items) != max_angular + 1:
        raise SettingsError(f"n_optimal must have one number for each of {max_angular + 1} degrees, got {given!r}")
    if not (sum(items) if items is not None else given):
        raise SettingsError(f"n_optimal must leave at least one function, got {given!r}")


@dataclass(eq=False, repr=False)
class OptimalBasis(FittedBasis):
    """Principal components of the density coefficients of a data set, per degree l.

    Parameters
    ----------
    density
        The expansion on a large primitive basis, such as ``GTO(20)``.
    n_optimal
        Number of functions kept: one number for every l, or a list with one per l. With separate mixing it counts
        the functions of each neighbor species.
    residual
        Instead of ``n_optimal``: keep the fewest functions, in the order of their variance over all l, whose
        residual variance is at most this fraction; their number then differs by l.
    mixing
        ``"combined"``: one covariance over the joint index (a, n), so that a function mixes species (Eq. 18);
        ``"separate"``: one per neighbor species (Eq. 6).
    per_center
        One basis for every center species instead of one for all.

    Attributes
    ----------
    species_
        Sorted atomic numbers seen.
    contraction_
        ``[l]`` -> U [n_species * n_l, q_l] when combined (species slowest); ``[l][a]`` -> U [n_l, q_al] when
        separate; with ``per_center`` a dict from center species to that.
    eigenvalues_
        Variances in descending order, nested like ``contraction_`` and complete (not cut to ``n_optimal``).
    residual_variance_
        Fraction of the variance lost with q = 1, 2, ... functions for every l (and species, when separate): an
        array, or a dict by center species.
    expansion_
        A :class:`DensityExpansion` whose tables are the contracted functions: the primitive coefficients are never
        made, and q functions cost what q functions of any basis cost.
    n_environments_
        Number of environments seen.

    Notes
    -----
    The covariance is not centered and is divided by the number of all environments, with or without neighbors of a
    species. An eigenvector's sign is such that its first component of (nearly) largest magnitude is positive.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(4)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=5)
    >>> optimal = orbas.OptimalBasis(density, n_optimal=2).fit(frames)
    >>> bool(optimal.residual_variance_[1] < 0.05)
    True
    >>> optimal.expansion_.transform(frames)[1, 1, 1, 14].values.shape[1:]  # m, q
    (3, 2)
    """

    eigenvalues_ = Fitted[Any]()

    density: DensityExpansion = field(metadata=setting(DENSITY, "expansion on a large primitive basis"))
    n_optimal: int | Sequence[int] | None = field(
        default=None,
        metadata=setting(Maybe(PER_DEGREE, meaning="as residual says"), "number of optimal functions kept"),
    )
    _: KW_ONLY
    residual: float | None = field(
        default=None,
        metadata=setting(
            Maybe(Number(0, 1, open=True), meaning="as n_optimal says"),
            "instead: the fraction of the variance that may be lost",
        ),
    )
    mixing: Mixing = field(default="combined", metadata=setting(MIXING, "whether functions mix neighbor species"))
    per_center: bool = field(default=False, metadata=setting(Switch(), "one basis for every center species"))

    def fit(self, frames: Sequence[Atoms], y: object = None, sample_weight: FloatArray | None = None) -> Self:
        """Fit on structures, forgetting earlier ones.

        ``sample_weight`` gives every atom's environment a weight in the covariance, [n_atoms], such as those of Eq. 16
        (:func:`orbas.invariants.nice.term_weights`).

        Raises
        ------
        ValueError
            For settings out of range, bad structures, or structures without a single atom.

        Examples
        --------
        >>> optimal.fit(frames[:2]).n_environments_ == len(frames[0]) + len(frames[1])
        True
        """
        listed = structures.as_frames(frames)
        record = self._made_of(listed, sample_weight, _Seen())
        cutoff = self.density.cutoff.radius
        # The first structure has neighbors as a rule.
        if all(len(neighbor_list("i", frame, cutoff)) == 0 for frame in listed):
            _LOG.warning(
                "no atom has a neighbor within %g Å, so that there is nothing to learn: are lengths in Å?", cutoff
            )
        self._record = record
        return self

    def partial_fit(
        self,
        frames: Sequence[Atoms],
        y: object = None,
        sample_weight: FloatArray | None = None,
        *,
        species: tuple[int, ...] | None = None,
    ) -> Self:
        """Add structures to what was seen: batches of any size, with any species, equal one fit of them all.

        To rounding; to the bit if ``species`` names those of all batches, and none is named by the density.

        Raises
        ------
        ValueError
            As :meth:`fit`; or if the density or what is mixed is no longer that of the structures seen before.

        Examples
        --------
        >>> streamed = orbas.OptimalBasis(density, n_optimal=2)
        >>> streamed = streamed.partial_fit(frames[:2]).partial_fit(frames[2:])
        >>> bool(abs(streamed.residual_variance_ - optimal.residual_variance_).max() < 1e-12)
        True
        """
        record: OptimalRecord | None = self._record
        seen = _Seen() if record is None or record.seen is None else record.seen.copy()
        if record is not None and seen.covariances and not self._adds_to(record):
            raise ValueError(
                "density, mixing or per_center were changed since the structures before were seen: fit all anew"
            )
        self._record = self._made_of(frames, sample_weight, seen, species)
        return self

    def covariance(self, l: int, center_species: int | None = None) -> list[FloatArray]:
        """Return what was diagonalized (Eq. 6), uncentered and divided by the number of environments.

        Parameters
        ----------
        l
            Degree.
        center_species
            With ``per_center``: whose environments; else None.

        Returns
        -------
        One matrix over the joint index (a, n) when combined, [n_l, n_l] for each neighbor species when separate.

        Raises
        ------
        ValueError
            If the basis was read from a file, which does not hold covariances, or for a degree or center species that
            it does not have.

        Examples
        --------
        >>> [matrix] = optimal.covariance(1)
        >>> matrix.shape
        (4, 4)
        """
        record = self._fitted()
        counts = record.density.primitive_basis().counts(record.density.max_angular)
        if record.seen is None:
            raise ValueError("this basis was read from a file, which holds no covariances: fit it")
        if checked(Integer(0), "l", l) >= len(counts) or center_species not in _kinds(record.params, record.species):
            raise ValueError(f"no covariance of l = {l}, center species {center_species}")
        covariance = record.seen.of(center_species)
        return [covariance.joint(l, counts[l], group) for group in _groups(record.params, record.species)]

    def captured_variance(self, other: OptimalBasis) -> float:
        """Return the fraction of the variance seen here that the functions of another basis keep.

        Of both, one has the primitive basis, species, mixing and kinds of centers of the other. For the basis itself it
        is 1 minus its residual variance, and nothing of the same size keeps more.

        Raises
        ------
        ValueError
            If the two do not fit together, or this one was read from a file, which does not hold covariances.

        Examples
        --------
        >>> smaller = orbas.OptimalBasis(density, n_optimal=1).fit(frames)
        >>> optimal.captured_variance(smaller) < optimal.captured_variance(optimal) < 1.0
        True
        """
        record, others = self._fitted(), other._fitted()
        alike = (record.nesting, record.species) == (others.nesting, others.species)
        if not alike or record.seen is None:
            raise ValueError("captured_variance compares two bases fitted with the same species, mixing and centers")
        total = kept = 0.0
        kept_by_kind = others.nesting.by_kind(others.contraction)
        for kind in _kinds(record.params, record.species):
            for l in range(record.density.max_angular + 1):
                for joint, matrix in zip(self.covariance(l, kind), kept_by_kind[kind][l], strict=True):
                    total += float(np.trace(joint))
                    kept += float(np.sum(matrix * (joint @ matrix)))
        return kept / total if total > 0 else 1.0

    # --- fitting ----------------------------------------------------------------------------------------------

    def check(self) -> tuple[int, ...]:
        """Raise SettingsError for a setting out of its range; return the primitive functions per degree.

        Examples
        --------
        >>> optimal.check()
        (4, 4)
        """
        check_settings(self)
        self.density.check()
        if isinstance(self.density.basis, ContractedBasis):
            raise SettingsError(
                f"{type(self).__name__}.density must stand on a primitive basis, got one on a contracted basis"
            )
        if (self.n_optimal is None) == (self.residual is None):
            raise SettingsError(
                "give either n_optimal (how many functions) or residual (how much variance may be lost)"
            )
        if self.n_optimal is not None:
            check_per_degree(self.n_optimal, self.density.max_angular)
        return self.density.primitive_basis().counts(self.density.max_angular)

    def wanted_counts(self, degrees: int) -> list[int]:
        """Return how many functions ``n_optimal`` asks for at every degree.

        Examples
        --------
        >>> optimal.wanted_counts(2)
        [2, 2]
        """
        items = listed(self.n_optimal)
        return [self.n_optimal] * degrees if items is None else items  # type: ignore[list-item]

    def _fitted(self) -> OptimalRecord:
        record: OptimalRecord | None = self._record
        if record is None:
            raise not_fitted("this OptimalBasis is not fitted: call fit(frames) first")
        return record

    def _adds_to(self, record: OptimalRecord) -> bool:
        """Whether structures seen now add up with those of a record."""
        density = record.density
        names = [name for name in density._parameter_names() if name != "species"]
        same = all(getattr(self.density, name) == getattr(density, name) for name in names)
        return same and record.nesting == Nesting(self.mixing, self.per_center)

    def _made_of(
        self,
        frames: Sequence[Atoms],
        sample_weight: FloatArray | None,
        seen: _Seen,
        channels: tuple[int, ...] | None = None,
    ) -> OptimalRecord:
        """Return the record of what was seen and some structures more."""
        counts = self.check()
        listed = structures.as_frames(frames)
        params = self._settled_params(self.density.given_species() or structures.species_of(listed))
        _accumulate(seen, params, listed, counts, sample_weight, channels)
        if not seen.n_environments:
            raise ValueError("an optimal basis needs at least one atom to fit on")
        species = tuple(sorted(seen.species))
        spectra = {
            kind: _diagonalize(seen.of(kind), counts, _groups(params, species)) for kind in _kinds(params, species)
        }
        if self.n_optimal is not None and self._record is None:
            _say_limits(self.wanted_counts(len(counts)), spectra)
        wanted = {kind: self._cut(spectrum) for kind, spectrum in spectra.items()}
        return _record(params, species, seen.n_environments, spectra, wanted, seen)

    def set_fitted(
        self,
        species: tuple[int, ...],
        n_environments: int,
        spectra: Mapping[int | None, Spectrum],
        kept: Mapping[int | None, Matrices],
    ) -> None:
        """Set what a file holds as what a fit found.

        ``spectra`` and ``kept`` (the contraction matrices, [l][group]) have one entry per center species, or a
        single one under None.

        Examples
        --------
        >>> from orbas.optimal.basis import Spectrum
        >>> spectra = {None: Spectrum(optimal.eigenvalues_, optimal.contraction_)}
        >>> copy = orbas.OptimalBasis(density, n_optimal=2)
        >>> copy.set_fitted(optimal.species_, optimal.n_environments_, spectra, {None: optimal.contraction_})
        >>> copy.species_
        (14,)
        """
        params = self._settled_params(species)
        self._record = _record(params, species, n_environments, spectra, kept, None)

    def _cut(self, spectrum: Spectrum) -> Matrices:
        if self.residual is not None:
            wanted = spectrum.counts_for(self.residual)
        else:
            degrees = len(spectrum.values)
            per_degree = zip(self.wanted_counts(degrees), spectrum.values, strict=True)
            wanted = [[int(q)] * len(groups) for q, groups in per_degree]
        return [
            [matrix[:, :q] for matrix, q in zip(matrices, counts, strict=True)]
            for matrices, counts in zip(spectrum.vectors, wanted, strict=True)
        ]


def _record(
    params: dict[str, Any],
    species: tuple[int, ...],
    n_environments: int,
    spectra: Mapping[int | None, Spectrum],
    kept: Mapping[int | None, Matrices],
    seen: _Seen | None,
) -> OptimalRecord:
    nesting = Nesting(params["mixing"], params["per_center"])
    return OptimalRecord(
        **OptimalRecord.fields_of(params, species, kept),
        n_environments=n_environments,
        eigenvalues=nesting.nested({kind: spectrum.values for kind, spectrum in spectra.items()}),
        residual_variance=nesting.of_centers({k: spectrum.residual_variance() for k, spectrum in spectra.items()}),
        seen=seen,
    )


def _say_limits(wanted: Sequence[int], spectra: Mapping[int | None, Spectrum]) -> None:
    """Say that more functions were asked for than there are."""
    for l, count in enumerate(wanted):
        available = max(len(values) for spectrum in spectra.values() for values in spectrum.values[l])
        if count > available:
            _LOG.warning("n_optimal = %d for l = %d: there are %d functions, all are kept", count, l, available)


def _kinds(params: Mapping[str, Any], species: tuple[int, ...]) -> list[int | None]:
    """Return the center species that have a basis of their own; None stands for all."""
    return list(species) if params["per_center"] else [None]


def _groups(params: Mapping[str, Any], species: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the neighbor species that are contracted together."""
    return [species] if params["mixing"] == "combined" else [(a,) for a in species]


def _diagonalize(covariance: _Covariance, counts: tuple[int, ...], groups: list[tuple[int, ...]]) -> Spectrum:
    values, vectors = [], []
    for l, n in enumerate(counts):
        pairs = [eigenpairs(covariance.joint(l, n, group)) for group in groups]
        values.append([value for value, _ in pairs])
        vectors.append([vector for _, vector in pairs])
    return Spectrum(values, vectors)


def _accumulate(
    seen: _Seen,
    params: Mapping[str, Any],
    frames: list[Atoms],
    counts: tuple[int, ...],
    weights: FloatArray | None,
    channels: tuple[int, ...] | None,
) -> None:
    """Add structures to what was seen."""
    density: DensityExpansion = params["density"]
    species = density.given_species() or channels or structures.species_of(frames)
    if not species:
        return
    expansion = DensityExpansion(**{**density.get_params(deep=False), "species": species})
    width = len(species) * sum((2 * l + 1) * n for l, n in enumerate(counts))
    most = max(1, CHUNK_BYTES // (8 * width))
    scales = _scales(weights, frames)
    start = 0
    while start < len(frames):
        end, atoms = start, 0
        while end < len(frames) and (end == start or atoms + len(frames[end]) <= most):
            atoms += len(frames[end])
            end += 1
        part = None if scales is None else np.concatenate(scales[start:end])
        _add_chunk(seen, params, expansion, frames[start:end], part)
        start = end
    seen.species.update(species)


def _add_chunk(
    seen: _Seen,
    params: Mapping[str, Any],
    expansion: DensityExpansion,
    frames: list[Atoms],
    scales: FloatArray | None,
) -> None:
    numbers = structures.atomic_numbers(frames)
    species = expansion.given_species() or ()
    for key, block in expansion.transform(frames).items():
        kind = key.center_species if params["per_center"] else None
        covariance = seen.covariances.setdefault(kind, _Covariance())
        l = key.o3_lambda
        if l == 0:
            covariance.environments += len(block.samples)
        values = block.values
        if scales is not None:
            values = values * scales[numbers == key.center_species][:, None, None]
        rows = values.reshape(-1, values.shape[2])  # [sample * m, a * n]
        n = rows.shape[1] // max(1, len(species))
        parts = [slice(a * n, (a + 1) * n) for a in range(len(species))] if n else []
        if params["mixing"] == "combined":
            product = rows.T @ rows
            for a, first in zip(species, parts, strict=False):
                for b, second in zip(species, parts, strict=False):
                    covariance.add(l, a, b, product[first, second].copy())
        else:
            for a, part in zip(species, parts, strict=False):
                own = np.ascontiguousarray(rows[:, part])
                covariance.add(l, a, a, own.T @ own)


def _scales(weights: FloatArray | None, frames: list[Atoms]) -> list[FloatArray] | None:
    """Return what multiplies the coefficients of every atom, structure by structure: the roots of the weights."""
    if weights is None:
        return None
    array = as_matrix([weights], "sample_weight")[0].astype(np.float64)
    ends = np.cumsum([len(frame) for frame in frames], dtype=np.int64)
    if array.shape != (ends[-1],) or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"sample_weight must hold {ends[-1]} finite numbers >= 0, got the shape {array.shape}")
    return np.split(np.sqrt(array), ends[:-1])


def eigenpairs(matrix: FloatArray, count: int | None = None) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues in descending order (rounding below zero cut off) and eigenvectors as columns, signs fixed.

    With ``count`` only the largest ones are returned.
    """
    if matrix.shape[0] == 0:
        return np.zeros(0), np.zeros((0, 0))
    # Divide and conquer, which finds all pairs: a subset costs the same reduction to three diagonals, and LAPACK's
    # bisection takes longer from a quarter of them on. numpy's function works without the interpreter lock.
    values, vectors = eigh(matrix)
    return np.maximum(values[::-1], 0.0)[:count], with_fixed_signs(vectors[:, ::-1][:, :count])


def with_fixed_signs(vectors: FloatArray) -> FloatArray:
    """Return vectors, the columns, with the sign that makes the first component of the largest magnitude positive.

    Magnitudes within 1e-6 of the largest count as equal: the component could else change with the rounding of two that
    are equal by symmetry. Columns of zeros stay.
    """
    size = np.abs(vectors)
    leading = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    signs = np.sign(vectors[leading, np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors * signs)
