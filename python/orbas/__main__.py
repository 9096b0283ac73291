"""``python -m orbas``: the command line."""

import sys

from orbas.cli import main

if __name__ == "__main__":
    sys.exit(main())
