"""Run the quick tests with the oldest releases that pyproject.toml allows: ``make test-floors``.

A fresh virtual environment gets exactly the lower bound of every dependency, and of pytest. The compiled core is taken
from this folder, where ``maturin develop`` has put it: one build is for every Python and NumPy.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Of every step one file, none of which needs the peers; together about a minute.
TESTS = (
    "test_bases.py", "test_basis_file.py", "test_calculator.py", "test_checkpoint.py", "test_cli_train.py",
    "test_io.py", "test_linear_forces.py", "test_md.py", "test_nice_rows.py", "test_optimal.py", "test_outputs.py",
    "test_posterior.py", "test_selected_spectrum.py", "test_shown_text.py", "test_skin.py", "test_sparse_gpr.py",
)  # fmt: skip
FIRST_BLOCK = "test_readme.py::test_python_blocks_print_what_their_comments_say"
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9.]+)")


def floors() -> list[str]:
    """Return the lowest release of every dependency, as pip wants it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], "pytest>=8"]
    bounds = [_BOUND.fullmatch(text) for text in wanted]
    if not all(bounds):
        raise SystemExit(f"every dependency needs a lower bound and nothing else: {', '.join(wanted)}")
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


def main() -> int:
    """Make the environment, run the tests in it, return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, help="keep the environment there (default: a temporary one)")
    parser.add_argument("--replace", nargs="*", default=[], metavar="NAME==VERSION", help="to try other floors")
    options = parser.parse_args()
    if not list((ROOT / "python" / "orbas").glob("_core*")):
        raise SystemExit("the core is not built: run `maturin develop --release` first")
    names = {text.partition("==")[0]: text for text in [*floors(), *options.replace]}
    with tempfile.TemporaryDirectory() as folder:
        place = options.venv or Path(folder)
        venv.create(place, with_pip=True, clear=True)
        python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
        print(f"{sys.version.split()[0]}: {', '.join(names.values())}", flush=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *names.values()], check=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "OPENBLAS_NUM_THREADS": "1"}
        tests = [str(ROOT / "tests" / "python" / name) for name in (*TESTS, FIRST_BLOCK)]
        command = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
