//! Derivatives of features as arrays: rows of one structure, gradients of every center.

use numpy::{PyArray1, PyArray3, PyArrayMethods};
use orbas::expansion::{self, GradientArrays, Interrupt};
use orbas::invariants;
use orbas::memory::Grow;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::{detached, interruptible, to_python};
use crate::plan::DensityPlan;
use crate::structures::Batch;

/// Whose derivatives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Features {
    Density,
    PowerSpectrum,
    RadialSpectrum,
}

impl Features {
    fn parse(name: &str) -> PyResult<Self> {
        match name {
            "density" => Ok(Self::Density),
            "power_spectrum" => Ok(Self::PowerSpectrum),
            "radial_spectrum" => Ok(Self::RadialSpectrum),
            other => Err(PyValueError::new_err(format!("unknown features {other:?}"))),
        }
    }

    /// Number of features of a center of a species.
    fn width(self, plan: &expansion::DensityPlan, species: usize) -> usize {
        match self {
            Self::Density => plan.center(species).layout.width(),
            Self::PowerSpectrum => invariants::PowerSpectrum::new(plan).width(),
            Self::RadialSpectrum => plan.max_channels(0),
        }
    }
}

/// Raises `UnknownSpeciesError` for a species without channels.
#[pyfunction]
pub fn check_species(py: Python<'_>, plan: &DensityPlan, batch: &Batch) -> PyResult<()> {
    detached(py, || plan.0.species_indices(&batch.0)).map(|_| ())
}

/// Derivatives by positions [atom, 3, column] and by strain [3, 3, column].
type Rows<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray3<f64>>);

/// Derivatives of the summed features of one structure: by positions [atom, 3, column], by strain [3, 3, column].
#[pyfunction]
pub fn jacobian_rows<'py>(
    py: Python<'py>,
    plan: &DensityPlan,
    batch: &Batch,
    structure: usize,
    features: &str,
) -> PyResult<Rows<'py>> {
    let features = Features::parse(features)?;
    let (plan, batch) = (&plan.0, &batch.0);
    if structure >= batch.n_frames() {
        return Err(PyValueError::new_err(format!(
            "no structure {structure}: there are {}",
            batch.n_frames()
        )));
    }
    let n_atoms = batch.atoms_of(structure).len();
    let n_columns = (0..plan.species().len()).map(|a| features.width(plan, a)).sum();
    detached(py, || plan.species_among(batch, batch.atoms_of(structure)))?;
    let rows: Bound<'_, PyArray3<f64>> = arrays::zeros(py, [n_atoms, 3, n_columns])?;
    let strain: Bound<'_, PyArray3<f64>> = arrays::zeros(py, [3, 3, n_columns])?;
    {
        let (mut rows, mut strain) = (rows.readwrite(), strain.readwrite());
        let (rows, strain) = (rows.as_slice_mut()?, strain.as_slice_mut()?);
        let work = match features {
            Features::Density => expansion::coefficient_rows,
            Features::PowerSpectrum => invariants::power_spectrum_rows,
            Features::RadialSpectrum => invariants::radial_spectrum_rows,
        };
        interruptible(py, |stop| work(batch, structure, plan, rows, strain, stop))?;
    }
    Ok((rows, strain))
}

/// Values [pair, 3, feature], offsets [center + 1] and neighbors [pair].
type Gradients<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

/// Gradients of the features of every center; of densities one set per center species, else one set.
#[pyfunction]
pub fn gradients<'py>(
    py: Python<'py>,
    plan: &DensityPlan,
    batch: &Batch,
    features: &str,
) -> PyResult<Vec<Gradients<'py>>> {
    let features = Features::parse(features)?;
    let (plan, batch) = (&plan.0, &batch.0);
    let species = detached(py, || plan.species_indices(batch))?;
    let counts = interruptible(py, |stop| expansion::count_gradients(batch, plan, stop))?;
    let n_sets = if features == Features::Density { plan.species().len() } else { 1 };
    let mut offsets = vec![vec![0i64]; n_sets];
    for (&a, &n) in species.iter().zip(&counts) {
        let offsets = &mut offsets[if n_sets == 1 { 0 } else { a as usize }];
        let end = offsets[offsets.len() - 1] + n as i64;
        offsets.try_extend([end]).map_err(|error| to_python(&error))?;
    }
    let n_pairs: Vec<usize> = offsets.iter().map(|o| o[o.len() - 1] as usize).collect();
    let values = (n_pairs.iter().enumerate())
        .map(|(a, &n)| arrays::zeros(py, [n, 3, features.width(plan, a)]))
        .collect::<PyResult<Vec<Bound<'_, PyArray3<f64>>>>>()?;
    let mut neighbors = n_pairs.iter().map(|&n| arrays::zeroed(n)).collect::<PyResult<Vec<Vec<i64>>>>()?;
    {
        let mut borrowed: Vec<_> = values.iter().map(|array| array.readwrite()).collect();
        let mut sets = Vec::new();
        for (values, neighbors) in borrowed.iter_mut().zip(&mut neighbors) {
            sets.push(GradientArrays { values: values.as_slice_mut()?, neighbors });
        }
        interruptible(py, |stop| fill(features, plan, batch, &counts, sets, stop))?;
    }
    let offsets = offsets.into_iter().map(|o| arrays::one(py, o));
    let neighbors = neighbors.into_iter().map(|n| arrays::one(py, n));
    Ok(values.into_iter().zip(offsets).zip(neighbors).map(|((v, o), n)| (v, o, n)).collect())
}

/// Derivatives of invariant features of every center by the strain [atom, 6, feature], Voigt order.
#[pyfunction]
pub fn strain_gradients<'py>(
    py: Python<'py>,
    plan: &DensityPlan,
    batch: &Batch,
    features: &str,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let features = Features::parse(features)?;
    let work = match features {
        Features::PowerSpectrum => invariants::power_spectrum_strain_into,
        Features::RadialSpectrum => invariants::radial_spectrum_strain_into,
        Features::Density => return Err(PyValueError::new_err("densities are not invariant")),
    };
    let (plan, batch) = (&plan.0, &batch.0);
    detached(py, || plan.species_indices(batch))?;
    let values: Bound<'_, PyArray3<f64>> = arrays::zeros(py, [batch.n_atoms(), 6, features.width(plan, 0)])?;
    {
        let mut borrowed = values.readwrite();
        let slice = borrowed.as_slice_mut()?;
        interruptible(py, |stop| work(batch, plan, slice, stop))?;
    }
    Ok(values)
}

fn fill(
    features: Features,
    plan: &expansion::DensityPlan,
    batch: &orbas::structure::Batch,
    counts: &[usize],
    mut sets: Vec<GradientArrays<'_>>,
    stop: Interrupt<'_>,
) -> orbas::Result<()> {
    match features {
        Features::Density => expansion::coefficient_gradients_into(batch, plan, counts, sets, stop),
        Features::PowerSpectrum => {
            let set = sets.pop().unwrap_or_default();
            invariants::power_spectrum_gradients_into(batch, plan, counts, set, stop)
        }
        Features::RadialSpectrum => {
            let set = sets.pop().unwrap_or_default();
            invariants::radial_spectrum_gradients_into(batch, plan, counts, set, stop)
        }
    }
}
