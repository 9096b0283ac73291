"""Error bars and the extrapolation flag of potentials: closed forms, calibration, and what is far from the data."""

from __future__ import annotations

from dataclasses import replace

import ase
import ase.build
import numpy as np
import orbas
import pytest
from fit_oracle import density, labeled, rows_of, silicon, stacked
from orbas.fit import reach
from orbas.fit.reach import Reach
from orbas.models import Evidence, Fixed, KFold, LinearPotential, Noise, Posterior, SparseGPR

ALL = {"forces_key": "REF_forces", "stress_key": "REF_stress"}
NOISE = Noise(0.003, 0.04, 0.05)


def power(max_angular=1, n_radial=2, species=(14,)):
    return orbas.PowerSpectrum(density(species, max_angular=max_angular, n_radial=n_radial))


def closed_form(rows, alpha, x):
    inverse = np.linalg.inv(rows.T @ rows + alpha * np.eye(rows.shape[1]))
    return np.array([one @ inverse @ one for one in x])


@pytest.mark.parametrize("shape", [(40, 6), (6, 6), (4, 9), (1, 3)])
def test_leverages_are_the_closed_form(shape, rng):
    rows, x = rng.normal(size=shape), rng.normal(size=(5, shape[1]))
    _, singular, right = np.linalg.svd(rows, full_matrices=False)
    for alpha in (1e-6, 1e-2, 10.0):
        found = Posterior(right.T, singular, alpha, 1.0).leverages(x)
        np.testing.assert_allclose(found, closed_form(rows, alpha, x), rtol=1e-6)


def test_leverage_of_what_was_never_seen_keeps_its_digits():
    """A component of 1e-9 out of the span of the rows, of which a difference of norms would keep nothing."""
    posterior = Posterior(np.eye(3)[:, :2], np.array([1e3, 1e3]), 1e-12, 1.0)
    assert posterior.leverages(np.array([[1.0, 2.0, 1e-9]]))[0] == pytest.approx(5e-6 + 1e-6, rel=1e-9)


@pytest.mark.parametrize("keys", [{}, ALL])
def test_uncertainty_of_a_linear_potential(keys):
    frames = labeled(silicon(12), noise=0.05)
    spectrum = power()
    fitted = LinearPotential(spectrum, regularization=Fixed(1e-4), noise=NOISE).fit(frames, **keys)

    def summed(made):
        return spectrum.transform(made).per_structure()

    rows, targets = stacked(rows_of(frames, summed, NOISE.of, bool(keys), bool(keys)))
    alpha = 1e-4 * np.mean(np.sum(rows**2, axis=1))
    inverse = np.linalg.inv(rows.T @ rows + alpha * np.eye(rows.shape[1]))
    noise = np.mean((targets - rows @ (inverse @ (rows.T @ targets))) ** 2)
    unseen = silicon(4, seed=5, rattle=0.3)
    expected = np.sqrt(noise * closed_form(rows, alpha, summed(unseen)))
    np.testing.assert_allclose(fitted.uncertainty(unseen), expected, rtol=1e-4)
    np.testing.assert_array_equal(fitted.predict(unseen, uncertainty=True).uncertainty, fitted.uncertainty(unseen))
    assert fitted.predict(unseen).uncertainty is None


MODELS = {
    "linear, energies": lambda rule: LinearPotential(power(), regularization=rule, baseline={14: 0.0}),
    "linear, weighted": lambda rule: LinearPotential(power(), regularization=rule, baseline={14: 0.0}, noise=NOISE),
    "linear": lambda rule: LinearPotential(power(), regularization=rule, baseline={14: 0.0}, noise=NOISE),
    "sparse, energies": lambda rule: SparseGPR(power(), 12, 1, regularization=rule, baseline={14: 0.0}, noise=NOISE),
    "sparse": lambda rule: SparseGPR(power(), 12, 1, regularization=rule, baseline={14: 0.0}, noise=NOISE),
}


