"""Kind 20: weights, expected errors and masks that files carry have the meaning that their programs give them."""

import io

import ase.io
import numpy as np
import orbas
import pytest
from ase.build import bulk
from orbas import LabelError, models
from orbas.cli import main
from orbas.fit.labels import targets_of
from orbas.fit.noise import weighted_rows
from orbas.fit.quantities import Quantity
from orbas.structures.labels import collect_labels
from orbas.structures.trust import FORCES_SIGMAS, FULL_TRUST, MASKS, SIGMAS, WEIGHTS, trust_of, unknown_names

KEYS = ("REF_energy", "REF_forces", "REF_stress")
N_ATOMS = 8


def crystal(seed=0):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=seed)
    rng = np.random.default_rng(seed)
    atoms.info["REF_energy"] = rng.normal()
    atoms.info["REF_stress"] = 0.01 * rng.normal(size=6)
    atoms.arrays["REF_forces"] = rng.normal(size=(N_ATOMS, 3))
    return atoms


class Slopes:
    """Derivatives of one column: ones."""

    positions = np.ones((N_ATOMS, 3, 1))
    strain = np.ones((3, 3, 1))


class Zero:
    """A baseline of nothing."""

    def predict(self, frames):
        return np.zeros(len(frames))


def rows_of(atoms, noise=None):
    """The targets of one structure as a fit has them, by kind of label."""
    labels = collect_labels([atoms], *KEYS, partial=True)
    (target,) = targets_of([atoms], labels, Zero())
    found = weighted_rows(np.ones(1), Slopes(), target, noise or models.Noise(), atoms)
    return [np.sort(found[quantity][1]) if quantity in found else np.zeros(0) for quantity in Quantity]


def scaled(atoms, *factors):
    """The same of a structure that says nothing, times factors."""
    return [factor * rows for factor, rows in zip(factors, rows_of(atoms), strict=True)]


def same(found, expected):
    assert [len(rows) for rows in found] == [len(rows) for rows in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


# --- weights


@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_multiply_squared_errors(name, weight):
    """As in MACE and GPUMD; GPUMD's `weight` multiplies the error itself."""
    expected, atoms = crystal(), crystal()
    atoms.info[name] = weight
    kinds = (
        [0]
        if "energy" in name
        else [1]
        if "force" in name
        else [2]
        if "stress" in name or "virial" in name
        else [0, 1, 2]
    )
    factor = weight if name == "weight" else np.sqrt(weight)
    same(rows_of(atoms), scaled(expected, *(factor if kind in kinds else 1.0 for kind in range(3))))


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_of_zero_takes_the_label_out(name, caplog):
    atoms = crystal()
    atoms.info[name] = 0.0
    labels = collect_labels([atoms, crystal(1)], *KEYS)
    gone = [not known for known in labels.known[0]]
    assert gone == [place in WEIGHTS[name][0] for place in range(3)]
    assert labels.known[1].all()
    assert f"taken out by weights of 0 and masks ({name}):" in caplog.text


def test_weights_multiply_and_the_other_tensor_does_not_count():
    atoms = crystal()
    atoms.info.update(config_weight=4.0, config_forces_weight=0.25, config_stress_weight=1.0, config_virials_weight=0.0)
    same(rows_of(atoms), scaled(crystal(), 2.0, 1.0, 2.0))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "high", [1.0, 2.0], True], ids=str)
def test_what_is_no_weight_is_an_error(name, value):
    atoms = crystal()
    atoms.info[name] = value
    with pytest.raises(LabelError, match=f"structure 0 carries '{name}'"):
        collect_labels([atoms])


def test_the_weight_of_a_molecule_is_none(caplog):
    atoms = crystal()
    atoms.info["weight"] = float(atoms.get_masses().sum())
    same(rows_of(atoms), scaled(crystal(), 1.0, 1.0, 1.0))
    assert "weight, the mass of the molecule" in caplog.text


# --- expected errors and masks


