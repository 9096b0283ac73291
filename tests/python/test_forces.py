"""Forces and stress: against featomic's stored gradients, finite differences, symmetry and conservation."""

import ase.build
import featomic
import numpy as np
import orbas
import pytest
from orbas.models import Fixed, LinearPotential

BASIS = orbas.bases.GTO(n_radial=5)


def expansion(frames, **changes):
    settings = {
        "cutoff": orbas.Cutoff(4.5, 1.0, "smooth"),
        "density_width": 0.4,
        "max_angular": 4,
        "basis": BASIS,
        "spline_accuracy": 1e-10,
    }
    return orbas.DensityExpansion(**{**settings, **changes}).fit(frames)


@pytest.fixture(scope="module")
def crystal():
    atoms = ase.build.bulk("GaAs", "zincblende", a=5.65, cubic=True)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.05 * np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]])), scale_atoms=True
    )
    atoms.rattle(0.15, seed=3)
    return atoms


def weights_for(representation, frames, seed=0):
    features = representation.transform(frames)
    shape = (len(features.species), features.values.shape[1])
    return np.random.default_rng(seed).normal(size=shape)


def energy(representation, atoms, weights):
    return representation.linear_energies([atoms], weights).structures[0]


def test_pull_back_equals_featomic_gradients_contracted(crystal):
    frames = [crystal]
    density = expansion(frames, cutoff=orbas.Cutoff(4.5, 1.0), spline_accuracy=1e-13)
    blocks = density.transform(frames)
    rng = np.random.default_rng(1)
    weights = {key: rng.normal(size=block.values.shape) for key, block in blocks.items()}
    ours = density.pull_back(frames, weights)

    calculator = featomic.SphericalExpansion(
        cutoff={"radius": 4.5, "smoothing": {"type": "ShiftedCosine", "width": 1.0}},
        density={"type": "Gaussian", "width": 0.4},
        basis={
            "type": "TensorProduct",
            "max_angular": 4,
            "radial": {"type": "Gto", "max_radial": 4},
            "spline_accuracy": None,
        },
    )
    theirs = calculator.compute(frames, gradients=["positions", "strain"])
    factor = (np.pi * 0.4**2) ** 0.75  # featomic's Gaussian is normalized, ours has peak 1
    forces, virial = np.zeros((len(crystal), 3)), np.zeros((3, 3))
    for key, block in theirs.items():
        weight = weights[1, key["o3_lambda"], 1, key["center_type"]]
        a = density.species_.index(key["neighbor_type"])
        weight = weight[:, :, a * 5 : (a + 1) * 5]
        gradient = block.gradient("positions")
        rows = np.einsum("gxmq,gmq->gx", gradient.values, weight[gradient.samples["sample"]])
        np.add.at(forces, gradient.samples["atom"], -factor * rows)
        strain = block.gradient("strain")
        virial += factor * np.einsum("gxymq,gmq->xy", strain.values, weight[strain.samples["sample"]])
    scale = np.abs(forces).max()
    assert np.abs(ours.forces[0] - forces).max() < 1e-9 * scale
    # featomic strains rows of the cell, r -> r (1 + strain): the transpose of ours.
    assert np.abs(ours.virials[0] - virial.T).max() < 1e-9 * np.abs(virial).max()


@pytest.mark.parametrize("mixing", ["combined", "separate"])
@pytest.mark.parametrize("per_center", [False, True])
@pytest.mark.parametrize("spectrum", [orbas.PowerSpectrum, orbas.RadialSpectrum])
def test_forces_of_optimal_bases_are_finite_differences(crystal, mixing, per_center, spectrum):
    scaling = orbas.RadialScaling(1.0, 2.0, 4.5)
    optimal = orbas.OptimalBasis(
        expansion([crystal], scaling=scaling), residual=1e-3, mixing=mixing, per_center=per_center
    )
    representation = spectrum(optimal.fit([crystal]).expansion_)
    weights = weights_for(representation, [crystal])
    result = representation.linear_energies([crystal], weights)
    scale = np.abs(result.forces[0]).max()

    def moved(atom, axis, step):
        atoms = crystal.copy()
        atoms.positions[atom, axis] += step
        return energy(representation, atoms, weights)

    def strained(a, b, step):
        atoms = crystal.copy()
        strain = np.eye(3)
        strain[a, b] += step
        atoms.set_cell(atoms.cell.array @ strain.T, scale_atoms=True)
        return energy(representation, atoms, weights)

    def slope(function):
        h = 2e-4
        return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)

    for atom, axis in [(0, 0), (3, 1), (7, 2)]:
        expected = -slope(lambda h, atom=atom, axis=axis: moved(atom, axis, h))
        assert result.forces[0][atom, axis] == pytest.approx(expected, abs=1e-7 * scale)
    for a, b in [(0, 0), (1, 2), (2, 1)]:
        expected = slope(lambda h, a=a, b=b: strained(a, b, h))
        assert result.virials[0][a, b] == pytest.approx(expected, abs=1e-7 * scale * len(crystal))
    np.testing.assert_allclose(result.forces[0].sum(axis=0), 0, atol=1e-11 * len(crystal) * scale)
    # Rotation invariance of the energy: the virial is symmetric.
    np.testing.assert_allclose(result.virials[0], result.virials[0].T, atol=1e-9 * scale * len(crystal))