@pytest.mark.parametrize("rule", [KFold(4), Evidence()], ids=["cv", "evidence"])
@pytest.mark.parametrize("name", MODELS)
def test_error_bars_are_of_the_right_size(name, rule):
    """Labels of weights drawn from the prior, with known noise: errors over error bars have a spread near one."""
    train, unseen = silicon(30, rattle=0.2), silicon(60, seed=9, rattle=0.2)
    rng, scores = np.random.default_rng(8), []
    keys = {} if "energies" in name or "weighted" in name else {"forces_key": "REF_forces"}
    spectrum = power()
    for _ in range(6):
        weights = rng.normal(size=(1, spectrum.transform(train).values.shape[1])) / 20
        if name.startswith("sparse"):  # linear in normalized features: a kernel of exponent 1
            model = SparseGPR(spectrum, 12, 1, regularization=Fixed(1e-2), baseline={14: 0.0}, noise=NOISE)
            for atoms in train:
                atoms.info["REF_energy"] = 0.0
            model.fit(train)
            model._record = replace(model._record, weights=rng.normal(size=len(model.weights_)) / 3)
            truth, exact = model.evaluate(train), model.evaluate(unseen)
        else:
            truth, exact = spectrum.linear_energies(train, weights), spectrum.linear_energies(unseen, weights)
        for k, atoms in enumerate(train):
            width = 1.0 if name == "linear, energies" else np.sqrt(len(atoms))
            atoms.info["REF_energy"] = truth.structures[k] + 0.01 * width * rng.normal()
            atoms.arrays["REF_forces"] = truth.forces[k] + 0.04 / 0.003 * 0.01 * rng.normal(size=(len(atoms), 3))
        found = MODELS[name](rule).fit(train, **keys).predict(unseen, uncertainty=True)
        scores.append((found.energies - exact.structures) / found.uncertainty)
    assert 0.5 <= np.std(scores) <= 2.0


@pytest.mark.parametrize("name", ["linear", "sparse"])
def test_error_bars_grow_away_from_the_data(name):
    frames = labeled(silicon(20, rattle=0.08), noise=0.02)
    fitted = MODELS[name](KFold(4)).fit(frames, **ALL)
    rng = np.random.default_rng(2)
    near = silicon(12, seed=9, rattle=0.08)
    random = []
    for atoms in near:
        random.append(atoms.copy())
        random[-1].positions += 0.5 * rng.normal(size=atoms.positions.shape)
    assert np.median(fitted.uncertainty(random)) > 2 * np.median(fitted.uncertainty(near))


# --- docs/reliability.md, row 44: the extrapolation flag


