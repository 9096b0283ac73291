//! Neighbor lists as arrays.

use std::sync::MutexGuard;

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use orbas::fork::ForkLock;
use orbas::neighbors::{CellList, PairArrays, SkinLists, brute_force_until, count_pairs, fill_pairs};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::arrays;
use crate::errors::{detached, interruptible};
use crate::structures::Batch;

/// i `[pair]`, j `[pair]`, S [pair, 3], D [pair, 3], d `[pair]`; `None` where not asked for.
type Pairs<'py> = (
    Option<Bound<'py, PyArray1<i64>>>,
    Option<Bound<'py, PyArray1<i64>>>,
    Option<Bound<'py, PyArray2<i64>>>,
    Option<Bound<'py, PyArray2<f64>>>,
    Option<Bound<'py, PyArray1<f64>>>,
);

/// Pairs that are remembered from call to call, with a skin in Å around the cutoff; they are listed anew when an atom has
/// crossed half of it, or the cell or the number of atoms has changed.
///
/// Examples
/// --------
///
/// ```python
/// >>> import numpy as np, orbas
/// >>> frames = orbas.datasets.silicon(n=1)
/// >>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
/// >>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis)
/// >>> spectrum = orbas.PowerSpectrum(density)
/// >>> weights = np.ones((1, spectrum.transform(frames).values.shape[1]))
/// >>> skin_list = orbas.SkinList(skin=0.5)
/// >>> for step in range(3):
/// ...     energies = spectrum.linear_energies(frames, weights, skin_list=skin_list)
/// >>> skin_list.n_listed
/// 1
///
/// ```
#[pyclass(frozen, module = "orbas")]
pub struct SkinList {
    empty: SkinLists,
    lists: ForkLock<SkinLists>,
}

impl SkinList {
    /// The lists, for one call at a time. Those of a call that panicked are whole: they are replaced, not changed.
    pub fn lock(&self) -> MutexGuard<'_, SkinLists> {
        self.lists.lock(|| self.empty.clone())
    }
}

#[pymethods]
impl SkinList {
    #[new]
    #[pyo3(signature = (skin=1.0))]
    fn new(py: Python<'_>, skin: f64) -> PyResult<Self> {
        let empty = detached(py, || SkinLists::new(skin))?;
        Ok(Self { lists: ForkLock::new(empty.clone()), empty })
    }

    /// The skin in Å.
    ///
    /// Examples
    /// --------
    ///
    /// ```python
    /// >>> skin_list.skin
    /// 0.5
    ///
    /// ```
    #[getter]
    fn skin(&self) -> f64 {
        self.empty.skin()
    }

    /// Copies and pickles remember nothing but the skin: pairs are those of this process.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, (f64,)) {
        (slf.get_type(), (slf.get().empty.skin(),))
    }

    /// How many times the pairs of a structure were listed.
    ///
    /// Examples
    /// --------
    ///
    /// ```python
    /// >>> frames[0].rattle(0.5, seed=1)  # farther than half of the skin
    /// >>> energies = spectrum.linear_energies(frames, weights, skin_list=skin_list)
    /// >>> skin_list.n_listed
    /// 2
    ///
    /// ```
    #[getter]
    fn n_listed(&self, py: Python<'_>) -> usize {
        py.detach(|| self.lock().n_listed())
    }
}

/// The pairs of one structure; `quantities` is made of the letters ijSDd.
#[pyfunction]
pub(crate) fn neighbor_list<'py>(
    py: Python<'py>,
    batch: &Batch,
    structure: usize,
    cutoff: f64,
    quantities: &str,
) -> PyResult<Pairs<'py>> {
    let frame = batch.0.frame(structure);
    let (cells, counts) = interruptible(py, |stop| {
        let cells = CellList::new(frame, cutoff)?;
        let counts = count_pairs(&cells, stop)?;
        Ok((cells, counts))
    })?;
    let n = counts.iter().sum();
    let wanted = |letter| quantities.contains(letter);
    let i = wanted('i').then(|| arrays::empty(py, [n])).transpose()?;
    let j = wanted('j').then(|| arrays::empty(py, [n])).transpose()?;
    let shifts = wanted('S').then(|| arrays::empty(py, [n, 3])).transpose()?;
    let vectors = wanted('D').then(|| arrays::empty(py, [n, 3])).transpose()?;
    let distances = wanted('d').then(|| arrays::empty(py, [n])).transpose()?;
    {
        let mut i = i.as_ref().map(|a: &Bound<'_, PyArray1<i64>>| a.readwrite());
        let mut j = j.as_ref().map(|a: &Bound<'_, PyArray1<i64>>| a.readwrite());
        let mut shifts = shifts.as_ref().map(|a: &Bound<'_, PyArray2<i64>>| a.readwrite());
        let mut vectors = vectors.as_ref().map(|a: &Bound<'_, PyArray2<f64>>| a.readwrite());
        let mut distances = distances.as_ref().map(|a: &Bound<'_, PyArray1<f64>>| a.readwrite());
        let to_fill = PairArrays {
            centers: i.as_mut().map(|a| a.as_slice_mut()).transpose()?,
            neighbors: j.as_mut().map(|a| a.as_slice_mut()).transpose()?,
            shifts: shifts.as_mut().map(|a| a.as_slice_mut()).transpose()?.map(|a| a.as_chunks_mut().0),
            vectors: vectors.as_mut().map(|a| a.as_slice_mut()).transpose()?.map(|a| a.as_chunks_mut().0),
            distances: distances.as_mut().map(|a| a.as_slice_mut()).transpose()?,
        };
        interruptible(py, |stop| fill_pairs(&cells, &counts, to_fill, stop))?;
    }
    Ok((i, j, shifts, vectors, distances))
}

/// The pairs of one structure by trying all: i, j, S, D, d.
#[pyfunction]
pub(crate) fn brute_force_neighbor_list<'py>(
    py: Python<'py>,
    batch: &Batch,
    structure: usize,
    cutoff: f64,
) -> PyResult<Pairs<'py>> {
    let frame = batch.0.frame(structure);
    let pairs = interruptible(py, |stop| brute_force_until(&frame, cutoff, stop))?;
    let n = pairs.len();
    Ok((
        Some(arrays::one(py, pairs.centers)),
        Some(arrays::one(py, pairs.neighbors)),
        Some(arrays::two(py, [n, 3], pairs.shifts.into_flattened())?),
        Some(arrays::two(py, [n, 3], pairs.vectors.into_flattened())?),
        Some(arrays::one(py, pairs.distances)),
    ))
}
