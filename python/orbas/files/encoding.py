"""Objects as JSON and arrays: what a codec is, and the walk that knows nothing of models.

Plain values stay what they are in JSON; the others are tables with a tag:

=======================  =====================================================
``[...]``                a list
``{"tuple": [...]}``     a tuple
``{"dict": [[k, v]]}``   a dict, in its order
``{"array": "name"}``    the tensor of that name: the path to it, with slashes
``{"kind": "K", ...}``   an object of a known class, with its fields
=======================  =====================================================
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from orbas.errors import ModelFileError

if TYPE_CHECKING:
    from orbas.base.estimator import Estimator

_KIND = "kind"
_TAGS = (_KIND, "tuple", "dict", "array")


@dataclass(frozen=True, slots=True)
class Codec:
    """How the objects of one class are written.

    Attributes
    ----------
    cls
        The class itself; only its own objects are meant, not those of subclasses.
    describe
        Returns the fields of an object: plain values, containers, arrays and objects of known classes.
    restore
        Makes an object of its fields again, all of which come from a file; any ValueError, TypeError or KeyError it
        raises says that the file is wrong.
    """

    cls: type
    describe: Callable[[Any], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]

    @property
    def kind(self) -> str:
        """The name of the class in files."""
        return self.cls.__name__


def record_codec(cls: type, check: Callable[[Any], None] = lambda _: None) -> Codec:
    """Return the codec of a dataclass: its fields, given to its constructor; ``check`` raises for a wrong one."""
    types = {field.name: field.type for field in fields(cls)}

    def restore(values: dict[str, Any]) -> Any:
        check_names(cls, values)
        for name, value in values.items():
            _check_annotated(name, value, types[name])
        record = cls(**values)
        check(record)
        return record

    return Codec(cls, lambda record: {name: getattr(record, name) for name in types}, restore)


def estimator_codec(
    cls: type[Estimator],
    fitted: Iterable[str] = (),
    *,
    optional: Iterable[str] = (),
    record: Callable[..., Any] | None = None,
    check: Callable[[Any], None] = lambda _: None,
) -> Codec:
    """Return the codec of an estimator: parameters of its constructor, and attributes of the record of its ``fit``.

    Parameters
    ----------
    cls
        The class.
    fitted
        Names of attributes that are there after every fit.
    optional
        Names of those that only some fits leave: an empty one is not written.
    record
        Makes the record of fields with these names without the underscore, and of ``params`` if it has that field.
    check
        Raises ValueError or TypeError if a restored object could not be used.
    """
    required, known = tuple(fitted), (*fitted, *optional)

    def describe(estimator: Estimator) -> dict[str, Any]:
        found = {} if estimator._record is None or record is None else {n: getattr(estimator, n) for n in known}
        written = {name: value for name, value in found.items() if name in required or not _is_empty(value)}
        return {**estimator._params_of_record(), **written}

    def restore(values: dict[str, Any]) -> Any:
        found = {name[:-1]: value for name, value in values.items() if name in known}
        check_names(cls, values, required if found else (), known)
        params = {name: value for name, value in values.items() if name not in known}
        estimator = cls(**params)
        if found and record is not None:
            estimator._record = record(**found, **estimator._restored_params(found))
        check(estimator)
        return estimator

    return Codec(cls, describe, restore)


def _is_empty(value: Any) -> bool:
    """Whether it is None, or holds nothing."""
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


#: Where codecs come from: filled by the modules that know the classes, when these are loaded.
_SOURCES: list[Callable[[], Iterable[Codec]]] = []


def register_codecs(source: Callable[[], Iterable[Codec]]) -> None:
    """Let files hold the classes of some codecs; the source is asked whenever a file is written or read."""
    _SOURCES.append(source)


def _codecs() -> list[Codec]:
    return [codec for source in _SOURCES for codec in source()]


def components(value: Any) -> Iterator[Any]:
    """Yield all objects of known classes that a value is made of, outer ones first."""
    known = {codec.cls: codec for codec in _codecs()}

    def walk(value: Any) -> Iterator[Any]:
        if type(value) in known:
            yield value
            value = known[type(value)].describe(value)
        if isinstance(value, list | tuple | Mapping):
            for item in value.values() if isinstance(value, Mapping) else value:
                yield from walk(item)

    return walk(value)


def encode(value: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """Return JSON and tensors of a value.

    Raises
    ------
    ValueError
        If there is something in it that no file can hold; says what and where.
    """
    tensors: dict[str, np.ndarray] = {}
    return _Encoder({codec.cls: codec for codec in _codecs()}, tensors).walk(value, "model"), tensors


def decode(node: Any, tensors: Mapping[str, np.ndarray]) -> tuple[Any, set[str]]:
    """Return the value that :func:`encode` was given, and the names of the tensors that it is made of.

    Raises
    ------
    ModelFileError
        If the JSON does not describe known objects that fit together; says what and where.
    """
    decoder = _Decoder({codec.kind: codec for codec in _codecs()}, dict(tensors))
    return decoder.walk(node, "model"), tensors.keys() - decoder.left.keys()


def _widened(array: np.ndarray) -> np.ndarray:
    """Return numbers of fewer bytes, as users give them in settings, in the widths that files have."""
    if array.dtype.kind == "f" and array.itemsize < 8:
        return array.astype(np.float64)
    narrow = array.dtype.kind in "iu" and array.itemsize < 8 and array.dtype != np.uint32
    return array.astype(np.int64) if narrow else array


@dataclass(frozen=True, slots=True)
class _Encoder:
    codecs: dict[type, Codec]
    tensors: dict[str, np.ndarray]

    def walk(self, value: Any, path: str) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"{path} is not finite: {value!r}; a model file holds finite numbers only")
            return value
        if isinstance(value, np.ndarray):
            self.tensors[path] = _widened(value)
            return {"array": path}
        if isinstance(value, list | tuple):
            items = [self.walk(item, f"{path}/{place}") for place, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping):
            return {"dict": [[self.walk(k, f"{path}/keys"), self.walk(v, f"{path}/{k!r}")] for k, v in value.items()]}
        codec = self.codecs.get(type(value))
        if codec is None:
            known = ", ".join(codec.kind for codec in self.codecs.values())
            raise ValueError(
                f"a {type(value).__name__} ({path}) cannot be written to a model file: Python code is not data; "
                f"these can: {known}"
            )
        return {_KIND: codec.kind, **{n: self.walk(v, f"{path}/{n}") for n, v in codec.describe(value).items()}}


@dataclass(frozen=True, slots=True)
class _Decoder:
    codecs: dict[str, Codec]
    #: Tensors that nothing has asked for yet.
    left: dict[str, np.ndarray]

    def walk(self, node: Any, path: str) -> Any:
        if isinstance(node, list):
            return [self.walk(item, f"{path}/{place}") for place, item in enumerate(node)]
        if not isinstance(node, dict):
            return node
        tags = [tag for tag in _TAGS if tag in node]
        if _KIND in node:
            return self._object(node, path)
        if len(tags) != 1 or len(node) != 1:
            raise ModelFileError(f"{path} is a table without a known tag: {reprlib.repr(node)}")
        (tag, content), *_ = node.items()
        if tag == "array":
            if not isinstance(content, str) or content not in self.left:
                raise ModelFileError(f"{path} refers to the array {reprlib.repr(content)}, which is not there")
            return self.left.pop(content)
        if not isinstance(content, list):
            raise ModelFileError(f"{path} is not a list of items: {reprlib.repr(content)}")
        items = self.walk(content, path)
        return tuple(items) if tag == "tuple" else self._dict(items, path)

    def _dict(self, items: list[Any], path: str) -> dict[Any, Any]:
        try:
            result = dict(items)
        except (TypeError, ValueError):  # not pairs, or a key that is none
            raise ModelFileError(f"{path} is not a list of keys and values") from None
        if len(result) != len(items):
            raise ModelFileError(f"{path} has a key twice")
        return result

    def _object(self, node: dict[str, Any], path: str) -> Any:
        kind = node[_KIND]
        codec = self.codecs.get(kind) if isinstance(kind, str) else None
        if codec is None:
            raise ModelFileError(
                f"{path} is of an unknown kind, {reprlib.repr(kind)}: a newer orbas may know it, "
                f"or who made it must register it before; this one knows "
                f"{', '.join(self.codecs)}"
            )
        values = {name: self.walk(item, f"{path}/{name}") for name, item in node.items() if name != _KIND}
        try:
            return codec.restore(values)
        except ModelFileError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
            raise ModelFileError(f"{path} is no sound {kind}: {error}") from error


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
