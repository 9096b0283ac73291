"""What is written: every command with every kind of output, looked at first; replaced files; saves from Python."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import model_files
import numpy as np
import orbas
import pytest
from orbas.cli import demo, evaluation, inputs, main
from orbas.files.outputs import FileKind, check_outputs
from orbas.files.replacing import replacing

TOML = """
[cutoff]
radius = 4.0
[density]
density_width = 0.5
max_angular = 1
[basis]
n_radial = 2
"""


@dataclass(frozen=True)
class Command:
    """A command that writes ``{}``: its words, a right suffix, the files it reads."""

    words: str
    suffix: str
    inputs: tuple[str, ...]


MORE = "--data.train a.xyz --regularization.kind fixed --regularization.alpha 1e-6 --noise.energy 0.1"
COMMANDS = {
    "basis fit": Command("basis fit a.xyz --config fit.toml --output {}", ".orbas", ("a.xyz", "fit.toml")),
    "basis show": Command("basis show b.orbas --plot {}", ".png", ("b.orbas",)),
    "featurize": Command("featurize a.xyz --basis b.orbas --per-structure --output {}", ".npz", ("a.xyz", "b.orbas")),
    "featurize, settings": Command("featurize a.xyz --config basis.toml --output {}", ".npz", ("a.xyz", "basis.toml")),
    "train": Command(f"train {MORE} basis.toml --output {{}}", ".orbas", ("a.xyz", "basis.toml")),
    "train, checkpoint": Command(
        f"train {MORE} basis.toml --output new.orbas --checkpoint {{}}", ".ckpt", ("a.xyz", "basis.toml")
    ),
    "eval": Command("eval m.orbas a.xyz --output {}", ".xyz", ("a.xyz", "m.orbas")),
    "eval, plot": Command("eval m.orbas a.xyz --plot {}", ".png", ("a.xyz", "m.orbas")),
    "report": Command("report m.orbas --test a.xyz --output {}", ".md", ("a.xyz", "m.orbas")),
    "report, model alone": Command("report m.orbas --output {}", ".md", ("m.orbas",)),
    "md": Command("md m.orbas start.xyz --steps 2 --output {}", ".xyz", ("m.orbas", "start.xyz")),
}
EVERY = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
NOT_A_CHECKPOINT = [command for name, command in COMMANDS.items() if "checkpoint" not in name]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model, a basis and structures."""
    folder = tmp_path_factory.mktemp("files")
    frames = model_files.silicon()
    ase.io.write(folder / "a.xyz", frames, format="extxyz")
    ase.io.write(folder / "start.xyz", frames[0], format="extxyz")
    model_files.small().save(folder / "m.orbas")
    orbas.save_basis(orbas.OptimalBasis(model_files.density(), 2).fit(frames), folder / "b.orbas")
    (folder / "basis.toml").write_text(TOML)
    (folder / "fit.toml").write_text(TOML + "[optimal]\nn_optimal = 1\n")
    return folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """The working folder."""
    shutil.copytree(files, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def run(capsys, command, output):
    """Exit code and stderr of a command in this process."""
    words = [str(output) if word == "{}" else word for word in command.words.split()]
    code = main(words)
    return code, capsys.readouterr().err


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(capsys, monkeypatch, command, output, message):
    """The command says why it does not write there, has read no structures and changed nothing."""
    before = contents(Path())

    def read(*_, **__):
        raise AssertionError("structures were read before the output was looked at")

    with monkeypatch.context() as patch:
        patch.setattr(inputs, "read_structures", read)
        code, err = run(capsys, command, output)
    assert code == 1, err
    assert message in err
    assert err.count("\n") == 1
    assert contents(Path()) == before


# --- refused before any work


@EVERY
@pytest.mark.parametrize("how", ["itself", "link", "link of a link", "hard link", "other spelling"])
def test_an_input_is_not_written(folder, capsys, monkeypatch, command, how):
    for name in command.inputs:
        output = Path(f"out{command.suffix}")
        match how:
            case "itself":
                output = Path(name)
                if output.suffix != command.suffix:  # refused as well, whatever is said
                    continue
            case "link":
                output.symlink_to(name)
            case "link of a link":
                Path("between").symlink_to(name)
                output.symlink_to("between")
            case "hard link":
                os.link(name, output)
            case "other spelling":
                output.symlink_to(Path("..") / folder.name / name)
        refused(capsys, monkeypatch, command, output, f"is an input too ({name}), which it would replace")
        for path in (output, Path("between")):
            if path.name != name:
                path.unlink(missing_ok=True)


@EVERY
@pytest.mark.parametrize("device", ["pipe", "socket", "/dev/full", "/dev/zero"])
def test_devices_and_pipes_are_never_replaced(folder, capsys, monkeypatch, command, device):
    output = Path(f"out{command.suffix}")
    if device == "pipe":
        os.mkfifo(output)
    elif device == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(output))
    else:
        output.symlink_to(device)
    mode = output.stat().st_mode
    refused(capsys, monkeypatch, command, output, "a device, pipe or socket is not written to")
    assert output.stat().st_mode == mode
    with suppress(NameError):
        server.close()


