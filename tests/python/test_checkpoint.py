"""Fits that are killed and go on to the same bits, damaged files, files of other fits (docs/reliability.md, row 39)."""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import random
import signal
import time

import ase
import numpy as np
import orbas
import pytest
from fit_oracle import density, labeled, silicon
from orbas.files import container
from orbas.files.kinds import Content
from orbas.fit import streamed
from orbas.fit.checkpoint import Checkpoint
from orbas.models import Fixed, HoldOut, KFold, LinearPotential, Noise, SparseGPR

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}


@pytest.fixture(scope="module")
def frames():
    return labeled(silicon(40), noise=0.02)


def spectrum(**changes):
    return orbas.PowerSpectrum(density(**{"max_angular": 1, "n_radial": 2, **changes}))


def linear(rule=None, **changes):
    settings = {"regularization": rule or KFold(3), "chunk": 4, **changes}
    return LinearPotential(settings.pop("representation", None) or spectrum(), **settings)


def sparse(rule=None):
    return SparseGPR(spectrum(), 6, 2, regularization=rule or KFold(3), chunk=4)


@pytest.fixture
def save_always(monkeypatch):
    """Not every half minute, but after every piece of structures."""
    monkeypatch.setattr(streamed, "Checkpoint", functools.partial(Checkpoint, interval=0.0))


class StoppedError(Exception):
    pass


def interrupt(monkeypatch, model, frames, path, pieces, **keys):
    """Fit until so many pieces are saved."""
    left, save = [pieces], Checkpoint.save

    def counting(self, *arguments):
        save(self, *arguments)
        left[0] -= 1
        if left[0] == 0:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", counting)
        with pytest.raises(StoppedError):
            model.fit(frames, checkpoint=path, **(keys or ALL))


def same_bits(one, other):
    assert np.array_equal(one.weights_, other.weights_)
    assert np.array_equal(one.cv_errors_, other.cv_errors_)
    assert (one.alpha_, one.scale_, one.posterior_.noise) == (other.alpha_, other.scale_, other.posterior_.noise)
    assert np.array_equal(one.posterior_.directions, other.posterior_.directions)


def count_pieces(monkeypatch, model, frames, path):
    """How many structures a fit works on after what is in a file."""
    seen, original = [], streamed.weighted_rows
    monkeypatch.setattr(streamed, "weighted_rows", lambda *given: seen.append(1) or original(*given))
    model.fit(frames, checkpoint=path, **ALL)
    monkeypatch.setattr(streamed, "weighted_rows", original)
    return len(seen)


@pytest.mark.parametrize("make", [linear, sparse])
@pytest.mark.parametrize("rule", [KFold(3), HoldOut(7), Fixed(1e-4)])
def test_going_on_gives_the_same_bits(monkeypatch, save_always, frames, tmp_path, make, rule):
    reference, path = make(rule).fit(frames, **ALL), tmp_path / "fit.ckpt"
    for pieces in (1, 7, 3):
        interrupt(monkeypatch, make(rule), frames, path, pieces)
    same_bits(make(rule).fit(frames, checkpoint=path, **ALL), reference)
    assert path.exists()  # for whoever called to delete
    same_bits(make(rule).fit(frames, checkpoint=path, **ALL), reference)


def test_energies_alone_go_on_too(monkeypatch, save_always, frames, tmp_path):
    """There the rows are kept as they are, not as triangular factors."""
    path, keys = tmp_path / "fit.ckpt", {"energy_key": "REF_energy"}
    reference = linear().fit(frames)
    save, seen = Checkpoint.save_rows, []

    def stopping(self, rows, done):
        save(self, rows, done)
        seen.append(done)
        if len(seen) == 3:
            raise StoppedError

    monkeypatch.setattr(Checkpoint, "save_rows", stopping)
    with pytest.raises(StoppedError):
        linear().fit(frames, checkpoint=path, **keys)
    same_bits(linear().fit(frames, checkpoint=path, **keys), reference)
    assert seen == sorted(set(seen)), "a piece was made again"
    with pytest.raises(ValueError, match="belongs to another fit"):
        linear().fit(frames, checkpoint=path, **ALL)


def test_what_was_done_is_not_done_again(monkeypatch, save_always, frames, tmp_path):
    path = tmp_path / "fit.ckpt"
    assert count_pieces(monkeypatch, linear(), frames, tmp_path / "other.ckpt") == len(frames)
    interrupt(monkeypatch, linear(), frames, path, 5)
    assert 0 < count_pieces(monkeypatch, linear(), frames, path) <= len(frames) - 5


