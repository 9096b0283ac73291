//! Optimal radial bases for atom-centered density expansions.
//!
//! The modules follow the way of the data; nothing imports against it:
//!
//! ```text
//! structure -> neighbors -> angular, radial -> density -> invariants -> drive -> potential
//! ```
//!
//! | module | formula |
//! |---|---|
//! | [`structure`] | atoms, cells, batches of frames |
//! | [`neighbors`] | `r_ij = r_j - r_i + S . cell`, `|r_ij| < rc` |
//! | [`angular`] | real spherical harmonics `Y_lm` |
//! | [`radial`] | `f(r) = f_cut(r) u(r)` and the tabulated radial integrals `I_nl(r)` (Eq. 5, 9, 18) |
//! | [`density`] | `c_qlm = sum_j f(r_ij) I_ql(r_ij) Y_lm(r_ij)` (Eq. 4, 8, 18) |
//! | [`invariants`] | radial spectrum, power spectrum (Eq. 10), the body-order iteration (Eq. 11-16), kernels on these |
//! | [`drive`] | values, energies, rows and gradients of all centers of a batch |
//! | [`potential`] | error bars of fitted models |
//!
//! # Example
//!
//! Features of a molecule, and an energy linear in them with its forces. A fit hands over tables of radial functions; here
//! one Gaussian for every degree stands in for them.
//!
//! ```
//! use orbas::density::{DegreeData, DensityPlan, PlanSettings};
//! use orbas::drive::{Numbers, Run, energies, values};
//! use orbas::invariants::{Invariant, PowerSpectrum};
//! use orbas::radial::{Cutoff, RadialWeight, Smoothing};
//! use orbas::simd::Level;
//! use orbas::structure::Batch;
//!
//! # fn main() -> orbas::Result<()> {
//! let positions = vec![[0.0, 0.0, 0.12], [0.0, 0.76, -0.47], [0.0, -0.76, -0.47]];
//! let water = Batch::new(positions, vec![8, 1, 1], vec![0, 3], vec![[[0.0; 3]; 3]], &[[false; 3]])?;
//!
//! let (radius, n_nodes) = (4.0, 64);
//! let radii = || (0..n_nodes).map(|k| radius * k as f64 / (n_nodes - 1) as f64);
//! // Value, first and second derivative at the nodes.
//! let data = radii()
//!     .map(|r| (-r * r).exp())
//!     .chain(radii().map(|r| -2.0 * r * (-r * r).exp()))
//!     .chain(radii().map(|r| (4.0 * r * r - 2.0) * (-r * r).exp()))
//!     .collect();
//! let functions = vec![vec![DegreeData { channel: 0, count: 1, data }; 3]; 2];
//! let cutoff = Cutoff::new(radius, 0.5, Smoothing::Quintic)?;
//! let plan = DensityPlan::new(&PlanSettings {
//!     weight: RadialWeight { cutoff, scaling: None },
//!     species: vec![1, 8],
//!     center_weight: 1.0,
//!     n_nodes,
//!     channels: vec![vec![1; 3]],
//!     functions: vec![functions],
//!     level: Level::detect(),
//! })?;
//!
//! let spectrum = PowerSpectrum::new(&plan);
//! let mut features = vec![0.0; 3 * spectrum.width()];
//! values(&water, &plan, &spectrum, Numbers::from(&mut features), Run::default())?;
//! assert_eq!(features.len(), 3 * 3); // one product of each degree
//!
//! let weights = [1.0, -2.0, 0.5, 0.3, 0.2, 0.1]; // [species, feature]
//! let energy = spectrum.linear(&weights).expect("a linear energy")?;
//! let found = energies(&water, &plan, &*energy, Run::default())?;
//! let sum: f64 = found.forces.iter().map(|force| force[2]).sum();
//! assert!(sum.abs() < 1e-12);
//! # Ok(())
//! # }
//! ```
//!
//! Equation numbers are those of Goscinski et al., J. Chem. Phys. 155, 104106 (2021). The crate knows no Python,
//! reads no files and prints nothing; lengths are Å.

pub mod angular;
pub mod density;
pub mod drive;
pub mod error;
pub mod fork;
pub mod invariants;
pub mod math;
pub mod memory;
pub mod neighbors;
pub mod parallel;
pub mod potential;
pub mod radial;
pub mod simd;
pub mod structure;

pub use error::{Error, Result};
