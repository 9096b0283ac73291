"""A stream of QM9-like environments through NICE: how much memory it takes, and how fast it goes.

    python benches/python/stream_environments.py [--environments N] [--threads N] [--json FILE]

Molecules are those that come with the package, rattled anew every time they pass, so that no two environments are the
same and nothing could be remembered. Invariants of orders 1 to 3, about 1,000 of an environment, are made a chunk of
molecules at a time and their squares summed up, so that every number is needed. The peak memory is that of the
whole process, programs and fit included. With fewer environments than a million only the time is extrapolated.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ase
    import orbas

MILLION = 1_000_000
#: Molecules of a chunk: 3,600 environments, 29 MB of features.
CHUNK = 200
RATTLE = 0.05
#: The most that the process may take, in bytes.
LIMIT = 2e9


def fit() -> orbas.NICE:
    """Fit eight functions of each degree and orders up to 3 to 300 molecules."""
    import orbas

    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(5.0, width=0.5),
        scaling=orbas.RadialScaling(rate=1.0, scale=2.0, exponent=7.0),
        density_width=0.3,
        max_angular=5,
        basis=orbas.bases.GTO(12),
        species=(1, 6, 7, 8, 9),
    )
    frames = orbas.datasets.qm9(300)
    optimal = orbas.OptimalBasis(density, 8).fit(frames)
    nice = orbas.NICE(
        optimal.expansion_,
        nu_max=3,
        n_pairs=(1000, 1),
        n_components=(60, 0),
        n_invariants=(None, 776),
        n_invariant_pairs=(None, 3000),
        max_lambda=5,
        n_environments=3000,
    )
    return nice.fit(frames)


def stream(n_environments: int) -> Iterator[list[ase.Atoms]]:
    """Yield chunks of rattled molecules until there were so many environments."""
    import numpy as np
    import orbas

    molecules, generator = orbas.datasets.qm9(), np.random.default_rng(0)
    made = place = 0
    while made < n_environments:
        chunk = []
        for _ in range(CHUNK):
            molecule = molecules[place % len(molecules)].copy()
            molecule.positions += generator.normal(scale=RATTLE, size=molecule.positions.shape)
            chunk.append(molecule)
            place += 1
        made += sum(map(len, chunk))
        yield chunk


def peak() -> float:
    """Largest memory of the process so far, in bytes."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Fit, then let the environments pass."""
    parser = argparse.ArgumentParser(description="memory and rate of a stream of environments")
    parser.add_argument("--environments", type=int, default=100_000, metavar="N", help="how many (default 100,000)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file")
    options = parser.parse_args()
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    import numpy as np

    begin = time.perf_counter()
    nice = fit()
    fitted = time.perf_counter() - begin
    after_fit = peak()
    width = sum(nice.n_features_)
    print(f"{width} invariants, orders 1 to 3: {nice.n_features_}; fit {fitted:.1f} s, {after_fit / 1e9:.2f} GB")
    squares, done = np.zeros(width), 0
    seconds = processor = 0.0
    report = 1
    for chunk in stream(options.environments):
        start, start_processor = time.perf_counter(), time.process_time()
        values = nice.transform(chunk).values
        seconds += time.perf_counter() - start
        processor += time.process_time() - start_processor
        squares += np.einsum("ij,ij->j", values, values)
        done += len(values)
        if done * 10 >= report * options.environments:
            report = done * 10 // options.environments + 1
            print(f"{done:9d} environments, {1e6 * seconds / done:6.1f} µs each, {peak() / 1e9:.2f} GB", flush=True)
    each, most = seconds / done, peak()
    verdict = "within" if most <= LIMIT else "MORE THAN"
    print(f"mean norm of the features: {np.sqrt(squares.sum() / done):.6e}")
    rate = f"{1 / each:.0f} environments a second, {options.threads} thread(s)"
    print(f"{rate}; peak {most / 1e9:.2f} GB, {verdict} 2 GB")
    print(f"processor time {1e6 * processor / done:.0f} µs an environment")
    if done < MILLION:
        print(f"a million would take {each * MILLION:.0f} s (extrapolated)")
    if options.json:
        result = {
            "environments": done,
            "invariants": width,
            "threads": options.threads,
            "microseconds_per_environment": 1e6 * each,
            "seconds": seconds,
            "processor_seconds": processor,
            "fit_seconds": fitted,
            "peak_bytes_after_fit": after_fit,
            "peak_bytes": most,
            "norm": float(np.sqrt(squares.sum() / done)),
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
