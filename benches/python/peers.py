"""Orbas against its peers: one process, one machine, one table of ratios.

    python benches/python/peers.py [--quick | --full] [--threads N] [--only TEXT] [--json FILE]

A ratio is the peer's cost over that of orbas: medians of samples taken in turn, with the quartiles of the ratios of
neighboring samples beside it. Absolute times wander with the machine; ratios of one run are what may be quoted. Before
anything is timed, the numbers of both must agree to 1e-6 (last column). A peer that is not installed is reported.

To add a case, append a ``harness.Case`` to ``CASES`` of one of the ``case_*.py`` modules.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Case

THREAD_VARIABLES = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

BUSY = ": the machine is busy, ratios of two threads to one mean little"


def main() -> int:
    """Return 1 if a peer gave other numbers; a target that is not reached is no error."""
    arguments = parse()
    for name in THREAD_VARIABLES:  # read by the programs when they are loaded, hence the late imports
        os.environ[name] = str(arguments.threads)
    import machine
    import memory
    import orbas
    import report
    from harness import Tier, compare

    tier = Tier.QUICK if arguments.quick else Tier.FULL if arguments.full else Tier.DEFAULT
    chosen = [case for case in all_cases() if case.tier <= tier and arguments.only in case.id]
    run = machine.describe(tier.name.lower(), arguments.threads)
    print(f"orbas {run['versions']['orbas']} ({run['commit']}), {run['simd']}, {run['threads']} thread(s)")
    free = run["machine"]["two_threads_gain"]
    print(f"{run['machine']['processor']}, {run['machine']['cores']} cores, {run['date']}")
    print(f"two threads of pure arithmetic do {free:.2f} x the work of one" + (BUSY if free < 1.8 else "") + "\n")
    print(report.header())
    begin, results = time.perf_counter(), []
    for case in chosen:
        orbas.set_num_threads(arguments.threads)
        for result in (*compare(case, tier), *memory.compare(case)):
            results.append(result)
            print(report.row(result), flush=True)
    print()
    for note in report.notes(results):
        print(f"  {note}")
    print(f"  {time.perf_counter() - begin:.0f} s")
    if arguments.json is not None:
        written = {"run": run, "results": [report.as_dict(result) for result in results]}
        arguments.json.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(result.failed for result in results))


def all_cases() -> tuple[Case, ...]:
    import case_expansion
    import case_forces
    import case_itself
    import case_neighbors
    import case_nice
    import case_nice_full
    import case_potentials

    cases = (case_expansion, case_forces, case_potentials, case_nice, case_nice_full, case_neighbors, case_itself)
    return tuple(case for module in cases for case in module.CASES)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare orbas with its peers.")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="fewer samples and no large systems: two minutes")
    length.add_argument(
        "--full",
        action="store_true",
        help="more samples, and a million atoms, and a fit of NICE at full size: half an hour",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of all programs (default 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose id contains this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error("--threads must be positive")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
