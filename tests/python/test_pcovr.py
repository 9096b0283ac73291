"""PCovR bases: against scikit-matter, at both limits of alpha, and what a linear model makes of them."""

from __future__ import annotations

import numpy as np
import orbas
import pytest
from orbas.metrics import residual_variance
from orbas.models import Fixed, KFold, LinearPotential, Noise
from orbas.models.pcovr import captured, projector
from orbas.models.pcovr.projector import orthonormal
from skmatter.decomposition import PCovR

KINDS = [(mixing, per_center) for mixing in ("separate", "combined") for per_center in (False, True)]


def density(max_angular=1, n_radial=6, radius=4.0, **options):
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(radius, 0.5),
        density_width=0.4,
        max_angular=max_angular,
        basis=orbas.bases.GTO(n_radial),
        **{"spline_accuracy": 1e-12, **options},
    )


@pytest.fixture(scope="module")
def silicon(systems):
    """Rattled cells with the energy of pairs, and forces to match: nothing a linear model of pairs gets exactly."""
    frames = []
    for seed in range(30):
        atoms = systems("silicon_small")
        atoms.rattle(0.1, seed=seed)
        i, d, D = orbas.neighbor_list("idD", atoms, 4.0)
        pair = np.exp(-2 * (d - 2.3)) - 2 * np.exp(-(d - 2.3))
        slope = -2 * np.exp(-2 * (d - 2.3)) + 2 * np.exp(-(d - 2.3))
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, (slope / d)[:, None] * D)
        atoms.info["REF_energy"] = 0.5 * pair.sum() - 4.0 * len(atoms)
        atoms.arrays["REF_forces"] = forces
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def labeled(molecules):
    frames = []
    for seed in range(4):
        for atoms in molecules:
            copy = atoms.copy()
            copy.rattle(0.05, seed=seed)
            d = orbas.neighbor_list("d", copy, 4.0)
            copy.info["REF_energy"] = float(np.sum(1 / d**2) - 10 * copy.numbers.sum())
            frames.append(copy)
    return frames


# ------------------------------------------------------------------ the projector


@pytest.mark.parametrize("alpha", [0.9, 0.5, 0.1, 1e-3])
def test_projector_equals_scikit_matter(rng, alpha):
    X = rng.normal(size=(200, 7)) @ rng.normal(size=(7, 7))
    w = rng.normal(size=7)
    X /= np.linalg.norm(X)  # a total variance of one
    predicted = X @ w
    unit = predicted / np.linalg.norm(predicted)
    oracle = PCovR(mixing=alpha, n_components=7, space="feature", svd_solver="full", regressor="precomputed")
    oracle.fit(X, unit[:, None], w[:, None] / np.linalg.norm(predicted))
    found = projector(X.T @ X, w, alpha)
    signs = np.sign(np.sum(oracle.pxt_ * found, axis=0))
    np.testing.assert_allclose(found, oracle.pxt_ * signs, rtol=1e-8, atol=1e-8 * np.abs(found).max())


def test_projector_does_not_depend_on_scales(rng):
    X, w = rng.normal(size=(50, 5)), rng.normal(size=5)
    C = X.T @ X
    np.testing.assert_allclose(projector(7.0 * C, -3.0 * w, 0.3), projector(C, w, 0.3), rtol=1e-10)


def test_directions_without_variance_come_last(rng):
    X = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 6))
    w = rng.normal(size=6)
    C = X.T @ X
    P = projector(C, w, 0.4)
    np.testing.assert_allclose(C @ P[:, 3:], 0, atol=1e-10 * np.trace(C))
    np.testing.assert_allclose(P[:, 3:].T @ P[:, 3:], 0.4 * np.eye(3), atol=1e-12)
    T = X @ P[:, :3]
    spread = T.T @ T
    np.testing.assert_allclose(spread, np.diag(np.diag(spread)), atol=1e-10 * np.trace(C))


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_captured_variance_is_that_of_least_squares(rng, columns):
    X = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5))
    P = projector(X.T @ X, rng.normal(size=5), 0.1)[:, :columns]
    lost = 1 - captured(X.T @ X, P)[-1] / np.sum(X**2)
    assert lost == pytest.approx(residual_variance(X @ P, X), rel=1e-9)
    doubled = np.hstack([P, P[:, :1]])
    assert captured(X.T @ X, doubled)[-1] == pytest.approx(captured(X.T @ X, P)[-1], rel=1e-12)


