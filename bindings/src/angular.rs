//! Spherical harmonics.

use numpy::{PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray2};
use orbas::angular::{n_harmonics, spherical_harmonics_into};
use orbas::simd::Level;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::interruptible;

type Harmonics<'py> = (Bound<'py, PyArray2<f64>>, Option<Bound<'py, PyArray3<f64>>>);

/// Values [n, (L + 1)^2] and, on request, gradients [n, 3, (L + 1)^2].
#[pyfunction]
pub(crate) fn spherical_harmonics<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f64>,
    max_angular: usize,
    gradients: bool,
) -> PyResult<Harmonics<'py>> {
    let vectors = arrays::vectors("vectors", &vectors)?;
    let (n, width) = (vectors.len(), n_harmonics(max_angular));
    let values: Bound<'_, PyArray2<f64>> = arrays::empty(py, [n, width])?;
    let slopes: Option<Bound<'_, PyArray3<f64>>> =
        gradients.then(|| arrays::empty(py, [n, 3, width])).transpose()?;
    {
        let (mut values, mut slopes) = (values.readwrite(), slopes.as_ref().map(|array| array.readwrite()));
        let values = values.as_slice_mut()?;
        let slopes = slopes.as_mut().map(|array| array.as_slice_mut()).transpose()?;
        interruptible(py, |stop| {
            spherical_harmonics_into(&vectors, max_angular, values, slopes, Level::detect(), stop)
        })?;
    }
    Ok((values, slopes))
}
