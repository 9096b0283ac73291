"""What greedy selectors share: parameters, fitted attributes, and what scikit-learn expects of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from orbas.base.arrays import ArrayEstimator, ColumnsRecord, OutputContainer, matrix_to_fit
from orbas.base.estimator import Fitted
from orbas.base.fields import check_settings, setting
from orbas.base.kinds import Choice, Integer, Maybe
from orbas.base.linalg import upper_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from orbas.base.arrays import Names
    from orbas.base.types import FloatArray, IntArray

Axis = Literal["features", "samples"]

#: Scores closer than this, relative to each other, are a tie, which the lowest index wins.
TIE = 1e-9
#: Points closer than this, relative to the largest norm, are the same point.
SAME = 1e-12
COUNT = setting(Maybe(Integer(1), meaning="half of them"), "how many to select")
AXIS = setting(Choice(get_args(Axis)), "whether columns or rows are selected")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SelectorRecord(ColumnsRecord):
    """What :meth:`Selector.fit` finds; see there."""

    selected_idx: IntArray
    scores: FloatArray
    n_candidates: int


class Selector(ArrayEstimator, OutputContainer):
    """Picks columns (``axis="features"``) or rows (``axis="samples"``) of a matrix, one after the other.

    Attributes
    ----------
    selected_idx_
        Indices in the order in which they were picked. Fewer than asked for, with a warning, if the rest are copies of
        what was picked.
    scores_
        Score of each pick when it was picked.
    n_candidates_
        Number of columns, or rows, there were to choose from.
    n_features_in_, feature_names_in_
        Number of columns in ``fit``, and their names if they had any.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> x = np.array([[1.0, 0.0, 3.0], [1.0, 2.0, 0.0]])
    >>> selector = orbas.selection.CUR(2).fit(x)
    """

    n: int | None
    axis: Axis

    selected_idx_ = Fitted["IntArray"]()
    scores_ = Fitted["FloatArray"]()
    n_candidates_ = Fitted[int]()

    def fit(self, x: Any, y: object = None) -> Self:
        """Select from a matrix [n_samples, n_features].

        Raises
        ------
        ValueError
            For settings out of range, more picks than there are candidates, or a matrix that is not finite.

        Examples
        --------
        >>> selector.fit(x).selected_idx_.tolist()  # in the order of the picks
        [2, 1]
        """
        check_settings(self)
        matrix, columns = matrix_to_fit(x)
        points = np.asarray(matrix.T if self.axis == "features" else matrix, dtype=np.float64)
        count = self._count(len(points))
        picked, scores = self._select(points, count)
        if len(picked) < count:
            warnings.warn(
                f"{count} {self.axis} were asked for, {len(picked)} were selected: the others are copies of these",
                stacklevel=3,
            )
        self._record = SelectorRecord(
            columns, selected_idx=np.array(picked, dtype=np.int64), scores=np.array(scores), n_candidates=len(points)
        )
        return self

    def get_support(self, indices: bool = False) -> NDArray[np.bool_] | IntArray:
        """Return a mask [n_candidates], or the rising indices, of what was selected.

        Examples
        --------
        >>> selector.get_support().tolist(), selector.get_support(indices=True).tolist()
        ([False, True, True], [1, 2])
        """
        record: SelectorRecord = self._fitted()
        rising: IntArray = np.sort(record.selected_idx)
        if indices:
            return rising
        mask = np.zeros(record.n_candidates, dtype=bool)
        mask[rising] = True
        return mask

    @property
    def transform(self) -> Callable[[Any], Any]:
        """``transform(x)`` returns the selected columns, in their order in x.

        Selectors of samples have none, as a step of a pipeline must keep the samples: take ``x[selected_idx_]``.

        Examples
        --------
        >>> selector.transform(x).tolist()
        [[0.0, 3.0], [2.0, 0.0]]
        """
        self._check_transforms()
        return self._transform

    @property
    def fit_transform(self) -> Callable[..., Any]:
        """``fit_transform(x)`` fits, then transforms the same matrix.

        Examples
        --------
        >>> selector.fit_transform(x).shape
        (2, 2)
        """
        self._check_transforms()
        return lambda x, y=None: self.fit(x, y)._transform(x)

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Names:
        """Return the names of the selected columns.

        Examples
        --------
        >>> selector.get_feature_names_out(["a", "b", "c"]).tolist()
        ['b', 'c']
        """
        return self._names_in(input_features)[self.get_support(indices=True)]

    def _check_transforms(self) -> None:
        if self.axis == "samples":
            raise AttributeError("a selector of samples does not transform: take x[selected_idx_]")

    def _transform(self, x: Any) -> Any:
        record: SelectorRecord = self._fitted()
        return self._contained(self._matrix_to_use(x, record)[:, np.sort(record.selected_idx)], x)

    def _select(self, points: FloatArray, count: int) -> tuple[list[int], list[float]]:
        """Return indices of points [n_candidates, dimension] in the order of their selection, and their scores."""
        raise NotImplementedError

    def _count(self, available: int) -> int:
        """Return how many to select of those there are."""
        if self.n is None:
            return max(1, available // 2)
        if self.n > available:
            raise ValueError(f"cannot select n={self.n} of n_{self.axis}={available}: ask for at most as many")
        return int(self.n)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags

        tags = super().__sklearn_tags__()
        tags.input_tags = InputTags()
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def first_of_largest(scores: FloatArray) -> int:
    """Return the lowest index whose score is the largest, to a relative 1e-9: rounding must not decide."""
    largest = float(scores.max())
    return int(np.argmax(scores >= largest - TIE * abs(largest)))


def compact(points: FloatArray) -> FloatArray:
    """Return points [n, min(n, dimension)] with the same scalar products: a triangular factor, if that is smaller."""
    if points.shape[0] < points.shape[1]:
        points = upper_factor(points.T).T
    return np.ascontiguousarray(points)
