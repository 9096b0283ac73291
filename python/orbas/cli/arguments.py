"""The flags. Those of settings are made from the declared fields, so that a file and a flag never differ."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orbas.cli.parser import IMPORT, Parser, Version, of_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orbas.cli.console import Console
    from orbas.settings import Field, Section, Settings

    Sections = Iterable[Section]
    #: Values of a file, values of flags -> checked settings.
    Check = Callable[[dict[str, Any], Settings], Settings]
    Command = Callable[[argparse.Namespace, Console], None]

ENSEMBLES = ("nve", "nvt", "npt")
ON_EXTRAPOLATION = ("warn", "raise", "ignore")
DATASETS = ("qm9", "silicon")
REPRESENTATIONS = ("power_spectrum", "radial_spectrum", "density")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program; ``options.run`` is the command."""
    top = Parser(prog="orbas", description="Optimal radial bases: the smallest features that keep the most.")
    top.add_argument("--version", action=Version)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_data(commands)
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
    _command(commands, "schema", "the JSON schema of the settings of `orbas train`, for editors", "schema")
    return top


def read_settings(options: argparse.Namespace, check: Check, sections: Sections) -> Settings:
    """Return the checked settings of ``--config``, with those of flags put over them.

    Names of files in ``--config`` are relative to it, those in flags to the working folder.

    Parameters
    ----------
    options
        Of the command line.
    check
        Checks values of a file, and those of flags that are put over them.
    sections
        Those that there may be.

    Raises
    ------
    SettingsError
        If the file is not TOML or a setting is wrong; names the file, the line and the field.
    """
    from orbas.base.fields import SettingsError
    from orbas.files.toml import read_toml
    from orbas.settings import relative_to

    flags: Settings = {}
    for name, value in given_flags(options).items():
        section, _, field = name.partition(".")
        flags.setdefault(section, {})[field] = value
    if options.config is None:
        return check({}, flags)
    file = read_toml(options.config)
    try:
        return check(relative_to(file.folder, file.tables, sections), flags)
    except SettingsError as error:
        in_flags = error.path is not None and error.path in given_flags(options)
        raise SettingsError(f"{options.config if in_flags else file.where(error.path)}: {error}", error.path) from error


def given_flags(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given as flags, by ``section.name``."""
    return {name: value for name, value in vars(options).items() if "." in name}


def _add_demo(commands: Any) -> None:
    demo = _command(commands, "demo", "the four contractions and an energy model on QM9, with pictures", "demo")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="default: %(default)s")
    demo.add_argument("--quick", action="store_true", help="fewer molecules: a few seconds, rougher numbers")


def _add_data(commands: Any) -> None:
    data = _command(commands, "data", "structures with labels to try things on, as they come with orbas", "data")
    data.add_argument("name", choices=DATASETS, help="molecules of QM9 with U0 and more in eV, or silicon (Tersoff)")
    _add_output(data, "the structures, extended XYZ", "FILE.xyz")
    data.add_argument("--n", type=_count, metavar="N", help="how many; default: 2,000 of qm9, all of silicon")
    data.add_argument("--seed", type=_index, default=0, metavar="N", help="of the choice; default: %(default)s")


def _add_basis_fit(actions: Any) -> None:
    fit = _command(actions, "fit", "fit an optimal basis to structures", "basis.fit")
    _add_structures(fit)
    _add_output(fit, "the basis", "BASIS.orbas")
    _add_config(fit)
    _add_settings(fit, _basis_sections)


def _add_basis_show(actions: Any) -> None:
    show = _command(actions, "show", "settings and residual variance of a basis", "basis.show")
    show.add_argument("basis", type=Path, metavar="BASIS.orbas", help="a file of `orbas basis fit`")
    show.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw the functions")


def _add_featurize(commands: Any) -> None:
    features = _command(
        commands, "featurize", "features of structures, on an optimal or a primitive basis", "featurize"
    )
    _add_structures(features)
    _add_output(features, "the features, a NumPy archive", "FILE.npz")
    features.add_argument("--basis", type=Path, metavar="BASIS.orbas", help="an optimal basis of `orbas basis fit`")
    features.add_argument("--representation", choices=REPRESENTATIONS, default=REPRESENTATIONS[0], help="%(default)s")
    features.add_argument("--per-structure", action="store_true", help="sum over the atoms of each center species")
    _add_config(features)
    _add_settings(features, _density_sections)


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", "fit a potential to labeled structures", "train")
    train.add_argument("config", type=Path, metavar="CONFIG.toml", help="settings; flags go before it")
    _add_output(train, "the model, best named *.orbas", "MODEL.orbas")
    train.add_argument(
        "--basis",
        dest="data.basis",
        default=argparse.SUPPRESS,
        metavar="BASIS.orbas",
        help="a basis of `orbas basis fit`, instead of [cutoff] to [optimal]",
    )
    train.add_argument("--checkpoint", type=Path, metavar="FILE", help="keeps a long fit; run again to go on from it")
    _add_settings(train, _train_sections)


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
    for name, plain in (("energy", "energies"), ("forces", "forces"), ("stress", "stress"), ("virial", "virial")):
        command.add_argument(
            f"--{name}-key", metavar="NAME", help=f"name of the {plain} (default: REF_{name}, else {name})"
        )


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
    driver.add_argument("--port", type=_port, default=31415, help="default: %(default)s")


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
    command.add_argument(
        IMPORT,
        action="append",
        metavar="MODULE",
        help="import a Python module first, which registers classes of your own",
    )
    command.add_argument("--debug", action="store_true", help="show where in the program an error arose")
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


def _add_settings(command: argparse.ArgumentParser, sections: Callable[[], Sections]) -> None:
    """Add a flag for every field of sections, when the command is used: that imports their classes."""

    def complete() -> None:
        from orbas.base.kinds import Tables

        for section in sections():
            group = command.add_argument_group(f"[{section.name}]")
            for field in section.fields().values():
                if not isinstance(field.setting.kind, Tables):  # those stand in files only
                    group.add_argument(
                        f"--{field.path}",
                        dest=field.path,
                        type=_flag(field),
                        metavar=field.setting.kind.metavar,
                        default=argparse.SUPPRESS,
                        help=field.help.replace("%", "%%"),
                    )

    assert isinstance(command, Parser)
    command.complete = complete


def _flag(field: Field) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        from orbas.base.fields import SettingsError

        try:
            return field.parse(text)
        except SettingsError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _density_sections() -> Sections:
    from orbas.optimal.settings import DENSITY_SECTIONS

    return DENSITY_SECTIONS


def _basis_sections() -> Sections:
    from orbas.optimal.settings import SECTIONS

    return SECTIONS


def _train_sections() -> Sections:
    from orbas.models.settings import TRAIN_SECTIONS

    return TRAIN_SECTIONS


_count = of_kind("Integer", 1)
_index = of_kind("Integer", 0)
_length = of_kind("Number", 0.0, 1e6, "Å")
_positive = of_kind("Number", 1e-12, 1e12)
_any = of_kind("Number", -1e12, 1e12)
_threads = of_kind("Integer", 1, 1024)
_port = of_kind("Integer", 1, 65535)


def _limit(text: str) -> float:
    return math.inf if text == "inf" else float(_positive(text))
