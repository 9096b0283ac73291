"""Objects as JSON and arrays: the walk, which knows no class; those are in :mod:`orbas.files.stored`.

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

import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from orbas.errors import ModelFileError
from orbas.files.stored import Codec, codecs

_KIND = "kind"
_TAGS = (_KIND, "tuple", "dict", "array")


def components(value: Any) -> Iterator[Any]:
    """Yield all objects of known classes that a value is made of, outer ones first."""
    known = {codec.cls: codec for codec in codecs()}

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
    return _Encoder({codec.cls: codec for codec in codecs()}, tensors).walk(value, "model"), tensors


def decode(node: Any, tensors: Mapping[str, np.ndarray]) -> tuple[Any, set[str]]:
    """Return the value that :func:`encode` was given, and the names of the tensors that it is made of.

    Raises
    ------
    ModelFileError
        If the JSON does not describe known objects that fit together; says what and where.
    """
    decoder = _Decoder({codec.kind: codec for codec in codecs()}, dict(tensors))
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