@EVERY
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none/out{}", "No such folder: none"),
        ("/proc/out{}", "no file can be written there"),  # not even root can
        ("folder{}", "Is a directory"),
        ("dangling{}", "No such folder"),
        ("loop{}", "Too many levels of symbolic links"),
        ("x" * 300 + "{}", "File name too long"),
    ],
)
def test_places_that_take_no_file_are_found_at_once(folder, capsys, monkeypatch, command, name, message):
    name = name.format(command.suffix)
    Path(f"folder{command.suffix}").mkdir()
    Path(f"dangling{command.suffix}").symlink_to("none/file")
    Path(f"loop{command.suffix}").symlink_to(f"loop{command.suffix}")
    refused(capsys, monkeypatch, command, name, message)


@pytest.mark.parametrize("command", NOT_A_CHECKPOINT)
@pytest.mark.parametrize("name", ["out", "out.html", "out.unknown", "out.", "out.gz", ".orbas", "out.png.orbas.txt"])
def test_a_suffix_names_what_is_written(folder, capsys, monkeypatch, command, name):
    refused(capsys, monkeypatch, command, name, "which this name does not say: end it in " + command.suffix)


@EVERY
@pytest.mark.parametrize("other", [".png", ".md", ".xyz", ".toml"])
def test_a_suffix_of_something_else_is_refused(folder, capsys, monkeypatch, command, other):
    if other != command.suffix:
        refused(capsys, monkeypatch, command, f"out{other}", "which this name does not say")


@EVERY
def test_only_structures_are_packed(folder, capsys, monkeypatch, command):
    output = Path(f"out{command.suffix}.gz")
    if command.suffix != ".xyz":
        if "checkpoint" not in command.words:
            refused(capsys, monkeypatch, command, output, "which this name does not say")
        return
    assert run(capsys, command, output)[0] == 0
    assert gzip.decompress(output.read_bytes()).startswith(b"2\n")
    assert len(orbas.read(output)) > 0


@EVERY
def test_a_file_nobody_may_write_is_refused(folder, capsys, monkeypatch, command):
    output = Path(f"out{command.suffix}")
    output.write_bytes(b"older")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != output.name and access(path, mode))
    refused(capsys, monkeypatch, command, output, "Permission denied")  # of root, for whom everything is writable


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("eval m.orbas a.xyz --output x.xyz --plot x.xyz", "does not say"),
        ("eval m.orbas a.xyz --output x.xyz --plot link.png", "--plot and --output are the same file"),
        (f"train {MORE} basis.toml --output x.orbas --checkpoint x.orbas", "--checkpoint and --output are the same"),
        (f"train {MORE} basis.toml --output x.orbas --checkpoint new.ckpt", "--checkpoint and --output are the same"),
        (f"train {MORE} basis.toml --output x.ckpt.previous --checkpoint x.ckpt", "does not say"),
        (f"train {MORE} basis.toml --output link.previous.orbas --checkpoint y.ckpt", "the checkpoint before it"),
        ("report m.orbas --test a.xyz --output x.md", "the picture beside --output is an input too (a.xyz)"),
    ],
)
def test_two_outputs_are_two_files(folder, capsys, words, message):
    Path("link.png").symlink_to("x.xyz")
    Path("new.ckpt").symlink_to("x.orbas")
    Path("link.previous.orbas").symlink_to("y.ckpt.previous")
    Path("x.png").symlink_to("a.xyz")
    before = contents(folder)
    assert main(words.split()) == 1
    assert message in capsys.readouterr().err
    assert contents(folder) == before


