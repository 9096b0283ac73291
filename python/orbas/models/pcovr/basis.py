"""An optimal basis with a target: principal covariates regression of the coefficients of degree 0."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from orbas import structures
from orbas.base.estimator import Fitted
from orbas.base.fields import check_settings, setting
from orbas.base.kinds import Number, Switch
from orbas.density.expansion import DENSITY
from orbas.fit.baseline import BASELINE, CompositionBaseline
from orbas.fit.copies import find_copies
from orbas.fit.folds import groups_of
from orbas.fit.isolated import isolated_atoms, set_aside
from orbas.fit.labels import targets_of
from orbas.fit.noise import NOISE, Noise
from orbas.fit.regularization import RULE, check_enough_structures, resolve_regularization, without_labels
from orbas.fit.samples import Samples, kinds_of
from orbas.fit.streamed import fit_streamed
from orbas.models.pcovr.projector import captured, orthonormal, projector
from orbas.models.pcovr.target import TwoBodyDesign
from orbas.optimal.basis import MIXING, PER_DEGREE, OptimalBasis
from orbas.optimal.fitted_basis import BasisRecord, FittedBasis, Mixing
from orbas.structures.label_table import LabelKeys
from orbas.structures.labels import Labels, known_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import ArrayLike

    from orbas.base.types import FloatArray
    from orbas.density.expansion import DensityExpansion
    from orbas.fit.dense import RidgeFit
    from orbas.fit.labels import BaselineLike
    from orbas.fit.regularization import RegularizationLike


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PCovRRecord(BasisRecord):
    """The record of a :class:`PCovRBasis`."""

    weights: Any
    ridge_alpha: float
    baseline: CompositionBaseline


@dataclass(eq=False, repr=False)
class PCovRBasis(FittedBasis):
    """Radial functions between those of the largest variance and those of the best linear two-body potential.

    Only coefficients of degree 0 are invariant, as the target is: there the functions are those of principal covariates
    regression, :func:`orbas.models.pcovr.projector` of their covariance (Eq. 6) and of w, the ridge regression of
    energies above the baseline, and of forces if they are given, on the primitive coefficients summed over structures.
    For degrees above 0 they are those of :class:`OptimalBasis`. Nothing is centered. Goscinski et al., J. Chem. Phys.
    155, 104106 (2021), Fig. 6.

    Parameters
    ----------
    density
        The expansion on a large primitive basis, such as ``GTO(20)``.
    n_optimal
        Number of functions kept: one number for every l, or a list with one per l. With separate mixing it counts
        the functions of each neighbor species.
    alpha
        Weight of the variance, in [0, 1], as in scikit-matter: 1 is the principal components, 0.1 the 1:9 weighting of
        the paper. At 0 there is a single function for l = 0, the linear two-body potential.
    mixing, per_center
        As in :class:`OptimalBasis`.
    orthonormalize
        Whether the functions of l = 0 are made orthonormal, first to last (QR); they span the same. If not, the
        variance of a coefficient is its eigenvalue L times that of all primitive ones: functions of little use stay
        small.
    regularization
        How the ridge regularizer is chosen: see :mod:`orbas.fit.regularization`; not :class:`LeaveOneOut`
        with forces. Folds are made of whole structures.
    baseline
        ``"composition"`` fits an energy per species; a dict gives isolated-atom energies in eV.
    noise
        Expected errors of the labels; None is ``Noise()`` with forces, and weight one for every structure without.

    Attributes
    ----------
    species_, contraction_, expansion_
        As in :class:`OptimalBasis`.
    residual_variance_
        Fraction of the variance that is lost **by linear decoding** with q = 1, 2, ... functions for every l (and
        species, when separate), up to what was kept: an array, or a dict by center species.
    weights_
        w, over the joint index (a, n) of degree 0, in eV per unit of a coefficient: an array, or a dict by center
        species.
    ridge_alpha_
        The relative ridge regularizer of w.
    baseline_
        The fitted :class:`~orbas.models.CompositionBaseline`.
    n_environments_
        Number of environments seen.

    Notes
    -----
    A weak regularizer makes functions of large coefficients that nearly cancel. Their tables lose as many digits: where
    ``spline_accuracy`` can no longer be reached the expansion says so, and a larger regularizer is the remedy.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(4)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> frames = orbas.datasets.silicon(n=20)
    >>> pcovr = orbas.PCovRBasis(density, n_optimal=2, alpha=0.1).fit(frames)
    >>> pcovr.expansion_.transform(frames)[1, 0, 1, 14].values.shape[1:]  # m, q
    (1, 2)
    """

    weights_ = Fitted[Any]()
    ridge_alpha_ = Fitted[float]()
    baseline_ = Fitted[CompositionBaseline]()

    density: DensityExpansion = field(metadata=setting(DENSITY, "expansion on a large primitive basis"))
    n_optimal: int | Sequence[int] = field(default=4, metadata=setting(PER_DEGREE, "number of functions kept"))
    alpha: float = field(default=0.1, metadata=setting(Number(0, 1), "weight of the variance"))
    _: KW_ONLY
    mixing: Mixing = field(default="combined", metadata=setting(MIXING, "whether functions mix neighbor species"))
    per_center: bool = field(default=False, metadata=setting(Switch(), "one basis for every center species"))
    orthonormalize: bool = field(default=False, metadata=setting(Switch(), "make the functions of l = 0 orthonormal"))
    regularization: RegularizationLike = field(default="cv", metadata=setting(RULE, "how the ridge is chosen"))
    baseline: BaselineLike = field(default="composition", metadata=setting(BASELINE, "energies of the species"))
    noise: Noise | None = field(default=None, metadata=setting(NOISE, "expected errors of the labels"))

    def fit(
        self,
        frames: Sequence[Atoms],
        energies: ArrayLike | None = None,
        *,
        forces: Sequence[ArrayLike] | None = None,
        energy_key: str = "REF_energy",
        forces_key: str | None = None,
    ) -> Self:
        """Fit on structures and their energies, with or without forces.

        Parameters
        ----------
        frames
            Structures.
        energies
            Total energies in eV, [n_structures]; None takes those under ``energy_key``.
        forces
            In eV/Å, one array [n_atoms, 3] per structure, if energies are given too.
        energy_key, forces_key
            Names of the labels, as in :func:`orbas.structures.io.collect_labels`, if no arrays are given; a
            ``forces_key`` of None leaves forces out. Structures without labels count for the variance alone.

        Raises
        ------
        LabelError
            If labels that were named are missing or not finite.
        ValueError
            For settings out of range, bad structures, labels of a wrong shape, or too few structures for the
            regularization.

        Examples
        --------
        >>> energies = [frame.info["REF_energy"] for frame in frames]
        >>> pcovr.fit(frames, energies).species_
        (14,)
        """
        variance = self.check()
        rule = resolve_regularization(self.regularization)
        listed = structures.as_frames(frames)
        check_enough_structures(rule, len(listed))
        if self.noise is not None:
            self.noise.check_configs(listed)
        labels = _labels(listed, energies, forces, energy_key, forces_key)
        # Variance is that of all structures, the target that of those with labels.
        labeled = np.flatnonzero(labels.known.any(axis=1))
        check_enough_structures(rule, len(labeled))
        chosen, labels = [listed[k] for k in labeled.tolist()], labels.take(labeled)
        known = np.flatnonzero(np.isfinite(labels.energies))
        baseline = CompositionBaseline(None if self.baseline == "composition" else self.baseline)
        baseline.fit([chosen[k] for k in known.tolist()], labels.energies[known])
        variance.fit(listed)
        design = TwoBodyDesign.of(self.density, variance.species_, self.per_center)
        noise = Noise() if labels.forces is not None and self.noise is None else self.noise
        rows = np.flatnonzero(~set_aside(chosen, self.noise))
        fitted, labels = [chosen[k] for k in rows.tolist()], labels.take(rows)
        groups = groups_of(getattr(rule, "groups", None), listed)[labeled][rows]
        kinds, copies = kinds_of(fitted, labels), find_copies(fitted)
        folds = Samples(fitted, groups, kinds, isolated_atoms(fitted), copies).folds(rule)
        fit = fit_streamed(design, fitted, targets_of(fitted, labels, baseline), noise, rule, folds)
        self._record = self._contract(variance, fit, baseline)
        return self

    def check(self) -> OptimalBasis:
        """Raise SettingsError for a setting out of its range; return the basis of the variance alone.

        Examples
        --------
        >>> pcovr.set_params(alpha=2.0).check()
        Traceback (most recent call last):
        orbas.base.fields.SettingsError: PCovRBasis.alpha must be a number from 0 to 1, got 2.0
        """
        check_settings(self)
        variance = OptimalBasis(self.density, self.n_optimal, mixing=self.mixing, per_center=self.per_center)
        variance.check()
        count = variance.wanted_counts(self.density.max_angular + 1)[0]
        if self.alpha == 0.0 and count > 1:
            raise ValueError(f"alpha=0 has a single function for l = 0, got n_optimal={count}: give 1, or alpha > 0")
        return variance

    def _contract(self, variance: OptimalBasis, fit: RidgeFit, baseline: CompositionBaseline) -> PCovRRecord:
        """Replace the principal components of degree 0 by those of the modified covariance."""
        principal = variance._fitted()
        nesting = principal.nesting
        kept = {kind: [list(groups) for groups in m] for kind, m in nesting.by_kind(principal.contraction).items()}
        values = nesting.by_kind(principal.eigenvalues)
        of_kind = dict(zip(kept, np.split(fit.weights, len(kept)), strict=True))
        residuals = {}
        for kind, matrices in kept.items():
            covariances = variance.covariance(0, kind)
            parts = np.split(of_kind[kind], len(covariances))
            curves = []
            for g, (covariance, part) in enumerate(zip(covariances, parts, strict=True)):
                columns = projector(covariance, part, self.alpha)[:, : matrices[0][g].shape[1]]
                matrices[0][g] = orthonormal(columns) if self.orthonormalize else columns
                curves.append(captured(covariance, columns))
            for l in range(1, len(matrices)):
                curves += [np.cumsum(v)[: m.shape[1]] for v, m in zip(values[kind][l], matrices[l], strict=True)]
            total = sum(float(v.sum()) for groups in values[kind] for v in groups)
            residuals[kind] = _residual(curves, total)
        params = {**self._settled_params(principal.species), "regularization": without_labels(self.regularization)}
        return PCovRRecord(
            **PCovRRecord.fields_of(params, principal.species, kept),
            n_environments=principal.n_environments,
            residual_variance=nesting.of_centers(residuals),
            weights=nesting.of_centers(of_kind),
            ridge_alpha=fit.alpha,
            baseline=baseline,
        )


def _residual(captured_by: list[FloatArray], total: float) -> FloatArray:
    """Return the fraction lost with q functions of every group and degree; those with fewer keep what they have."""
    most = max((curve.size for curve in captured_by), default=0)
    kept = np.zeros(most)
    for curve in captured_by:
        if curve.size:
            kept += np.pad(curve, (0, most - curve.size), mode="edge")
    return np.maximum(total - kept, 0.0) / total if total > 0 else np.zeros(most)


def _labels(
    frames: list[Atoms],
    energies: ArrayLike | None,
    forces: Sequence[ArrayLike] | None,
    energy_key: str,
    forces_key: str | None,
) -> Labels:
    """Return energies and forces, from arrays or by their keys, checked; what is not known is nan."""
    if (energies is None and forces is not None) or (energies is not None and forces_key is not None):
        raise ValueError("give energies and forces both as arrays, or both by their keys")
    if energies is None:
        return known_labels(frames, LabelKeys(energy_key, forces_key))
    totals = np.asarray(energies, dtype=np.float64)
    if totals.shape != (len(frames),):
        raise ValueError(f"{len(frames)} structures need one energy each, got the shape {totals.shape}")
    if np.isnan(totals).any():
        raise ValueError(f"structure {int(np.flatnonzero(np.isnan(totals))[0])}: its energy is not known")
    if forces is None:
        return Labels(totals, None, None)
    arrays = [np.asarray(force, dtype=np.float64) for force in forces]
    if len(arrays) != len(frames):
        raise ValueError(f"{len(frames)} structures need one array of forces each, got {len(arrays)}")
    for k, (frame, array) in enumerate(zip(frames, arrays, strict=True)):
        if array.shape != (len(frame), 3) or not np.isfinite(array).all():
            raise ValueError(
                f"structure {k}: forces must be finite and of the shape ({len(frame)}, 3), got {array.shape}"
            )
    return Labels(totals, list(arrays), None)
