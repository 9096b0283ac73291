"""What a setting may be: a number, an integer, a choice; its range, its text in flags, its table in a JSON schema.

A kind knows a value in three forms. In Python it is what a constructor takes (``take``); in a TOML file it is a plain
value, a species by its symbol and no limit as a word (``read``, and back by ``write``); as a flag it is a text
(``parse``, which returns what a file would hold). ``plain`` has the kinds of single values, ``compound`` those that are
made of others, and of objects.
"""

from __future__ import annotations

from orbas.base.kinds.compound import Each, Having, Instance, ListOf, Maybe, OneOf, Tables
from orbas.base.kinds.plain import (
    LENGTH,
    SEED,
    SKIN,
    Choice,
    File,
    Files,
    Integer,
    Kind,
    Number,
    RefusalError,
    Switch,
    Text,
    listed,
    scalar,
    short,
)

__all__ = [
    "LENGTH",
    "SEED",
    "SKIN",
    "Choice",
    "Each",
    "File",
    "Files",
    "Having",
    "Instance",
    "Integer",
    "Kind",
    "ListOf",
    "Maybe",
    "Number",
    "OneOf",
    "RefusalError",
    "Switch",
    "Tables",
    "Text",
    "listed",
    "scalar",
    "short",
]
