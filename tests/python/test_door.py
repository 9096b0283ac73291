"""Kind 13, one door for files: what cannot end is refused at once, all is bounded by the bytes that are there."""

import gzip
import os
import subprocess
import sys
import threading

import pytest
from orbas.errors import NotAFileError
from orbas.files import door
from orbas.files.door import open_input

RANDOM = os.urandom(300_000)


@pytest.mark.parametrize("unpack", [False, True])
def test_a_regular_file_is_read_as_it_is(tmp_path, unpack):
    path = tmp_path / "a.bin"
    path.write_bytes(RANDOM)
    with open_input(path, unpack=unpack) as file:
        assert (file.size, file.name, file.most_left) == (len(RANDOM), str(path), len(RANDOM))
        assert file.read(10) == RANDOM[:10]
        assert file.most_left == len(RANDOM) - 10
        assert file.seek(0) == 0
        assert file.read() == RANDOM


@pytest.mark.parametrize("name", ["a.gz", "a.xyz"])
def test_gzip_is_known_by_its_first_bytes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(RANDOM) + gzip.compress(b"tail") + bytes(512))
    with open_input(path, unpack=True) as file:
        assert file.is_packed
        assert file.read() == RANDOM + b"tail"


@pytest.mark.parametrize("n_cut", [1, 4, 8, 30, 100_000])
def test_a_cut_gzip_file_is_said(tmp_path, n_cut):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(RANDOM)[:-n_cut])
    with open_input(path, unpack=True) as file, pytest.raises(ValueError, match="cut short"):
        file.read()


@pytest.mark.parametrize("place", [2, 5000, -6])
def test_a_damaged_gzip_file_is_said(tmp_path, place):
    packed = bytearray(gzip.compress(RANDOM))
    packed[place] ^= 255
    (tmp_path / "a.gz").write_bytes(packed)
    with open_input(tmp_path / "a.gz", unpack=True) as file, pytest.raises(ValueError, match=r"damaged|cut short"):
        file.read()


def test_a_gzip_bomb_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(door, "FREE_GROWTH", 1 << 16)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(10_000_000)))
    with open_input(tmp_path / "a.gz", unpack=True) as file, pytest.raises(ValueError, match="250 times"):
        file.read()


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "large").write_bytes(bytes(100))
    for path, options, message in (
        (tmp_path / "pipe", {}, "nobody writes"),
        (tmp_path / "link", {}, "nobody writes"),
        (tmp_path / "pipe", {"pipes": False}, "a pipe, not a regular file"),
        (tmp_path, {}, "a folder"),
        ("/dev/zero", {}, "device"),
        ("/dev/null", {}, "device"),
        (tmp_path / "large", {"most": 99}, "larger than 99 bytes"),
    ):
        with pytest.raises(NotAFileError, match=message) as caught:
            open_input(path, **options)
        assert str(path) in str(caught.value)
    with pytest.raises(FileNotFoundError):
        open_input(tmp_path / "no")


@pytest.mark.parametrize("content", [b"a", b"ab", RANDOM, gzip.compress(RANDOM)], ids=["1", "2", "many", "gzip"])
def test_a_pipe_with_a_writer_is_read(tmp_path, content):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    with open_input(path, unpack=True) as file:
        assert file.size is None
        assert file.read() == (RANDOM if file.is_packed else content)
    writer.join()


def test_a_pipe_is_bounded(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(RANDOM[:5000],))
    writer.start()
    with open_input(path, most=4000) as file, pytest.raises(ValueError, match="too many bytes"):
        file.read()
    writer.join()


def test_a_shell_pipe_is_read():
    code = "from orbas.files.door import open_input\nwith open_input('/dev/stdin') as file: print(file.read())"
    shell = f'(sleep 0.6; printf h; sleep 0.1; printf i) | "{sys.executable}" -c "{code}"'
    run = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout.strip() == "b'hi'", run.stderr
