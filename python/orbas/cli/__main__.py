"""``python -m orbas.cli``."""

import sys

from orbas.cli import main

sys.exit(main())
