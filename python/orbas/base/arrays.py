"""Estimators of plain arrays: what scikit-learn asks of them, without its import.

Rows are samples, columns are features. The rules and the wording of the errors are those of scikit-learn's
``check_estimator``, which tests every subclass in full.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from orbas.base.estimator import Estimator, Fitted
from orbas.base.fields import checked
from orbas.base.kinds import Choice, short
from orbas.base.numbers import LARGEST
from orbas.errors import not_fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from orbas.base.types import FloatArray

    Names = NDArray[np.object_]

Container = Literal["default", "pandas", "polars"]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The columns of a matrix that was fitted: how many, and their names if all were strings."""

    count: int
    names: Names | None


@dataclass(frozen=True, slots=True, eq=False)
class ColumnsRecord:
    """What ``fit`` of every estimator of matrices leaves: the columns that it saw."""

    columns: Columns

    @property
    def n_features_in(self) -> int:
        """Number of columns."""
        return self.columns.count


def matrix_to_fit(x: Any) -> tuple[FloatArray, Columns]:
    """Return a checked matrix, and its columns."""
    matrix = as_matrix(x)
    return matrix, Columns(matrix.shape[1], _column_names(x))


class ArrayEstimator(Estimator):
    """An estimator of matrices: it remembers how many columns ``fit`` saw, and their names if they had any.

    Attributes
    ----------
    n_features_in_
        Number of columns in ``fit``.
    feature_names_in_
        Their names, if all were strings.

    Examples
    --------
    >>> import pandas as pd
    >>> import orbas
    >>> table = pd.DataFrame({"a": [1.0, 0.0, 0.0], "b": [0.0, 2.0, 0.0], "c": [0.0, 0.0, 3.0]})
    >>> selector = orbas.selection.CUR(2).fit(table)
    >>> selector.n_features_in_
    3
    """

    n_features_in_ = Fitted[int]()

    @property
    def feature_names_in_(self) -> Names:
        """Names of the columns in ``fit``.

        Examples
        --------
        >>> selector.feature_names_in_.tolist()
        ['a', 'b', 'c']
        """
        record: ColumnsRecord | None = self._record
        if record is None or record.columns.names is None:
            raise AttributeError("fit saw no names of columns")
        return record.columns.names

    def _fitted(self) -> Any:
        """Return the record, a :class:`ColumnsRecord`; raise NotFittedError before ``fit``."""
        if self._record is None:
            raise not_fitted(f"this {type(self).__name__} is not fitted: call fit first")
        return self._record

    def _matrix_to_use(self, x: Any, record: ColumnsRecord) -> FloatArray:
        """Return a checked matrix whose columns are those that were fitted."""
        self._check_names(_column_names(x), record.columns.names)
        matrix = as_matrix(x)
        expected = record.columns.count
        if matrix.shape[1] != expected:
            raise ValueError(
                f"X has {matrix.shape[1]} features, but {type(self).__name__} is expecting {expected} features as input"
            )
        return matrix

    def _check_names(self, names: Names | None, fitted: Names | None) -> None:
        if fitted is None and names is None:
            return
        if fitted is None or names is None:
            known = f"{type(self).__name__} was fitted {'without' if fitted is None else 'with'} feature names"
            has = "X has feature names" if fitted is None else "X does not have valid feature names"
            warnings.warn(f"{has}, but {known}", stacklevel=5)
            return
        if list(names) == list(fitted):
            return
        unseen, missing = sorted(set(names) - set(fitted)), sorted(set(fitted) - set(names))
        lines = ["The feature names should match those that were passed during fit."]
        for title, found in [("unseen at fit time", unseen), ("seen at fit time, yet now missing", missing)]:
            if found:
                lines += [f"Feature names {title}:", *(f"- {name}" for name in found[:5])]
                lines += ["- ..."] if len(found) > 5 else []
        if not unseen and not missing:
            lines.append("Feature names must be in the same order as they were in fit.")
        raise ValueError("\n".join(lines) + "\n")

    def _names_in(self, input_features: Sequence[str] | None) -> Names:
        """Return the names of the columns in ``fit``: those it saw, those given, or x0, x1, ..."""
        columns: Columns = self._fitted().columns
        count, fitted = columns.count, columns.names
        if input_features is None:
            return fitted if fitted is not None else np.array([f"x{k}" for k in range(count)], dtype=object)
        given = np.asarray(input_features, dtype=object)
        if fitted is not None and not np.array_equal(given, fitted):
            raise ValueError("input_features is not equal to feature_names_in_")
        if len(given) != count:
            raise ValueError(
                f"input_features should have length equal to the {count} features of fit, got {len(given)}"
            )
        return given


