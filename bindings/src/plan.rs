//! Expansions: the checked settings, and what is made with them.

use numpy::{
    Element, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArray3,
};
use orbas::expansion::{self, DegreeData, Numbers, PlanSettings};
use orbas::memory::collected;
use orbas::radial::{Cutoff, RadialScaling, RadialTable, RadialWeight, Smoothing};
use orbas::simd::Level;
use orbas::{invariants, potential};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::{detached, interruptible};
use crate::neighbors::SkinList;
use crate::structures::Batch;

/// Radial functions of one neighbor species at one degree: first output channel, nodes [3, node, channel].
type Degree<'py> = (usize, PyReadonlyArray3<'py, f64>);

/// Features [point, feature], weights [point] and floor of one center species.
type Points<'py> = (PyReadonlyArray2<'py, f64>, PyReadonlyArray1<'py, f64>, f64);

/// A density expansion with its tables.
#[pyclass(frozen, module = "orbas._core")]
pub struct DensityPlan(pub expansion::DensityPlan);

#[pymethods]
impl DensityPlan {
    #[new]
    #[pyo3(signature = (*, cutoff, scaling, species, center_weight, n_nodes, channels, functions, level=None))]
    #[allow(clippy::too_many_arguments)]
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
            expansion::DensityPlan::new(&settings)
        })
        .map(Self)
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

    /// Power spectra [atom, feature].
    #[pyo3(signature = (batch, single=false))]
    fn power_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let width = invariants::PowerSpectrum::new(&self.0).width();
        self.fill(py, batch, width, single, |values, stop| {
            invariants::power_spectrum_into(&batch.0, &self.0, values, stop)
        })
    }

    /// Coefficients of degree 0 [atom, channel].
    #[pyo3(signature = (batch, single=false))]
    fn radial_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let width = self.0.max_channels(0);
        self.fill(py, batch, width, single, |values, stop| {
            invariants::radial_spectrum_into(&batch.0, &self.0, values, stop)
        })
    }

    /// Energies, forces and virials of weights [species, feature] on power spectra.
    #[pyo3(signature = (batch, weights, skin_list=None))]
    fn linear_power_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        weights: PyReadonlyArray2<'py, f64>,
        skin_list: Option<&SkinList>,
    ) -> PyResult<Energies<'py>> {
        self.linear(py, batch, &weights, skin_list, potential::LinearPowerSpectrum::new)
    }

    /// Energies, forces and virials of weights [species, channel] on coefficients of degree 0.
    #[pyo3(signature = (batch, weights, skin_list=None))]
    fn linear_radial_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        weights: PyReadonlyArray2<'py, f64>,
        skin_list: Option<&SkinList>,
    ) -> PyResult<Energies<'py>> {
        self.linear(py, batch, &weights, skin_list, potential::LinearRadialSpectrum::new)
    }

    /// Energies, forces and virials of a sparse kernel model on power spectra.
    #[pyo3(signature = (batch, points, skin_list=None))]
    fn sparse_power_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        points: &SparsePoints,
        skin_list: Option<&SkinList>,
    ) -> PyResult<Energies<'py>> {
        energies(py, &self.0, batch, skin_list, || potential::SparsePowerSpectrum::new(&self.0, &points.0))
    }

    /// Energies, forces and virials of a sparse kernel model on coefficients of degree 0.
    #[pyo3(signature = (batch, points, skin_list=None))]
    fn sparse_radial_spectrum<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        points: &SparsePoints,
        skin_list: Option<&SkinList>,
    ) -> PyResult<Energies<'py>> {
        energies(py, &self.0, batch, skin_list, || potential::SparseRadialSpectrum::new(&self.0, &points.0))
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
            .map(|a| weights[a].chunks_exact(self.0.center(a).layout.width().max(1)))
            .collect();
        let of_atom = |&a: &u32| rows.get_mut(a as usize).and_then(Iterator::next).unwrap_or_default();
        let rows = arrays::copied(species.iter().map(of_atom))?;
        energies(py, &self.0, batch, None, || potential::WeightedCoefficients::new(&self.0, &species, rows))
    }
}

/// Representative environments of a sparse kernel model, and their weights.
#[pyclass(frozen, module = "orbas._core")]
pub struct SparsePoints(potential::SparsePoints);

