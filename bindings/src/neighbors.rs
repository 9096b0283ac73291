//! Neighbor lists as arrays.

use numpy::{PyArray1, PyArray2};
use orbas::neighbors::{PairList, brute_force};
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::detached;
use crate::structures::Batch;

type Pairs<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<f64>>,
);

/// Centers i [pair], neighbors j [pair], shifts S [pair, 3], vectors D [pair, 3], distances d [pair] of one structure.
#[pyfunction]
pub fn neighbor_list<'py>(
    py: Python<'py>,
    batch: &Batch,
    structure: usize,
    cutoff: f64,
    exhaustive: bool,
) -> PyResult<Pairs<'py>> {
    let frame = batch.0.frame(structure);
    let (i, j, shifts, vectors, distances) = detached(py, || {
        let pairs = if exhaustive { brute_force(&frame, cutoff) } else { PairList::new(&frame, cutoff) }?;
        let widen = |list: &[u32]| list.iter().map(|&k| i64::from(k)).collect::<Vec<_>>();
        let shifts: Vec<i64> = pairs.shifts.as_flattened().iter().map(|&k| i64::from(k)).collect();
        let vectors = pairs.vectors.into_iter().flatten().collect::<Vec<f64>>();
        Ok((widen(&pairs.centers), widen(&pairs.neighbors), shifts, vectors, pairs.distances))
    })?;
    let n = distances.len();
    Ok((
        arrays::one(py, i),
        arrays::one(py, j),
        arrays::two(py, [n, 3], shifts)?,
        arrays::two(py, [n, 3], vectors)?,
        arrays::one(py, distances),
    ))
}
