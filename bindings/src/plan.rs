//! Expansions: the checked settings, and what is made with them.

use std::sync::Arc;

use numpy::{
    Element, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
};
use orbas::density::{self, DegreeData, PlanSettings};
use orbas::drive::{self, Numbers, Run};
use orbas::invariants::WeightedCoefficients;
use orbas::memory::collected;
use orbas::radial::{Cutoff, RadialScaling, RadialTable, RadialWeight, Smoothing};
use orbas::simd::Level;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::{detached, interruptible};
use crate::invariants::{Energies, energies_of};
use crate::structures::Batch;

/// Radial functions of one neighbor species at one degree: first output channel, nodes [3, node, channel].
type Degree<'py> = (usize, PyReadonlyArray3<'py, f64>);

/// A density expansion with its tables.
#[pyclass(frozen, module = "orbas._core")]
pub struct DensityPlan(pub Arc<density::DensityPlan>);

#[pymethods]
impl DensityPlan {
    #[new]
    #[pyo3(signature = (*, cutoff, scaling, species, center_weight, n_nodes, channels, functions, level=None))]
    #[expect(clippy::too_many_arguments, reason = "the keywords of a call from Python")]
    fn new(
        py: Python<'_>,
        cutoff: (f64, f64, String),
        scaling: Option<(f64, f64, f64)>,
        species: Vec<i32>,
        center_weight: f64,
        n_nodes: usize,
        channels: Vec<Vec<usize>>,
        functions: Vec<Vec<Vec<Degree<'_>>>>,
        level: Option<String>,
    ) -> PyResult<Self> {
        let (radius, width, smoothing) = cutoff;
        let smoothing = match smoothing.as_str() {
            "cosine" => Smoothing::Cosine,
            "smooth" => Smoothing::Quintic,
            other => return Err(PyValueError::new_err(format!("unknown smoothing {other:?}"))),
        };
        let level = parse_level(level.as_deref())?;
        let functions = functions
            .into_iter()
            .map(|kind| {
                let of_species = |species: Vec<Degree<'_>>| species.into_iter().map(degree_data).collect();
                kind.into_iter().map(of_species).collect()
            })
            .collect::<PyResult<_>>()?;
        detached(py, || {
            let cutoff = Cutoff::new(radius, width, smoothing)?;
            let scaling = scaling.map(|(c, r0, m)| RadialScaling::new(c, r0, m)).transpose()?;
            let weight = RadialWeight { cutoff, scaling };
            let settings =
                PlanSettings { weight, species, center_weight, n_nodes, channels, functions, level };
            density::DensityPlan::new(&settings)
        })
        .map(|plan| Self(Arc::new(plan)))
    }

    /// The instruction set in use.
    #[getter]
    fn level(&self) -> String {
        self.0.level().name().to_owned()
    }

    /// Coefficients, one array [center, width] per center species: for each degree [m, q].
    #[pyo3(signature = (batch, single=false))]
    fn density<'py>(&self, py: Python<'py>, batch: &Batch, single: bool) -> PyResult<Vec<Bound<'py, PyAny>>> {
        if single { self.density_of::<f32>(py, batch) } else { self.density_of::<f64>(py, batch) }
    }

    /// Energies, forces and virials of a weight for every coefficient; one array [center, width] per center species.
    fn weighted_coefficients<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        weights: Vec<PyReadonlyArray2<'py, f64>>,
    ) -> PyResult<Energies<'py>> {
        let copy = |w: &PyReadonlyArray2<'_, f64>| arrays::copied(w.as_array().iter().copied());
        let weights = weights.iter().map(copy).collect::<PyResult<Vec<Vec<f64>>>>()?;
        let species = detached(py, || self.0.species_indices(&batch.0))?;
        let mut rows: Vec<_> = (0..weights.len().min(self.0.species().len()))
            .map(|a| weights[a].chunks_exact(self.0.center(a).layout().width().max(1)))
            .collect();
        let of_atom = |&a: &u32| rows.get_mut(a as usize).and_then(Iterator::next).unwrap_or_default();
        let rows = arrays::copied(species.iter().map(of_atom))?;
        let make = || WeightedCoefficients::new(&self.0, &species, rows);
        energies_of(py, &self.0, batch, None, make)
    }
}

/// Raises `UnknownSpeciesError` for a species without channels.
#[pyfunction]
pub(crate) fn check_species(py: Python<'_>, plan: &DensityPlan, batch: &Batch) -> PyResult<()> {
    detached(py, || plan.0.species_indices(&batch.0)).map(|_| ())
}

/// Value and derivative at radii [r, channel, 2] of functions given on nodes over [0, radius], [3, node, channel].
#[pyfunction]
pub(crate) fn interpolate<'py>(
    py: Python<'py>,
    radius: f64,
    nodes: PyReadonlyArray3<'py, f64>,
    radii: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let (n_nodes, count) = (nodes.as_array().shape()[1], nodes.as_array().shape()[2]);
    let data: Vec<f64> = arrays::copied(nodes.as_array().iter().copied())?;
    let radii: Vec<f64> = arrays::copied(radii.as_array().iter().copied())?;
    let values = detached(py, || {
        let table = RadialTable::new(radius, n_nodes, &[(0, count, &data)], 1)?;
        collected(radii.iter().flat_map(|&r| table.evaluate(0, r)).flatten())
    })?;
    arrays::three(py, [radii.len(), count, 2], values)
}

impl DensityPlan {
    fn density_of<'py, T: Element>(&self, py: Python<'py>, batch: &Batch) -> PyResult<Vec<Bound<'py, PyAny>>>
    where
        for<'o> &'o mut [T]: Into<Numbers<'o>>,
    {
        let shapes = detached(py, || drive::coefficient_shapes(&batch.0, &self.0))?;
        let arrays = (shapes.into_iter())
            .map(|shape| arrays::empty(py, shape))
            .collect::<PyResult<Vec<Bound<'py, PyArray2<T>>>>>()?;
        {
            let mut borrowed: Vec<_> = arrays.iter().map(|array| array.readwrite()).collect();
            let slices: Vec<&mut [T]> =
                borrowed.iter_mut().map(|array| array.as_slice_mut()).collect::<Result<_, _>>()?;
            let numbers: Vec<Numbers<'_>> = slices.into_iter().map(Into::into).collect();
            interruptible(py, |stop| {
                drive::density_coefficients_into(&batch.0, &self.0, numbers, Run::until(stop))
            })?;
        }
        Ok(arrays.into_iter().map(Bound::into_any).collect())
    }
}

fn degree_data((channel, nodes): Degree<'_>) -> PyResult<DegreeData> {
    let nodes = nodes.as_array();
    Ok(DegreeData { channel, count: nodes.shape()[2], data: arrays::copied(nodes.iter().copied())? })
}

fn parse_level(name: Option<&str>) -> PyResult<Level> {
    let Some(name) = name else { return Ok(Level::detect()) };
    let mut levels = Level::available().into_iter();
    let level = if name == "narrowest" { levels.next() } else { levels.find(|level| level.name() == name) };
    level.ok_or_else(|| {
        PyValueError::new_err(format!("level {name:?} is not narrowest or one of {:?}", Level::available()))
    })
}
