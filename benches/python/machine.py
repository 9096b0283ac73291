"""On what a run was made: machine, versions, and how much of the machine was free."""

from __future__ import annotations

import concurrent.futures
import datetime
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import orbas
from orbas import _core

PACKAGES = ("numpy", "ase", "featomic", "vesin", "sphericart", "dscribe", "matscipy", "quippy-ase")


def describe(mode: str, threads: int) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "mode": mode,
        "threads": threads,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
            "two_threads_gain": two_threads_gain(),
        },
        "simd": simd_level(),
        "python": platform.python_version(),
        "versions": {"orbas": orbas.__version__, **{name: version(name) for name in PACKAGES}},
        "commit": commit(),
    }


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def simd_level() -> str:
    """The widest level of this processor: the last of those that the refusal of an unknown one lists."""
    try:
        _core.DensityPlan(
            cutoff=(1.0, 0.5, "cosine"),
            scaling=None,
            species=[1],
            center_weight=1.0,
            n_nodes=2,
            channels=[],
            functions=[],
            level="?",
        )
    except ValueError as error:
        found = re.search(r"(\w+)\]", str(error))
        return found[1] if found else "unknown"
    return "unknown"


def commit() -> str | None:
    """The commit of the working copy, with a + if it was changed since."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def two_threads_gain() -> float:
    """How much more pure arithmetic two threads do than one, now: 2 on an idle machine with two cores.

    What another process takes is missing from it, and from every ratio of two threads to one.
    """
    data = bytes(1 << 24)

    def work(_: int) -> bytes:
        return hashlib.sha256(data).digest()  # runs without the interpreter's lock

    def seconds(threads: int) -> float:
        start = time.perf_counter()
        list(pool.map(work, range(threads)))
        return time.perf_counter() - start

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        seconds(2)
        return max(2 * seconds(1) / seconds(2) for _ in range(3))
