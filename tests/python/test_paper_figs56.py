"""Figures 5 and 6 of the paper at a tiny size, on the silicon that comes with the package."""

from __future__ import annotations

import sys
from pathlib import Path

import ase.io
import numpy as np
import orbas
import pytest

PAPER = Path(__file__).parents[2] / "examples" / "paper"
sys.path.insert(0, str(PAPER))

import common  # noqa: E402
import fig5_gap_silicon as fig5  # noqa: E402
import fig6_two_body_silicon as fig6  # noqa: E402
import silicon  # noqa: E402

SMALL = {"sets": (("si_vasp_pbe", 60),), "cutoff": 4.5, "n_folds": 3}
FIG5 = fig5.Settings(**SMALL, max_angular=2, n_primitive=8, n_max=(2, 4), n_soap=(12,), n_sparse=20)
FIG6 = fig6.Settings(
    **SMALL, n_primitive=8, linear=(1, 2, 8), kernel=(2,), n_sparse=20, n_environments=400, noise_energy=0.01
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    frames = [atoms for atoms in orbas.datasets.silicon() if len(atoms) <= 8]
    ase.io.write(folder / "si_vasp_pbe.xyz.gz", frames, format="extxyz")
    return common.Data(folder)


@pytest.fixture(scope="module")
def results(data):
    return {module: common.rounded(module.compute(settings, data)) for module, settings in ((fig5, FIG5), (fig6, FIG6))}


def test_folds_hold_every_structure_once_and_kinds_together(data):
    frames = silicon.structures(data, "si_vasp_pbe", 60, 1.5)
    kinds = [atoms.info["config_type"] for atoms in frames]
    parts = silicon.folds(frames, 3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(frames)))
    held = [{kinds[k] for k in part} for part in parts]
    assert sum(map(len, held)) == len(set(kinds))
    train, test = silicon.split(frames, parts[1])
    assert len(train) + len(test) == len(frames)
    assert {atoms.info["config_type"] for atoms in train}.isdisjoint(held[1])
    for atoms in frames:
        atoms.info["config_type"] = "one"
    parts = silicon.folds(frames, 7)
    assert {len(part) for part in parts} == {8, 9}
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(frames)))


def test_copies_and_high_energies_are_left_out(data, tmp_path):
    frames = data.read("si_vasp_pbe")[:20]
    high = frames[0].copy()
    high.info["REF_energy"] += 20.0 * len(high)
    ase.io.write(tmp_path / "more.xyz.gz", [*frames, *frames[:5], high], format="extxyz")
    found = silicon.structures(common.Data(tmp_path), "more", 100, 1.5)
    energies = [silicon.energy_per_atom(atoms) for atoms in found]
    assert len(set(np.round(energies, 6))) == len(found) <= 20
    assert max(energies) < min(energies) + 1.5


def test_errors_are_pooled_and_vanishing_forces_do_not_count():
    class Off:
        def predict(self, frames):
            shifted = [atoms.info["REF_energy"] + 0.002 * len(atoms) for atoms in frames]
            forces = [atoms.arrays["REF_forces"] + 0.3 for atoms in frames]
            return orbas.models.potential.Prediction(np.array(shifted), forces)

    frames = orbas.datasets.silicon(12)
    still = frames[0].copy()
    still.arrays["REF_forces"][:] = 0.0
    errors = silicon.Errors()
    errors.add(Off(), frames[1:])
    before = sum(part.size for part in errors.forces)
    errors.add(Off(), [still])
    assert sum(part.size for part in errors.forces) == before
    np.testing.assert_allclose(errors.rmse(), (2.0, 0.3), rtol=1e-9)


def test_supervised_functions_beat_principal_components_where_there_are_few(results):
    (found,) = results[fig6]["sets"].values()
    linear = found["rmse"]["linear"]
    assert linear["PCovR"][0][0] < 0.8 * linear["PCA"][0][0]
    assert found["gfre"]["PCA"][1] < found["gfre"]["PCovR"][1]


def test_pure_regression_is_the_model_on_all_functions(results):
    (found,) = results[fig6]["sets"].values()
    np.testing.assert_allclose(found["pure_regression"], found["rmse"]["linear"]["GTO"][-1], rtol=0.01)


def test_bases_of_all_functions_are_one(results):
    (found,) = results[fig6]["sets"].values()
    linear, gfre = found["rmse"]["linear"], found["gfre"]
    for name in ("PCA", "PCovR"):
        np.testing.assert_allclose(linear[name][-1], linear["GTO"][-1], rtol=0.02)
        assert gfre[name][-1] < 1e-5
        assert gfre[name][0] > gfre[name][1] > gfre[name][2]


def test_selected_features_are_nested_and_of_the_same_basis(data, results):
    frames = data.read("si_vasp_pbe")[:30]
    settings = fig5.Settings(**SMALL, max_angular=2, n_primitive=8, n_soap=(12, 5), n_sparse=20)
    found = fig5.spectra(settings, "optimal", 4, frames)
    whole = found["all"].transform(frames).values
    assert list(found) == ["all", "12", "5"]
    assert whole.shape[1] == 30
    few, more = found["5"].selection, found["12"].selection
    np.testing.assert_array_equal(more[:5], few)
    np.testing.assert_array_equal(few, orbas.selection.CUR(5).fit(whole).selected_idx_)
    np.testing.assert_allclose(found["12"].transform(frames).values, whole[:, more], rtol=0, atol=1e-12)
    for errors in next(iter(results[fig5]["sets"].values()))["rmse"].values():
        assert {selected: list(by_n) for selected, by_n in errors.items()} == {"all": ["2", "4"], "12": ["4"]}


@pytest.mark.parametrize(("module", "settings"), [(fig5, FIG5), (fig6, FIG6)])
def test_the_same_numbers_again_and_a_table_and_a_picture(module, settings, data, results, tmp_path):
    assert common.rounded(module.compute(settings, data)) == results[module]
    text = module.table(results[module])
    assert text.count("\n| ---") >= 1
    assert "nan" not in text
    common.write(tmp_path, "figure", {}, results[module], module.draw)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
