//! The iteration of equivariants: checked settings, and what is made with them from density coefficients.

use std::sync::Arc;

use numpy::{Element, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use orbas::drive::{self, Numbers, Run};
use orbas::invariants::Iteration;
use orbas::invariants::iteration::{
    Blocks, CouplingSettings, InvariantsSettings, OutputSettings, Plan, PlanSettings, ProjectionSettings,
    StepSettings, Symmetry,
};
use orbas::math::clebsch_gordan::{ClebschGordan, MAX_DEGREE};
use orbas::simd::Level;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::errors::{detached, interruptible};

/// (lambda, sigma)
type Key = (usize, i32);
/// Density degree, symmetry of the second factor, pairs [pair, 2], their factors, number of pairs before the self pairs.
type Coupling<'py> = (usize, Key, PyReadonlyArray2<'py, u32>, PyReadonlyArray1<'py, f64>, usize);
/// Matrix [row, component], and lower orders with theirs [lower component, component].
type Projection<'py> = (PyReadonlyArray2<'py, f64>, Vec<(usize, PyReadonlyArray2<'py, f64>)>);
type Output<'py> = (Key, Option<Projection<'py>>);
/// Pairs [pair, 3], their factors, their projection.
type Invariants<'py> = (PyReadonlyArray2<'py, u32>, PyReadonlyArray1<'py, f64>, Option<Projection<'py>>);
type Step<'py> = (Vec<Coupling<'py>>, Vec<Output<'py>>, Option<Invariants<'py>>);

/// An iteration of equivariants.
#[pyclass(frozen, module = "orbas._core")]
pub struct EquivariantPlan(pub Arc<Plan>);

#[pymethods]
impl EquivariantPlan {
    #[new]
    fn new(py: Python<'_>, channels: Vec<usize>, steps: Vec<Step<'_>>) -> PyResult<Self> {
        let steps = steps.into_iter().map(step).collect::<PyResult<_>>()?;
        let settings = PlanSettings { channels, steps, level: Level::detect() };
        detached(py, || Plan::new(&settings)).map(|plan| Self(Arc::new(plan)))
    }

    /// (lambda, sigma, channels) of every block of an order.
    fn blocks(&self, nu: usize) -> Vec<(usize, i32, usize)> {
        let blocks = if (1..=self.0.max_order()).contains(&nu) { self.0.blocks(nu) } else { Vec::new() };
        blocks.into_iter().map(|(s, q)| (s.lambda, if s.even { 1 } else { -1 }, q)).collect()
    }

    /// Number of invariants of every order from 1 on.
    fn n_invariants(&self) -> Vec<usize> {
        (1..=self.0.max_order()).map(|nu| self.0.n_invariants(nu)).collect()
    }

    /// Invariants [environment, feature] of density coefficients [environment, width], computed in single precision if
    /// asked for.
    #[pyo3(signature = (density, single=false))]
    fn invariants<'py>(
        &self,
        py: Python<'py>,
        density: PyReadonlyArray2<'py, f64>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let density = arrays::contiguous("density", &density)?;
        if single {
            self.invariants_of::<f32>(py, density, true)
        } else {
            self.invariants_of::<f64>(py, density, false)
        }
    }

    /// Some blocks, given as (order, place in `blocks`), each [environment, m, channel].
    fn equivariants<'py>(
        &self,
        py: Python<'py>,
        density: PyReadonlyArray2<'py, f64>,
        wanted: Vec<(usize, usize)>,
    ) -> PyResult<Vec<Bound<'py, PyArray3<f64>>>> {
        let density = arrays::contiguous("density", &density)?;
        let n = density.len() / self.0.density_width().max(1);
        let mut shapes = Vec::new();
        for &(nu, place) in &wanted {
            let known = self.blocks(nu);
            let Some(&(lambda, _, channels)) = known.get(place) else {
                return Err(PyValueError::new_err(format!("there is no block {place} of order {nu}")));
            };
            shapes.push([n, 2 * lambda + 1, channels]);
        }
        // One array for all blocks: a large one gets huge pages, which are touched five times faster.
        let sizes: Vec<usize> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let flat: Bound<'py, PyArray1<f64>> = arrays::zeros(py, [sizes.iter().sum()])?;
        {
            let mut borrowed = flat.readwrite();
            let mut rest = borrowed.as_slice_mut()?;
            let mut slices = Vec::new();
            for &size in &sizes {
                let (own, others) = rest.split_at_mut(size);
                slices.push(own);
                rest = others;
            }
            interruptible(py, |stop| {
                drive::equivariants_of(&Blocks::new(&self.0, wanted)?, density, slices, Run::until(stop))
            })?;
        }
        let mut start = 0;
        let views = shapes.into_iter().zip(sizes).map(|(shape, size)| {
            start += size;
            arrays::view(&flat, start - size, shape)
        });
        views.collect()
    }
}

