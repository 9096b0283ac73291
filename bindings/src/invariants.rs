//! Invariants and energies of a density, and the verbs: values, energies, rows, gradients.

use std::sync::Arc;

use numpy::{Element, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use orbas::density::DensityPlan as Plan;
use orbas::drive::{self, GradientArrays, Numbers, Run};
use orbas::invariants::iteration::IterationKind;
use orbas::invariants::{self, Iteration, Kernel, SelectedPowerSpectrum, SparseKernel, SpeciesPoints};
use orbas::memory::Grow;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::equivariants::EquivariantPlan;
use crate::errors::{detached, interruptible, to_python};
use crate::neighbors::SkinList;
use crate::plan::DensityPlan;
use crate::structures::Batch;

/// Features of every center, as a function of its density.
#[pyclass(frozen, module = "orbas._core")]
pub struct Invariant {
    plan: Arc<Plan>,
    invariant: Arc<dyn invariants::Invariant>,
}

impl Invariant {
    fn on(plan: &DensityPlan, invariant: impl invariants::Invariant + 'static) -> Self {
        Self { plan: Arc::clone(&plan.0), invariant: Arc::new(invariant) }
    }
}

#[pymethods]
impl Invariant {
    /// The packed coefficients.
    #[staticmethod]
    fn coefficients(plan: &DensityPlan) -> Self {
        Self::on(plan, invariants::Coefficients::new(&plan.0))
    }

    /// Coefficients of degree 0.
    #[staticmethod]
    fn radial_spectrum(plan: &DensityPlan) -> Self {
        Self::on(plan, invariants::RadialSpectrum::new(&plan.0))
    }

    /// Power spectra.
    #[staticmethod]
    fn power_spectrum(plan: &DensityPlan) -> Self {
        Self::on(plan, invariants::PowerSpectrum::new(&plan.0))
    }

    /// Some features of power spectra.
    #[staticmethod]
    fn selected_power_spectrum(py: Python<'_>, plan: &DensityPlan, columns: Vec<usize>) -> PyResult<Self> {
        Ok(Self::on(plan, detached(py, || SelectedPowerSpectrum::new(&plan.0, &columns))?))
    }

    /// Iterations of all center species, or of each, with the first feature of every order among `width`.
    #[staticmethod]
    #[pyo3(signature = (plan, kinds, width, single=false))]
    fn iteration(
        py: Python<'_>,
        plan: &DensityPlan,
        kinds: Vec<(PyRef<'_, EquivariantPlan>, Vec<Option<usize>>)>,
        width: usize,
        single: bool,
    ) -> PyResult<Self> {
        let kind = |(plan, starts): (PyRef<'_, EquivariantPlan>, _)| IterationKind {
            plan: Arc::clone(&plan.0),
            starts,
        };
        let kinds = kinds.into_iter().map(kind).collect();
        let made = detached(py, || {
            let iteration = Iteration::new(kinds, plan.0.species().len(), width, single)?;
            iteration.check(&plan.0)?;
            Ok(iteration)
        });
        Ok(Self::on(plan, made?))
    }

    /// Kernels `(x . x_m / n)^zeta` with points [point, feature] and the floor of the norm of every center species.
    #[staticmethod]
    fn kernel(
        py: Python<'_>,
        inner: &Invariant,
        zeta: u32,
        points: Vec<(PyReadonlyArray2<'_, f64>, f64)>,
    ) -> PyResult<Self> {
        let copy = |(features, floor): &(PyReadonlyArray2<'_, f64>, f64)| {
            Ok(SpeciesPoints { features: flat(features)?, floor: *floor, ..SpeciesPoints::default() })
        };
        let points = points.iter().map(copy).collect::<PyResult<Vec<_>>>()?;
        let make = || Kernel::new(&inner.plan, Arc::clone(&inner.invariant), zeta, &points);
        let invariant = detached(py, make)?;
        Ok(Self { plan: Arc::clone(&inner.plan), invariant: Arc::new(invariant) })
    }

    /// Number of features of every center species.
    #[getter]
    fn widths(&self) -> Vec<usize> {
        (0..self.plan.species().len()).map(|a| self.invariant.width(a)).collect()
    }
}

/// An energy of every center, as a function of its density.
#[pyclass(frozen, module = "orbas._core")]
pub struct Energy {
    plan: Arc<Plan>,
    energy: Arc<dyn invariants::Energy>,
}

#[pymethods]
impl Energy {
    /// Of weights [species, feature].
    #[staticmethod]
    fn linear(py: Python<'_>, invariant: &Invariant, weights: PyReadonlyArray2<'_, f64>) -> PyResult<Self> {
        let weights = flat(&weights)?;
        let energy = detached(py, || invariant.invariant.linear(&weights).transpose())?;
        let none = || PyValueError::new_err("there is no energy linear in these features");
        Ok(Self { plan: Arc::clone(&invariant.plan), energy: energy.ok_or_else(none)? })
    }

    /// Of a sparse kernel model: points [point, feature], weights `[point]` and the floor of the norm of every species.
    #[staticmethod]
    fn sparse(
        py: Python<'_>,
        invariant: &Invariant,
        zeta: u32,
        points: Vec<(PyReadonlyArray2<'_, f64>, PyReadonlyArray1<'_, f64>, f64)>,
    ) -> PyResult<Self> {
        let Some(inner) = Arc::clone(&invariant.invariant).reversible() else {
            return Err(PyValueError::new_err("there are no kernel energies on these features"));
        };
        let copy =
            |(features, weights, floor): &(PyReadonlyArray2<'_, f64>, PyReadonlyArray1<'_, f64>, f64)| {
                let weights = arrays::copied(weights.as_array().iter().copied())?;
                Ok(SpeciesPoints { features: flat(features)?, weights, floor: *floor })
            };
        let points = points.iter().map(copy).collect::<PyResult<Vec<_>>>()?;
        let energy = detached(py, || SparseKernel::new(&invariant.plan, inner, zeta, &points))?;
        Ok(Self { plan: Arc::clone(&invariant.plan), energy: Arc::new(energy) })
    }
}

fn flat(array: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<f64>> {
    arrays::copied(array.as_array().iter().copied())
}

/// Features [atom, feature].
#[pyfunction]
#[pyo3(signature = (invariant, batch, single=false))]
pub(crate) fn values<'py>(
    py: Python<'py>,
    invariant: &Invariant,
    batch: &Batch,
    single: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if single { fill::<f32>(py, invariant, batch) } else { fill::<f64>(py, invariant, batch) }
}

fn fill<'py, T: Element>(py: Python<'py>, of: &Invariant, batch: &Batch) -> PyResult<Bound<'py, PyAny>>
where
    for<'o> &'o mut [T]: Into<Numbers<'o>>,
{
    let (batch, plan, invariant) = (&batch.0, &*of.plan, &*of.invariant);
    same_width(of)?;
    // Species are checked before memory is asked for.
    detached(py, || plan.species_indices(batch))?;
    let array: Bound<'py, PyArray2<T>> = arrays::empty(py, [batch.n_atoms(), invariant.width(0)])?;
    {
        let mut borrowed = array.readwrite();
        let numbers: Numbers<'_> = borrowed.as_slice_mut()?.into();
        interruptible(py, |stop| drive::values(batch, plan, invariant, numbers, Run::until(stop)))?;
    }
    Ok(array.into_any())
}

/// One array holds all centers only where they have as many features.
fn same_width(of: &Invariant) -> PyResult<()> {
    if of.widths().iter().all(|&width| width == of.invariant.width(0)) {
        return Ok(());
    }
    Err(PyValueError::new_err("center species have different numbers of features"))
}

/// Energies `[atom]`, forces [atom, 3] and virials [structure, 3, 3].
pub(crate) type Energies<'py> =
    (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray3<f64>>);

/// Energies, forces and virials.
#[pyfunction]
#[pyo3(signature = (energy, batch, skin_list=None))]
pub(crate) fn energies<'py>(
    py: Python<'py>,
    energy: &Energy,
    batch: &Batch,
    skin_list: Option<&SkinList>,
) -> PyResult<Energies<'py>> {
    energies_of(py, &energy.plan, batch, skin_list, || Ok(&*energy.energy))
}

