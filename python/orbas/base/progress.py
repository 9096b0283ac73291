"""Progress bars that are not there where nobody sees them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Silence:
    """A bar that shows nothing."""

    def update(self, _: float = 1) -> None:
        """Do nothing."""


@contextmanager
def progress_bar(
    total: int, what: str, unit: str, *, shown: bool, initial: int = 0, leave: bool = True
) -> Iterator[Any]:
    """Give a bar with ``update``: tqdm's if it is to be shown.

    A disabled bar of tqdm still takes a lock that is shared with forked processes, and starts a thread: a child that
    was killed meanwhile would keep all others waiting.
    """
    if not shown:
        yield _Silence()
        return
    from tqdm import tqdm

    with tqdm(total=total, initial=initial, desc=what, unit=unit, leave=leave) as bar:
        yield bar