def test_saving_waits_for_its_turn(monkeypatch, frames, tmp_path):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    keeper, path = Checkpoint(tmp_path / "fit.ckpt", "ours", interval=30.0), tmp_path / "fit.ckpt"
    keeper.save([], 1)
    clock[0] = 29.0
    keeper.save([], 2)
    assert not path.exists()
    clock[0] = 30.0
    keeper.save([], 3)
    assert Checkpoint(path, "ours").restore([]) == 3
    clock[0] = 59.0
    keeper.save([], 4)
    assert Checkpoint(path, "ours").restore([]) == 3


# --- killed


def outcome(fitted):
    return np.concatenate([fitted.weights_, fitted.cv_errors_, [fitted.alpha_]]).tobytes()


def child(path, frames, pause, results):
    """A fit that takes its time, and saves after every structure."""
    streamed.Checkpoint = functools.partial(Checkpoint, interval=0.0)
    original, begun = streamed.weighted_rows, []

    def slow(*given):
        if not begun:
            begun.append(results.send_bytes(b"begun"))
        time.sleep(pause)
        return original(*given)

    streamed.weighted_rows = slow
    results.send_bytes(outcome(linear(chunk=1).fit(frames, checkpoint=path, **ALL)))


def test_killed_twenty_times_the_weights_are_the_same_bits(frames, tmp_path):  # docs/reliability.md, row 39
    """By SIGKILL at seeded random moments, from the start or from the first row on, in forks of a warm process."""
    chance, path, context = random.Random(4), tmp_path / "fit.ckpt", multiprocessing.get_context("fork")
    frames = [*frames, *labeled(silicon(160, seed=3), noise=0.02)]
    expected = outcome(linear(chunk=1).fit(frames, **ALL))

    def started(pause):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(path, frames, pause, there))
        process.start()
        there.close()
        return process, here

    for k in range(20):
        process, here = started(0.03)  # 6 s in all, of which 3 s at most are granted
        if k % 2 == 0:
            assert here.recv_bytes() == b"begun"
        process.join(chance.uniform(0.0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    process, here = started(0.0)
    assert here.recv_bytes() == b"begun"
    assert here.recv_bytes() == expected
    process.join()
    assert container.read(path, Content.CHECKPOINT).document["done"] == len(frames)


# --- damaged files, and those of others


def damages(whole):
    return {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "cut at the end": whole[:-1],
        "flipped": whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 8]) + whole[len(whole) // 2 + 1 :],
    }


@pytest.mark.parametrize("damage", ["empty", "cut", "cut at the end", "flipped", "gone"])
def test_a_damaged_file_is_replaced_by_the_one_before(monkeypatch, save_always, frames, tmp_path, caplog, damage):
    path, reference = tmp_path / "fit.ckpt", linear().fit(frames, **ALL)
    interrupt(monkeypatch, linear(), frames, path, 6)
    before = path.with_name("fit.ckpt.previous")
    sizes = [container.read(file, Content.CHECKPOINT).document["done"] for file in (path, before)]
    assert sizes[0] > sizes[1] > 0
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(damages(path.read_bytes())[damage])
    with caplog.at_level(logging.INFO, logger="orbas"):
        left = count_pieces(monkeypatch, model := linear(), frames, path)
    assert left == len(frames) - sizes[1]
    assert ("is damaged and not used" in caplog.text) == (damage != "gone")
    assert f"{sizes[1]} structures are done" in caplog.text
    same_bits(model, reference)


def test_with_both_files_damaged_the_fit_starts_anew(monkeypatch, save_always, frames, tmp_path):
    path, reference = tmp_path / "fit.ckpt", linear().fit(frames, **ALL)
    interrupt(monkeypatch, linear(), frames, path, 6)
    for file in (path, path.with_name("fit.ckpt.previous")):
        file.write_bytes(file.read_bytes()[:-3])
    same_bits(linear().fit(frames, checkpoint=path, **ALL), reference)


@pytest.mark.parametrize("content", [b"text", b"8\n\nH 0 0 0\n", "model", "archive"])
@pytest.mark.parametrize("generation", ["fit.ckpt", "fit.ckpt.previous"])
def test_what_is_no_checkpoint_is_never_replaced(save_always, frames, tmp_path, monkeypatch, content, generation):
    place = tmp_path / generation
    if content == "model":
        container.write(place, {}, {})
    elif content == "archive":
        with place.open("wb") as file:
            np.savez(file, a=np.zeros(3))
    else:
        place.write_bytes(content)
    before = place.read_bytes()
    monkeypatch.setattr(LinearPotential, "_make_design", None)  # before any work
    with pytest.raises(ValueError, match="not used as a checkpoint: remove it, or name another file"):
        linear().fit(frames, checkpoint=tmp_path / "fit.ckpt", **ALL)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_of_two_fits_at_once_the_second_is_refused(save_always, frames, tmp_path):
    path = tmp_path / "fit.ckpt"
    with Checkpoint(path, "first"), pytest.raises(ValueError, match="is in use by another fit that runs"):
        linear().fit(frames, checkpoint=path, **ALL)
    linear().fit(frames, checkpoint=path, **ALL)
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("make", [linear, sparse])
def test_what_cannot_be_written_is_one_warning(save_always, frames, tmp_path, caplog, make):
    """Here the folder goes away; a full disk and a quota are errors of the system too."""
    reference, path = make().fit(frames, **ALL), tmp_path / "sub" / "fit.ckpt"
    with caplog.at_level(logging.WARNING, logger="orbas"):
        same_bits(make().fit(frames, checkpoint=path, **ALL), reference)
    assert len(caplog.records) == 1
    assert "the checkpoint cannot be written, and the fit goes on without it: [Errno 2] No such file" in caplog.text


def relabeled(frames, change):
    copies = [atoms.copy() for atoms in frames]
    change(copies[len(copies) // 2])
    return copies


def shift(key):
    def change(atoms):
        (atoms.arrays if key in atoms.arrays else atoms.info)[key][...] += 1e-9

    return change


OTHERS = {
    "folds": lambda frames: (linear(KFold(5)), frames),
    "fewer folds": lambda frames: (linear(KFold(2)), frames),
    "seed": lambda frames: (linear(KFold(3, seed=1)), frames),
    "chunk": lambda frames: (linear(chunk=5), frames),
    "noise": lambda frames: (linear(noise=Noise(0.1)), frames),
    "noise of a config type": lambda frames: (
        linear(noise=Noise(by_config={"hot": Noise(0.1)})),
        relabeled(frames, lambda atoms: atoms.info.update(config_type="hot")),
    ),
    "features": lambda frames: (linear(representation=spectrum(density_width=0.46)), frames),
    "more features": lambda frames: (linear(representation=spectrum(n_radial=3)), frames),
    "kernel": lambda frames: (sparse(), frames),
    "fewer structures": lambda frames: (linear(), frames[:-1]),
    "order": lambda frames: (linear(), frames[::-1]),
    "positions": lambda frames: (linear(), relabeled(frames, shift("positions"))),
    "forces": lambda frames: (linear(), relabeled(frames, shift("REF_forces"))),
    "stress": lambda frames: (linear(), relabeled(frames, shift("REF_stress"))),
    "no forces": lambda frames: (linear(), relabeled(frames, lambda atoms: atoms.arrays.pop("REF_forces"))),
    "energy": lambda frames: (linear(), relabeled(frames, lambda atoms: atoms.info.update(REF_energy=-1.0))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_file_of_another_fit_is_refused(monkeypatch, save_always, frames, tmp_path, name):
    path = tmp_path / "fit.ckpt"
    interrupt(monkeypatch, linear(), frames, path, 3)
    whole = path.read_bytes()
    model, others = OTHERS[name](frames)
    with pytest.raises(ValueError, match="belongs to another fit: remove it, or name another file"):
        model.fit(others, checkpoint=path, **ALL)
    assert path.read_bytes() == whole


def test_config_types_belong_to_the_fit(monkeypatch, save_always, frames, tmp_path):
    noise = Noise(by_config={"hot": Noise(0.1)})
    frames = [atoms.copy() for atoms in frames]
    frames[-1].info["config_type"] = "hot"
    interrupt(monkeypatch, linear(noise=noise), frames, tmp_path / "fit.ckpt", 3)
    others = relabeled(frames, lambda atoms: atoms.info.update(config_type="hot"))
    with pytest.raises(ValueError, match="belongs to another fit"):
        linear(noise=noise).fit(others, checkpoint=tmp_path / "fit.ckpt", **ALL)


def test_settings_matter_when_the_first_structure_is_an_isolated_atom(monkeypatch, save_always, frames, tmp_path):
    """Its features say nothing of the cutoff."""
    frames = [ase.Atoms("Si", info={"REF_energy": -3.0}), *frames]
    interrupt(monkeypatch, linear(), frames, tmp_path / "fit.ckpt", 3)
    narrow = spectrum(cutoff=orbas.Cutoff(4.0, 0.5, "smooth"))
    assert np.array_equal(narrow.transform(frames[:1]).values, spectrum().transform(frames[:1]).values)
    with pytest.raises(ValueError, match="belongs to another fit"):
        linear(representation=narrow).fit(frames, checkpoint=tmp_path / "fit.ckpt", **ALL)