def test_the_files_of_the_demonstration_are_looked_at_first(folder, capsys, monkeypatch):
    monkeypatch.setattr(demo.datasets, "qm9", lambda: pytest.fail("work begun"))
    os.mkfifo(folder / "molecules.xyz")
    assert main(["demo", "--output", "."]) == 1
    assert "molecules.xyz: a device, pipe or socket" in capsys.readouterr().err


def test_where_printed_text_goes_nothing_is_written(tmp_path):
    with (tmp_path / "log.xyz").open("w") as log:
        saved = os.dup(1)
        os.dup2(log.fileno(), 1)
        try:
            with pytest.raises(ValueError, match="what is printed goes there already"):
                check_outputs({"--output": (tmp_path / "log.xyz", FileKind.STRUCTURES)})
        finally:
            os.dup2(saved, 1)
            os.close(saved)


# --- written


@EVERY
@pytest.mark.parametrize("how", ["new", "older", "link", "dangling link", "/dev/null"])
def test_what_is_written_where(folder, capsys, command, how):
    output = target = Path(f"out{command.suffix}")
    if how == "/dev/null":
        output = Path(os.devnull)
    if how.endswith("link"):
        target = Path("elsewhere").absolute()
        output.symlink_to(target)
    if how in ("older", "link"):
        target.write_bytes(b"")
        target.chmod(0o640)
    code, err = run(capsys, command, output)
    assert code == 0, err
    if how == "/dev/null":
        assert stat.S_ISCHR(output.stat().st_mode)
        assert not target.exists()
    elif "checkpoint" not in command.words:  # which such a short fit does not write
        assert target.stat().st_size > 0
    assert output.is_symlink() == how.endswith("link")
    if how in ("older", "link"):
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert not list(folder.glob(".orbas-*"))


@pytest.mark.parametrize("command", [COMMANDS[name] for name in ("basis fit", "featurize", "train", "eval", "md")])
def test_a_failed_run_leaves_an_older_output(folder, capsys, command):
    output = Path(f"out{command.suffix}")
    output.write_bytes(b"older")
    for name in ("a.xyz", "start.xyz"):
        Path(name).write_text(Path(name).read_text() + "2\n\nSi 0 0 0\n")
    assert run(capsys, command, output)[0] == 1
    assert output.read_bytes() == b"older"


# --- permissions, from Python


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o644, 0o444, 0o666])
def test_permissions_are_those_of_the_older_file(tmp_path, mode):
    path = tmp_path / "f"
    path.write_bytes(b"older")
    path.chmod(mode)
    with replacing(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600  # nobody reads it meanwhile
        file.write(b"newer")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"newer", mode)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "f") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640


def test_owner_and_group_are_those_of_the_older_file(tmp_path):
    (tmp_path / "f").write_bytes(b"older")
    if os.getuid() == 0:  # who alone gives files away
        os.chown(tmp_path / "f", 12345, 23456)
    before = (tmp_path / "f").stat()
    with replacing(tmp_path / "f") as file:
        file.write(b"newer")
    status = (tmp_path / "f").stat()
    assert (status.st_uid, status.st_gid) == (before.st_uid, before.st_gid)


