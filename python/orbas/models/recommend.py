"""A potential without decisions: settings by cross-validation on the training structures, inside a time budget."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from orbas.base.fields import check_settings, setting
from orbas.base.kinds import SEED, Number
from orbas.base.process import fitting
from orbas.fit.findings import OUTLYING
from orbas.fit.folds import groups_of
from orbas.fit.isolated import isolated_atoms
from orbas.fit.labels import labels_of
from orbas.fit.noise import Noise
from orbas.fit.regularization import GROUPS, KFold
from orbas.fit.samples import kinds_of
from orbas.models.linear import LinearPotential
from orbas.models.sparse import SparseGPR
from orbas.structures.batch import as_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ase import Atoms

    from orbas.base.types import IntArray
    from orbas.density.expansion import DensityExpansion
    from orbas.models.potential import Potential
    from orbas.structures.io import Labels

_LOG = logging.getLogger("orbas")
#: Atoms that settings are compared on, at most; the last fit takes all.
_N_TRIAL = 3000
#: A trial on few structures says little about what all of them cost; so much is left in hand.
_MARGIN = 1.5
#: Cutoffs tried, in units of the distance of nearest neighbors, and what is never gone below or above (Å).
_REACHES = (1.8, 2.2, 2.6, 3.0)
_CUTOFF_RANGE = (3.5, 7.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of settings.

    Attributes
    ----------
    kind
        ``"linear"``: weights on a power spectrum; ``"nice"``: on invariants up to order 3; ``"sparse"``: a sparse
        Gaussian process on a power spectrum.
    cutoff
        Cutoff radius in Å.
    density_width
        Width of the Gaussians in Å.
    n_optimal, max_angular
        Size of the optimal basis.
    size
        Components per symmetry, or representative environments; 0 where there are none.
    zeta
        Exponent of the kernel.
    scaling
        Distance r0 in Å of a radial scaling ``1 / (1 + (r / r0)^4)``; None for none.
    """

    kind: Literal["linear", "nice", "sparse"]
    cutoff: float
    density_width: float
    n_optimal: int
    max_angular: int
    size: int = 0
    zeta: int = 1
    scaling: float | None = None

    def __str__(self) -> str:
        text = f"cutoff {self.cutoff:.1f} width {self.density_width:.2f} q {self.n_optimal} l {self.max_angular}"
        text += "" if self.scaling is None else f" r0 {self.scaling:.1f}"
        match self.kind:
            case "linear":
                return f"linear, power spectrum  {text}"
            case "nice":
                return f"linear, NICE to order 3 {text} components {self.size}"
            case "sparse":
                return f"sparse kernel           {text} points {self.size} zeta {self.zeta}"

    def build(
        self,
        frames: Sequence[Atoms],
        noise: Noise | None,
        groups: str | tuple[str, ...] | None = None,
        robust: Literal["outliers", "huber"] = "outliers",
    ) -> Potential:
        """Fit the representation to structures and return the potential, not fitted yet."""
        from orbas.invariants.nice import NICE
        from orbas.invariants.spectra import PowerSpectrum

        density = self._density(frames)
        options: dict[str, Any] = {"regularization": KFold(groups=groups), "noise": noise, "robust": robust}
        if self.kind == "sparse":
            return SparseGPR(PowerSpectrum(density), self.size, self.zeta, **options)
        if self.kind == "linear":
            return LinearPotential(PowerSpectrum(density), **options)
        nice = NICE(
            density,
            nu_max=3,
            n_pairs=[10 * self.size, 1],
            n_components=[self.size, 0],
            n_invariants=[None, 4 * self.size],
            n_invariant_pairs=[None, 20 * self.size],
            max_lambda=self.max_angular,
            n_environments=2000,
        )
        return LinearPotential(nice.fit(frames), **options)

    def _density(self, frames: Sequence[Atoms]) -> DensityExpansion:
        from orbas.bases import GTO
        from orbas.density.expansion import DensityExpansion
        from orbas.density.weight import Cutoff, RadialScaling
        from orbas.optimal.basis import OptimalBasis

        primitive = DensityExpansion(
            cutoff=Cutoff(self.cutoff, min(1.0, 0.25 * self.cutoff), "smooth"),
            density_width=self.density_width,
            max_angular=self.max_angular,
            basis=GTO(12),
            scaling=None if self.scaling is None else RadialScaling(1.0, self.scaling, 4.0),
        )
        return OptimalBasis(primitive, n_optimal=self.n_optimal).fit(frames).expansion_


