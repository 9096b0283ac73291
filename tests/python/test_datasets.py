import sys

import numpy as np
import pytest
from orbas import datasets
from orbas.datasets import _packed, _qm9

TARGETS = {"A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv"}
HEADER = ["XYZ_file", "Index", "Elements", "XYZ_Ang", *(column for column, _ in _qm9.TARGETS.values())]


def test_qm9_molecules():
    molecules = datasets.qm9()
    assert len(molecules) == len({atoms.info["index"] for atoms in molecules}) == 2000
    for atoms in molecules:
        assert set(atoms.info) == TARGETS | {"index"}
        assert set(atoms.symbols) <= set("HCNOF")
        assert not atoms.pbc.any()
        distances = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        assert 0.9 < distances.min() < 1.7
        np.testing.assert_allclose(atoms.info["lumo"] - atoms.info["homo"], atoms.info["gap"], atol=0.006)
        assert atoms.info["G"] < atoms.info["U0"] < atoms.info["U"] < atoms.info["H"]


def test_qm9_methane_has_its_published_values():
    (methane,) = (atoms for atoms in datasets.qm9() if atoms.info["index"] == 1)
    assert methane.get_chemical_formula() == "CH4"
    np.testing.assert_allclose(methane.positions[0], [-0.0126981359, 1.0858041578, 0.0080009958], atol=1e-6)
    assert methane.info["U0"] == pytest.approx(-40.47893 * 27.211386245988, abs=1e-9)
    assert methane.info["alpha"] == 13.21
    assert methane.info["Cv"] == 6.469
    assert methane.info["A"] == 157.7118


def test_qm9_rotational_constants_follow_from_the_positions():
    # h / (8 pi^2 I) in GHz for I in u Å^2: an independent check that positions and targets belong together
    for atoms in datasets.qm9(50):
        moments = atoms.get_moments_of_inertia()
        np.testing.assert_allclose(505.379 / moments[2], atoms.info["C"], rtol=2e-3)


@pytest.mark.parametrize("make", [datasets.qm9, datasets.silicon])
def test_seed(make):
    first, again, other = make(20, seed=1), make(20, seed=1), make(20, seed=2)
    assert [a == b and repr(a.info) == repr(b.info) for a, b in zip(first, again, strict=True)] == [True] * 20
    assert [len(a) for a in first] != [len(a) for a in other]
    assert all(a == b for a, b in zip(first[:5], make(5, seed=1), strict=True))


@pytest.mark.parametrize("make", [datasets.qm9, datasets.silicon])
@pytest.mark.parametrize("n", [0, -1])
def test_too_few(make, n):
    with pytest.raises(ValueError, match=f"must be an integer from 1 .*got {n}"):
        make(n)


def write_table(path, indices):
    rows = [",".join(HEADER)]
    for index in indices:
        values = [f"f{index}", str(index), "\"['O','H']\"", '"[[0.,0.,-1.5],[1e-3,0.,1.]]"', *(["0.25"] * 15)]
        rows.append(",".join(values))
    path.write_text("\n".join(rows) + "\n")


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """A small stand-in for qm9pack, whose own module must never be imported."""
    data = tmp_path / "qm9pack" / "data"
    data.mkdir(parents=True)
    (tmp_path / "qm9pack" / "__init__.py").write_text("raise RuntimeError('imported')")
    write_table(data / "qm9_part1.csv", range(1, 1501))
    write_table(data / "qm9_part2.csv", range(2001, 2701))
    (data / "qm9_polarizability.csv").write_text("not,a,part\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("whole")
def test_more_qm9_is_read_from_the_extra():
    molecules = datasets.qm9(2100, seed=3)
    indices = [atoms.info["index"] for atoms in molecules]
    assert len(set(indices)) == 2100
    assert indices != sorted(indices)
    assert set(indices) <= {*range(1, 1501), *range(2001, 2701)}
    assert molecules[0].get_chemical_formula() == "HO"
    np.testing.assert_array_equal(molecules[0].positions, [[0, 0, -1.5], [1e-3, 0, 1]])
    assert molecules[0].info["U0"] == 0.25 * 27.211386245988
    assert [atoms.info["index"] for atoms in datasets.qm9(2100, seed=3)] == indices
    with pytest.raises(ValueError, match="the whole of QM9 has 2200, must be an integer from 1 to 2200, got 2201"):
        datasets.qm9(2201)


@pytest.mark.usefixtures("whole")
def test_pack_keeps_positions_to_its_resolution():
    packed = _qm9.pack(_qm9.rows([0, 1600]))
    assert packed["index"].tolist() == [1, 2101]
    assert packed["offsets"].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(packed["positions"][:2], [[0, 0, -1_500_000], [1000, 0, 1_000_000]])


def test_missing_extra_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "qm9pack", raising=False)
    with pytest.raises(ImportError, match=r"pip install orbas\[qm9\]"):
        datasets.qm9(2001)


def test_silicon_labels():
    frames = datasets.silicon()
    assert 280 <= len(frames) <= 350
    for atoms in frames:
        assert set(atoms.info) == {"REF_energy", "REF_stress", "config_type"}
        assert 1 <= len(atoms) <= 64
        assert isinstance(atoms.info["REF_energy"], float)
        assert atoms.info["REF_stress"].shape == (6,)
        assert atoms.arrays["REF_forces"].shape == (len(atoms), 3)
        np.testing.assert_allclose(atoms.arrays["REF_forces"].sum(axis=0), 0, atol=1e-9)
        assert atoms.pbc.tolist() == [True, True, atoms.info["config_type"] != "surface"]
        assert -4.63 < atoms.info["REF_energy"] / len(atoms) <= 0
    types = {atoms.info["config_type"] for atoms in frames}
    assert {"diamond", "vacancy", "surface", "liquid", "beta_tin", "sc", "bcc", "fcc", "hcp"} <= types


def test_silicon_labels_are_those_of_the_potential():
    tersoff = pytest.importorskip("ase.calculators.tersoff")
    parameters = tersoff.TersoffParameters(
        A=1830.8, B=471.18, lambda1=2.4799, lambda2=1.7322, lambda3=0.0, beta=1.1e-6, n=0.78734,
        c=1.0039e5, d=16.217, h=-0.59825, gamma=1.0, m=3.0, R=2.85, D=0.15,
    )  # fmt: skip
    kinds = ("diamond", "bcc", "surface", "beta_tin")
    frames = [atoms for atoms in datasets.silicon() if len(atoms) <= 24]
    for atoms in (next(a for a in frames if a.info["config_type"] == kind) for kind in kinds):
        atoms.calc = tersoff.Tersoff({("Si", "Si", "Si"): parameters})
        assert atoms.get_potential_energy() == pytest.approx(atoms.info["REF_energy"], abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), atoms.arrays["REF_forces"], atol=1e-9)
        np.testing.assert_allclose(atoms.get_stress(), atoms.info["REF_stress"], atol=1e-11)


def test_frames_do_not_share_memory():
    first, second = datasets.silicon(), datasets.silicon()
    first[0].positions += 1
    first[0].info["REF_stress"][:] = 0
    assert not np.allclose(first[0].positions, second[0].positions)
    assert second[0].info["REF_stress"].any()


@pytest.mark.parametrize("name", ["qm9.npz", "silicon.npz"])
def test_shipped_files_hold_plain_arrays(name):
    assert all(array.dtype.kind in "iufbU" for array in _packed.load(name).values())
