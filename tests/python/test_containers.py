"""Kind 19: structures are taken by position, whatever holds them, in every public call; other things are refused."""

from collections.abc import Mapping

import numpy as np
import orbas
import pandas as pd
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import Trajectory
from orbas.models.regressor import PerStructure
from orbas.selection import FPS
from orbas.structures import labels
from orbas.structures.batch import as_frames

FRAMES = [molecule(name) for name in ("H2O", "CH4", "NH3", "C2H2", "CH3OH")]
for number, frame in enumerate(FRAMES):
    frame.calc = SinglePointCalculator(frame, energy=float(number), forces=np.full((len(frame), 3), 0.1 * number))
SPECIES = [1, 6, 7, 8]


def trajectory(tmp_path):
    with Trajectory(tmp_path / "a.traj", "w") as file:
        for frame in FRAMES:
            file.write(frame)
    return Trajectory(tmp_path / "a.traj")


def objects(_):
    array = np.empty(len(FRAMES), dtype=object)
    array[:] = FRAMES
    return array


def shuffled_column(_):
    """A filtered column whose index counts backwards: its positions are those of FRAMES."""
    table = pd.DataFrame({"atoms": [*FRAMES, molecule("CO2")]}, index=[4, 3, 2, 1, 0, 9])
    return table[table.index < 9]["atoms"]


CONTAINERS = {
    "list": lambda _: list(FRAMES),
    "tuple": lambda _: tuple(FRAMES),
    "generator": lambda _: (frame for frame in FRAMES),
    "iterator": lambda _: iter(FRAMES),
    "trajectory": trajectory,
    "object array": objects,
    "column": shuffled_column,
    "named column": lambda _: pd.Series(FRAMES, index=list("ebcda")),
}
WRONG = {
    "dict": (dict(enumerate(FRAMES)), "a dict"),
    "table": (pd.DataFrame({"atoms": FRAMES}), "a DataFrame"),
    "text": ("train.xyz", "read it with orbas.read"),
    "number": (3, "an ase.Atoms or a list"),
    "nothing": (None, "an ase.Atoms or a list"),
    "list with a text": ([FRAMES[0], "H2O"], "structure 1 is a str"),
    "array of numbers": (np.zeros((2, 3)), "structure 0 is a ndarray"),
}


def density():
    return orbas.DensityExpansion(
        cutoff=orbas.Cutoff(3.0), density_width=0.5, max_angular=1, basis=orbas.bases.GTO(2), species=SPECIES
    )


SPECTRUM = orbas.PowerSpectrum(density()).fit(FRAMES)
RADIAL = orbas.RadialSpectrum(density()).fit(FRAMES)
SELECTED = orbas.SelectedPowerSpectrum(density(), list(range(6)))
NICE = orbas.NICE(density(), 3, n_components=4).fit(FRAMES)
BISPECTRUM = orbas.Bispectrum(density()).fit(FRAMES)
OPTIMAL = orbas.OptimalBasis(density(), 1).fit(FRAMES)


def arrays(value):
    """All numbers of a result."""
    if isinstance(value, np.ndarray | float | int):
        return [np.asarray(value, dtype=float)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [array for item in value for array in arrays(item)]
    return [value.values]


def rows(found):
    return [row.positions for row in found]


def weights(representation):
    return np.ones((len(SPECIES), representation.transform(FRAMES).values.shape[1]))


CALLS = {
    "as_frames": lambda frames: [frame.positions for frame in as_frames(frames)],
    "collect_labels": lambda frames: labels.collect_labels(frames, "energy", "forces").forces,
    "density.fit": lambda frames: list(density().fit(frames).species_),
    "density.transform": lambda frames: density().transform(frames),
    "density.fit_transform": lambda frames: density().fit_transform(frames),
    "density.jacobian_rows": lambda frames: rows(density().jacobian_rows(frames)),
    "density gradients": lambda frames: [density().transform(frames, gradients=True)],
    "spectrum.transform": SPECTRUM.transform,
    "spectrum.jacobian_rows": lambda frames: rows(SPECTRUM.jacobian_rows(frames)),
    "spectrum.linear_energies": lambda frames: SPECTRUM.linear_energies(frames, weights(SPECTRUM)).structures,
    "spectrum.strain_gradients": SPECTRUM.strain_gradients,
    "radial.transform": RADIAL.transform,
    "radial.linear_energies": lambda frames: RADIAL.linear_energies(frames, weights(RADIAL)).structures,
    "selected.transform": SELECTED.transform,
    "selected.jacobian_rows": lambda frames: rows(SELECTED.jacobian_rows(frames)),
    "selected.linear_energies": lambda frames: SELECTED.linear_energies(frames, weights(SELECTED)).structures,
    "selected.strain_gradients": SELECTED.strain_gradients,
    "nice.fit": lambda frames: orbas.NICE(density(), 3, n_components=4).fit(frames).transform(FRAMES),
    "nice.fit_transform": lambda frames: orbas.NICE(density(), 3, n_components=4).fit_transform(frames),
    "nice.transform": NICE.transform,
    "nice.equivariants": lambda frames: NICE.equivariants(frames),
    "nice.jacobian_rows": lambda frames: rows(NICE.jacobian_rows(frames)),
    "nice.linear_energies": lambda frames: NICE.linear_energies(frames, weights(NICE)).structures,
    "bispectrum.fit_transform": lambda frames: orbas.Bispectrum(density()).fit_transform(frames),
    "bispectrum.transform": BISPECTRUM.transform,
    "bispectrum.jacobian_rows": lambda frames: rows(BISPECTRUM.jacobian_rows(frames)),
    "bispectrum.linear_energies": lambda frames: BISPECTRUM.linear_energies(frames, weights(BISPECTRUM)).structures,
    "optimal.fit": lambda frames: orbas.OptimalBasis(density(), 1).fit(frames).eigenvalues_,
    "optimal.partial_fit": lambda frames: orbas.OptimalBasis(density(), 1).partial_fit(frames).eigenvalues_,
    "optimal expansion": OPTIMAL.expansion_.transform,
}


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_every_container_is_its_list(tmp_path, call, container):
    found, expected = (arrays(CALLS[call](frames)) for frames in (CONTAINERS[container](tmp_path), FRAMES))
    assert expected
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_one_structure_is_a_list_of_one(call):
    for one, other in zip(arrays(CALLS[call](FRAMES[4])), arrays(CALLS[call]([FRAMES[4]])), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_holds_no_structures_is_refused(call, wrong):
    value, message = WRONG[wrong]
    with pytest.raises(TypeError, match=message):
        CALLS[call](value)


@pytest.mark.parametrize(
    "index", [[4, 3, 2, 1, 0], list("ebcda"), [7, 7, 7, 7, 7]], ids=["numbers", "letters", "equal"]
)
def test_tables_carry_the_index_of_their_input(index):
    column = pd.Series(FRAMES, index=index)
    features = PerStructure(SPECTRUM).set_output(transform="pandas").fit(column).transform(column)
    assert list(features.index) == index
    np.testing.assert_array_equal(features.to_numpy(), PerStructure(SPECTRUM).fit(FRAMES).transform(FRAMES))
    table = pd.DataFrame(features.to_numpy(), index=index, columns=[f"x{k}" for k in range(features.shape[1])])
    chosen = FPS(3).set_output(transform="pandas").fit(table).transform(table)
    assert list(chosen.index) == index


def test_an_empty_list_is_a_list():
    assert as_frames([]) == []
    assert as_frames(np.empty(0, dtype=object)) == []
