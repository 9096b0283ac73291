"""Elements by their symbol or their atomic number."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from orbas.base.names import unknown_name

#: The core keeps species as bytes.
LARGEST = 255


def atomic_number(species: str | SupportsIndex) -> int:
    """Return the atomic number of an element: of its symbol, or of what is one already.

    Raises
    ------
    TypeError
        If it is neither a text nor an integer.
    ValueError
        If no element has the symbol, or the number is not in 0..255.

    Examples
    --------
    >>> atomic_number("Si"), atomic_number(14)
    (14, 14)
    """
    if isinstance(species, str):
        from ase.data import atomic_numbers

        number = atomic_numbers.get(species)
        if number is None:
            raise ValueError(unknown_name("chemical symbol", species, atomic_numbers))
        return int(number)
    if isinstance(species, bool) or not hasattr(species, "__index__"):
        raise TypeError(f"a species is a chemical symbol or an atomic number, got {species!r}")
    number = operator.index(species)
    if not 0 <= number <= LARGEST:
        raise ValueError(f"an atomic number must lie in 0..{LARGEST}, got {number}")
    return number


def symbol(number: int) -> str:
    """Return the symbol of an element; the number itself as text where it has none."""
    from ase.data import chemical_symbols

    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else str(number)