def test_a_group_that_cannot_be_kept_gets_no_rights(tmp_path, monkeypatch):
    (tmp_path / "f").write_bytes(b"older")
    (tmp_path / "f").chmod(0o664)
    status = os.fstat

    def strange(descriptor):
        fields = list(status(descriptor))
        fields[stat.ST_GID] += 1
        return os.stat_result(fields)

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fchown", forbidden)
    monkeypatch.setattr(os, "fstat", strange)
    with replacing(tmp_path / "f") as file:
        file.write(b"newer")
    monkeypatch.undo()
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EPERM])
def test_a_name_that_cannot_be_taken_is_written_into(tmp_path, monkeypatch, code):
    """A file that is mounted by itself, or another's in /tmp: found out after the fit, which is not lost."""
    (tmp_path / "f").write_bytes(b"older, and longer")
    inode = (tmp_path / "f").stat().st_ino

    def busy(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "replace", busy)
    with replacing(tmp_path / "f") as file:
        file.write(b"newer")
    assert ((tmp_path / "f").read_bytes(), (tmp_path / "f").stat().st_ino) == (b"newer", inode)
    with pytest.raises(OSError, match="nothing was written"), replacing(tmp_path / "g") as file:
        file.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_extended_attributes_stay(tmp_path):
    (tmp_path / "f").write_bytes(b"older")
    try:
        os.setxattr(tmp_path / "f", "user.note", b"mine")
    except OSError:
        return  # no such thing on this file system
    with replacing(tmp_path / "f") as file:
        file.write(b"newer")
    assert os.getxattr(tmp_path / "f", "user.note") == b"mine"


def savers(files):
    model, basis = orbas.load(files / "m.orbas"), orbas.load_basis(files / "b.orbas")
    return {"save": model.save, "save_basis": lambda path: orbas.save_basis(basis, path)}


@pytest.mark.parametrize("save", ["save", "save_basis"])
def test_saves_of_python_follow_the_same_rule(folder, save):
    write = savers(folder)[save]
    write("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    Path("link.orbas").symlink_to("target.orbas")
    write("link.orbas")
    assert Path("link.orbas").is_symlink()
    assert Path("target.orbas").stat().st_size > 0
    os.mkfifo("pipe.orbas")
    for name, message in (("pipe.orbas", "device, pipe"), ("x.html", "end it in .orbas"), ("x", "end it in .orbas")):
        with pytest.raises(ValueError, match=message):
            write(name)
    assert stat.S_ISFIFO(Path("pipe.orbas").stat().st_mode)


def test_several_writers_of_one_name_do_not_meet(tmp_path):
    """Each has a temporary file of its own; the last one to end gives the contents."""
    with replacing(tmp_path / "f") as first, replacing(tmp_path / "f") as second:
        first.write(b"first")
        second.write(b"second")
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"first"


def test_features_are_an_archive_of_numpy(folder, capsys):
    assert run(capsys, COMMANDS["featurize"], "f.npz")[0] == 0
    with np.load("f.npz", allow_pickle=False) as archive:
        assert archive["values"].shape[0] == int(archive["n_structures"])


# --- pictures


def test_a_parity_plot_shows_residuals_and_energies_above_the_baseline(folder, capsys, monkeypatch):
    """Energies of -8 eV/atom and their composition would hide all else."""
    seen = []
    draw = evaluation.plot_parity
    monkeypatch.setattr(
        evaluation, "plot_parity", lambda parities, title: seen.append(parities) or draw(parities, title)
    )
    assert run(capsys, COMMANDS["eval, plot"], "p.png")[0] == 0
    model, frames = orbas.load("m.orbas"), orbas.read("a.xyz")
    expected = [atoms.info["REF_energy"] - e for atoms, e in zip(frames, model.baseline_.predict(frames), strict=True)]
    ((energy,),) = seen
    assert energy.labels == pytest.approx(np.array(expected) / 2)
    figure = draw([energy, energy], "title")
    upper, lower = figure.axes[0], figure.axes[2]
    assert lower.lines[-1].get_ydata() == pytest.approx(1e3 * (energy.predictions - energy.labels))
    assert upper.get_xlim() == lower.get_xlim()
    assert "RMSE" in upper.get_title()


@pytest.mark.parametrize(
    "words", ["eval m.orbas bare.xyz --output x.xyz --plot x.png", "report m.orbas --test bare.xyz --output x.md"]
)
def test_without_labels_nothing_is_drawn(folder, capsys, words):
    frames = orbas.read("a.xyz")
    ase.io.write("bare.xyz", [ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True) for atoms in frames])
    assert main(words.split()) == 1
    assert "with only --output FILE predicts without labels" in capsys.readouterr().err
    assert not list(folder.glob("x.*"))