@pytest.mark.parametrize("name", [*SIGMAS, *FORCES_SIGMAS])
def test_expected_errors_go_before_those_of_settings(name):
    """As in gap_fit: of the whole structure, not per atom."""
    atoms, plain = crystal(), crystal()
    noise = models.Noise(energy=0.5, forces=0.7, virial=0.9)
    sigma = 0.03
    volume = atoms.get_volume()
    if name in SIGMAS:
        atoms.info[name] = sigma
    else:
        atoms.arrays[name] = np.full((N_ATOMS, 3) if "component" in name else N_ATOMS, sigma)
    root = np.sqrt(N_ATOMS)
    factors = {
        "energy": (0.5 * root / sigma, 1.0, 1.0), "force": (1.0, 0.7 / sigma, 1.0), "forces": (1.0, 0.7 / sigma, 1.0),
        "virial": (1.0, 1.0, 0.9 * root / sigma), "stress": (1.0, 1.0, 0.9 * root / (sigma * volume)),
    }[name.split("_")[0]]  # fmt: skip
    expected = [factor * rows for factor, rows in zip(factors, rows_of(plain, noise), strict=True)]
    same(rows_of(atoms, noise), expected)


def test_the_finer_errors_of_forces_go_first():
    atoms = crystal()
    atoms.info["force_sigma"] = 1.0
    atoms.arrays["force_atom_sigma"] = np.linspace(0.1, 0.8, N_ATOMS)
    assert trust_of(atoms, "").forces_sigma.shape == (N_ATOMS, 1)
    atoms.arrays["force_component_sigma"] = np.linspace(0.1, 0.8, 3 * N_ATOMS).reshape(N_ATOMS, 3)
    np.testing.assert_array_equal(trust_of(atoms, "").forces_sigma, atoms.arrays["force_component_sigma"])
    expected = np.sort((atoms.arrays["REF_forces"] / atoms.arrays["force_component_sigma"]).ravel())
    np.testing.assert_allclose(rows_of(atoms)[1], expected)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("dtype", [bool, int])
def test_masks_take_forces_of_atoms_out(name, dtype, caplog):
    """As in gap_fit, what is true is excluded."""
    atoms = crystal()
    atoms.arrays[name] = np.arange(N_ATOMS).astype(bool).astype(dtype)
    (forces,) = collect_labels([atoms], *KEYS).forces
    assert np.isfinite(forces).all(axis=1).tolist() == [True] + [False] * 7
    assert f"taken out by weights of 0 and masks ({name}): 21 force components" in caplog.text
    assert [len(rows) for rows in rows_of(atoms)] == [1, 3, 6]


@pytest.mark.parametrize("name", SIGMAS)
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, "small"])
def test_what_is_no_expected_error_is_an_error(name, value):
    atoms = crystal()
    atoms.info[name] = value
    with pytest.raises(LabelError, match=f"structure 0 carries '{name}'"):
        collect_labels([atoms])


UNKNOWN = [
    "e_energy_weight",
    "weights_of_energies",
    "energy_weights",
    "config_dipole_weight",
    "virials_sigma",
    "sigma_energy",
    "sample_weight",
    "weights",
]


@pytest.mark.parametrize("name", ["Weight", "WEIGHT", "Config_Weight", "Energy_Weight"])
def test_names_of_weights_are_taken_in_any_case(name):
    """GPUMD reads Weight as it reads weight."""
    atoms = crystal()
    atoms.info[name] = 0.0
    assert np.isnan(collect_labels([atoms, crystal()], *KEYS).energies).tolist() == [True, False]
    atoms.info[name] = atoms.get_masses().sum()
    assert (trust_of(atoms, "") is FULL_TRUST or trust_of(atoms, "").weights == (1.0, 1.0, 1.0)) == (
        name.lower() == "weight"
    )


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_names_of_weights_are_named(name, caplog):
    atoms = crystal()
    atoms.info[name] = 0.0
    assert collect_labels([atoms], *KEYS).known.all()
    assert f"not used, though they look like weights or expected errors: {name}" in caplog.text


def test_a_structure_that_says_nothing_costs_nothing(caplog):
    atoms = crystal()
    assert trust_of(atoms, "") is FULL_TRUST
    assert collect_labels([atoms], *KEYS).trust == ()
    assert unknown_names([atoms]) == []
    assert caplog.text == ""


# --- in fits, from files


def files(tmp_path, name, value):
    """Training structures of which one has a wrong energy and says so, and the same without it."""
    frames = [crystal(k) for k in range(20)]
    good = [frame.copy() for frame in frames]
    frames[7].info["REF_energy"] += 50.0
    frames[7].info[name] = value
    good[7].info.pop("REF_energy")
    if WEIGHTS[name][0] != (0,):
        good[7].info.pop("REF_stress")
        del good[7].arrays["REF_forces"]
    for path, some in (("said.xyz", frames), ("good.xyz", good)):
        for frame in some:  # ase writes the columns of the first structure only if all have them
            ase.io.write(tmp_path / path, frame, format="extxyz", append=True)
    return tmp_path / "said.xyz", tmp_path / "good.xyz"


