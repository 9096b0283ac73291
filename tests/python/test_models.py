"""Ridge against scikit-learn and brute force; baselines; linear potentials on a made-up representation."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from orbas.base.blocks import Features
from orbas.base.estimator import Estimator
from orbas.errors import LabelError, NotFittedError, UnknownSpeciesError
from orbas.models import (
    CompositionBaseline,
    Fixed,
    HoldOut,
    KFold,
    LeaveOneOut,
    LinearPotential,
    Ridge,
    learning_curve,
    structure_features,
)

SHAPES = [(40, 12), (12, 40), (25, 25)]
ALPHAS = np.array([1e-6, 1e-2, 1.0, 30.0])


class Overlaps(Estimator):
    """Sums over neighbors of a few functions of the distance, and a one, which spans the composition."""

    def __init__(self, n_features: int = 6, species: tuple[int, ...] = (1, 6, 8)) -> None:
        self.n_features = n_features
        self.species = species
        self.calls = 0

    def settled(self, species: tuple[int, ...]) -> Overlaps:
        return self  # what a model owns is counted too

    def transform(self, frames: list[Atoms]) -> Features:
        self.calls += 1
        rates = np.linspace(0.3, 2.0, self.n_features - 1)
        values, samples, numbers = [], [], []
        for index, frame in enumerate(frames):
            distances = frame.get_all_distances()
            weights = frame.numbers * (1.0 - np.eye(len(frame)))
            sums = np.einsum("ij,ijk->ik", weights, np.exp(-rates * distances[:, :, None]))
            values.append(np.hstack([np.ones((len(frame), 1)), sums]))
            samples += [(index, atom) for atom in range(len(frame))]
            numbers.append(frame.numbers)
        return Features(np.concatenate(values), np.array(samples), np.concatenate(numbers), self.species, len(frames))


def random_problem(shape: tuple[int, int], n_targets: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(shape[0] * 1000 + shape[1])
    size = shape[0] if n_targets is None else (shape[0], n_targets)
    return rng.normal(size=shape), rng.normal(size=size)


def make_molecules(n: int, seed: int = 0, numbers: tuple[int, ...] = (1, 6, 8)) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        n_atoms = int(rng.integers(3, 8))
        chosen = np.concatenate([numbers, rng.choice(numbers, size=n_atoms)])
        frames.append(Atoms(chosen, positions=rng.uniform(0.0, 4.0, size=(len(chosen), 3))))
    return frames


def label_linearly(frames: list[Atoms], noise: float = 0.0, seed: int = 5) -> np.ndarray:
    """Give energies that are linear in :class:`Overlaps`, above atomic energies; return the weights."""
    rng = np.random.default_rng(seed)
    design = structure_features(Overlaps(), frames).values
    weights = rng.normal(size=design.shape[1])
    atomic = {1: -13.0, 6: -1030.0, 8: -2040.0}
    for frame, row in zip(frames, design, strict=True):
        energy = row @ weights + sum(atomic[number] for number in frame.numbers)
        frame.info["REF_energy"] = energy + noise * rng.normal()
    return weights


def direct_solution(design: np.ndarray, targets: np.ndarray, alpha: float) -> np.ndarray:
    """Ridge as the least squares of a stacked system: another road, and no normal equations either."""
    n_features = design.shape[1]
    stacked = np.vstack([design, np.sqrt(alpha) * np.eye(n_features)])
    zeros = np.zeros((n_features, *targets.shape[1:]))
    return np.linalg.lstsq(stacked, np.concatenate([targets, zeros]), rcond=None)[0]


# --- ridge ---


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_targets", [None, 1, 3])
def test_path_equals_sklearn_and_direct_solution(shape: tuple[int, int], n_targets: int | None) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    design, targets = random_problem(shape, n_targets)
    path = Ridge(design).weights(targets, ALPHAS)
    assert path.shape == (len(ALPHAS), shape[1], *targets.shape[1:])
    for weights, alpha in zip(path, ALPHAS, strict=True):
        reference = linear_model.Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(design, targets)
        np.testing.assert_allclose(weights, reference.coef_.T.reshape(weights.shape), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(weights, direct_solution(design, targets, alpha), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_targets", [None, 2])
def test_leave_one_out_equals_refits(shape: tuple[int, int], n_targets: int | None) -> None:
    design, targets = random_problem(shape, n_targets)
    residuals = Ridge(design).leave_one_out(targets, ALPHAS)
    for i in range(shape[0]):
        rest = np.delete(np.arange(shape[0]), i)
        weights = Ridge(design[rest]).weights(targets[rest], ALPHAS)
        expected = targets[i] - np.tensordot(weights, design[i], axes=(1, 0))
        np.testing.assert_allclose(residuals[:, i], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_k_fold_equals_sklearn_with_the_same_folds(shape: tuple[int, int]) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    model_selection = pytest.importorskip("sklearn.model_selection")
    design, targets = random_problem(shape, 2)
    folds = KFold(n_folds=4, seed=3).folds(shape[0])
    splits = [(np.setdiff1d(np.arange(shape[0]), fold), fold) for fold in folds]
    residuals = Ridge(design).k_fold(targets, ALPHAS, folds)
    for found, alpha in zip(residuals, ALPHAS, strict=True):
        model = linear_model.Ridge(alpha=alpha, fit_intercept=False, solver="svd")
        predicted = model_selection.cross_val_predict(model, design, targets, cv=splits)
        np.testing.assert_allclose(found, targets - predicted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_folds_of_one_row_are_leave_one_out(shape: tuple[int, int]) -> None:
    design, targets = random_problem(shape)
    ridge = Ridge(design)
    folds = [np.array([i]) for i in range(shape[0])]
    expected = ridge.leave_one_out(targets, ALPHAS)
    np.testing.assert_allclose(ridge.k_fold(targets, ALPHAS, folds), expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("shape", [(60, 30), (30, 60), (30, 30)])
def test_ill_conditioned_design_keeps_its_digits(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    k = min(shape)
    left = np.linalg.qr(rng.normal(size=(shape[0], k)))[0]
    right = np.linalg.qr(rng.normal(size=(shape[1], k)))[0]
    singular = np.logspace(0, -12, k)
    truth = rng.normal(size=k)
    design, targets = (left * singular) @ right.T, left @ truth
    alphas = np.array([1e-14, 1e-10, 1e-4])
    ridge = Ridge(design)
    for weights, alpha in zip(ridge.weights(targets, alphas), alphas, strict=True):
        expected = right @ (singular / (singular**2 + alpha) * truth)
        assert np.linalg.norm(weights - expected) < 1e-7 * np.linalg.norm(expected)
    folds = KFold(n_folds=5).folds(shape[0])
    held_out = ridge.k_fold(targets, alphas, folds)
    for fold in folds:
        rest = np.setdiff1d(np.arange(shape[0]), fold)
        for a, alpha in enumerate(alphas):
            expected = targets[fold] - design[fold] @ direct_solution(design[rest], targets[rest], alpha)
            error = np.linalg.norm(held_out[a, fold] - expected)
            assert error < 1e-7 * np.linalg.norm(expected)


def test_rank_deficient_design_and_feature_of_one_row() -> None:
    rng = np.random.default_rng(4)
    design = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 9))
    design[7] += 100.0 * np.eye(9)[8]  # only row 7 looks outside the common row space
    targets = rng.normal(size=30)
    ridge = Ridge(design)
    residuals = ridge.leave_one_out(targets, [1e-8])[0]
    rest = np.delete(np.arange(30), 7)
    weights = Ridge(design[rest]).weights(targets[rest], [1e-8])[0]
    # 1 - H is 1e-12 in row 7, of which double precision leaves four digits.
    assert residuals[7] == pytest.approx(targets[7] - design[7] @ weights, rel=1e-2)
    assert np.isfinite(ridge.k_fold(targets, [1e-12], KFold().folds(30))).all()
    np.testing.assert_array_equal(Ridge(np.zeros((3, 2))).weights([1.0, 2.0, 3.0], [0.1]), [[0.0, 0.0]])


def test_ridge_refuses_bad_input() -> None:
    design, targets = random_problem((6, 3))
    for bad in (np.zeros(3), np.zeros((0, 3)), np.full((2, 2), np.nan)):
        with pytest.raises(ValueError, match="design matrix"):
            Ridge(bad)
    ridge = Ridge(design)
    with pytest.raises(ValueError, match="6 rows"):
        ridge.weights(targets[:5], [1.0])
    with pytest.raises(ValueError, match="sample 2 is not finite"):
        ridge.weights(np.where(np.arange(6) == 2, np.inf, targets), [1.0])
    for alphas in ([], [0.0], [-1.0], [np.nan]):
        with pytest.raises(ValueError, match="alphas"):
            ridge.weights(targets, alphas)
    for folds in ([], [np.arange(6)], [np.arange(3), np.arange(2, 6)]):
        with pytest.raises(ValueError, match="exactly once"):
            ridge.k_fold(targets, [1.0], folds)
    with pytest.raises(ValueError, match="2 samples"):
        Ridge(design[:1]).leave_one_out(targets[:1], [1.0])


# --- composition baseline ---


def test_baseline_recovers_atomic_energies() -> None:
    frames = [Atoms("H2"), Atoms("OH2"), Atoms("CH4"), Atoms("CO2")]
    atomic = {1: -13.6, 6: -1030.0, 8: -2042.0}
    energies = [sum(atomic[number] for number in frame.numbers) for frame in frames]
    baseline = CompositionBaseline().fit(frames, energies)
    assert list(baseline.energies_) == [1, 6, 8]
    assert baseline.energies_ == pytest.approx(atomic, rel=1e-10)
    np.testing.assert_allclose(baseline.predict(frames), energies, rtol=1e-12)


def test_baseline_of_one_composition_is_the_solution_of_least_norm() -> None:
    frames = [Atoms("SiO2"), Atoms("Si2O4")]
    baseline = CompositionBaseline().fit(frames, [-5.0, -10.0])
    assert baseline.energies_ == pytest.approx({8: -2.0, 14: -1.0})
    np.testing.assert_allclose(baseline.predict([Atoms("Si3O6")]), [-15.0])


@pytest.mark.parametrize("given", [{"H": -13.0, "O": -2040.0}, {8: -2040.0, 1: -13.0}])
def test_baseline_from_isolated_atoms(given: dict[str, float] | dict[int, float]) -> None:
    baseline = CompositionBaseline(given).fit([Atoms("OH2")], [0.0])
    np.testing.assert_array_equal(baseline.predict([Atoms("H2"), Atoms("OH2"), Atoms()]), [-26.0, -2066.0, 0.0])
    with pytest.raises(UnknownSpeciesError, match=r"structure 1, atom 2: species 6 \(C\)"):
        CompositionBaseline(given).fit([Atoms("H2"), Atoms("OHC")], [0.0, 0.0])


def test_baseline_refuses_bad_input() -> None:
    with pytest.raises(NotFittedError):
        CompositionBaseline().predict([Atoms("H")])
    with pytest.raises(ValueError, match="one energy each"):
        CompositionBaseline().fit([Atoms("H")], [1.0, 2.0])
    with pytest.raises(ValueError, match="structure 1 is not finite"):
        CompositionBaseline().fit([Atoms("H"), Atoms("O")], [1.0, np.nan])
    with pytest.raises(ValueError, match="unknown chemical symbol 'Xx'"):
        CompositionBaseline({"Xx": 1.0}).fit([Atoms("H")], [1.0])
    with pytest.raises(ValueError, match="twice"):
        CompositionBaseline({"H": 1.0, 1: 2.0}).fit([Atoms("H")], [1.0])
    with pytest.raises(UnknownSpeciesError, match=r"structure 0, atom 1: species 8 \(O\).*known species: 1 \(H\)"):
        CompositionBaseline().fit([Atoms("H")], [1.0]).predict([Atoms("HO")])


# --- linear potential ---


@pytest.mark.parametrize("rule", ["cv", "loo", HoldOut(n_validation=30), Fixed(1e-12)])
def test_linear_potential_recovers_a_linear_model(rule: object) -> None:
    train, test = make_molecules(150), make_molecules(20, seed=1)
    label_linearly(train), label_linearly(test)
    potential = LinearPotential(Overlaps(), regularization=rule).fit(train)
    energies = np.array([frame.info["REF_energy"] for frame in test])
    np.testing.assert_allclose(potential.predict(test).energies, energies, rtol=0, atol=1e-3)
    score = potential.score(test)
    assert score.mae <= score.rmse < 1e-3
    assert score.mae_per_atom < score.mae
    assert len(potential.alphas_) == len(potential.cv_errors_)


def test_alpha_has_no_unit() -> None:
    class Larger(Overlaps):
        def transform(self, frames: list[Atoms]) -> Features:
            features = super().transform(frames)
            return Features(
                1024.0 * features.values, features.samples, features.center_numbers, self.species, len(frames)
            )

    frames = make_molecules(60)
    label_linearly(frames, noise=0.05)
    small, large = (LinearPotential(r, regularization="loo").fit(frames) for r in (Overlaps(), Larger()))
    assert small.alpha_ == large.alpha_
    np.testing.assert_allclose(small.cv_errors_, large.cv_errors_, rtol=1e-9)
    np.testing.assert_allclose(small.weights_, 1024.0 * large.weights_, rtol=1e-6)


@pytest.mark.parametrize("rule", [LeaveOneOut(), KFold(), HoldOut(n_validation=12)])
def test_the_best_alpha_is_chosen(rule: LeaveOneOut | KFold | HoldOut) -> None:
    frames = make_molecules(60)
    label_linearly(frames, noise=0.3)
    potential = LinearPotential(Overlaps(), regularization=rule).fit(frames)
    assert potential.alpha_ == potential.alphas_[np.argmin(potential.cv_errors_)]
    again = LinearPotential(Overlaps(), regularization=Fixed(potential.alpha_)).fit(frames)
    np.testing.assert_array_equal(again.weights_, potential.weights_)
    assert again.cv_errors_.size == 0


def test_hold_out_error_is_that_of_a_model_without_the_last_structures() -> None:
    frames = make_molecules(60)
    label_linearly(frames, noise=0.3)
    atoms = {1: -13.0, 6: -1030.0, 8: -2040.0}
    rule = HoldOut(n_validation=20, alphas=(1e-6,))
    whole = LinearPotential(Overlaps(), regularization=rule, baseline=atoms).fit(frames)
    head_design = structure_features(Overlaps(), frames[:40]).values
    relative = 1e-6 * whole.scale_ / np.mean(np.sum(head_design**2, axis=1))
    head = LinearPotential(Overlaps(), regularization=Fixed(relative), baseline=atoms).fit(frames[:40])
    assert whole.cv_errors_[0] == pytest.approx(head.score(frames[40:]).mae, rel=1e-8)


def test_order_and_chunks_of_structures_do_not_matter() -> None:
    frames = make_molecules(50)
    label_linearly(frames, noise=0.1)
    order = np.random.default_rng(8).permutation(len(frames))
    shuffled = [frames[i] for i in order]
    one = LinearPotential(Overlaps(), regularization="loo").fit(frames)
    other = LinearPotential(Overlaps(), regularization="loo", chunk=20).fit(shuffled)
    assert other.representation.calls > one.representation.calls
    assert one.alpha_ == other.alpha_
    predicted = one.predict(frames).energies
    np.testing.assert_allclose(other.predict(frames).energies, predicted, rtol=0, atol=1e-7)
    np.testing.assert_allclose(one.predict(shuffled).energies, predicted[order], rtol=1e-14)


def test_same_input_same_bits() -> None:
    frames = make_molecules(50)
    label_linearly(frames, noise=0.1)
    first, second = (LinearPotential(Overlaps()).fit(frames) for _ in range(2))
    np.testing.assert_array_equal(first.weights_, second.weights_)
    np.testing.assert_array_equal(first.cv_errors_, second.cv_errors_)


def test_progress_bar_is_off_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    frames = make_molecules(5)
    structure_features(Overlaps(), frames)
    assert capsys.readouterr().err == ""
    structure_features(Overlaps(), frames, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_sklearn_clones_settings_only() -> None:
    base = pytest.importorskip("sklearn.base")
    frames = make_molecules(30)
    label_linearly(frames)
    potential = LinearPotential(Overlaps(4), regularization=Fixed(1e-3), baseline={"H": 0.0, "C": 0.0, "O": 0.0})
    copy = base.clone(potential.fit(frames))
    assert copy.get_params()["representation__n_features"] == 4
    assert copy.regularization == Fixed(1e-3)
    assert not hasattr(copy, "weights_")
    assert copy.set_params(representation__n_features=5).fit(frames).weights_.shape == (15,)


def test_linear_potential_refuses_bad_input() -> None:
    frames = make_molecules(12)
    label_linearly(frames)
    representation = Overlaps()
    potential = LinearPotential(representation, regularization=Fixed(1e-6))
    for call in (potential.predict, potential.score):
        with pytest.raises(NotFittedError, match="fit"):
            call(frames)
    with pytest.raises(LabelError):
        potential.fit(frames, energy_key="no such key")
    for regularization, message in (
        (KFold(13), "13"),
        (HoldOut(12), "13"),
        ("ridge", "regularization must be one of cv, loo, evidence, or a rule"),
    ):
        with pytest.raises(ValueError, match=message):
            LinearPotential(representation, regularization=regularization).fit(frames)
    with pytest.raises(ValueError, match="baseline must be 'composition', or energies by"):
        LinearPotential(representation, baseline="mean").fit(frames)
    with pytest.raises(UnknownSpeciesError):
        LinearPotential(representation, baseline={"H": -13.0}).fit(frames)
    assert representation.calls == 0  # every error came before any work
    potential.fit(frames)
    calls = representation.calls
    with pytest.raises(UnknownSpeciesError, match=r"structure 1, atom 0: species 9 \(F\)"):
        potential.predict([frames[0], Atoms("FH")])
    assert representation.calls == calls
    energies = potential.predict(frames).energies
    potential.representation = Overlaps(n_features=5)  # for the next fit
    np.testing.assert_array_equal(potential.predict(frames).energies, energies)


def test_features_that_do_not_fit_together_are_refused() -> None:
    class Wavering(Overlaps):
        def transform(self, frames: list[Atoms]) -> Features:
            self.species = (1, 6, 8) if self.calls == 0 else (1, 6, 8, 9)
            return super().transform(frames)

    class Broken(Overlaps):
        def transform(self, frames: list[Atoms]) -> Features:
            features = super().transform(frames)
            features.values[-1] = np.inf
            return features

    class Failing(Overlaps):
        def transform(self, frames: list[Atoms]) -> Features:
            if self.calls:
                raise ValueError("structure 0, atom 0: position is not finite")
            return super().transform(frames)

    frames = make_molecules(4)
    with pytest.raises(ValueError, match="structures 1 to 1 gave features"):
        structure_features(Wavering(), frames, chunk=1)
    with pytest.raises(ValueError, match="features of structure 3 are not finite"):
        structure_features(Broken(), frames)
    with pytest.raises(ValueError, match="position is not finite") as caught:
        structure_features(Failing(), frames, chunk=1)
    assert "counted from structure 1" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="no structures"):
        structure_features(Overlaps(), [])
    with pytest.raises(ValueError, match="chunk"):
        structure_features(Overlaps(), frames, chunk=0)


def test_settings_are_checked_when_made() -> None:
    for make in (
        lambda: KFold(n_folds=1),
        lambda: HoldOut(n_validation=0),
        lambda: Fixed(0.0),
        lambda: Fixed(float("inf")),
        lambda: LeaveOneOut(alphas=()),
        lambda: LeaveOneOut(alphas=(1.0, -1.0)),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
    folds = KFold(n_folds=3, seed=1).folds(10)
    assert sorted(len(fold) for fold in folds) == [3, 3, 4]
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(10))


# --- learning curve ---


def test_learning_curve_is_nested_deterministic_and_computes_features_once() -> None:
    train, test = make_molecules(80), make_molecules(30, seed=1)
    label_linearly(train, noise=0.1), label_linearly(test, noise=0.1)
    representation = Overlaps()
    model = LinearPotential(representation, regularization="loo")
    curve = learning_curve(model, train, test, [20, 40, 80], seed=3)
    assert representation.calls == 3  # one structure tells the columns
    assert not hasattr(model, "weights_")
    np.testing.assert_array_equal(curve.sizes, [20, 40, 80])
    assert curve.mae[2] < curve.mae[0] < curve.baseline_mae[0]
    assert (curve.mae <= curve.rmse).all()
    again = learning_curve(model, train, test, [40], seed=3)
    np.testing.assert_array_equal(again.mae, curve.mae[1:2])

    order = np.random.default_rng(3).permutation(80)
    for a, size in enumerate(curve.sizes):
        direct = LinearPotential(Overlaps(), regularization="loo").fit([train[i] for i in order[:size]])
        score = direct.score(test)
        assert (score.mae, score.rmse) == pytest.approx((curve.mae[a], curve.rmse[a]), rel=1e-8)
    lines = curve.table().splitlines()
    assert len(lines) == 4
    assert lines[1].split()[0] == "20"


def test_a_streamed_learning_curve_is_that_of_single_fits() -> None:
    train, test = make_molecules(90), make_molecules(30, seed=1)
    label_linearly(train, noise=0.1), label_linearly(test, noise=0.1)
    representation = Overlaps()
    order = np.random.default_rng(3).permutation(90)
    baseline = CompositionBaseline().fit(
        [train[i] for i in order[:30]], [train[i].info["REF_energy"] for i in order[:30]]
    )
    settings = {"regularization": HoldOut(10), "baseline": baseline.energies_}
    curve = learning_curve(LinearPotential(representation, **settings), train, test, [30, 60, 90], seed=3)
    for a, size in enumerate(curve.sizes):
        direct = LinearPotential(Overlaps(), **settings).fit([train[i] for i in order[:size]])
        score = direct.score(test)
        assert (score.mae, score.rmse) == pytest.approx((curve.mae[a], curve.rmse[a]), rel=1e-6)
    with pytest.raises(ValueError, match="rise by more than the 10 held out"):
        learning_curve(LinearPotential(representation, **settings), train, test, [30, 40], seed=3)


def test_learning_curve_refuses_bad_input() -> None:
    train, test = make_molecules(10), [Atoms("HF")]
    for frame in [*train, *test]:
        frame.info["REF_energy"] = 0.0
    representation = Overlaps()
    model = LinearPotential(representation)
    for sizes in ([], [0], [11]):
        with pytest.raises(ValueError, match="sizes"):
            learning_curve(model, train, train, sizes)
    with pytest.raises(ValueError, match="at least 5"):
        learning_curve(model, train, train, [4, 10])
    with pytest.raises(UnknownSpeciesError, match="species 9") as caught:
        learning_curve(model, train, test, [5, 10])
    assert "smallest training subset" in caught.value.__notes__[0]
    assert representation.calls == 0
