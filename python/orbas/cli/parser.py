"""How the command line is parsed: errors of one line that name what was meant, numbers in the grammar of files."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: What is imported before anything else is looked at: flags and files may name what it registers.
IMPORT = "--import"


class Parser(argparse.ArgumentParser):
    """Errors are one line that names what was meant; no flag may be abbreviated.

    Flags of settings need the classes that declare them: ``complete`` adds them when the command is used.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.complete: Callable[[], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and let no command have flags or words that it does not know."""
        if self.complete is not None:
            complete, self.complete = self.complete, None
            complete()
        words = sys.argv[1:] if args is None else list(args)
        if self._subparsers is None:  # else flags of the command are among them
            known = words[: words.index("--")] if "--" in words else words
            # Said before that something is missing: it may be what was mistyped.
            self._refuse(word for word in known if word.startswith("--"))
        found, left = super().parse_known_args(words, namespace)
        self._refuse(word for word in left if word.startswith("-"))
        return found, left

    def _refuse(self, words: Iterable[str]) -> None:
        """End with an error at the first flag that there is not."""
        for word in words:
            name = word.partition("=")[0]
            if name not in self._option_string_actions:
                self.error(f"unknown option {name}{_meant(name, self._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{_meant(value, action.choices)}")

    def error(self, message: str) -> Never:
        """End with one line and the exit code 2."""
        _, _, command = self.prog.partition(" ")
        self.exit(2, f"orbas: error: {command + ': ' if command else ''}{message} (--help lists what there is)\n")


def _meant(name: str, names: Iterable[str]) -> str:
    from orbas.base.names import did_you_mean  # with numpy, which --help does without

    return did_you_mean(name, names)


def of_kind(name: str, *bounds: Any) -> Callable[[str], Any]:
    """Return a parser of the texts of a kind of :mod:`orbas.base.kinds`, which is imported when there is one."""

    def parse(text: str) -> Any:
        from orbas.base import kinds

        kind = getattr(kinds, name)(*bounds)
        try:
            return kind.read(kind.parse(text))
        except kinds.RefusalError:
            raise argparse.ArgumentTypeError(f"must be {kind.allowed(in_file=True)}, got {text!r}") from None

    return parse


def imported(argv: Sequence[str]) -> list[str]:
    """Return the modules that are to be imported first."""
    found = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    found.add_argument(IMPORT, dest="modules", action="append", default=[])
    try:
        modules: list[str] = found.parse_known_args(argv)[0].modules
    except argparse.ArgumentError:  # without a name: said by the parser of the command
        return []
    return modules


class Version(argparse.Action):
    """``--version`` without importing the compiled core for anything else."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> Never:
        """Print it and end."""
        import orbas

        print(f"orbas {orbas.__version__}")
        parser.exit()