impl EquivariantPlan {
    fn invariants_of<'py, T: Element>(
        &self,
        py: Python<'py>,
        density: &[f64],
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        for<'o> &'o mut [T]: Into<Numbers<'o>>,
    {
        let n = density.len() / self.0.density_width().max(1);
        let array: Bound<'py, PyArray2<T>> = arrays::zeros(py, [n, self.0.n_features()])?;
        {
            let mut borrowed = array.readwrite();
            let numbers: Numbers<'_> = borrowed.as_slice_mut()?.into();
            interruptible(py, |stop| {
                let iteration = Iteration::of_plan(&self.0, single)?;
                drive::values_of(self.0.channels(), density, &iteration, numbers, Run::until(stop))
            })?;
        }
        Ok(array.into_any())
    }
}

/// Real Clebsch-Gordan coefficients [2 l1 + 1, 2 l2 + 1, 2 lambda + 1].
#[pyfunction]
pub(crate) fn clebsch_gordan(
    py: Python<'_>,
    l1: usize,
    l2: usize,
    o3_lambda: usize,
) -> PyResult<Bound<'_, PyArray3<f64>>> {
    let most = l1.max(l2).max(o3_lambda);
    if most > MAX_DEGREE {
        return Err(PyValueError::new_err(format!("degrees must be at most {MAX_DEGREE}, got {most}")));
    }
    let shape = [2 * l1 + 1, 2 * l2 + 1, 2 * o3_lambda + 1];
    let mut table = arrays::zeroed(shape.iter().product())?;
    for c in ClebschGordan::new(most).real(l1, l2, o3_lambda) {
        table[(c.m1 * shape[1] + c.m2) * shape[2] + c.mu] = c.value;
    }
    arrays::three(py, shape, table)
}

fn symmetry((lambda, sigma): Key) -> PyResult<Symmetry> {
    match sigma {
        1 | -1 => Ok(Symmetry { lambda, even: sigma == 1 }),
        _ => Err(PyValueError::new_err(format!("sigma must be 1 or -1, got {sigma}"))),
    }
}

fn projection((matrix, lower): Projection<'_>) -> PyResult<ProjectionSettings> {
    let flat = |array: &PyReadonlyArray2<'_, f64>| arrays::copied(array.as_array().iter().copied());
    let purification = lower.iter().map(|(order, array)| Ok((*order, flat(array)?)));
    Ok(ProjectionSettings {
        width: matrix.as_array().ncols(),
        matrix: flat(&matrix)?,
        purification: purification.collect::<PyResult<_>>()?,
    })
}

fn rows<const N: usize>(array: &PyReadonlyArray2<'_, u32>) -> PyResult<Vec<[u32; N]>> {
    let view = array.as_array();
    if view.ncols() != N {
        return Err(PyValueError::new_err(format!(
            "pairs must have the shape [n, {N}], got {:?}",
            view.shape()
        )));
    }
    arrays::copied(view.rows().into_iter().map(|row| std::array::from_fn(|k| row[k])))
}

fn step((couplings, outputs, invariants): Step<'_>) -> PyResult<StepSettings> {
    let coupling = |(l, second, pairs, factors, distinct): Coupling<'_>| {
        let (second, pairs) = (symmetry(second)?, rows(&pairs)?);
        let factors = arrays::copied(factors.as_array().iter().copied())?;
        Ok(CouplingSettings { l, second, pairs, factors, distinct })
    };
    let output = |(key, given): Output<'_>| {
        Ok(OutputSettings { symmetry: symmetry(key)?, projection: given.map(projection).transpose()? })
    };
    let made = |(pairs, factors, given): Invariants<'_>| {
        let factors = arrays::copied(factors.as_array().iter().copied())?;
        Ok::<_, PyErr>(InvariantsSettings {
            pairs: rows(&pairs)?,
            factors,
            projection: given.map(projection).transpose()?,
        })
    };
    Ok(StepSettings {
        couplings: couplings.into_iter().map(coupling).collect::<PyResult<_>>()?,
        outputs: outputs.into_iter().map(output).collect::<PyResult<_>>()?,
        invariants: invariants.map(made).transpose()?,
    })
}