def diamond(n, seed):
    """Silicon of eight atoms as it is at 300 K: 0.07 Å along every axis, and a percent of strain."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(n):
        atoms = ase.build.bulk("Si", "diamond", a=5.43, cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.01 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += 0.07 * rng.normal(size=(8, 3))
        frames.append(atoms)
    return frames


def packing(rng):
    """Eight atoms anywhere in the same cell, no two within 1.9 Å."""
    atoms = ase.Atoms(cell=[5.43] * 3, pbc=True)
    while len(atoms) < 8:
        more = atoms + ase.Atoms("Si", positions=rng.uniform(0, 5.43, (1, 3)))
        if len(more) == 1 or more.get_distances(-1, range(len(atoms)), mic=True).min() > 1.9:
            atoms = more
    return atoms


def scaled(frames, factor):
    for atoms in frames:
        atoms.set_cell(factor * atoms.cell.array, scale_atoms=True)
    return frames


def apart(frames, axes):
    for atoms in frames:
        atoms.center(vacuum=5.0, axis=axes)
        atoms.pbc = [axis not in axes for axis in range(3)]
    return frames


FAR = {
    "liquid": lambda: [packing(np.random.default_rng(seed)) for seed in range(6)],
    "compressed": lambda: scaled(diamond(4, 5), 0.88),
    "stretched": lambda: scaled(diamond(4, 5), 1.12),
    "slabs": lambda: apart(diamond(4, 6), (2,)),
    "clusters": lambda: apart(diamond(4, 7), (0, 1, 2)),
    "dimers": lambda: [ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, z]]) for z in (1.9, 2.3, 2.8)],
    "close-packed": lambda: [ase.build.bulk("Si", "fcc", a=a) for a in (3.7, 3.9, 4.1)],
}


def flags(fitted, frames):
    return np.concatenate(fitted.extrapolation(frames)) > 1


def wide(max_angular, n_radial):
    """With the second shell well inside the cutoff: inner atoms of a slab have lost neighbors, too."""
    return orbas.PowerSpectrum(density(max_angular=max_angular, n_radial=n_radial, radius=5.0))


FLAGGED = {
    "linear": lambda: LinearPotential(wide(4, 5)),
    "small linear": lambda: LinearPotential(wide(2, 4)),
    "sparse": lambda: SparseGPR(wide(3, 4), 80),
    "most environments are points": lambda: SparseGPR(wide(3, 4), 180),
    "two terms": lambda: SparseGPR([orbas.RadialSpectrum(density(max_angular=0, n_radial=6)), wide(3, 4)], [8, 80], 2),
}


@pytest.fixture(scope="module", params=[*FLAGGED])
def flagged(request):
    """Fitted to 200 environments."""
    return FLAGGED[request.param]().fit(labeled(diamond(25, 0), noise=0.01), **ALL)


def test_far_environments_are_flagged(flagged):
    rates = {name: float(np.mean(flags(flagged, make()))) for name, make in FAR.items()}
    assert min(rates.values()) >= 0.95, rates


def test_environments_of_the_same_kind_are_not_flagged(flagged):
    assert np.mean(flags(flagged, diamond(60, 100))) <= 0.05


@pytest.mark.parametrize("name", ["linear", "sparse"])
def test_the_flag_also_follows_from_energies_alone(name):
    fitted = FLAGGED[name]().fit(labeled(diamond(25, 0), noise=0.01))
    assert min(np.mean(flags(fitted, make())) for make in FAR.values()) >= 0.95
    assert np.mean(flags(fitted, diamond(60, 100))) <= 0.05


@pytest.mark.parametrize("name", ["linear", "sparse"])
def test_a_few_odd_structures_do_not_blind_the_flag(name):
    """A training set has dimers, too: then these are not far, other places still are.

    An isolated atom is the zero of energies and no row of the fit: what a model says of it is not known.
    """
    odd = FAR["dimers"]()
    frames = labeled([ase.Atoms("Si"), *odd, *diamond(40, 0)], noise=0.01)
    fitted = FLAGGED[name]().fit(frames, **ALL)
    assert not flags(fitted, odd).any()
    assert flags(fitted, frames[:1]).all()
    for kind in ("liquid", "compressed", "close-packed"):
        assert np.mean(flags(fitted, FAR[kind]())) >= 0.95, kind


def exploded():
    """A frame of a run that went wrong."""
    (atoms,) = diamond(1, 7)
    atoms.positions += 0.4 * np.random.default_rng(1).normal(size=(8, 3))
    return atoms


ODD = {
    "exploded": exploded,
    "nearly coincident": lambda: ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.7]]),
    "crushed": lambda: scaled(diamond(1, 3), 0.6)[0],
    "large": lambda: ase.Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.7]], cell=[9, 9, 9]) * (12, 1, 1),
}


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_structure_does_not_raise_the_yardstick(flagged, odd):
    """It is in the training set, hence not far; what was far before still is."""
    frames = labeled([*diamond(25, 0), ODD[odd]()], noise=0.01)
    fitted = type(flagged)(**flagged.get_params(deep=False)).fit(frames, **ALL)
    assert np.mean(flags(fitted, diamond(60, 100))) <= 0.05
    assert not flags(fitted, frames[-1:]).any()
    # An exploded crystal is a liquid of a kind; a crushed one looks like all that is dense.
    for kind, make in FAR.items():
        assert np.mean(flags(fitted, make())) >= 0.95, kind
    assert fitted.reach_[14].largest <= 2.0 * flagged.reach_[14].largest


def test_training_environments_are_within_reach(flagged):
    largest = max(ratios.max() for ratios in flagged.extrapolation(diamond(25, 0)))
    assert largest == pytest.approx(1.0, abs=1e-9)


def test_reach_is_the_closed_form(rng):
    """Every environment observed with a noise of a hundredth of the mean square; nothing else."""
    for n in (50, 4):
        rows, outside = rng.normal(size=(n, 7)) * np.geomspace(1, 0.3, 7), rng.uniform(0, 0.1, n)
        alpha = 0.01 * np.mean(np.sum(rows**2, axis=1) + outside)
        largest = np.max(closed_form(rows, alpha, rows) + outside / alpha)
        unseen, more = rng.normal(size=(5, 7)), rng.uniform(0, 1, 5)
        expected = np.sqrt((closed_form(rows, alpha, unseen) + more / alpha) / largest)
        np.testing.assert_allclose(Reach.of(rows, outside).ratios(unseen, more), expected, rtol=1e-7)


def test_environments_without_features():
    nothing = Reach.of(np.zeros((3, 4)), np.zeros(3))
    assert np.array_equal(nothing.ratios(np.zeros((2, 4)), np.zeros(2)), [0, 0])
    assert nothing.ratios(np.ones((1, 4)), np.zeros(1))[0] > 1e6


def test_rare_species_have_a_reach(monkeypatch):
    """However few of the training structures are looked at."""
    monkeypatch.setattr(reach, "_N_ENVIRONMENTS", 4)
    frames = silicon(12)
    frames[7].numbers[0] = 6
    frames = labeled(frames)
    fitted = LinearPotential(power(species=(6, 14)), regularization=Fixed(1e-4)).fit(frames)
    assert sorted(fitted.reach_) == [6, 14]
    assert fitted.extrapolation([frames[7]])[0][0] == pytest.approx(1.0, abs=1e-9)


def test_ratios_do_not_depend_on_company(flagged):
    frames = [*diamond(3, 8), ase.Atoms(), *FAR["clusters"]()]
    together = flagged.extrapolation(frames)
    assert [len(ratios) for ratios in together] == [len(atoms) for atoms in frames]
    for atoms, ratios in zip(frames, together, strict=True):
        np.testing.assert_allclose(flagged.extrapolation([atoms])[0], ratios, rtol=1e-9)