@dataclass(frozen=True)
class Search:
    """How long :func:`recommended` may try, and on which structures."""

    time_budget: float = field(
        default=600.0, metadata=setting(Number(1e-9, 1e9, "s"), "time for all trials and the last fit")
    )
    seed: int = field(default=0, metadata=setting(SEED, "of the structures that trials use"))
    groups: str | tuple[str, ...] | None = field(default=None, metadata=GROUPS)

    def __post_init__(self) -> None:
        check_settings(self)


@fitting
def recommended(
    train: Sequence[Atoms],
    *,
    energy_key: str = "REF_energy",
    forces_key: str | None = None,
    stress_key: str | None = None,
    virial_key: str | None = None,
    noise: Noise | None = None,
    time_budget: float = Search.time_budget,
    seed: int = Search.seed,
    groups: str | Sequence[Any] | None = None,
    report: Callable[[str], None] = print,
) -> Potential:
    """Choose representation, basis and regularization by cross-validation, and return a fitted potential.

    First the cutoff and the width of the density, by a linear model on the power spectrum; then the kind of model and
    its size. What is compared is the five-fold held-out error over the noise of the labels, on the same
    structures for all, drawn once; the last fit takes all structures. Nothing but the training structures is looked at.

    Parameters
    ----------
    train
        Training structures, ten at least.
    energy_key, forces_key, stress_key, virial_key
        Names of the labels, as in :meth:`LinearPotential.fit`.
    noise
        Expected errors of the labels, hence what matters more. None is ``Noise()``, raised for a kind of label that
        contradicts the others, as the first trial finds. If that sees outliers, the last fit is ``robust="huber"``.
    time_budget
        Seconds. Trials end when what is left is what the last fit is expected to take; a machine of another speed may
        therefore choose otherwise. At least one trial and the last fit are always made, and the best settings that were
        tried are taken: that their last fit may take longer is said.
    seed
        Of the structures that settings are compared on.
    groups
        What is held out together: a key of ``info``, such as ``"config_type"``, or the group of every structure; see
        :class:`KFold`.
    report
        Called with every line about what was tried; ``print`` by default.

    Raises
    ------
    LabelError
        If labels are missing.
    ValueError
        For fewer than ten structures, a budget that is not positive, or structures without neighbors.

    Examples
    --------
    >>> import orbas
    >>> train = orbas.datasets.silicon(n=12)
    >>> model = orbas.models.recommended(train, time_budget=1e-3, report=lambda line: None)
    >>> model.species_
    (14,)
    """
    train = as_frames(train)
    if len(train) < 10:
        raise ValueError(f"cross-validation wants ten structures at least, got {len(train)}")
    search = Search(time_budget, seed, groups)  # type: ignore[arg-type]
    start = time.monotonic()
    keys: dict[str, Any] = {"forces_key": forces_key, "stress_key": stress_key, "virial_key": virial_key}
    labels = labels_of(train, energy_key, **keys)
    given = noise
    noise = Noise() if noise is None else noise
    noise.check_configs(train)
    together = groups_of(search.groups, train)
    sample = _sample(train, labels, noise, together, seed)
    frames, of_sample = [train[k] for k in sample], _labels_of_groups(search.groups, together[sample])
    share = sum(map(len, frames)) / sum(map(len, train))
    report(f"comparing settings on {len(frames)} of {len(train)} structures; held-out error over noise:")
    best: tuple[float, Candidate, float] | None = None
    nearest = _nearest_distance(frames)
    robust: Literal["outliers", "huber"] = "outliers"
    if labels.forces is not None or labels.stress is not None:
        with _quietly():
            first = _first_stage(frames, nearest)[0].build(frames, given and given.among(frames), of_sample)
            first.fit(frames, energy_key=energy_key, **keys)
        noise = first.noise_ if given is None and first.noise_ is not None else noise
        robust = "huber" if any(found.topic in OUTLYING for found in first.findings_) else robust
    for stage in (_first_stage(frames, nearest), None):
        for candidate in stage if stage is not None else _second_stage(best, nearest, sum(map(len, frames))):
            if best is not None and time.monotonic() - start + _MARGIN * best[2] > time_budget:
                report("the time is up")
                break
            before = time.monotonic()
            with _quietly():  # the last fit says what there is to say of the structures
                potential = candidate.build(frames, noise.among(frames), of_sample)
                potential.fit(frames, energy_key=energy_key, **keys)
            seconds = time.monotonic() - before
            error = float(potential.cv_errors_.min())
            report(f"{error:10.4f}  {seconds:6.1f} s  {candidate}")
            if best is None or error < best[0]:
                best = (error, candidate, seconds / share)
    assert best is not None
    left = time_budget - (time.monotonic() - start)
    if best[2] > left:
        late = (
            f"its fit to all structures may take {best[2]:.0f} s, where {max(left, 0.0):.0f} s are left of time_budget"
        )
        _LOG.warning("the best settings are taken, though %s", late)
    report(f"taken: {best[1]}; fitting all {len(train)} structures")
    with _quietly():  # of sizes that were not asked for
        chosen = best[1].build(train, noise, search.groups, robust)
    chosen.fit(train, energy_key=energy_key, **keys)
    return chosen


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back what this thread would log."""
    here = threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != here

    _LOG.addFilter(others)
    try:
        yield
    finally:
        _LOG.removeFilter(others)


def _labels_of_groups(given: str | tuple[str, ...] | None, groups: IntArray) -> str | tuple[str, ...] | None:
    """Return what makes the same groups of some of the structures."""
    return given if given is None or isinstance(given, str) else tuple(map(str, groups.tolist()))


def _sample(train: list[Atoms], labels: Labels, noise: Noise, groups: IntArray, seed: int) -> list[int]:
    """Draw structures until they have enough atoms, two of each species, label and noise, and two groups; rising.

    Isolated atoms, which cost nothing, are always among them.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    isolated = isolated_atoms(train)
    chosen = np.flatnonzero(isolated).tolist()
    n_atoms = 0
    drawn = order[~isolated[order]]
    for index in drawn:
        if len(chosen) - int(isolated.sum()) >= 10 and n_atoms >= _N_TRIAL:
            break
        chosen.append(int(index))
        n_atoms += len(train[index])
    configs = [[str(frame.info.get("config_type")) == config for frame in train] for config in noise.by_config]
    for kind in (*kinds_of(train, labels).T, *np.array(configs, dtype=bool)):
        of_kind = [int(index) for index in drawn if kind[index]]
        missing = max(0, min(2, len(of_kind)) - len(set(of_kind) & set(chosen)))
        chosen += [index for index in of_kind if index not in chosen][:missing]
    if len(set(groups[chosen].tolist())) < 2:
        chosen += [int(index) for index in drawn if groups[index] != groups[chosen[0]]][:1]
    return sorted(chosen)