/// [`energies`] of an energy that is made without the interpreter lock.
pub(crate) fn energies_of<'py, E: invariants::Energy>(
    py: Python<'py>,
    plan: &Plan,
    batch: &Batch,
    skin_list: Option<&SkinList>,
    make: impl FnOnce() -> orbas::Result<E> + Send,
) -> PyResult<Energies<'py>> {
    let result = interruptible(py, |stop| {
        let mut lists = skin_list.map(SkinList::lock);
        let run = Run { interrupt: Some(stop), skin: lists.as_deref_mut() };
        drive::energies(&batch.0, plan, &make()?, run)
    })?;
    let (n_atoms, n_frames) = (batch.0.n_atoms(), batch.0.n_frames());
    let virials = result.virials.into_flattened().into_flattened();
    Ok((
        arrays::one(py, result.atoms),
        arrays::two(py, [n_atoms, 3], result.forces.into_flattened())?,
        arrays::three(py, [n_frames, 3, 3], virials)?,
    ))
}

/// Derivatives by positions [atom, 3, column] and by strain [3, 3, column].
type Rows<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray3<f64>>);

/// Derivatives of the summed features of one structure: by positions [atom, 3, column], by strain [3, 3, column].
#[pyfunction]
pub(crate) fn rows<'py>(
    py: Python<'py>,
    invariant: &Invariant,
    batch: &Batch,
    structure: usize,
) -> PyResult<Rows<'py>> {
    let (plan, invariant, batch) = (&*invariant.plan, &*invariant.invariant, &batch.0);
    if structure >= batch.n_frames() {
        return Err(PyValueError::new_err(format!(
            "no structure {structure}: there are {}",
            batch.n_frames()
        )));
    }
    let n_atoms = batch.atoms_of(structure).len();
    let n_columns = drive::row_width(invariant, plan);
    detached(py, || plan.species_among(batch, batch.atoms_of(structure)))?;
    let rows: Bound<'py, PyArray3<f64>> = arrays::empty(py, [n_atoms, 3, n_columns])?;
    let strain: Bound<'py, PyArray3<f64>> = arrays::zeros(py, [3, 3, n_columns])?;
    {
        let (mut rows, mut strain) = (rows.readwrite(), strain.readwrite());
        let (rows, strain) = (rows.as_slice_mut()?, strain.as_slice_mut()?);
        interruptible(py, |stop| {
            drive::rows(batch, structure, plan, invariant, rows, strain, Run::until(stop))
        })?;
    }
    Ok((rows, strain))
}

