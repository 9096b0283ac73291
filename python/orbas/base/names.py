"""Names that nobody has: what an error says of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from orbas.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

#: So many names are listed where none is like the one asked for.
_LISTED = 24


def did_you_mean(name: object, names: Iterable[object]) -> str:
    """Return the end of a message about an unknown name: the name that is most like it, or those that there are.

    Case, ``-`` and ``_`` make no difference: they are what one mistypes first.

    Parameters
    ----------
    name
        What was asked for.
    names
        What there is.

    Examples
    --------
    >>> did_you_mean("gto", ["GTO", "DVR"])
    ": did you mean 'GTO'?"
    >>> did_you_mean("spline", ["GTO", "DVR"])
    '; there are: GTO, DVR'
    """
    listed = list(dict.fromkeys(printable(item) for item in names))
    if not listed:
        return "; there are none"
    plain: dict[str, str] = {}
    for item in listed:
        plain.setdefault(_plain(item), item)
    close = difflib.get_close_matches(_plain(str(name)), plain, n=1)
    if close:
        return f": did you mean {plain[close[0]]!r}?"
    if len(listed) > _LISTED:
        return ""
    return f"; there are: {', '.join(listed)}"


def unknown_name(what: str, name: object, names: Iterable[object]) -> str:
    """Return the message about an unknown name.

    Examples
    --------
    >>> unknown_name("basis", "GTOs", ["GTO", "DVR"])
    "unknown basis 'GTOs': did you mean 'GTO'?"
    """
    shown = name if not isinstance(name, str) or len(name) <= 80 else f"{name[:80]}..."
    return f"unknown {what} {shown!r}{did_you_mean(name, names)}"


def _plain(name: str) -> str:
    return name[:200].casefold().replace("-", "_")
