//! Number of threads.

use pyo3::prelude::*;

use crate::errors::detached;

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)
}

/// Asks for a number of threads from the next call on.
#[pyfunction]
fn set_num_threads(py: Python<'_>, threads: usize) -> PyResult<()> {
    detached(py, || orbas::parallel::set_num_threads(threads))
}

/// Number of threads the next call will use.
#[pyfunction]
fn get_num_threads(py: Python<'_>) -> PyResult<usize> {
    detached(py, orbas::parallel::num_threads)
}
