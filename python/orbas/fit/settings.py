"""The settings that every model with ridge-regressed weights has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from orbas.base.fields import setting
from orbas.base.kinds import Choice, Having, Integer, Switch
from orbas.fit.baseline import BASELINE
from orbas.fit.noise import NOISE
from orbas.fit.regularization import RULE
from orbas.fit.robust import Robust

if TYPE_CHECKING:
    from orbas.fit.labels import BaselineLike
    from orbas.fit.noise import Noise
    from orbas.fit.regularization import RegularizationLike

REPRESENTATION = Having(("transform",), "a representation: anything with transform(frames), as orbas.PowerSpectrum")
CHUNK = setting(Integer(1, 2**53), "about how many atoms are transformed at once")


@dataclass(eq=False, repr=False, kw_only=True)
class FitSettings:
    """How the weights of a model are fitted, above which baseline, and in which pieces.

    Parameters
    ----------
    regularization
        How alpha is chosen: :class:`KFold` (``"cv"`` stands for ``KFold()``), :class:`LeaveOneOut`
        (``"loo"``, energies alone), :class:`HoldOut`, :class:`Evidence` (``"evidence"``) or :class:`Fixed`. Alphas have
        no unit; see :mod:`orbas.fit.regularization`.
    noise
        Expected errors of the labels, hence their weights. None, with forces or virials, begins with ``Noise()`` and
        raises that of a kind of label that contradicts the others (:mod:`orbas.fit.noise_estimate`): ``noise_``.
    baseline
        ``"composition"`` fits an energy per species to all training structures; a dict gives isolated-atom
        energies in eV by symbol or atomic number.
    chunk
        About how many atoms are transformed at once; bounds the memory.
    progress
        Show a progress bar while features are computed.
    robust
        What is done about labels far from all others, which are named in any case: ``"outliers"`` leaves out the few
        that stand apart, ``"huber"`` weights every structure by its residuals, ``"none"`` keeps all; see
        :class:`orbas.fit.robust.Robust`.

    Examples
    --------
    >>> from dataclasses import fields
    >>> from orbas.fit.settings import FitSettings
    >>> [item.name for item in fields(FitSettings)]
    ['regularization', 'noise', 'baseline', 'chunk', 'progress', 'robust']
    """

    regularization: RegularizationLike = field(default="cv", metadata=setting(RULE, "how alpha is chosen"))
    noise: Noise | None = field(default=None, metadata=setting(NOISE, "expected errors of the labels"))
    baseline: BaselineLike = field(default="composition", metadata=setting(BASELINE, "energies of the species"))
    chunk: int = field(default=4096, metadata=CHUNK)
    progress: bool = field(default=False, metadata=setting(Switch(), "show a progress bar", in_files=False))
    robust: Literal["outliers", "huber", "none"] = field(
        default="outliers", metadata=setting(Choice(tuple(way.value for way in Robust)), "labels far from all others")
    )
