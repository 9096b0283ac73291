"""The command line, ``orbas COMMAND``: bases, features, potentials, simulations.

- ``program``: the commands, their errors and exit codes;
- ``parser``: how flags are read, ``arguments``: flags that commands share; every field of :mod:`orbas.settings` is one;
- ``console``: tables, progress bars, the one JSON document;
- ``inputs``: structures from files, taken in pieces, with errors that name file and structure;
- ``demo``, ``study``: the demonstration, and what it computes; ``data``: the structures that come with orbas;
- ``train``, ``evaluate``: potentials, and how good they are; ``evaluation``: what both compute;
- ``basis``, ``featurize``, ``inspect``, ``md``: the other commands.

Nothing heavy is imported before a command runs.
"""

from orbas.cli.program import main

__all__ = ["main"]
