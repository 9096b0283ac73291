"""Which classes files hold, and how: :func:`stored` stands on a class, with what is checked when one is read.

A class says itself what of it is written; there is no table of classes. Whoever reads a file has loaded their modules.
"""

from __future__ import annotations

import inspect
import reprlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from orbas.base.estimator import Estimator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec:
    """How the objects of one class are written.

    Attributes
    ----------
    kind
        The name of the class in files.
    cls
        The class itself; only its own objects are meant, not those of subclasses.
    describe
        Returns the fields of an object: plain values, containers, arrays and objects of known classes.
    restore
        Makes an object of its fields again, all of which come from a file; any ValueError, TypeError or KeyError it
        raises says that the file is wrong.
    """

    kind: str
    cls: type
    describe: Callable[[Any], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]


_CODECS: dict[str, Codec] = {}


def codecs() -> Iterable[Codec]:
    """Return the codecs of all classes that are loaded by now."""
    return _CODECS.values()


def stored(
    kind: str,
    *,
    fitted: Iterable[str] = (),
    optional: Iterable[str] = (),
    record: Callable[..., Any] | None = None,
) -> Callable[[type[T]], type[T]]:
    """Let files hold the objects of a class: a decorator of a dataclass or of an estimator.

    Of a dataclass its fields are written, of an estimator the parameters of its constructor and attributes of the
    record of its ``fit``. The class may have methods for files:

    - ``_check_restored(self)`` raises ValueError or TypeError if an object of a file could not be used;
    - ``_described(self)`` and the class method ``_restored(cls, fields)`` take the place of all that.

    Parameters
    ----------
    kind
        The name of the class in files. It stays when the class is renamed.
    fitted
        Names of attributes that are there after every fit.
    optional
        Names of those that only some fits leave: an empty one is not written.
    record
        Makes the record of fields with these names without the underscore, and of ``params`` if it has that field.

    Raises
    ------
    ValueError
        If another class has this name in files.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from orbas.files.encoding import decode, encode
    >>> from orbas.files.stored import stored
    >>> @stored("Shell")
    ... @dataclass(frozen=True)
    ... class Shell:
    ...     radius: float
    >>> document, arrays = encode(Shell(2.0))
    >>> document
    {'kind': 'Shell', 'radius': 2.0}
    >>> decode(document, arrays)[0]
    Shell(radius=2.0)
    """

    def register(cls: type[T]) -> type[T]:
        older = _CODECS.get(kind)
        if older is not None and (older.cls.__module__, older.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"files hold a {kind} already, of {older.cls.__module__}")
        if hasattr(cls, "_restored"):
            _CODECS[kind] = Codec(kind, cls, getattr(cls, "_described"), getattr(cls, "_restored"))  # noqa: B009
        elif issubclass(cls, Estimator):
            _CODECS[kind] = _of_estimator(kind, cls, tuple(fitted), tuple(optional), record)
        else:
            _CODECS[kind] = _of_dataclass(kind, cls)
        return cls

    return register


def _checked(restored: T) -> T:
    check = getattr(restored, "_check_restored", None)
    if check is not None:
        check()
    return restored


def _of_dataclass(kind: str, cls: type) -> Codec:
    types = {field.name: field.type for field in fields(cls)}

    def restore(values: dict[str, Any]) -> Any:
        check_names(cls, values)
        for name, value in values.items():
            _check_annotated(name, value, types[name])
        return _checked(cls(**values))

    return Codec(kind, cls, lambda record: {name: getattr(record, name) for name in types}, restore)


def _of_estimator(
    kind: str,
    cls: type[Estimator],
    fitted: tuple[str, ...],
    optional: tuple[str, ...],
    record: Callable[..., Any] | None,
) -> Codec:
    known = (*fitted, *optional)

    def describe(estimator: Estimator) -> dict[str, Any]:
        found = {} if estimator._record is None or record is None else {n: getattr(estimator, n) for n in known}
        written = {name: value for name, value in found.items() if name in fitted or not _is_empty(value)}
        return {**estimator._params_of_record(), **written}

    def restore(values: dict[str, Any]) -> Any:
        found = {name[:-1]: value for name, value in values.items() if name in known}
        check_names(cls, values, fitted if found else (), known)
        params = {name: value for name, value in values.items() if name not in known}
        estimator = cls(**params)
        if found and record is not None:
            estimator._record = record(**found, **estimator._restored_params(found))
        return _checked(estimator)

    return Codec(kind, cls, describe, restore)


def _is_empty(value: Any) -> bool:
    """Whether it is None, or holds nothing."""
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def check_names(cls: type, values: Iterable[str], required: Iterable[str] = (), optional: Iterable[str] = ()) -> None:
    """Raise ValueError if something is missing or unknown beside the parameters of a constructor.

    A parameter with a default may be missing: it is younger than the file, and its default means what was before.
    """
    parameters = inspect.signature(cls).parameters
    needed = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    missing = [name for name in (*needed, *required) if name not in values]
    unknown = sorted(set(values) - {*parameters, *required, *optional})
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"does not know {reprlib.repr(unknown)}"] * bool(
            unknown
        )
        raise ValueError(f"{cls.__name__} {' and '.join(parts)}")


def is_number(value: Any) -> bool:
    """Whether a value is a number and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_vector(name: str, array: Any, size: int) -> None:
    """Raise unless it is a float64 array of the shape [size]."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != (size,):
        shape = getattr(array, "shape", None)
        raise ValueError(f"{name} must be float64 of the shape {(size,)}, got the shape {shape}")


#: What values of a field must be, by its annotation; those of other annotations are left to the class.
_OF_ANNOTATION: dict[str, Callable[[Any], bool]] = {
    "float": is_number,
    "int": is_integer,
    "bool": lambda value: isinstance(value, bool),
    "tuple[float, ...]": lambda value: isinstance(value, tuple) and all(map(is_number, value)),
    "tuple[int, ...]": lambda value: isinstance(value, tuple) and all(map(is_integer, value)),
    "FloatArray": lambda value: isinstance(value, np.ndarray) and value.dtype == np.float64,
    "IntArray": lambda value: isinstance(value, np.ndarray) and value.dtype == np.int64,
    "PairArray": lambda value: isinstance(value, np.ndarray) and value.dtype == np.uint32,
}


def _check_annotated(name: str, value: Any, annotation: Any) -> None:
    if not _OF_ANNOTATION.get(str(annotation), lambda _: True)(value):
        raise TypeError(f"{name} must be {annotation}, got {reprlib.repr(value)}")
