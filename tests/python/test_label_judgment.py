"""Labels judged by the others: signs, units, exchanged components, outliers, contradicting copies, noise."""

from __future__ import annotations

import tomllib

import numpy as np
import orbas
import orbas.settings
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from labeled_copper import copper, fit, labeled, said, spectrum, topics
from orbas.fit.agreement import exchange, offset
from orbas.fit.findings import Topic
from orbas.fit.quantities import Quantity
from orbas.fit.robust import centered, huber_weights, looks_shuffled, outliers
from orbas.models import Evidence, Fixed, HoldOut, LinearPotential, Noise, SparseGPR, settings

TEST = [labeled(k) for k in range(900, 912)]
HARTREE, BOHR, GPA = 27.211386245988, 0.529177210903, 160.2176634


def errors(model):
    score = model.score(TEST, forces_key="REF_forces")
    return np.array([score.mae_per_atom, score.forces_mae])


def scaled(kind, factor):
    frames = copper(60)
    for atoms in frames:
        if kind == "F":
            atoms.arrays["REF_forces"] *= factor
        else:
            name = "REF_energy" if kind == "E" else "REF_stress"
            atoms.info[name] = atoms.info[name] * factor
    return frames


FACTORS = [
    ("F", -1.0, "gradients"),
    ("F", BOHR / HARTREE, "Hartree/Bohr"),
    ("F", 1 / HARTREE, "Hartree/Å"),
    ("F", 23.060548, "kcal/mol/Å"),
    ("F", 1000.0, "meV/Å"),
    ("E", 1 / HARTREE, "Hartree"),
    ("E", 23.060548, "kcal/mol"),
    ("E", 96.485332, "kJ/mol"),
    ("S", -1.0, "sign is wrong"),
    ("S", GPA, "GPa"),
    ("S", 10 * GPA, "kbar"),
    ("S", BOHR**3 / HARTREE, "Hartree/Bohr^3"),
]


@pytest.mark.parametrize(("kind", "factor", "text"), FACTORS)
def test_a_sign_or_unit_is_named_and_does_no_harm(kind, factor, text, caplog):
    model = fit(scaled(kind, factor))
    assert topics(model) == {Topic.SCALE}
    assert text in said(caplog)
    assert said(caplog).count("look like") == 1
    best = fit(copper(60), kinds="EFS".replace(kind, "") if kind != "E" else "EFS")
    assert (errors(model) < 1.05 * errors(best))[1 if kind == "E" else slice(None)].all()


@pytest.mark.parametrize(
    ("kind", "factor"), [("F", -1.0), ("E", 1 / HARTREE), ("F", BOHR / HARTREE), ("E", 627.509474)]
)
def test_two_kinds_are_enough(kind, factor):
    (finding,) = [found for found in fit(scaled(kind, factor), kinds="EF").findings_ if found.is_warning]
    assert finding.topic is Topic.SCALE
    assert finding.message.startswith("forces" if kind == "F" else "energies")


def test_stresses_that_are_virials():
    frames = copper(60)
    for atoms in frames:
        atoms.info["REF_stress"] = atoms.info["REF_stress"] * atoms.get_volume()
    model = fit(frames)
    assert topics(model) == {Topic.SCALE}
    assert any("virials" in finding.message for finding in model.findings_)


def test_energies_per_atom(caplog):
    frames = copper(60)
    for atoms in frames:
        atoms.info["REF_energy"] /= len(atoms)
    assert topics(fit(frames, kinds="EF")) == {Topic.SCALE}
    assert "as if in eV per atom" in said(caplog)


def test_smaller_outliers_hide_behind_larger_ones(caplog):
    frames = copper(60)
    frames[7].info["REF_energy"] += 50.0
    frames[20].info["REF_energy"] -= 3.0
    found = [finding for finding in fit(frames, kinds="EF").findings_ if finding.topic is Topic.OUTLIER]
    assert {k for finding in found for k in finding.structures} == {7, 20}


@pytest.mark.parametrize("pair", [(a, b) for a in range(6) for b in range(a)])
def test_every_exchange_of_two_components_is_found(pair):
    rng = np.random.default_rng(0)
    derived = rng.normal(size=(30, 6)) * 0.02
    order = np.arange(6)
    order[list(pair)] = order[list(pair[::-1])]
    labels = derived[:, order] + 0.003 * rng.normal(size=(30, 6))
    labels[:, :3] += 0.01
    assert exchange(labels, derived) == tuple(order)
    assert exchange(derived + 0.003 * rng.normal(size=(30, 6)), derived) is None