def test_orthonormal_columns_span_the_same(rng):
    P = rng.normal(size=(6, 3)) * [10, 1, 0.1]
    Q = orthonormal(P)
    np.testing.assert_allclose(Q.T @ Q, np.eye(3), atol=1e-14)
    for q in (1, 2, 3):
        np.testing.assert_allclose(Q[:, :q] @ (Q[:, :q].T @ P[:, :q]), P[:, :q], atol=1e-13)
    assert (np.sum(Q * P, axis=0) > 0).all()


# ------------------------------------------------------------------ the basis


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_basis_equals_scikit_matter_on_environments(labeled, mixing, per_center):
    """The coefficients of l = 0 from the environments' own and the fitted weights.

    Not the contraction: the oracle's root of the inverse has no digits where there is next to no variance.
    """
    options = {"mixing": mixing, "per_center": per_center}
    fitted = orbas.PCovRBasis(density(), 3, 0.2, regularization=Fixed(1e-3), **options).fit(labeled)
    blocks = density(species=fitted.species_).transform(labeled)
    kinds = fitted.species_ if per_center else [None]
    for kind in kinds:
        centers = [kind] if per_center else fitted.species_
        rows = np.concatenate([blocks[1, 0, 1, number].values[:, 0] for number in centers])
        weights = fitted.weights_[kind] if per_center else fitted.weights_
        found = fitted.contraction_[kind] if per_center else fitted.contraction_
        width = rows.shape[1] if mixing == "combined" else 6
        for group in range(rows.shape[1] // width):
            X, w = rows[:, group * width :][:, :width], weights[group * width :][:width]
            if not X.any():
                continue
            X = X / np.linalg.norm(X)
            target = X @ w
            oracle = PCovR(mixing=0.2, n_components=3, space="feature", svd_solver="full", regressor="precomputed")
            oracle.fit(X, target[:, None] / np.linalg.norm(target), w[:, None] / np.linalg.norm(target))
            U = found[0] if mixing == "combined" else found[0][group]
            expected = X @ oracle.pxt_
            expected *= np.sign(np.sum(expected * (X @ U), axis=0))
            np.testing.assert_allclose(X @ U, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(("mixing", "per_center"), KINDS)
def test_alpha_one_is_the_optimal_basis(labeled, mixing, per_center):
    options = {"mixing": mixing, "per_center": per_center}
    optimal = orbas.OptimalBasis(density(), 3, **options).fit(labeled)
    for orthonormalize in (False, True):
        fitted = orbas.PCovRBasis(density(), 3, 1.0, orthonormalize=orthonormalize, **options).fit(labeled)
        for key, block in optimal.expansion_.transform(labeled[:12]).items():
            found = fitted.expansion_.transform(labeled[:12])[key].values
            np.testing.assert_allclose(found, block.values, atol=1e-9)
        ours, theirs = fitted.residual_variance_, optimal.residual_variance_
        for kind in fitted.species_ if per_center else [None]:
            one, other = (ours, theirs) if kind is None else (ours[kind], theirs[kind])
            np.testing.assert_allclose(one, other[:3], rtol=1e-6, atol=1e-12)


def model(expansion, rule, frames):
    return LinearPotential(orbas.RadialSpectrum(expansion), regularization=rule).fit(frames)


@pytest.mark.parametrize("alpha", [0.0, 1e-12])
def test_pure_regression_is_the_two_body_potential(silicon, alpha):
    """One function, whose coefficient, in units that the fit has chosen, is the energy of the full linear model."""
    primitive = density(0, 8, spline_accuracy=1e-10).fit(silicon)
    full = model(primitive, Fixed(1e-10), silicon)
    fitted = orbas.PCovRBasis(primitive, 1, alpha, regularization=Fixed(1e-10)).fit(silicon)
    np.testing.assert_allclose(fitted.weights_, full.weights_, rtol=1e-9)
    assert fitted.expansion_.channel_counts(fitted.species_) == [(1,)]

    one = orbas.RadialSpectrum(fitted.expansion_)
    U = fitted.contraction_[0][:, 0]
    scale = fitted.weights_ @ U / (U @ U)
    ours = one.linear_energies(silicon, np.array([[scale]]))
    theirs = full.evaluate(silicon)
    above = theirs.structures - full.baseline_.predict(silicon)
    np.testing.assert_allclose(ours.structures, above, rtol=1e-7, atol=1e-7)
    for mine, yours in zip(ours.forces, theirs.forces, strict=True):
        np.testing.assert_allclose(mine, yours, atol=1e-6)

    # Fitted on its own coefficient, a model says the same, but for the shrinkage by the regularizer that it takes back.
    labels = np.array([atoms.info["REF_energy"] for atoms in silicon]) - full.baseline_.predict(silicon)
    factor = (above @ labels) / (above @ above)
    assert factor == pytest.approx(1.0, abs=1e-5)
    refitted = model(fitted.expansion_, Fixed(1e-14), silicon).evaluate(silicon)
    np.testing.assert_allclose(refitted.structures - full.baseline_.predict(silicon), factor * above, atol=1e-7)
    for mine, yours in zip(refitted.forces, theirs.forces, strict=True):
        np.testing.assert_allclose(mine, factor * yours, atol=1e-6)


def test_pure_regression_with_species(labeled):
    """One function per center species: the model of the primitive basis, which has weights per center species too."""
    full = model(density(0).fit(labeled), Fixed(1e-8), labeled)
    fitted = orbas.PCovRBasis(density(0), 1, 0.0, per_center=True, regularization=Fixed(1e-8)).fit(labeled)
    one = orbas.RadialSpectrum(fitted.expansion_)
    scales = []
    for number, w in fitted.weights_.items():
        U = fitted.contraction_[number][0][:, 0]
        scales.append([w @ U / (U @ U)])
    ours, theirs = one.linear_energies(labeled, np.array(scales)), full.evaluate(labeled)
    above = theirs.structures - full.baseline_.predict(labeled)
    np.testing.assert_allclose(ours.structures, above, atol=1e-6 * np.abs(above).max())
    for mine, yours in zip(ours.forces, theirs.forces, strict=True):
        np.testing.assert_allclose(mine, yours, atol=1e-5 * np.abs(above).max())


def test_a_target_lowers_the_error_and_costs_variance():
    """The trade of Fig. 6: with few functions the energies are better, and more of the density is lost."""
    frames = orbas.datasets.silicon()
    train, test = frames[::3], frames[1::3]
    errors, lost = {}, {}
    for alpha in (1.0, 0.1):
        fitted = orbas.PCovRBasis(density(0, 12, 6.0, spline_accuracy=1e-8), 2, alpha).fit(train)
        errors[alpha] = model(fitted.expansion_, "cv", train).score(test).mae_per_atom
        lost[alpha] = fitted.residual_variance_[-1]
    assert errors[0.1] < 0.6 * errors[1.0]
    assert lost[0.1] > 2 * lost[1.0]


@pytest.mark.parametrize("orthonormalize", [False, True])
def test_residual_variance_is_that_of_linear_decoding(silicon, orthonormalize):
    frames = silicon[:5]
    fitted = orbas.PCovRBasis(density(2), 3, 0.1, orthonormalize=orthonormalize).fit(frames)
    lost = total = 0.0
    for key, block in density(2).transform(frames).items():
        rows = block.values.reshape(-1, block.values.shape[2])
        small = fitted.expansion_.transform(frames)[key].values.reshape(len(rows), -1)
        lost += residual_variance(small, rows) * np.sum(rows**2)
        total += np.sum(rows**2)
    assert fitted.residual_variance_.shape == (3,)
    assert fitted.residual_variance_[-1] == pytest.approx(lost / total, rel=1e-6)
    assert (np.diff(fitted.residual_variance_) <= 0).all()


def test_orthonormal_functions_span_the_raw_ones(silicon):
    raw = orbas.PCovRBasis(density(), [3, 2], 0.1).fit(silicon)
    straight = orbas.PCovRBasis(density(), [3, 2], 0.1, orthonormalize=True).fit(silicon)
    U, Q = raw.contraction_[0], straight.contraction_[0]
    np.testing.assert_allclose(Q.T @ Q, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(Q @ (Q.T @ U), U, atol=1e-10)
    assert raw.contraction_[1].shape == (6, 2)
    np.testing.assert_array_equal(raw.contraction_[1], straight.contraction_[1])
    r = np.linspace(0.1, 3.9, 7)
    primitives = density().basis.functions(r, max_angular=1, cutoff_radius=4.0, density_width=0.4)
    np.testing.assert_allclose(raw.radial_functions(r)[0][0], primitives[0] @ U, rtol=1e-12)


# ------------------------------------------------------------------ forces and labels


def test_forces_are_a_target_too(silicon):
    """Against a least-squares solution of all rows, written out."""
    fitted = orbas.PCovRBasis(density(0), 2, 0.1, regularization=Fixed(1e-6), noise=Noise(0.01, 0.2)).fit(
        silicon, forces_key="REF_forces"
    )
    spectrum = orbas.RadialSpectrum(density(0).fit(silicon))
    energies = np.array([atoms.info["REF_energy"] for atoms in silicon])
    above = energies - fitted.baseline_.predict(silicon)
    rows, targets = [spectrum.transform(silicon).per_structure() / (0.01 * np.sqrt(8))], [above / (0.01 * np.sqrt(8))]
    for atoms, slopes in zip(silicon, spectrum.jacobian_rows(silicon), strict=True):
        rows.append(-slopes.positions.reshape(24, -1) / 0.2)
        targets.append(atoms.arrays["REF_forces"].ravel() / 0.2)
    X, y = np.concatenate(rows), np.concatenate(targets)
    penalty = np.sqrt(1e-6 * np.sum(X**2) / len(X))
    stacked = np.vstack([X, penalty * np.eye(X.shape[1])])
    expected = np.linalg.lstsq(stacked, np.append(y, np.zeros(X.shape[1])), rcond=None)[0]
    np.testing.assert_allclose(fitted.weights_, expected, rtol=1e-8)


def test_folds_with_forces_are_structures(silicon):
    """The chosen alpha is the best of refits that leave out whole structures."""
    frames, alphas = silicon[:9], (1e-8, 1e-5, 1e-2)
    options = {"noise": Noise(0.01, 0.2)}
    energies = np.array([atoms.info["REF_energy"] for atoms in frames])
    forces = [atoms.arrays["REF_forces"] for atoms in frames]
    rule = KFold(3, alphas=alphas)
    basis = orbas.PCovRBasis(density(0), 2, regularization=rule, **options).fit(frames, energies, forces=forces)
    above = energies - basis.baseline_.predict(frames)
    spectrum = orbas.RadialSpectrum(density(0).fit(frames))
    parts = []
    for k, slopes in enumerate(spectrum.jacobian_rows(frames)):
        energy_row = spectrum.transform(frames[k : k + 1]).per_structure() / (0.01 * np.sqrt(8))
        rows = np.vstack([energy_row, -slopes.positions.reshape(24, -1) / 0.2])
        parts.append((rows, np.append(above[k] / (0.01 * np.sqrt(8)), forces[k].ravel() / 0.2)))
    X = np.concatenate([rows for rows, _ in parts])
    scale = np.sum(X**2) / len(X)
    losses = []
    for alpha in alphas:
        loss = 0.0
        for fold in rule.folds(9):
            train = [parts[k] for k in range(9) if k not in fold]
            A, b = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
            stacked = np.vstack([A, np.sqrt(alpha * scale) * np.eye(A.shape[1])])
            w = np.linalg.lstsq(stacked, np.append(b, np.zeros(A.shape[1])), rcond=None)[0]
            loss += sum(np.sum((parts[k][1] - parts[k][0] @ w) ** 2) for k in fold)
        losses.append(loss)
    assert basis.ridge_alpha_ == alphas[int(np.argmin(losses))]


def test_arrays_and_keys_are_the_same(silicon):
    energies = [atoms.info["REF_energy"] for atoms in silicon]
    forces = [atoms.arrays["REF_forces"] for atoms in silicon]
    by_key = orbas.PCovRBasis(density(0), 2).fit(silicon, forces_key="REF_forces")
    given = orbas.PCovRBasis(density(0), 2).fit(silicon, energies, forces=forces)
    np.testing.assert_array_equal(by_key.contraction_[0], given.contraction_[0])
    plain = orbas.PCovRBasis(density(0), 2).fit(silicon)
    np.testing.assert_array_equal(
        plain.contraction_[0], orbas.PCovRBasis(density(0), 2).fit(silicon, energies).contraction_[0]
    )
    assert not np.allclose(plain.contraction_[0], by_key.contraction_[0])


def test_without_a_target_it_is_the_optimal_basis(silicon):
    """Energies that the baseline explains leave nothing to regress on."""
    energies = [-4.0 * len(atoms) for atoms in silicon]
    fitted = orbas.PCovRBasis(density(0), 2, regularization=Fixed(1e-3), baseline={"Si": -4.0}).fit(silicon, energies)
    optimal = orbas.OptimalBasis(density(0), 2).fit(silicon)
    np.testing.assert_allclose(fitted.contraction_[0], optimal.contraction_[0], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha"),
        ({"alpha": 0.0, "n_optimal": 2}, "n_optimal=2"),
        ({"n_optimal": 0}, "n_optimal"),
        ({"mixing": "both"}, "mixing"),
        ({"baseline": "none"}, "baseline"),
        ({"regularization": "best"}, "regularization"),
    ],
)
def test_settings_out_of_range(silicon, options, message):
    with pytest.raises(ValueError, match=message):
        orbas.PCovRBasis(density(0), **options).fit(silicon)


def test_labels_that_do_not_fit(silicon):
    basis = orbas.PCovRBasis(density(0), 1)
    energies = [atoms.info["REF_energy"] for atoms in silicon]
    forces = [atoms.arrays["REF_forces"] for atoms in silicon]
    with pytest.raises(ValueError, match="one energy each"):
        basis.fit(silicon, energies[:-1])
    with pytest.raises(ValueError, match="structure 0: forces"):
        basis.fit(silicon, energies, forces=[forces[0][:-1], *forces[1:]])
    with pytest.raises(ValueError, match="both"):
        basis.fit(silicon, forces=forces)
    with pytest.raises(ValueError, match="both"):
        basis.fit(silicon, energies, forces_key="REF_forces")
    with pytest.raises(ValueError, match="LeaveOneOut"):
        orbas.PCovRBasis(density(0), 1, regularization="loo").fit(silicon, forces_key="REF_forces")
    with pytest.raises(orbas.LabelError):
        basis.fit(silicon, energy_key="missing")
    with pytest.raises(orbas.NotFittedError):
        orbas.PCovRBasis(density(0), 1).expansion_  # noqa: B018


def test_what_else_a_fitted_basis_does(silicon, tmp_path):
    fitted = orbas.PCovRBasis(density(spline_accuracy=1e-9), 2).fit(silicon)
    assert len(fitted.plot(n_functions=2).axes) >= 2
    with pytest.raises(TypeError, match="PCovRBasis"):
        orbas.save_basis(fitted, tmp_path / "basis.npz")
    features = orbas.PowerSpectrum(fitted.expansion_).transform(silicon[:1])
    assert features.values.shape == (8, 2 * 3)
