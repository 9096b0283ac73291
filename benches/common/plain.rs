//! Features, energies and forces as the equations say them: one pair, one degree, one channel at a time. They share the
//! tables, the harmonics and nothing else with the kernels.

use std::f64::consts::SQRT_2;

use orbas::angular::{n_harmonics, spherical_harmonics};
use orbas::density::{DensityPlan, PlanSettings, reference};
use orbas::drive::Energies;
use orbas::neighbors::brute_force;
use orbas::radial::RadialTable;
use orbas::simd::Level;
use orbas::structure::{Batch, Vector};

/// Calls `visit(k, l, q1, q2, factor)` for every feature k of the power spectrum (Eq. 10), in order: it is `factor` times
/// the sum over m of `c_q1 c_q2`.
fn for_each_product(channels: &[usize], mut visit: impl FnMut(usize, usize, usize, usize, f64)) {
    let mut k = 0;
    for (l, &n) in channels.iter().enumerate() {
        for q1 in 0..n {
            for q2 in q1..n {
                let twice = if q1 == q2 { 1.0 } else { SQRT_2 };
                visit(k, l, q1, q2, twice / ((2 * l + 1) as f64).sqrt());
                k += 1;
            }
        }
    }
}

/// Where `c_qlm` stands in a packed row.
fn place(channels: &[usize], l: usize, m: usize, q: usize) -> usize {
    let start: usize = (0..l).map(|l| (2 * l + 1) * channels[l]).sum();
    start + m * channels[l] + q
}

/// Power spectrum of one packed row of coefficients with `channels[l]` channels.
pub(crate) fn power_spectrum(row: &[f64], channels: &[usize]) -> Vec<f64> {
    let mut out = Vec::new();
    for_each_product(channels, |_, l, q1, q2, factor| {
        let c = |m, q| row[place(channels, l, m, q)];
        out.push(factor * (0..=2 * l).map(|m| c(m, q1) * c(m, q2)).sum::<f64>());
    });
    out
}

/// The weighted sum of the power spectrum of one row, and its gradient with respect to the coefficients.
pub(crate) fn linear_power_spectrum(row: &[f64], channels: &[usize], weights: &[f64]) -> (f64, Vec<f64>) {
    let energy = power_spectrum(row, channels).iter().zip(weights).map(|(p, w)| p * w).sum();
    let mut gradient = vec![0.0; row.len()];
    for_each_product(channels, |k, l, q1, q2, factor| {
        for m in 0..=2 * l {
            let (a, b) = (place(channels, l, m, q1), place(channels, l, m, q2));
            gradient[a] += weights[k] * factor * row[b];
            gradient[b] += weights[k] * factor * row[a];
        }
    });
    (energy, gradient)
}

/// The sum of the coefficients of one row times a weight each, and its gradient: the weights.
pub(crate) fn weighted_coefficients(row: &[f64], weights: &[f64]) -> (f64, Vec<f64>) {
    (row.iter().zip(weights).map(|(c, w)| c * w).sum(), weights.to_vec())
}

/// The adjoint of the expansion, pair by pair.
pub(crate) struct Adjoint<'p> {
    plan: &'p DensityPlan,
    settings: &'p PlanSettings,
    /// [center kind][neighbor species]
    tables: Vec<Vec<RadialTable>>,
}

impl<'p> Adjoint<'p> {
    /// For a plan and the settings that it was made of.
    pub(crate) fn new(plan: &'p DensityPlan, settings: &'p PlanSettings) -> Self {
        let (radius, lanes) = (settings.weight.cutoff.radius(), settings.level.lanes());
        let table = |species: &Vec<orbas::density::DegreeData>| {
            let degrees: Vec<_> = species.iter().map(|d| (d.channel, d.count, d.data.as_slice())).collect();
            RadialTable::new(radius, settings.n_nodes, &degrees, lanes).expect("a valid table")
        };
        let tables = settings.functions.iter().map(|kind| kind.iter().map(table).collect()).collect();
        Self { plan, settings, tables }
    }

    /// Energies, forces and virials. `readout(atom, species, c)` returns the energy of an atom of the batch, whose
    /// species is given by index, and its gradient with respect to the packed coefficients c.
    pub(crate) fn energies_and_forces(
        &self,
        batch: &Batch,
        readout: impl Fn(usize, usize, &[f64]) -> (f64, Vec<f64>),
    ) -> Energies {
        let species = self.plan.species_indices(batch).expect("known species");
        let mut result = Energies {
            atoms: Vec::new(),
            forces: vec![[0.0; 3]; batch.n_atoms()],
            virials: vec![[[0.0; 3]; 3]; batch.n_frames()],
        };
        for (structure, virial) in result.virials.iter_mut().enumerate() {
            let rows = reference::density_coefficients(batch, structure, self.plan).expect("coefficients");
            let start = batch.atoms_of(structure).start;
            let of_atom = |(i, row): (usize, &Vec<f64>)| readout(start + i, species[start + i] as usize, row);
            let (energies, gradients): (Vec<_>, Vec<_>) = rows.iter().enumerate().map(of_atom).unzip();
            result.atoms.extend(energies);
            let radius = self.settings.weight.cutoff.radius();
            let pairs = brute_force(&batch.frame(structure), radius).expect("pairs");
            for pair in 0..pairs.len() {
                let (i, j) = (pairs.centers[pair] as usize, pairs.neighbors[pair] as usize);
                let (vector, r) = (pairs.vectors[pair], pairs.distances[pair]);
                let of_pair = [species[start + i] as usize, species[start + j] as usize];
                let pull = self.pull(of_pair, vector, r, &gradients[i]);
                for x in 0..3 {
                    result.forces[start + i][x] += pull[x];
                    result.forces[start + j][x] -= pull[x];
                    for y in 0..3 {
                        virial[x][y] += pull[x] * vector[y];
                    }
                }
            }
        }
        result
    }

    /// `dE/dr_ij = sum_qlm g_qlm ((f I)' Y u + f I grad Y)` for a center and a neighbor of given species.
    fn pull(&self, [center, neighbor]: [usize; 2], vector: Vector, r: f64, gradient: &[f64]) -> Vector {
        let kind = if self.tables.len() == 1 { 0 } else { center };
        let (table, channels) = (&self.tables[kind][neighbor], &self.settings.channels[kind]);
        let max_angular = channels.len() - 1;
        let (y, slopes) =
            spherical_harmonics(&[vector], max_angular, true, Level::detect()).expect("a direction");
        let (slopes, n_lm) = (slopes.expect("gradients"), n_harmonics(max_angular));
        let weight = self.settings.weight;
        let (f, df) = (weight.value(r), weight.derivative(r));
        let mut pull = [0.0; 3];
        for (l, section) in table.sections().iter().enumerate() {
            for (q, [integral, slope]) in table.evaluate(l, r).into_iter().enumerate() {
                for m in 0..=2 * l {
                    let g = gradient[place(channels, l, m, section.channel() + q)];
                    let lm = l * l + m;
                    for x in 0..3 {
                        let along = (df * integral + f * slope) * y[lm] * vector[x] / r;
                        pull[x] += g * (along + f * integral * slopes[x * n_lm + lm]);
                    }
                }
            }
        }
        pull
    }
}