def test_cycles_of_components_are_found():
    derived = np.random.default_rng(0).normal(size=(30, 6))
    order = (0, 1, 2, 5, 3, 4)  # xx yy zz xy yz xz
    assert exchange(derived[:, order], derived) == order


@pytest.mark.parametrize("size", [0.02, -0.05])
def test_offsets_of_the_diagonal(size):
    derived = 0.01 * np.random.default_rng(0).normal(size=(30, 6))
    labels = derived + 0.002 * np.random.default_rng(1).normal(size=(30, 6))
    assert offset(labels, derived) is None
    labels[:, :3] += size
    assert offset(labels, derived) == pytest.approx(size, abs=2e-3)


def without_stresses(config):
    frames = copper(60)
    for atoms in frames:
        if atoms.info["config_type"] == config:
            del atoms.info["REF_stress"]
    return frames


def test_exchanged_shears_of_one_kind_of_structures(caplog):
    frames = copper(60)
    for atoms in frames:
        if atoms.info["config_type"] == "hot":
            atoms.info["REF_stress"] = atoms.info["REF_stress"][[0, 1, 2, 4, 3, 5]]
    model = fit(frames)
    assert Topic.COMPONENTS in topics(model)
    assert "components yz and xz of the stresses look exchanged in 40 structures (config_type hot: 40)" in said(caplog)
    assert model.noise_ == Noise(by_config={"hot": Noise(virial=1e4 * Noise().virial)})
    assert (errors(model) < 1.1 * errors(fit(without_stresses("hot")))).all()


@pytest.mark.parametrize("pressure", [0.05, 0.2])
def test_stresses_with_an_offset_are_weighed_down(pressure, caplog):
    frames = copper(60)
    for atoms in frames:
        atoms.info["REF_stress"] = atoms.info["REF_stress"] + pressure * np.array([1, 1, 1, 0, 0, 0])
    model = fit(frames)
    assert topics(model) >= {Topic.NOISE, Topic.OFFSET}
    assert (errors(model) < 1.1 * errors(fit(copper(60), kinds="EF"))).all()
    by_hand = fit(frames, noise=Noise())
    assert by_hand.noise_ == Noise()
    assert Topic.NOISE in topics(by_hand)
    assert "stays as it is" in said(caplog)


@pytest.mark.parametrize("config", ["cold", "hot"])
def test_stresses_of_one_kind_of_structures_are_weighed_down_alone(config, caplog):
    """One source of two had another pressure: the stresses of the other one stay at their expected noise."""
    frames = copper(60)
    for atoms in frames:
        if atoms.info["config_type"] == config:
            atoms.info["REF_stress"] = atoms.info["REF_stress"] + 0.2 * np.array([1, 1, 1, 0, 0, 0])
    model = fit(frames)
    assert model.noise_ == Noise(by_config={config: Noise(virial=1e4 * Noise().virial)})
    assert Topic.NOISE in topics(model)
    assert f"(config_type {config}: " in said(caplog)
    assert (errors(model) < 1.1 * errors(fit(without_stresses(config)))).all()


def test_right_labels_keep_the_expected_noise():
    assert fit(copper(60)).noise_ == Noise()
    assert np.array_equal(fit(copper(60)).weights_, fit(copper(60), noise=Noise()).weights_)


@pytest.mark.parametrize("kinds", ["E", "EF", "EFS"])
@pytest.mark.parametrize("size", [5.0, -50.0, 2000.5])
def test_one_energy_far_off_decides_nothing(kinds, size, caplog):
    frames, best = copper(60), copper(60)
    frames[7].info["REF_energy"] += size
    del best[7].info["REF_energy"]
    model = fit(frames, kinds=kinds)
    assert topics(model) == {Topic.OUTLIER}
    assert "structure 7 (config_type hot)" in said(caplog)
    assert (errors(model) < 1.05 * errors(fit(best, kinds=kinds))).all()


@pytest.mark.parametrize("damage", [lambda stress: stress + 1.0, lambda stress: -30.0 * stress])
def test_one_stress_far_off_decides_nothing(damage, caplog):
    frames, best = copper(60), copper(60)
    frames[8].info["REF_stress"] = damage(frames[8].info["REF_stress"])
    del best[8].info["REF_stress"]
    model = fit(frames)
    assert topics(model) == {Topic.OUTLIER}
    assert "stresses of 1 structure" in said(caplog)
    assert (errors(model) < 1.05 * errors(fit(best))).all()


@pytest.mark.parametrize("factor", [-1.0, 8.0])
def test_forces_of_one_structure_decide_nothing(factor):
    frames, best = copper(60), copper(60)
    frames[10].arrays["REF_forces"] *= factor
    del best[10].arrays["REF_forces"]
    found, expected = fit(frames, kinds="EF"), fit(best, kinds="EF")
    assert Topic.OUTLIER in topics(found)
    assert (errors(found) < 1.05 * errors(expected)).all()


