//! The one file that knows numpy: arrays in are borrowed or copied once, arrays out are handed over.

use numpy::ndarray::{Array1, Array2, Array3, Dimension};
use numpy::{Element, IntoPyArray, PyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray2};
use orbas::memory::{collected, filled};
use orbas::structure::Vector;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PySlice;

use crate::errors::to_python;

/// Rows of three, [n, 3].
pub(crate) fn vectors(name: &str, array: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<Vector>> {
    let view = array.as_array();
    if view.ncols() != 3 {
        return Err(PyValueError::new_err(format!(
            "{name} must have the shape [n, 3], got {:?}",
            view.shape()
        )));
    }
    copied(view.rows().into_iter().map(|row| [row[0], row[1], row[2]]))
}

/// A copy of numbers of the interpreter.
pub(crate) fn copied<T>(numbers: impl IntoIterator<Item = T>) -> PyResult<Vec<T>> {
    collected(numbers).map_err(|error| to_python(&error))
}

/// `n` zeros.
pub(crate) fn zeroed<T: Clone + Default>(n: usize) -> PyResult<Vec<T>> {
    filled(n, T::default()).map_err(|error| to_python(&error))
}

/// A new array of which every number will be written, in numpy's own memory: it asks for huge pages, which are touched
/// five times faster than small ones, and raises `MemoryError` where there is none.
pub(crate) fn empty<T: Element, D: Dimension, const N: usize>(
    py: Python<'_>,
    shape: [usize; N],
) -> PyResult<Bound<'_, PyArray<T, D>>> {
    new(py, "empty", shape)
}

/// As [`empty`], of zeros.
pub(crate) fn zeros<T: Element, D: Dimension, const N: usize>(
    py: Python<'_>,
    shape: [usize; N],
) -> PyResult<Bound<'_, PyArray<T, D>>> {
    new(py, "zeros", shape)
}

fn new<'py, T: Element, D: Dimension, const N: usize>(
    py: Python<'py>,
    function: &str,
    shape: [usize; N],
) -> PyResult<Bound<'py, PyArray<T, D>>> {
    Ok(py.import("numpy")?.call_method1(function, (shape, T::get_dtype(py)))?.cast_into()?)
}

/// A view of a flat array from `start` on, of three axes.
pub(crate) fn view<'py>(
    flat: &Bound<'py, PyArray1<f64>>,
    start: usize,
    shape: [usize; 3],
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let slice =
        PySlice::new(flat.py(), start as isize, (start + shape.iter().product::<usize>()) as isize, 1);
    Ok(flat.get_item(slice)?.call_method1("reshape", (shape,))?.cast_into()?)
}

/// The numbers of an array [n, width] that lies in memory row after row.
pub(crate) fn contiguous<'a>(name: &str, array: &'a PyReadonlyArray2<'_, f64>) -> PyResult<&'a [f64]> {
    array.as_slice().map_err(|_| PyValueError::new_err(format!("{name} must be C-contiguous")))
}

fn fits<T>(shape: impl std::fmt::Display) -> impl FnOnce(T) -> PyErr {
    move |_| PyValueError::new_err(format!("internal shape mismatch: {shape}"))
}

pub(crate) fn one<T: numpy::Element>(py: Python<'_>, data: Vec<T>) -> Bound<'_, PyArray1<T>> {
    Array1::from_vec(data).into_pyarray(py)
}

pub(crate) fn two<T: numpy::Element>(
    py: Python<'_>,
    shape: [usize; 2],
    data: Vec<T>,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let array = Array2::from_shape_vec(shape, data).map_err(fits(format!("{shape:?}")))?;
    Ok(array.into_pyarray(py))
}

pub(crate) fn three<T: numpy::Element>(
    py: Python<'_>,
    shape: [usize; 3],
    data: Vec<T>,
) -> PyResult<Bound<'_, PyArray3<T>>> {
    let array = Array3::from_shape_vec(shape, data).map_err(fits(format!("{shape:?}")))?;
    Ok(array.into_pyarray(py))
}
