"""Features in single precision: the numbers of double precision, each rounded once."""

import numpy as np
import orbas
import pytest

#: Half a unit in the last place of single precision, relative.
ROUNDING = 2.0**-24


def transformers():
    settings = {"cutoff": orbas.Cutoff(4.0, 0.5), "density_width": 0.4, "max_angular": 3}
    density = orbas.DensityExpansion(basis=orbas.bases.GTO(3), species=(1, 6, 7, 8), **settings)
    return {
        "density": density,
        "power spectrum": orbas.PowerSpectrum(density),
        "radial spectrum": orbas.RadialSpectrum(density),
    }


def arrays_of(result):
    blocks = result.values() if callable(result.values) else [result]
    return [block.values for block in blocks]


@pytest.mark.parametrize("name", transformers())
def test_each_number_is_the_nearest(name):
    frames = orbas.datasets.qm9(n=10, seed=1)
    frames = [frame for frame in frames if set(frame.numbers) <= {1, 6, 7, 8}]
    transformer = transformers()[name]
    doubles = arrays_of(transformer.transform(frames))
    singles = arrays_of(transformer.transform(frames, single_precision=True))
    assert len(doubles) == len(singles) > 0
    for double, single in zip(doubles, singles, strict=True):
        assert single.dtype == np.float32
        assert double.dtype == np.float64
        np.testing.assert_array_equal(single, double.astype(np.float32))
        assert np.all(np.abs(single.astype(np.float64) - double) <= ROUNDING * np.abs(double))


def test_structures_are_summed_in_double_precision():
    frames = orbas.datasets.qm9(n=3, seed=1)
    spectrum = orbas.PowerSpectrum(
        orbas.DensityExpansion(
            cutoff=orbas.Cutoff(4.0, 0.5), density_width=0.4, max_angular=2, basis=orbas.bases.GTO(2)
        )
    )
    double = spectrum.transform(frames).per_structure()
    single = spectrum.transform(frames, single_precision=True).per_structure()
    assert single.dtype == np.float64
    assert np.all(np.abs(single - double) <= 1e-6 * np.abs(double).max())