def test_outliers_are_kept_on_request(caplog):
    frames = copper(60)
    frames[7].info["REF_energy"] += 20.0
    model = fit(frames, kinds="EF", robust="none")
    assert topics(model) == {Topic.OUTLIER}
    assert "structure 7" in said(caplog)
    assert (errors(model) > 2 * errors(fit(copper(60), kinds="EF")))[0]


@pytest.mark.parametrize("kinds", ["E", "EF"])
def test_huber_gives_outliers_little_weight(kinds):
    frames = copper(60)
    for k in (7, 20, 33, 48):
        frames[k].info["REF_energy"] += 0.5 + 0.3 * k
    plain, robust = (fit(frames, kinds=kinds, robust=way) for way in ("none", "huber"))
    assert errors(robust)[0] < 0.6 * errors(plain)[0]


@pytest.mark.parametrize("regularization", ["cv", Evidence(), Fixed(1e-8), HoldOut(12)])
def test_every_rule_sees_them(regularization):
    frames = copper(60)
    frames[55].info["REF_energy"] += 20.0
    assert Topic.OUTLIER in topics(fit(frames, kinds="EF", regularization=regularization))


def test_sparse_kernels_see_them_too():
    frames = scaled("F", -1.0)
    model = SparseGPR(spectrum(), 30, 2).fit(frames, forces_key="REF_forces")
    assert topics(model) == {Topic.SCALE}


def test_shuffled_forces_of_one_structure(caplog):
    frames = [labeled(k, cubes=(2, 1, 1)) for k in range(30)]
    forces = frames[11].arrays["REF_forces"]
    frames[11].arrays["REF_forces"] = np.roll(forces, 3, axis=0)
    model = fit(frames, kinds="EF")
    assert Topic.PERMUTATION in topics(model)
    assert "structure 11" in said(caplog)
    assert "in another order" in said(caplog)
    assert looks_shuffled(forces[::-1], forces)
    assert not looks_shuffled(-forces, forces)
    assert not looks_shuffled(forces, forces)


def test_heavy_tails_are_no_outliers():
    frames = copper(60)
    tails = np.random.default_rng(0).standard_t(2, size=60)
    assert outliers(frames, Quantity.ENERGY, tails) is None
    tails[7] = 500.0
    assert outliers(frames, Quantity.ENERGY, tails).structures == (7,)
    assert outliers(frames[:10], Quantity.ENERGY, tails[:10]) is None


def test_a_structure_unlike_all_others_is_no_outlier():
    frames = copper(40)
    frames[7].set_cell(frames[7].cell * 0.8, scale_atoms=True)
    truth = frames[7].copy()
    truth.calc = EMT()
    frames[7].info |= {"REF_energy": truth.get_potential_energy(), "REF_stress": truth.get_stress()}
    frames[7].arrays["REF_forces"] = truth.get_forces()
    assert topics(fit(frames)) == set()


@pytest.mark.parametrize("kinds", ["EF", "EFS"])
@pytest.mark.parametrize("sizes", [(8.0,), (15.0, -8.0)])
def test_outliers_behind_structures_unlike_all_others(kinds, sizes, caplog):
    """Cells under great strain are predicted badly without their labels, hence hide what is wrong."""
    frames = copper(40)
    for k in range(14):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell * (0.8 + 0.05 * k), scale_atoms=True)
        atoms.calc = EMT()
        atoms.info |= {
            "REF_energy": atoms.get_potential_energy(), "REF_stress": atoms.get_stress(), "config_type": "eos"
        }  # fmt: skip
        atoms.arrays["REF_forces"] = np.zeros((4, 3))
        atoms.calc = None
        frames.append(atoms)
    best = errors(fit(frames, kinds=kinds))
    for k, size in zip((7, 20), sizes, strict=False):
        frames[k].info["REF_energy"] += size
    caplog.clear()
    model = fit(frames, kinds=kinds)
    outlying = [found.structures for found in model.findings_ if found.topic is Topic.OUTLIER]
    assert sorted(np.concatenate(outlying)) == [7, 20][: len(sizes)]
    assert Topic.SCALE not in topics(model)
    assert (errors(model) < 1.1 * best).all()


def test_gradients_in_some_structures(caplog):
    frames, best = copper(60), copper(60)
    for k in range(0, 60, 5):
        frames[k].arrays["REF_forces"] *= -1.0
        del best[k].arrays["REF_forces"]
    model = fit(frames, kinds="EF")
    (finding,) = [found for found in model.findings_ if found.is_warning]
    assert (finding.topic, finding.structures) == (Topic.SCALE, tuple(range(0, 60, 5)))
    assert "forces of 12 structures" in said(caplog)
    assert (errors(model) < 1.05 * errors(fit(best, kinds="EF"))).all()