def density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(4.0), density_width=0.5, max_angular=1, basis=orbas.bases.GTO(3), species=[14]
    )


@pytest.mark.parametrize("kind", ["energies", "all"])
@pytest.mark.parametrize("name", [name for name in WEIGHTS if 0 in WEIGHTS[name][0]])
def test_a_label_taken_out_decides_nothing(tmp_path, name, kind):
    keys = {} if kind == "energies" else {"forces_key": "REF_forces", "stress_key": "REF_stress"}
    weights = []
    for path in files(tmp_path, name, 0.0):
        model = models.LinearPotential(orbas.PowerSpectrum(density()), regularization=models.Fixed(1e-6))
        weights.append(model.fit(orbas.read(path), **keys).weights_)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("way", ["settings", "flags"])
@pytest.mark.parametrize("name", ["config_weight", "weight", "energy_weight"])
def test_weights_in_the_command(tmp_path, monkeypatch, capsys, name, way):
    monkeypatch.chdir(tmp_path)
    said, good = files(tmp_path, name, 0.0)
    config = "[cutoff]\nradius = 4.0\n[density]\ndensity_width = 0.5\nmax_angular = 1\n[basis]\nn_radial = 3\n"
    config += "[regularization]\nkind = 'fixed'\nalpha = 1e-6\n"
    weights = []
    for path in (said, good):
        train = f"[data]\ntrain = '{path}'\n" if way == "settings" else ""
        (tmp_path / "run.toml").write_text(train + config)
        flags = ["--data.train", str(path)] if way == "flags" else []
        assert main(["train", "run.toml", "--output", "m.orbas", *flags]) == 0
        err = capsys.readouterr().err
        assert (f"weights of 0 and masks ({name})" in err) == (path == said)
        weights.append(orbas.load("m.orbas").weights_)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6, atol=1e-12)


def test_columns_of_trust_survive_reading():
    atoms = crystal()
    atoms.arrays["force_mask"] = np.arange(N_ATOMS) < 2
    atoms.arrays["force_atom_sigma"] = np.full(N_ATOMS, 0.1)
    atoms.info.update(config_weight=2, energy_sigma=0.01)
    file = io.StringIO()
    ase.io.write(file, atoms, format="extxyz")
    assert "force_mask:L:1" in file.getvalue()


@pytest.mark.parametrize("keys", [{}, {"forces_key": "REF_forces"}], ids=["energies", "forces"])
def test_a_supervised_basis_goes_by_them_too(keys, caplog):
    """A label taken out is one that is not there; the structure still counts for the variance."""
    bases = []
    for change in ("weight", "nothing"):
        frames = [crystal(k) for k in range(12)]
        frames[4].info["REF_energy"] += 50.0
        if change == "weight":
            frames[4].info["config_weight"] = 0.0
        else:
            del frames[4].info["REF_energy"], frames[4].arrays["REF_forces"]
        basis = orbas.PCovRBasis(density(), 2, alpha=0.5, regularization=models.Fixed(1e-6)).fit(frames, **keys)
        bases.append(basis.contraction_[0])
    np.testing.assert_allclose(*bases, rtol=1e-9)
    assert "(config_weight)" in caplog.text


def test_learning_curves_say_that_weights_do_not_count(caplog):
    frames = [crystal(k) for k in range(30)]
    frames[3].info["config_weight"] = 2.0
    model = models.LinearPotential(orbas.PowerSpectrum(density()), regularization=models.HoldOut(5))
    models.learning_curve(model, frames[:20], frames[20:], [10, 20])
    assert "all energies have the same weight here: config_weight of structures is not used" in caplog.text
    frames[3].info["config_weight"] = 0.0
    with pytest.raises(LabelError, match="structure 3 carries 'REF_energy', but it is not known"):
        models.learning_curve(model, frames[:20], frames[20:], [10, 20])


@pytest.mark.parametrize("name", ["config_weight", "config_energy_weight"])
def test_a_fit_without_energies_is_refused(name):
    frames = [crystal(k) for k in range(20)]
    for atoms in frames:
        atoms.info[name] = 0.0
    model = orbas.models.LinearPotential(orbas.PowerSpectrum(density()))
    with pytest.raises(LabelError, match="no energy of a training structure is known"):
        model.fit(frames, forces_key="REF_forces")