#[pymethods]
impl SparsePoints {
    /// Points [point, feature], weights [point] and the floor of the norm of every center species.
    #[new]
    fn new(py: Python<'_>, zeta: u32, points: Vec<Points<'_>>) -> PyResult<Self> {
        let width = points.first().map_or(0, |(features, _, _)| features.as_array().ncols());
        let copy = |(features, weights, floor): &Points<'_>| {
            Ok(potential::SpeciesPoints {
                features: arrays::copied(features.as_array().iter().copied())?,
                weights: arrays::copied(weights.as_array().iter().copied())?,
                floor: *floor,
            })
        };
        let points = points.iter().map(copy).collect::<PyResult<Vec<_>>>()?;
        detached(py, || potential::SparsePoints::new(zeta, width, &points)).map(Self)
    }
}

/// Energies [atom], forces [atom, 3] and virials [structure, 3, 3].
type Energies<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray3<f64>>);

fn energies<'py, R: expansion::Readout>(
    py: Python<'py>,
    plan: &expansion::DensityPlan,
    batch: &Batch,
    skin_list: Option<&SkinList>,
    make: impl FnOnce() -> orbas::Result<R> + Send,
) -> PyResult<Energies<'py>> {
    let result = interruptible(py, |stop| {
        let mut lists = skin_list.map(SkinList::lock);
        expansion::energies_remembering(&batch.0, plan, &make()?, lists.as_deref_mut(), stop)
    })?;
    let (n_atoms, n_frames) = (batch.0.n_atoms(), batch.0.n_frames());
    let virials = result.virials.into_flattened().into_flattened();
    Ok((
        arrays::one(py, result.atoms),
        arrays::two(py, [n_atoms, 3], result.forces.into_flattened())?,
        arrays::three(py, [n_frames, 3, 3], virials)?,
    ))
}

/// Value and derivative at radii [r, channel, 2] of functions given on nodes over [0, radius], [3, node, channel].
#[pyfunction]
pub fn interpolate<'py>(
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
    /// What a readout that is linear in features makes of weights [species, feature].
    fn linear<'py, R: expansion::Readout>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        weights: &PyReadonlyArray2<'py, f64>,
        skin_list: Option<&SkinList>,
        make: fn(&expansion::DensityPlan, &[f64]) -> orbas::Result<R>,
    ) -> PyResult<Energies<'py>> {
        let weights: Vec<f64> = arrays::copied(weights.as_array().iter().copied())?;
        energies(py, &self.0, batch, skin_list, || make(&self.0, &weights))
    }

    fn density_of<'py, T: Element>(&self, py: Python<'py>, batch: &Batch) -> PyResult<Vec<Bound<'py, PyAny>>>
    where
        for<'o> &'o mut [T]: Into<Numbers<'o>>,
    {
        let shapes = detached(py, || expansion::coefficient_shapes(&batch.0, &self.0))?;
        let arrays = (shapes.into_iter())
            .map(|shape| arrays::empty(py, shape))
            .collect::<PyResult<Vec<Bound<'py, PyArray2<T>>>>>()?;
        {
            let mut borrowed: Vec<_> = arrays.iter().map(|array| array.readwrite()).collect();
            let slices: Vec<&mut [T]> =
                borrowed.iter_mut().map(|array| array.as_slice_mut()).collect::<Result<_, _>>()?;
            let numbers: Vec<Numbers<'_>> = slices.into_iter().map(Into::into).collect();
            interruptible(py, |stop| expansion::density_coefficients_into(&batch.0, &self.0, numbers, stop))?;
        }
        Ok(arrays.into_iter().map(Bound::into_any).collect())
    }

    /// A new array [atom, width], filled by `work`.
    fn fill<'py>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        width: usize,
        single: bool,
        work: impl FnOnce(Numbers<'_>, expansion::Interrupt<'_>) -> orbas::Result<()> + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        if single {
            self.fill_with::<f32>(py, batch, width, work)
        } else {
            self.fill_with::<f64>(py, batch, width, work)
        }
    }

    fn fill_with<'py, T: Element>(
        &self,
        py: Python<'py>,
        batch: &Batch,
        width: usize,
        work: impl FnOnce(Numbers<'_>, expansion::Interrupt<'_>) -> orbas::Result<()> + Send,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        for<'o> &'o mut [T]: Into<Numbers<'o>>,
    {
        // Species are checked before memory is asked for.
        detached(py, || self.0.species_indices(&batch.0))?;
        let array: Bound<'py, PyArray2<T>> = arrays::empty(py, [batch.0.n_atoms(), width])?;
        {
            let mut borrowed = array.readwrite();
            let numbers: Numbers<'_> = borrowed.as_slice_mut()?.into();
            interruptible(py, |stop| work(numbers, stop))?;
        }
        Ok(array.into_any())
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
