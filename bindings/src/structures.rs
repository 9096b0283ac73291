//! Batches of structures.

use numpy::ndarray::ArrayView2;
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::detached;

/// Checked structures, ready for any transformer.
#[pyclass(frozen, module = "orbas._core")]
pub struct Batch(pub orbas::structure::Batch);

#[pymethods]
impl Batch {
    /// positions [atom, 3], numbers `[atom]`, offsets [n + 1], cells [n, 3, 3], pbc [n, 3]
    #[new]
    fn new(
        py: Python<'_>,
        positions: PyReadonlyArray2<'_, f64>,
        numbers: PyReadonlyArray1<'_, i32>,
        offsets: PyReadonlyArray1<'_, i64>,
        cells: PyReadonlyArray3<'_, f64>,
        pbc: PyReadonlyArray2<'_, bool>,
    ) -> PyResult<Self> {
        let positions = arrays::vectors("positions", &positions)?;
        let numbers: Vec<i32> = arrays::copied(numbers.as_array().iter().copied())?;
        let offsets: Vec<usize> = arrays::copied(offsets.as_array().iter().map(|&o| o as usize))?;
        let cells = cells.as_array();
        let matrix = |m: ArrayView2<'_, f64>| std::array::from_fn(|a| std::array::from_fn(|x| m[[a, x]]));
        let cells = arrays::copied(cells.outer_iter().map(matrix))?;
        let pbc = arrays::copied(pbc.as_array().rows().into_iter().map(|p| [p[0], p[1], p[2]]))?;
        detached(py, || orbas::structure::Batch::new(positions, numbers, offsets, cells, &pbc)).map(Self)
    }

    #[getter]
    fn n_frames(&self) -> usize {
        self.0.n_frames()
    }

    #[getter]
    fn n_atoms(&self) -> usize {
        self.0.n_atoms()
    }
}
