"""scikit-learn's manners without its import: parameters are read from the constructor's signature.

What ``fit`` finds is one frozen record, set in one assignment: whoever looks sees a whole fit, the old or the new one.
Public attributes with a trailing underscore are its fields.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

from orbas.base.names import did_you_mean
from orbas.base.process import default_errors, fitting

T = TypeVar("T")


class Fitted(Generic[T]):
    """A public attribute of an estimator, with a trailing underscore: the field of its record without it.

    Arrays are views that cannot be written to: what was fitted is changed by ``fit`` alone.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._field = name, name.removesuffix("_")

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...

    @overload
    def __get__(self, estimator: Estimator, owner: type) -> T: ...

    def __get__(self, estimator: Estimator | None, owner: type) -> Self | T:
        if estimator is None:
            return self
        record = estimator._record
        if record is None:
            raise AttributeError  # which Estimator.__getattr__ words
        value: T = getattr(record, self._field)
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value = value.view()
            value.flags.writeable = False
        return value

    def __set__(self, estimator: Estimator, value: T) -> None:
        raise AttributeError(f"{self._name} of a {type(estimator).__name__} is set by fit, with all it belongs to")


class Estimator:
    """``get_params``, ``set_params`` and a repr; the constructor of a subclass only stores its arguments.

    Public methods of subclasses work under numpy's default error state, fits with one thread of BLAS.

    Examples
    --------
    >>> import orbas
    >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
    >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
    >>> spectrum = orbas.PowerSpectrum(density)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(cls, name, (fitting if name in _FITS else default_errors)(method))

    #: The frozen dataclass of what ``fit`` found; None before, and for whatever is not fitted at all.
    _record: Any = None

    #: What the core compiled for the settings and the record, made where it is wanted; no part of copies.
    _compiled: Any = None

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not there: a fitted attribute before the fit.
        if name.endswith("_") and not name.startswith("_"):
            from orbas.errors import not_fitted

            raise not_fitted(f"{type(self).__name__} has no {name!r} before it is fitted: call fit first")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @classmethod
    def _parameter_names(cls) -> tuple[str, ...]:
        return _parameters_of(cls.__init__)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters, those of nested estimators too when ``deep``.

        Examples
        --------
        >>> density.get_params()["max_angular"]
        1
        >>> spectrum.get_params()["density__max_angular"]
        1
        """
        params: dict[str, Any] = {}
        for name in self._parameter_names():
            value = getattr(self, name)
            params[name] = value
            if deep and isinstance(value, Estimator):
                params.update({f"{name}__{key}": item for key, item in value.get_params().items()})
        return params

    def _restored_params(self, fitted: dict[str, Any]) -> dict[str, Any]:
        """Return what a record has beside fitted fields when it is made of a file: nothing."""
        return {}

    def _params_of_record(self) -> dict[str, Any]:
        """Return the parameters that belong to the record; those of today if it does not say."""
        params: dict[str, Any] | None = getattr(self._record, "params", None)
        return self.get_params(deep=False) if params is None else params

    def _at_fit(self) -> Self:
        """Return this estimator with the settings that belong to its record."""
        twin = type(self)(**self._params_of_record())
        twin._record = self._record
        return twin

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ``nested__name`` reaches into a nested estimator.

        Examples
        --------
        >>> spectrum = spectrum.set_params(density__max_angular=3)
        >>> density.max_angular
        3
        """
        names = self._parameter_names()
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if name not in names:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}{did_you_mean(name, names)}")
            if rest:
                getattr(self, name).set_params(**{rest: value})
            else:
                setattr(self, name, value)
        return self

    def _settled_params(self, species: tuple[int, ...]) -> dict[str, Any]:
        """Return the parameters as a record keeps them: what is done to those of the estimator does not reach them."""
        return {name: settled(getattr(self, name), species) for name in self._parameter_names()}

    def settled(self, species: tuple[int, ...]) -> Self:
        """Return a copy that later changes and fits of this one, and of what it stands on, do not reach.

        Where neither a setting nor a fit has decided on the species, the copy has those that are given.

        Examples
        --------
        >>> copy = spectrum.settled((1, 6))
        >>> density.max_angular = 4
        >>> copy.density.max_angular, copy.density.species_
        (1, (1, 6))
        """
        twin = type(self).__new__(type(self))
        twin.__dict__.update({name: settled(value, species) for name, value in self.__dict__.items()})
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def __sklearn_is_fitted__(self) -> bool:
        return self._record is not None

    def __sklearn_tags__(self) -> Any:
        """Describe the estimator to scikit-learn, which alone calls this: structures in, not a matrix."""
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags() if hasattr(self, "transform") else None,
            input_tags=InputTags(two_d_array=False),
        )

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._parameter_names())
        return f"{type(self).__name__}({inner})"


#: Methods that fit.
_FITS = ("fit", "partial_fit", "fit_transform", "fit_predict")


@cache
def _parameters_of(constructor: Callable[..., None]) -> tuple[str, ...]:
    return tuple(name for name in inspect.signature(constructor).parameters if name != "self")


def settled(value: Any, species: tuple[int, ...]) -> Any:
    """Return a value of an estimator's that later changes do not reach: what cannot change is shared, not copied."""
    if isinstance(value, Estimator):
        return value.settled(species)
    if type(value) in (list, tuple):
        return type(value)(settled(item, species) for item in value)
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()  # a number of numpy is one of Python, in records and in files
    if value is None or isinstance(value, bool | int | float | str | type) or _is_frozen(value):
        return value
    try:
        return copy.deepcopy(value)
    except TypeError:  # a class of the user's own that holds what cannot be copied
        return value


def _is_frozen(value: Any) -> bool:
    return is_dataclass(value) and bool(getattr(type(value), "__dataclass_params__").frozen)  # noqa: B009
