//! Python bindings of orbas. Every function converts, checks, detaches from the interpreter, calls, converts.

#![expect(
    missing_debug_implementations,
    reason = "classes of the interpreter have their own ways to show themselves"
)]
#![expect(clippy::needless_pass_by_value, reason = "arguments arrive by value from the interpreter")]
#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "closures over its handles spell out their lifetimes"
)]

mod angular;
mod arrays;
mod equivariants;
mod errors;
mod invariants;
mod neighbors;
mod parallel;
mod plan;
mod structures;

use orbas::simd::Level;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// The compiled core of orbas; use it through the `orbas` package.
#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    if Level::available().is_empty() {
        let text = "this build of orbas has only instructions of another processor: build it on this machine, or with \
                    ORBAS_LEVELS=all";
        return Err(PyImportError::new_err(text));
    }
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(m)?;
    parallel::register(m)?;
    m.add_class::<structures::Batch>()?;
    m.add_class::<plan::DensityPlan>()?;
    m.add_class::<invariants::Invariant>()?;
    m.add_class::<invariants::Energy>()?;
    m.add_class::<neighbors::SkinList>()?;
    m.add_function(wrap_pyfunction!(neighbors::neighbor_list, m)?)?;
    m.add_function(wrap_pyfunction!(neighbors::brute_force_neighbor_list, m)?)?;
    m.add_function(wrap_pyfunction!(plan::interpolate, m)?)?;
    m.add_function(wrap_pyfunction!(plan::check_species, m)?)?;
    m.add_function(wrap_pyfunction!(invariants::values, m)?)?;
    m.add_function(wrap_pyfunction!(invariants::energies, m)?)?;
    m.add_function(wrap_pyfunction!(invariants::rows, m)?)?;
    m.add_function(wrap_pyfunction!(invariants::gradients, m)?)?;
    m.add_function(wrap_pyfunction!(invariants::strain_gradients, m)?)?;
    m.add_class::<equivariants::EquivariantPlan>()?;
    m.add_function(wrap_pyfunction!(equivariants::clebsch_gordan, m)?)?;
    m.add_function(wrap_pyfunction!(angular::spherical_harmonics, m)?)?;
    Ok(())
}