def _first_stage(frames: Sequence[Atoms], nearest: float) -> list[Candidate]:
    """Cutoffs and widths, by a quick model."""
    low, high = _CUTOFF_RANGE
    radii = sorted({round(float(np.clip(reach * nearest, low, high)), 1) for reach in _REACHES})
    n_species = len({int(number) for frame in frames for number in frame.numbers})
    q = 6 + 2 * min(n_species - 1, 3)
    return [Candidate("linear", radius, width, q, 6) for radius in radii for width in (0.3, 0.5)]


def _second_stage(best: tuple[float, Candidate, float] | None, nearest: float, n_atoms: int) -> Iterator[Candidate]:
    """Larger bases and richer models at the best cutoff and width so far.

    Kernels compare whole environments, and do better where far neighbors count less; linear models weigh neighbors
    themselves.
    """
    assert best is not None
    first = best[1]
    yield replace(first, n_optimal=first.n_optimal + 3, max_angular=8)
    kernel = replace(first, kind="sparse", scaling=round(1.3 * nearest, 1))
    for size, zeta in ((300, 2), (300, 4), (1000, 4)):
        yield replace(kernel, size=min(size, n_atoms // 2), zeta=zeta)
    for size in (50, 100):
        yield replace(first, kind="nice", max_angular=4, size=size)
    yield replace(kernel, n_optimal=first.n_optimal + 2, max_angular=8, size=min(2000, n_atoms // 2), zeta=4)


def _nearest_distance(frames: Sequence[Atoms]) -> float:
    """Return the median distance of nearest neighbors in Å."""
    from orbas.structures.neighbors import neighbor_list

    found = []
    for frame in frames:
        centers, distances = neighbor_list("id", frame, _CUTOFF_RANGE[1])
        least = np.full(len(frame), np.inf)
        np.minimum.at(least, centers, distances)
        found.append(least[np.isfinite(least)])
    together = np.concatenate(found)
    if together.size == 0:
        raise ValueError(f"no two atoms of these structures are within {_CUTOFF_RANGE[1]} Å")
    return float(np.median(together))
