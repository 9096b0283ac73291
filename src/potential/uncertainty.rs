//! Error bars of linear models: the standard deviation of an energy under the posterior of the weights.
//!
//! With `w ~ N(w_0, noise D D^T)` the energy `sum_i w . x_i` of a structure has the variance
//! `noise |D^T sum_i x_i|^2`; features of center species a stand in the columns of a.

use crate::density::DensityPlan;
use crate::drive::{Interrupt, Numbers, Run, values};
use crate::error::{Error, Result};
use crate::invariants::PowerSpectrum;
use crate::memory::{all_of, filled};
use crate::structure::Batch;

/// The posterior of the weights of a model that is linear in power spectra.
#[derive(Debug, Clone)]
pub struct LinearUncertainty {
    /// The columns of D, one after the other. [k, species, feature]
    directions: Vec<f64>,
    /// Number of species times features.
    width: usize,
    noise: f64,
}

impl LinearUncertainty {
    /// From columns of D [k, species, feature], features ordered as by [`values`], and the noise, a
    /// variance.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if D has not whole columns, a number is not finite or the noise is negative.
    pub fn new(plan: &DensityPlan, directions: Vec<f64>, noise: f64) -> Result<Self> {
        let width = plan.species().len() * PowerSpectrum::new(plan).width();
        let finite = directions.iter().all(|x| x.is_finite());
        if directions.len().is_multiple_of(width) && finite && noise.is_finite() && noise >= 0.0 {
            return Ok(Self { directions, width, noise });
        }
        Err(Error::BadParameter {
            name: "directions",
            requirement: "finite, a whole number of columns, with a noise that is not negative",
            value: format!("{} numbers for columns of {width}, noise {noise}", directions.len()),
        })
    }

    /// Standard deviations of the energies. `[structure]`
    ///
    /// # Errors
    /// As [`values`].
    pub fn deviations(
        &self,
        batch: &Batch,
        plan: &DensityPlan,
        interrupt: Interrupt<'_>,
    ) -> Result<Vec<f64>> {
        let spectrum = PowerSpectrum::new(plan);
        let n_features = spectrum.width();
        let species = plan.species_indices(batch)?;
        let mut features = filled(batch.n_atoms() * n_features, 0.0)?;
        values(batch, plan, &spectrum, Numbers::from(&mut features), Run::until(interrupt))?;
        let of_structure = |structure| {
            let mut summed = filled(self.width, 0.0)?;
            for atom in batch.atoms_of(structure) {
                let row = &features[atom * n_features..(atom + 1) * n_features];
                let to = &mut summed[species[atom] as usize * n_features..];
                to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
            }
            let project = |column: &[f64]| column.iter().zip(&summed).map(|(d, x)| d * x).sum::<f64>();
            let squares = self.directions.chunks_exact(self.width.max(1)).map(|d| project(d).powi(2));
            Ok((self.noise * squares.sum::<f64>()).sqrt())
        };
        all_of((0..batch.n_frames()).map(of_structure))
    }
}
