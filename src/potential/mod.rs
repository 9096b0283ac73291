//! Fitted models: what of them is more than an energy.

mod uncertainty;

pub use uncertainty::LinearUncertainty;
