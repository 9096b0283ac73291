"""A potential without decisions."""

from __future__ import annotations

import numpy as np
import orbas
import pytest
from orbas.models import LinearPotential, SparseGPR, recommended
from orbas.models.recommend import Candidate

LABELS = {"forces_key": "REF_forces", "stress_key": "REF_stress"}


@pytest.fixture(scope="module")
def frames():
    """Small cells labeled by a known potential."""
    structures = [frame for frame in orbas.datasets.silicon() if len(frame) <= 16][:30]
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, 1.0, "smooth"), density_width=0.5, max_angular=2, basis=orbas.bases.GTO(4)
    )
    source = LinearPotential(orbas.PowerSpectrum(density), regularization="loo").fit(structures)
    truth = source.predict(structures)
    for k, frame in enumerate(structures):
        frame.info["REF_energy"] = float(truth.energies[k])
        frame.arrays["REF_forces"] = truth.forces[k]
        frame.info["REF_stress"] = truth.stress[k]
    return structures


def test_it_fits_inside_its_budget_and_says_what_it_tried(frames):
    lines = []
    potential = recommended(frames, time_budget=8.0, report=lines.append, **LABELS)
    assert isinstance(potential, LinearPotential | SparseGPR)
    tried = [line for line in lines if " s  " in line]
    assert len(tried) >= 2
    assert lines[0].startswith("comparing settings on")
    errors = [float(line.split()[0]) for line in tried]
    taken = next(line for line in lines if line.startswith("taken: "))
    assert str(taken.removeprefix("taken: ").partition(";")[0]) in tried[int(np.argmin(errors))]
    score = potential.score(frames, **LABELS)
    assert score.forces_mae < 0.1
    assert score.mae_per_atom < 0.01


def test_one_trial_is_made_in_any_budget(frames):
    lines = []
    recommended(frames, time_budget=1e-9, report=lines.append, **LABELS)
    assert sum(" s  " in line for line in lines) == 1
    assert "the time is up" in lines


def test_every_kind_of_candidate_is_fitted(frames):
    from orbas.models import Noise

    for candidate in (
        Candidate("linear", 4.0, 0.5, 3, 2),
        Candidate("nice", 4.0, 0.5, 3, 2, size=5),
        Candidate("sparse", 4.0, 0.5, 3, 2, size=20, zeta=2, scaling=3.0),
    ):
        potential = candidate.build(frames, Noise()).fit(frames, **LABELS)
        assert np.isfinite(potential.predict(frames).energies).all()
        assert candidate.kind in str(candidate).lower()


def test_bad_input_is_refused(frames):
    with pytest.raises(ValueError, match="ten structures"):
        recommended(frames[:9])
    with pytest.raises(ValueError, match="time_budget"):
        recommended(frames, time_budget=0.0)
    with pytest.raises(orbas.LabelError, match="keys seen"):
        recommended(frames, energy_key="nothing")
    lonely = [frame[:1] for frame in frames]
    for frame in lonely:
        frame.pbc = False
    with pytest.raises(ValueError, match="no two atoms"):
        recommended(lonely, report=lambda _: None)
