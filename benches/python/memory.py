"""Peak memory of contenders, each in a process of its own.

    python benches/python/memory.py CASE-ID CONTENDER

prints by how many bytes per item the process grows at most while the contender runs once. Program, settings and
structures are there before; splines and results count. Linux only: the high-water mark is set back before the run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Case, Comparison, Peer

AVAILABLE = Path("/proc/self/clear_refs").exists()
OURS = "orbas"


def compare(case: Case) -> list[Comparison]:
    """Measure orbas and every peer whose memory is wanted."""
    from harness import Comparison, Cost

    wanted = [peer for peer in case.peers if peer.memory is not None]
    if not (wanted and AVAILABLE):
        return []
    cost, comparisons = Cost([peak(case, OURS)]), []
    for peer in wanted:
        comparison = Comparison(case.of_memory(), peer.of_memory(), cost)
        if peer.quoted_memory is not None:
            comparison.peer_cost = Cost([peer.quoted_memory])
            comparisons.append(comparison)
            continue
        try:
            comparison.peer_cost = Cost([peak(case, peer.name)])
        except RuntimeError as error:
            comparison.problem = f"not measured: {error}"
        comparisons.append(comparison)
    return comparisons


def peak(case: Case, name: str) -> float:
    """Bytes per item of one contender.

    Raises
    ------
    RuntimeError
        With the last line of what the process wrote, if it failed: a peer may not be installed.
    """
    command = [sys.executable, __file__, case.id, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")
    return float(done.stdout.split()[-1])


def status(name: str) -> int:
    """A line of this process's status, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"no {name} in /proc/self/status")
    return 1024 * int(found[1])


def main() -> None:
    from peers import all_cases

    case = next(case for case in all_cases() if case.id == sys.argv[1])
    peers: dict[str, Peer] = {peer.name: peer for peer in case.peers}
    make = case.orbas if sys.argv[2] == OURS else peers[sys.argv[2]].make
    contender = make()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    contender.run()
    print((status("VmHWM") - before) / contender.items)


if __name__ == "__main__":
    main()
