//! Atoms, cells and batches of frames; everything is checked here, once.

mod batch;
mod cell;

pub use batch::{Batch, Frame};
pub use cell::PeriodicCell;
pub(crate) use cell::dot;

/// A vector in Å.
pub type Vector = [f64; 3];
/// Rows are vectors.
pub type Matrix = [[f64; 3]; 3];