/// Values [pair, 3, feature], offsets [center + 1] and neighbors `[pair]`.
type Gradients<'py> = (Bound<'py, PyArray3<f64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);

/// Gradients of the features of every center; of coefficients one set per center species, else one set.
#[pyfunction]
pub(crate) fn gradients<'py>(
    py: Python<'py>,
    invariant: &Invariant,
    batch: &Batch,
) -> PyResult<Vec<Gradients<'py>>> {
    let (plan, invariant, batch) = (&*invariant.plan, &*invariant.invariant, &batch.0);
    let species = detached(py, || plan.species_indices(batch))?;
    let counts = interruptible(py, |stop| drive::count_gradients(batch, plan, Run::until(stop)))?;
    let n_sets = if invariant.is_invariant() { 1 } else { plan.species().len() };
    let mut offsets = vec![vec![0i64]; n_sets];
    for (&a, &n) in species.iter().zip(&counts) {
        let offsets = &mut offsets[if n_sets == 1 { 0 } else { a as usize }];
        let end = offsets[offsets.len() - 1] + n as i64;
        offsets.try_extend([end]).map_err(|error| to_python(&error))?;
    }
    let n_pairs: Vec<usize> = offsets.iter().map(|o| o[o.len() - 1] as usize).collect();
    let values = (n_pairs.iter().enumerate())
        .map(|(a, &n)| arrays::zeros(py, [n, 3, invariant.width(a)]))
        .collect::<PyResult<Vec<Bound<'_, PyArray3<f64>>>>>()?;
    let mut neighbors = n_pairs.iter().map(|&n| arrays::zeroed(n)).collect::<PyResult<Vec<Vec<i64>>>>()?;
    {
        let mut borrowed: Vec<_> = values.iter().map(|array| array.readwrite()).collect();
        let mut sets = Vec::new();
        for (values, neighbors) in borrowed.iter_mut().zip(&mut neighbors) {
            sets.push(GradientArrays { values: values.as_slice_mut()?, neighbors });
        }
        interruptible(py, |stop| drive::gradients(batch, plan, invariant, &counts, sets, Run::until(stop)))?;
    }
    let offsets = offsets.into_iter().map(|o| arrays::one(py, o));
    let neighbors = neighbors.into_iter().map(|n| arrays::one(py, n));
    Ok(values.into_iter().zip(offsets).zip(neighbors).map(|((v, o), n)| (v, o, n)).collect())
}

/// Derivatives of the features of every center by the strain [atom, 6, feature], Voigt order.
#[pyfunction]
pub(crate) fn strain_gradients<'py>(
    py: Python<'py>,
    invariant: &Invariant,
    batch: &Batch,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    same_width(invariant)?;
    let (plan, invariant, batch) = (&*invariant.plan, &*invariant.invariant, &batch.0);
    if !invariant.is_invariant() {
        return Err(PyValueError::new_err("densities are not invariant"));
    }
    detached(py, || plan.species_indices(batch))?;
    let values: Bound<'_, PyArray3<f64>> = arrays::zeros(py, [batch.n_atoms(), 6, invariant.width(0)])?;
    {
        let mut borrowed = values.readwrite();
        let slice = borrowed.as_slice_mut()?;
        interruptible(py, |stop| drive::strain_gradients(batch, plan, invariant, slice, Run::until(stop)))?;
    }
    Ok(values)
}
