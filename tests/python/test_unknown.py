"""What a training set does not cover: compositions, species, neighbors; said in fits and predictions, once."""

from __future__ import annotations

import numpy as np
import orbas
import pytest
from ase import Atoms
from labeled_copper import copper, fit, labeled, said, spectrum, topics
from orbas.fit.findings import Topic
from orbas.models import LinearPotential, SparseGPR, Unknown


def alloy(model=LinearPotential, baseline="composition", n_gold=1):
    """A model of CuAu with the same composition throughout."""
    frames = [labeled(k, symbol="Au") for k in range(12)]
    for atoms in frames:
        atoms.symbols[:n_gold] = "Au"
    options = {"n_sparse": 20} if model is SparseGPR else {}
    return model(spectrum((29, 79)), baseline=baseline, **options).fit(frames, forces_key="REF_forces")


@pytest.mark.parametrize("model", [LinearPotential, SparseGPR])
def test_other_compositions_are_unknown_and_said_once(model, caplog, tmp_path):
    found = alloy(model)
    assert Topic.COMPOSITION not in topics(found)
    caplog.clear()
    others = [labeled(50), labeled(51, symbol="Au")]
    assert found.predict(others).unknown.tolist() == [Unknown.COMPOSITION, 0]
    assert "composition" in said(caplog)
    assert "baseline" in said(caplog)
    caplog.clear()
    assert found.predict(others).unknown[0]
    assert said(caplog) == ""
    found.save(tmp_path / "m.orbas")
    again = orbas.load(tmp_path / "m.orbas")
    assert again.predict(others).unknown.tolist() == [Unknown.COMPOSITION, 0]
    assert again.noise_ == found.noise_


def test_energies_of_atoms_make_compositions_known():
    assert alloy(baseline={"Cu": 0.0, "Au": 0.0}).predict([labeled(50)]).unknown.tolist() == [0]


def test_several_compositions_make_all_known():
    frames = [labeled(k, symbol="Au" if k % 2 else "Cu") for k in range(20)]
    model = LinearPotential(spectrum((29, 79))).fit(frames, forces_key="REF_forces")
    gold = Atoms("Au2", positions=[[0, 0, 0], [2.5, 0, 0]])
    assert model.predict([gold, *frames]).unknown.tolist() == [0] * 21


def test_multiples_of_the_composition_are_known():
    assert alloy().predict([labeled(3, symbol="Au") * (2, 1, 1)]).unknown.tolist() == [0]


def test_atoms_without_neighbors():
    model = fit(copper(30), kinds="EF")
    far = Atoms("Cu3", positions=[[0, 0, 0], [2.5, 0, 0], [20, 0, 0]])
    assert model.predict([far, copper(1)[0], Atoms("Cu")]).unknown.tolist() == [
        Unknown.NO_NEIGHBORS,
        0,
        Unknown.NO_NEIGHBORS,
    ]


def test_a_cutoff_below_the_nearest_neighbors(caplog):
    model = LinearPotential(spectrum(cutoff=2.0)).fit(copper(20), forces_key="REF_forces")
    assert Topic.NO_NEIGHBORS in topics(model)
    assert "77 of 80 atoms have no neighbor within 2 Å" in said(caplog)
    assert "which no model of this cutoff can give" in said(caplog)


def test_rare_species(caplog):
    frames = copper(20)
    frames[3].symbols[0] = "Au"
    model = LinearPotential(spectrum((29, 79))).fit(frames, forces_key="REF_forces")
    assert Topic.RARE_SPECIES in topics(model)
    assert "Au: 1" in said(caplog)
    flags = model.predict(frames).unknown
    assert np.flatnonzero(flags & Unknown.RARE_SPECIES).tolist() == [3]


def test_a_basis_of_atoms_without_neighbors(caplog):
    frames = copper(5)
    for atoms in frames:
        atoms.set_cell(10 * atoms.cell, scale_atoms=True)
    orbas.OptimalBasis(spectrum().density, n_optimal=2).fit(frames)
    assert "neighbor" in said(caplog)


def test_covered_structures_are_known(caplog):
    model = fit(copper(30))
    caplog.clear()
    assert not model.predict(copper(40)).unknown.any()
    assert said(caplog) == ""
