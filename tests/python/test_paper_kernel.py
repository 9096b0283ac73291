"""The kernel of all environments in Fig. 7: against the dense kernel matrix, in double precision, and its forces."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import orbas
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "paper"))

import all_environments
from all_environments import Components, Environments, Preconditioner, solve

SETTINGS = all_environments.Settings(threshold=1e-6, tolerance=1e-8)


@pytest.fixture(scope="module")
def frames():
    return orbas.datasets.qm9(120)


@pytest.fixture(scope="module")
def energies(frames):
    rng = np.random.default_rng(3)
    return rng.normal(size=len(frames)) * np.sqrt([len(frame) for frame in frames])


@pytest.fixture(scope="module")
def components(frames):
    density = orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0, width=0.5), density_width=0.4, max_angular=3, basis=orbas.bases.GTO(3)
    )
    basis = orbas.OptimalBasis(density, 6, mixing="combined").fit(frames)
    return Components.fit(orbas.PowerSpectrum(basis.expansion_), frames, SETTINGS)


@pytest.fixture(scope="module")
def environments(components, frames):
    return Environments.of(components, frames, piece=50)


def dense(environments):
    """The definition: sum_ab (u_a . u_b)^2 between structures, relative to expected errors."""
    n = len(environments.n_atoms)
    kernel = np.zeros((n, n))
    for species, rows in environments.rows.items():
        products = (rows.astype(np.float64) @ rows.T.astype(np.float64)) ** 2
        owners = environments.structures[species]
        for i, a in enumerate(owners):
            np.add.at(kernel[a], owners, products[i])
    widths = np.sqrt(environments.n_atoms)
    return kernel / widths[:, None] / widths


def test_components_hold_the_norm_and_count_small_variances_more(components, environments, frames):
    plain = Components.fit(components.spectrum, frames, dataclasses.replace(SETTINGS, sharpening=0.0, threshold=1e-11))
    rows = Environments.of(plain, frames).rows
    for species, own in environments.rows.items():
        assert np.mean(np.sum(own.astype(float) ** 2, axis=1)) == pytest.approx(1.0, abs=1e-5)
        # As they are, all components are the normalized power spectrum turned.
        assert np.sum(rows[species].astype(float) ** 2, axis=1) == pytest.approx(1.0, abs=1e-5)
        variances = [np.mean(part.astype(float) ** 2, axis=0) for part in (own, rows[species])]
        ratio = variances[0] / variances[1][: len(variances[0])]
        expected = (variances[1] / variances[1][0])[: len(ratio)] ** -SETTINGS.sharpening
        assert ratio / ratio[0] == pytest.approx(expected, rel=1e-3)


def test_products_with_the_kernel_matrix(environments):
    vector = np.random.default_rng(0).normal(size=len(environments.n_atoms))
    widths = environments.widths
    product = environments.energies(environments.forms(vector / widths)) / widths
    exact = dense(environments) @ vector
    assert product == pytest.approx(exact, abs=3e-6 * np.abs(exact).max())
    assert environments.mean_square() == pytest.approx(np.diag(dense(environments)).mean(), rel=1e-5)


def test_the_preconditioner_holds_columns_of_the_kernel(environments):
    columns = Preconditioner(environments, 70)
    expected = dense(environments)[:, :70]
    assert columns.kernel == pytest.approx(expected, rel=3e-7)


@pytest.mark.parametrize("n_columns", [5, 40])
def test_solution_of_the_dense_system(environments, energies, n_columns):
    noise = 1e-3 * environments.mean_square()
    widths = environments.widths
    exact = np.linalg.solve(dense(environments) + noise * np.eye(len(widths)), energies / widths)
    found = solve(environments, energies, noise, Preconditioner(environments, n_columns), SETTINGS)
    assert found == pytest.approx(exact, abs=1e-4 * np.abs(exact).max())
    # From the solution of a part it comes to the same.
    half = environments.first(60)
    preconditioner = Preconditioner(environments, n_columns)
    part = solve(half, energies[:60], noise, preconditioner, SETTINGS)
    again = solve(environments, energies, noise, preconditioner, SETTINGS, part)
    assert again == pytest.approx(found, abs=1e-4 * np.abs(exact).max())


def test_too_few_iterations_are_said(environments, energies):
    settings = dataclasses.replace(SETTINGS, max_iterations=2)
    with pytest.raises(RuntimeError, match="precondition with more structures"):
        solve(environments, energies, 1e-6, Preconditioner(environments, 5), settings)


def test_threads_do_not_matter(environments):
    vector = np.random.default_rng(0).normal(size=len(environments.n_atoms))
    results = []
    before = orbas.get_num_threads()
    try:
        for n_threads in (1, 2, 5):
            orbas.set_num_threads(n_threads)
            results.append(environments.energies(environments.forms(vector)))
    finally:
        orbas.set_num_threads(before)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_the_compiled_core_evaluates_the_model_with_forces(components, environments, frames):
    forms = environments.forms(np.random.default_rng(1).normal(size=len(frames)))
    quadratic = components.quadratic(forms)
    few = frames[:4]
    atoms, forces, virials = components.evaluate(quadratic, few)
    starts = np.cumsum([0, *(len(frame) for frame in few)])[:-1]
    expected = environments.energies(forms)[:4]
    assert np.add.reduceat(atoms, starts) == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
    assert virials.shape == (4, 3, 3)
    step, row = 1e-4, 2
    for axis in range(3):
        values = []
        for sign in (1, -1):
            moved = few[0].copy()
            moved.positions[row, axis] += sign * step
            values.append(components.evaluate(quadratic, [moved])[0].sum())
        slope = -(values[0] - values[1]) / (2 * step)
        assert forces[row, axis] == pytest.approx(slope, abs=1e-6 * np.abs(forces).max())
