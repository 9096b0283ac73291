//! The density as the equation says it: one pair, one degree, one channel at a time. The oracle of the tests and the
//! baseline of the benches; it shares the tables with the fast kernel and nothing else.

use super::plan::DensityPlan;
use crate::angular::reference::spherical_harmonics;
use crate::error::Result;
use crate::neighbors::brute_force;
use crate::structure::Batch;

/// Coefficients of every center of one structure, packed as by [`crate::drive::density_coefficients`]. `[center][width]`
///
/// # Errors
/// As [`crate::drive::density_coefficients`].
pub fn density_coefficients(batch: &Batch, structure: usize, plan: &DensityPlan) -> Result<Vec<Vec<f64>>> {
    let species = plan.species_indices(batch)?;
    let species = &species[batch.atoms_of(structure)];
    let pairs = brute_force(&batch.frame(structure), plan.weight.cutoff.radius())?;
    let layout_of = |i: usize| &plan.center(species[i] as usize).layout;
    let mut out: Vec<Vec<f64>> = (0..species.len()).map(|i| vec![0.0; layout_of(i).width()]).collect();
    for (i, row) in out.iter_mut().enumerate() {
        let kind = plan.center(species[i] as usize);
        let mut c = vec![0.0; kind.layout.padded_len()];
        let own = &kind.own[species[i] as usize];
        c[..own.len()].copy_from_slice(own);
        kind.layout.pack(&c, row);
    }
    for pair in 0..pairs.len() {
        let (i, j) = (pairs.centers[pair] as usize, pairs.neighbors[pair] as usize);
        let layout = layout_of(i);
        let table = &plan.center(species[i] as usize).tables[species[j] as usize];
        let r = pairs.distances[pair];
        let harmonics = spherical_harmonics(pairs.vectors[pair], plan.max_angular());
        let mut start = 0;
        for (l, section) in table.sections().iter().enumerate() {
            for (q, [integral, _]) in table.evaluate(l, r).into_iter().enumerate() {
                for m in 0..=2 * l {
                    out[i][start + m * layout.channels(l) + section.channel + q] +=
                        plan.weight.value(r) * integral * harmonics[l * l + m];
                }
            }
            start += (2 * l + 1) * layout.channels(l);
        }
    }
    Ok(out)
}
