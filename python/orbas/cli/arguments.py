"""The flags. Those of settings are made from the declared fields, so that a file and a flag never differ."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from orbas import settings
from orbas.errors import NotAFileError
from orbas.settings import FIELDS, Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from orbas.cli.console import Console

    Command = Callable[[argparse.Namespace, Console], None]

ENSEMBLES = ("nve", "nvt", "npt")
ON_EXTRAPOLATION = ("warn", "raise", "ignore")
#: Bytes of a file of settings.
_MOST_TOML = 1 << 20
REPRESENTATIONS = ("power_spectrum", "radial_spectrum", "density")


class _Parser(argparse.ArgumentParser):
    """Errors are one line, and no flag may be abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> Never:
        _, _, command = self.prog.partition(" ")
        self.exit(2, f"orbas: error: {command + ': ' if command else ''}{message} (--help lists what there is)\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program; ``options.run`` is the command."""
    top = _Parser(prog="orbas", description="Optimal radial bases: the smallest features that keep the most.")
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    basis = commands.add_parser("basis", help="fit an optimal basis to structures, or look at one")
    actions = basis.add_subparsers(metavar="fit|show", required=True)
    _add_basis_fit(actions)
    _add_basis_show(actions)
    _add_featurize(commands)
    _add_train(commands)
    _add_eval(commands)
    _add_report(commands)
    _add_inspect(commands)
    _add_md(commands)
    _add_driver(commands)
    return top


def read_settings(options: argparse.Namespace, sections: Collection[str]) -> Settings:
    """Return the checked settings of ``--config``, with those of flags put over them.

    Raises
    ------
    SettingsError
        If the file is not TOML or a setting is wrong; names the file and the field.
    """
    given: dict[str, Any] = {}
    flags: Settings = {}
    for name, value in given_flags(options).items():
        section, _, field = name.partition(".")
        flags.setdefault(section, {})[field] = value
    if options.config is not None:
        given = _read_toml(options.config)
    try:
        return settings.check(settings.merge(given, flags), sections)
    except SettingsError as error:
        raise SettingsError(f"{options.config}: {error}" if options.config else str(error)) from error


def given_flags(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given as flags, by ``section.name``."""
    return {field.path: getattr(options, field.path) for field in FIELDS if hasattr(options, field.path)}


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    from orbas.files.door import open_input

    try:
        with open_input(path, most=_MOST_TOML) as file:
            return tomllib.load(file)
    except NotAFileError:
        raise
    except ValueError as error:  # of TOML or of UTF-8
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", "the four contractions and an energy model on QM9, with pictures", "demo")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="default: %(default)s")
    demo.add_argument("--quick", action="store_true", help="fewer molecules: a few seconds, rougher numbers")


def _add_basis_fit(actions: Any) -> None:
    fit = _command(actions, "fit", "fit an optimal basis to structures", "basis.fit")
    _add_structures(fit)
    _add_output(fit, "the basis, as one .npz file")
    _add_config(fit)
    _add_settings(fit, settings.SECTIONS)


def _add_basis_show(actions: Any) -> None:
    show = _command(actions, "show", "settings and residual variance of a basis", "basis.show")
    show.add_argument("basis", type=Path, metavar="basis.npz", help="a file of `orbas basis fit`")
    show.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw the functions")


def _add_featurize(commands: Any) -> None:
    features = _command(
        commands, "featurize", "features of structures, on an optimal or a primitive basis", "featurize"
    )
    _add_structures(features)
    _add_output(features, "the features, as one .npz file")
    features.add_argument("--basis", type=Path, metavar="basis.npz", help="an optimal basis of `orbas basis fit`")
    features.add_argument("--representation", choices=REPRESENTATIONS, default=REPRESENTATIONS[0], help="%(default)s")
    features.add_argument("--per-structure", action="store_true", help="sum over the atoms of each center species")
    _add_config(features)
    _add_settings(features, settings.DENSITY_SECTIONS)


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", "fit a potential to labeled structures", "train")
    train.add_argument("config", type=Path, metavar="CONFIG.toml", help="settings; flags go before it")
    _add_output(train, "the model, best named *.orbas", "MODEL.orbas")
    train.add_argument("--checkpoint", type=Path, metavar="FILE", help="keeps a long fit; run again to go on from it")
    _add_settings(train, settings.TRAIN_SECTIONS)


def _add_eval(commands: Any) -> None:
    evaluate = _command(commands, "eval", "errors of a potential on labeled structures", "evaluate")
    evaluate.add_argument("model", type=Path, metavar="MODEL.orbas", help="a file of `orbas train`")
    _add_structures(evaluate)
    evaluate.add_argument("--plot", type=Path, metavar="FILE.png", help="draw predictions against labels")
    evaluate.add_argument("--output", type=Path, metavar="FILE.xyz", help="write structures with predictions")
    _add_keys(evaluate)


def _add_report(commands: Any) -> None:
    report = _command(commands, "report", "one page about a potential, in markdown", "evaluate.report")
    report.add_argument("model", type=Path, metavar="MODEL.orbas", help="a file of `orbas train`")
    report.add_argument("--test", type=Path, nargs="+", metavar="STRUCTURES", help="also its errors, and a picture")
    _add_output(report, "the page; the picture gets the same name with .png", "FILE.md")
    _add_keys(report)


def _add_keys(command: argparse.ArgumentParser) -> None:
    for field in FIELDS:
        if field.section == "data" and field.name.endswith("_key"):
            command.add_argument(f"--{field.name.replace('_', '-')}", metavar="NAME", help=field.meaning)


def _add_inspect(commands: Any) -> None:
    inspect = _command(commands, "inspect", "what a model file holds", "inspect")
    inspect.add_argument("file", type=Path, metavar="model.orbas", help="a file of `potential.save`")


def _add_md(commands: Any) -> None:
    md = _command(commands, "md", "molecular dynamics with a potential", "md")
    _add_model_and_structure(md)
    md.add_argument(
        "--ensemble",
        choices=ENSEMBLES,
        default="nve",
        help="default: %(default)s; nvt is Bussi's, npt that of Martyna, Tobias and Klein, isotropic",
    )
    md.add_argument(
        "--temperature",
        type=_positive,
        metavar="K",
        help="of new first velocities, and of nvt and npt; default: the velocities of the structure, else 300",
    )
    md.add_argument(
        "--keep-velocities", action="store_true", help="those of the structure, with --temperature for nvt or npt"
    )
    md.add_argument("--pressure", type=_any, default=0.0, metavar="GPA", help="of npt; default: %(default)s")
    md.add_argument("--timestep", type=_positive, default=1.0, metavar="FS", help="default: %(default)s")
    md.add_argument("--steps", type=_count, default=1000, metavar="N", help="default: %(default)s")
    md.add_argument(
        "--seed", type=_index, default=0, metavar="N", help="of the first velocities and of nvt; default: %(default)s"
    )
    md.add_argument("--output", type=Path, metavar="FILE.xyz", help="trajectory, extended XYZ")
    md.add_argument(
        "--every", type=_count, default=10, metavar="N", help="steps between its structures; default: %(default)s"
    )
    md.add_argument(
        "--skin",
        type=_length,
        default=1.0,
        metavar="Å",
        help="of remembered neighbors, 0 for none; default: %(default)s",
    )
    md.add_argument(
        "--check-every", type=_index, default=100, metavar="N",
        help="steps between looks for extrapolation, 0 for none; default: %(default)s",
    )  # fmt: skip
    md.add_argument("--on-extrapolation", choices=ON_EXTRAPOLATION, default="warn", help="default: %(default)s")
    md.add_argument(
        "--max-extrapolation",
        type=_limit,
        default=10.0,
        metavar="RATIO",
        help="stop above it, unless extrapolation is ignored; inf for never; default: %(default)s",
    )
    md.add_argument(
        "--max-temperature",
        type=_limit,
        metavar="K",
        help="stop above it; inf for never; default: more than ten times that of the start or the thermostat",
    )


def _add_driver(commands: Any) -> None:
    driver = _command(commands, "driver", "energies and forces for i-PI, and all that speak its protocol", "driver")
    _add_model_and_structure(driver)
    driver.add_argument("--unix", metavar="NAME", help="Unix socket /tmp/ipi_NAME, instead of host and port")
    driver.add_argument("--host", default="localhost", help="default: %(default)s")
    driver.add_argument("--port", type=_count, default=31415, help="default: %(default)s")


def _add_model_and_structure(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", type=Path, metavar="MODEL", help="a file of a potential")
    command.add_argument("structure", type=Path, metavar="STRUCTURE", help="extended XYZ, plain or .gz")
    command.add_argument("--index", type=_index, metavar="N", help="which of several structures, from 0")


def _command(commands: Any, name: str, help: str, target: str) -> argparse.ArgumentParser:
    """Add a command that runs ``orbas.cli.<module>.<function>``, imported when it runs."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    module, _, function = target.partition(".")
    command.set_defaults(run=_lazily(module, function or "run"))
    command.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    command.add_argument("--quiet", action="store_true", help="no progress bars")
    command.add_argument("--threads", type=_threads, metavar="N", help="threads (default: ORBAS_NUM_THREADS, else all)")
    command.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    return command


def _lazily(module: str, function: str) -> Command:
    def run(options: argparse.Namespace, console: Console) -> None:
        import importlib

        getattr(importlib.import_module(f"orbas.cli.{module}"), function)(options, console)

    return run


def _add_structures(command: argparse.ArgumentParser) -> None:
    command.add_argument("structures", type=Path, nargs="+", metavar="STRUCTURES", help="extended XYZ, plain or .gz")


def _add_output(command: argparse.ArgumentParser, help: str, metavar: str = "FILE") -> None:
    command.add_argument("--output", type=Path, required=True, metavar=metavar, help=help)


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags go before it")


def _add_settings(command: argparse.ArgumentParser, sections: Collection[str]) -> None:
    for section in sections:
        group = command.add_argument_group(f"[{section}]")
        for field in FIELDS:
            if field.section == section and field.kind is not settings.Kind.TABLES:  # those stand in files only
                group.add_argument(
                    f"--{field.path}",
                    dest=field.path,
                    type=_flag(field),
                    metavar="X",
                    default=argparse.SUPPRESS,
                    help=field.meaning,
                )


def _flag(field: settings.Field) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return field.parse(text)
        except SettingsError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _number(kind: Callable[[str], float], good: Callable[[float], bool], expected: str) -> Callable[[str], Any]:
    """Return a parser of finite numbers."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and good(value)):
            raise argparse.ArgumentTypeError(f"must be {expected}, got {text!r}")
        return value

    return parse


_count = _number(int, lambda value: value >= 1, "a whole number from 1 on")
_index = _number(int, lambda value: value >= 0, "a whole number from 0 on")
_length = _number(float, lambda value: value >= 0.0, "a number from 0 on")
_positive = _number(float, lambda value: value > 0.0, "a number above 0")
_any = _number(float, lambda value: True, "a number")


def _limit(text: str) -> float:
    return math.inf if text == "inf" else float(_positive(text))


def _threads(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 1024, got {text!r}")
    return int(text)


class _Version(argparse.Action):
    """``--version`` without importing the compiled core for anything else."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="print the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> Never:
        import orbas

        print(f"orbas {orbas.__version__}")
        parser.exit()
