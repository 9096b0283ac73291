"""Make python/orbas/datasets/qm9.npz: 2,000 molecules of QM9, evenly spaced over PyPI's qm9pack 1.0.3.

Run `pip install orbas[qm9]` first. Deterministic; takes seconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from orbas.datasets import _qm9

N_MOLECULES = 2000
TARGET = Path(__file__).parents[1] / "python" / "orbas" / "datasets" / "qm9.npz"


def main() -> None:
    total = _qm9.size()
    chosen = np.linspace(0, total - 1, N_MOLECULES).round().astype(int)
    np.savez_compressed(TARGET, **_qm9.pack(_qm9.rows(chosen, progress=True)))
    print(f"{TARGET}: {N_MOLECULES} of {total} molecules, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
