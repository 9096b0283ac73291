"""Figure 7 and the cost of its models, at a tiny size: what must hold of the numbers, and that they come again."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import orbas
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "paper"))

import all_environments
import beyond_cost_qm9 as cost
import common
import fig7_learning_qm9 as fig7

TINY = dataclasses.replace(
    fig7.QUICK,
    n_test=100,
    n_top=300,
    sizes=(150, 300),
    n_validation=40,
    n_basis=100,
    n_primitive=6,
    l_max=2,
    channels=((1, (5, 10)), (2, (5,)), (3, (5, 10))),
    n_pairs=60,
    n_components=10,
    n_invariant_pairs=200,
    n_invariants=40,
    kernel_channels=6,
    kernel_l_max=3,
    kernel=all_environments.Settings(threshold=1e-5, noise=(1e-5, 1e-4)),
    scalings=(None, (1.0, 2.0, 7.0)),
    n_scalings=200,
)


@pytest.fixture(scope="module")
def result():
    return common.rounded(fig7.compute(TINY, common.Data()))


def test_the_same_command_gives_the_same_numbers(result):
    assert common.rounded(fig7.compute(TINY, common.Data())) == result


def test_every_model_has_its_error(result):
    models = fig7.models_of(result)
    assert [(row["basis"], row["nu"], row["q"]) for row in models] == [
        *((basis, nu, q) for basis in ("GTO", "optimal") for nu, channels in TINY.channels for q in channels),
        ("kernel", 0, 6),
    ]
    by_name = {row["name"]: row["mae"] for row in models}
    assert all(0 < error < 40 for error in by_name.values())
    # Five channels are one Gaussian for each species, or the best five combinations.
    assert by_name["optimal, nu <= 2, q = 5"] < 0.7 * by_name["GTO, nu <= 2, q = 5"]
    assert result["factor"] == pytest.approx(
        by_name["GTO, nu <= 3, q = 5"] / by_name["optimal, nu <= 3, q = 5"], rel=1e-6
    )


def test_orders_stand_side_by_side():
    frames = orbas.datasets.qm9(5)
    density = fig7.density(TINY, "GTO", 5, frames)
    together = fig7.UpTo(density, 3).transform(frames)
    parts = [
        kind(density).transform(frames).values for kind in (orbas.RadialSpectrum, orbas.PowerSpectrum, orbas.Bispectrum)
    ]
    assert np.array_equal(together.values, np.hstack(parts))
    assert together.per_structure().shape == (5, 5 * sum(part.shape[1] for part in parts))


def test_test_molecules_are_never_seen(monkeypatch):
    seen = []

    def spied(original, test_at):
        def spy(model, train, *others, **options):
            seen.append(({id(frame) for frame in train}, {id(frame) for frame in others[test_at]}))
            return original(model, train, *others, **options)

        return spy

    monkeypatch.setattr(fig7, "learning_curve", spied(fig7.learning_curve, 0))
    monkeypatch.setattr(all_environments, "learning_curve", spied(all_environments.learning_curve, 1))
    fig7.compute(dataclasses.replace(TINY, channels=((1, (5,)), (3, (5,)))), common.Data())
    assert len(seen) == 9
    assert all(len(train) in (200, 300) and len(test) == 100 and not train & test for train, test in seen)


def test_tables_and_pictures(result, tmp_path, capsys):
    assert "| 3 | 5 |" in fig7.table(result)
    common.write(tmp_path, "fig7_learning_qm9", {}, result, fig7.draw)
    settings = cost.Settings(TINY, n_molecules=5, n_rounds=1)
    found = cost.compute(settings, common.Data(out=tmp_path))
    assert [row["name"] for row in found["models"]] == [row["name"] for row in fig7.models_of(result)]
    times = np.array(found["_microseconds"])
    assert (times > 0).all()
    assert cost.table(found).count("\n") == len(times) + 1
    common.write(tmp_path, "beyond_cost_qm9", {}, common.rounded(found), cost.draw)
    assert set(json.loads((tmp_path / "beyond_cost_qm9.json").read_text())["result"]) == {"models"}
    assert {path.name for path in tmp_path.glob("*.png")} == {"fig7_learning_qm9.png", "beyond_cost_qm9.png"}


def test_the_cost_asks_for_the_errors(tmp_path):
    with pytest.raises(SystemExit, match="run fig7_learning_qm9"):
        cost.compute(cost.Settings(TINY), common.Data(out=tmp_path))
