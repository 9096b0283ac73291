//! Rust errors to Python's; panics to `InternalError`; signals to what Python makes of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use orbas::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    orbas,
    UnknownSpeciesError,
    PyValueError,
    "A species that the basis has no channel for.

Examples
--------
>>> import ase, orbas
>>> cutoff, basis = orbas.Cutoff(4.0), orbas.bases.GTO(2)
>>> density = orbas.DensityExpansion(cutoff=cutoff, density_width=0.5, max_angular=1, basis=basis, species=['Si'])
>>> density.transform([ase.Atoms('C')])
Traceback (most recent call last):
orbas.UnknownSpeciesError: structure 0, atom 0: species 6 is unknown; known species: [14]
"
);
create_exception!(
    orbas,
    InternalError,
    PyRuntimeError,
    "A bug in orbas: please report it. The library stays usable.

Examples
--------
Nothing should raise it; it is a RuntimeError, which a long run may catch and log.

>>> import orbas
>>> issubclass(orbas.InternalError, RuntimeError)
True
"
);

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("UnknownSpeciesError", m.py().get_type::<UnknownSpeciesError>())?;
    m.add("InternalError", m.py().get_type::<InternalError>())?;
    m.add_function(wrap_pyfunction!(_panic_for_tests, m)?)
}

/// The Python exception of an error of the core.
pub(crate) fn to_python(error: &Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::UnknownSpecies { .. } => UnknownSpeciesError::new_err(message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        Error::OutOfMemory { .. } => PyMemoryError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}

/// Runs `work` without the interpreter lock; a panic becomes an `InternalError`.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> orbas::Result<T> + Send,
) -> PyResult<T> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(work))) {
        Ok(result) => result.map_err(|error| to_python(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown panic");
            Err(InternalError::new_err(format!("internal error: {text}")))
        }
    }
}

/// How long a signal waits at least: to ask costs microseconds.
const PATIENCE: Duration = Duration::from_millis(5);

/// As [`detached`], for work that asks now and then whether it should stop: Python's signals are polled there, and the
/// exception of a signal handler is the one raised.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&mut dyn FnMut() -> bool) -> orbas::Result<T> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let mut asked = Instant::now();
    let result = detached(py, || {
        work(&mut || {
            // Between short calls the interpreter looks by itself.
            if asked.elapsed() >= PATIENCE {
                raised = Python::attach(|py| py.check_signals()).err();
                asked = Instant::now();
            }
            raised.is_some()
        })
    });
    raised.map_or(result, Err)
}

#[pyfunction]
fn _panic_for_tests(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("injected for tests"))
}