def test_forces_that_are_zero_by_symmetry_make_no_outliers():
    """Nor do they hide any: that a model has them right says nothing of it."""
    perfect = [copper(1)[0].copy() for _ in range(40)]
    for k, atoms in enumerate(perfect):
        atoms.info["config_type"] = "all"
        atoms.set_positions(bulk("Cu", cubic=True).positions)
        atoms.set_cell(bulk("Cu", cubic=True).cell * (0.95 + 0.0025 * k))
        atoms.set_scaled_positions([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
        atoms.calc = EMT()
        atoms.info["REF_energy"] = atoms.get_potential_energy()
        atoms.arrays["REF_forces"] = np.zeros((4, 3))
    frames = copper(40)
    for atoms in frames:
        atoms.info["config_type"] = "all"
    assert topics(fit([*frames, *perfect], kinds="EF")) == set()
    frames[10].arrays["REF_forces"] *= -8.0
    assert Topic.OUTLIER in topics(fit([*frames, *perfect], kinds="EF"))


def test_weights_and_centers_of_residuals():
    frames = copper(60)
    residuals = np.random.default_rng(0).normal(size=60)
    residuals[3] = 100.0
    weights = huber_weights(frames, residuals)
    assert weights[3] < 0.05
    assert np.mean(weights == 1.0) > 0.6
    assert np.array_equal(huber_weights(frames, np.full(60, np.nan)), np.ones(60))
    assert np.abs(np.median(centered(frames, residuals + 7.0))) < 1.0


@pytest.mark.parametrize("changed", ["translated", "rotated", "permuted", "same"])
def test_contradicting_copies_are_named(changed, caplog):
    frames = copper(20)
    twin = frames[4].copy()
    twin.info |= {"REF_energy": frames[4].info["REF_energy"] + 2.0, "total_charge": 1}
    if changed == "translated":
        twin.translate([0.7, -0.2, 0.4])
    elif changed == "rotated":
        twin.rotate(40, (1, 2, 3), rotate_cell=True)
    elif changed == "permuted":
        twin = twin[[2, 0, 3, 1]]
    model = fit([*frames, twin], kinds="E")
    assert Topic.COPIES in topics(model)
    text = said(caplog)
    assert "structures 4 and 20" in text
    assert "2 eV" in text
    assert "total_charge" in text


def test_copies_that_agree_are_not():
    frames = copper(20)
    assert Topic.COPIES not in topics(fit([*frames, *frames[:5]], kinds="EF"))


def test_findings_are_logged_once(caplog):
    model = fit(scaled("F", -1.0), kinds="EF")
    assert [str(found) for found in model.findings_ if found.is_warning] == [
        record.getMessage() for record in caplog.records if record.levelname == "WARNING" and "alpha" not in record.msg
    ]
    assert isinstance(model, LinearPotential)


@pytest.mark.parametrize("way", ["outliers", "huber", "none"])
def test_settings_of_files_know_robust(way):
    given = tomllib.loads(f'[data]\ntrain = ["a.xyz"]\n[cutoff]\nradius = 4.0\n[density]\ndensity_width = 0.5\n'
                          f'max_angular = 2\n[basis]\nn_radial = 4\n[model]\nrobust = "{way}"\n')  # fmt: skip
    assert settings.check_train(given)["model"]["robust"] == way
    given["model"]["robust"] = "hubert"
    with pytest.raises(orbas.settings.SettingsError, match="huber"):
        settings.check_train(given)


@pytest.mark.parametrize("n", [30, 60, 150])
def test_forces_of_a_few_structures_among_crystals_at_rest_say_nothing_of_a_unit(n, caplog):
    """Equations of state: nearly all forces are zero by symmetry, a few are small, and of no better accuracy."""
    rng = np.random.default_rng(n)
    frames = []
    for k in range(n):
        atoms = bulk("Cu", cubic=True, a=3.3 + 0.6 * k / n)
        if k % 10 == 0:
            atoms.rattle(0.002, seed=k)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        atoms.info.update(REF_energy=energy, REF_stress=stress)
        atoms.arrays["REF_forces"] = forces * (k % 10 == 0) * rng.uniform(0.0, 2.0, size=forces.shape)
        frames.append(atoms)
    for kinds in ("EF", "EFS"):
        assert not {Topic.SCALE, Topic.OUTLIER} & topics(fit(frames, kinds=kinds))