class OutputContainer:
    """``set_output`` of a transformer: arrays, or frames of pandas or polars with names on their columns.

    Examples
    --------
    >>> import numpy as np
    >>> import orbas
    >>> selector = orbas.selection.CUR(2).fit(np.diag([1.0, 2.0, 3.0]))
    """

    def set_output(self, *, transform: Container | None = None) -> Self:
        """Choose what ``transform`` returns; "default" is an array, None leaves it as it is.

        Raises
        ------
        ValueError
            For an unknown container.

        Examples
        --------
        >>> table = selector.set_output(transform="pandas").transform(np.diag([1.0, 2.0, 3.0]))
        >>> table.columns.tolist()
        ['x1', 'x2']
        """
        if transform is None:
            return self
        checked(Choice(get_args(Container)), "set_output(transform)", transform)
        # The name is scikit-learn's: its clone copies the attribute.
        self._sklearn_output_config = {"transform": transform}
        return self

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> Names:
        """Return the names of the columns of ``transform``.

        Examples
        --------
        >>> selector.get_feature_names_out().tolist()
        ['x1', 'x2']
        """
        raise NotImplementedError

    def _contained(self, values: Any, like: Any) -> Any:
        """Return values in the container that was asked for, with the index of ``like`` if it has one."""
        chosen = getattr(self, "_sklearn_output_config", {}).get("transform")
        if chosen is None:
            sklearn = sys.modules.get("sklearn")
            chosen = "default" if sklearn is None else sklearn.get_config()["transform_output"]
        if chosen == "pandas":
            import pandas as pd

            # Of a table or a column; lists have a method of that name.
            index = getattr(like, "index", None)
            index = None if callable(index) else index
            return pd.DataFrame(values, columns=self.get_feature_names_out(), index=index, copy=False)
        if chosen == "polars":
            import polars as pl

            return pl.DataFrame(values, schema=list(self.get_feature_names_out()), orient="row")
        return values


def as_matrix(x: Any, name: str = "X") -> FloatArray:
    """Return a finite real matrix [n_samples, n_features], float32 if it was, else float64; no copy if it is one.

    Raises
    ------
    TypeError
        For sparse matrices and things that are not numbers.
    ValueError
        For a wrong shape, complex numbers, or what is not finite.
    """
    if hasattr(x, "toarray"):
        raise TypeError(f"sparse matrices are not supported: give {name} as an array, {name}.toarray()")
    array = np.asarray(x)
    check_numeric(array, name)
    if array.dtype not in (np.float32, np.float64):
        array = _as_float64(array, name)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead: {name} has the shape {array.shape}. Reshape your data"
        )
    for count, kind in zip(array.shape, ("sample", "feature"), strict=True):
        if count == 0:
            raise ValueError(f"Found array with 0 {kind}(s) (shape={array.shape}) while a minimum of 1 is required.")
    check_finite(array, name)
    return array


def as_targets(y: ArrayLike, n_samples: int) -> FloatArray:
    """Return targets [n_samples] or [n_samples, n_targets] as float64.

    Raises
    ------
    ValueError
        If there are none, for a wrong shape, complex numbers, or what is not finite.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    array = np.asarray(y)
    check_numeric(array, "y")
    array = _as_float64(array, "y")
    if array.ndim not in (1, 2) or len(array) != n_samples:
        raise ValueError(f"y must have {n_samples} rows, one per sample of X, got the shape {array.shape}")
    check_finite(array, "y")
    return array


def _as_float64(array: NDArray[Any], name: str) -> FloatArray:
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} holds an integer beyond {short(LARGEST)}, where squares overflow") from None


def check_numeric(array: NDArray[Any], name: str) -> None:
    """Raise ValueError for complex numbers and for texts, also those that could be read as numbers."""
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} is {array.dtype}")
    if array.dtype.kind in "USMm" or (array.dtype.kind == "O" and any(isinstance(x, str | bytes) for x in array.flat)):
        raise ValueError(f"{name} must hold numbers, got {array.dtype if array.dtype.kind != 'O' else 'texts'}")


def check_finite(array: FloatArray, name: str) -> None:
    """Raise ValueError, naming the first place, if something is NaN, infinite, or so large that its square may be."""
    if array.size == 0 or max(-float(array.min()), float(array.max())) <= LARGEST:  # False for NaN
        return
    place = tuple(int(k) for k in np.argwhere(~(np.abs(array) <= LARGEST))[0])
    value = array[place]
    if np.isfinite(value):
        raise ValueError(f"{name}{list(place)} is {value}, beyond {short(LARGEST)}, where squares overflow")
    raise ValueError(f"{name} must be finite, but {name}{list(place)} is {value} (NaN or inf)")


def _column_names(x: Any) -> Names | None:
    """Return the names of a data frame's columns, if all are strings."""
    columns = getattr(x, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.array(list(columns), dtype=object)
