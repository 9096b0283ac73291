//! Spherical harmonics.

use numpy::{PyArray2, PyArray3, PyReadonlyArray2};
use orbas::angular::{n_harmonics, spherical_harmonics as evaluate};
use orbas::simd::Level;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::detached;

type Harmonics<'py> = (Bound<'py, PyArray2<f64>>, Option<Bound<'py, PyArray3<f64>>>);

/// Values [n, (L + 1)^2] and, on request, gradients [n, 3, (L + 1)^2].
#[pyfunction]
pub fn spherical_harmonics<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f64>,
    max_angular: usize,
    gradients: bool,
) -> PyResult<Harmonics<'py>> {
    let vectors = arrays::vectors("vectors", &vectors)?;
    let (n, width) = (vectors.len(), n_harmonics(max_angular));
    let (values, slopes) = detached(py, || evaluate(&vectors, max_angular, gradients, Level::detect()))?;
    let slopes = slopes.map(|slopes| arrays::three(py, [n, 3, width], slopes)).transpose()?;
    Ok((arrays::two(py, [n, width], values)?, slopes))
}