def test_energies_are_weighted_features_and_batches_do_not_matter():
    frames = orbas.datasets.qm9(30)
    representation = orbas.PowerSpectrum(expansion(frames))
    weights = weights_for(representation, frames)
    result = representation.linear_energies(frames, weights)
    expected = representation.transform(frames).per_structure() @ weights.ravel()
    np.testing.assert_allclose(result.structures, expected, rtol=1e-11)
    for k in (0, 7, 29):
        alone = representation.linear_energies([frames[k]], weights)
        np.testing.assert_array_equal(alone.forces[0], result.forces[k])
        torque = np.cross(frames[k].positions, result.forces[k]).sum(axis=0)
        assert np.abs(torque).max() < 1e-10 * np.abs(result.forces[k]).max() * len(frames[k])


def test_rotations_turn_forces(crystal):
    representation = orbas.PowerSpectrum(expansion([crystal]))
    weights = weights_for(representation, [crystal])
    forces = representation.linear_energies([crystal], weights).forces[0]
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    turned = crystal.copy()
    turned.set_cell(turned.cell.array @ rotation.T, scale_atoms=True)
    np.testing.assert_allclose(
        representation.linear_energies([turned], weights).forces[0],
        forces @ rotation.T,
        atol=1e-10 * np.abs(forces).max(),
    )


def test_linear_potential_predicts_forces_and_stress_of_the_right_sign():
    frames = orbas.datasets.silicon()
    for frame in frames:
        frame.calc = None
    train = [frame for frame in frames if all(frame.pbc)]
    density = expansion(train, cutoff=orbas.Cutoff(5.0, 1.5, "smooth"), max_angular=3)
    potential = LinearPotential(orbas.PowerSpectrum(density), regularization=Fixed(1e-9)).fit(train)
    bulk = ase.build.bulk("Si", cubic=True)
    tight, wide = bulk.copy(), bulk.copy()
    tight.set_cell(0.97 * bulk.cell.array, scale_atoms=True)
    wide.set_cell(1.03 * bulk.cell.array, scale_atoms=True)
    prediction = potential.predict([tight, wide])
    assert (prediction.stress[0, :3] < 0).all()  # compressed: it pushes outward
    assert (prediction.stress[1, :3] > 0).all()
    test = train[:20]
    forces = np.concatenate(potential.predict(test).forces)
    reference = np.concatenate([frame.arrays["REF_forces"] for frame in test])
    assert np.corrcoef(forces.ravel(), reference.ravel())[0, 1] > 0.9
    molecule = ase.build.molecule("Si2H6")[:1]
    assert np.isnan(potential.predict([molecule]).stress).all()


def test_bad_weights_are_refused(crystal):
    representation = orbas.PowerSpectrum(expansion([crystal]))
    weights = weights_for(representation, [crystal])
    with pytest.raises(ValueError, match="weights"):
        representation.linear_energies([crystal], weights[:1])
    with pytest.raises(ValueError, match="weights"):
        representation.linear_energies([crystal], weights[:, 1:])
    with pytest.raises(ValueError, match="weights"):
        representation.linear_energies([crystal], np.full_like(weights, np.nan))
    density = representation.density
    with pytest.raises(ValueError, match="keys"):
        density.pull_back([crystal], {(1, 9, 1, 31): np.zeros((4, 19, 10))})
    with pytest.raises(ValueError, match="shape"):
        density.pull_back([crystal], {(1, 0, 1, 31): np.zeros((4, 2, 10))})
