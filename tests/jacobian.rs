//! Jacobian rows and gradients of every center: against the adjoint, which is held to finite differences elsewhere.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::Random;
use orbas::density::{DegreeData, DensityPlan};
use orbas::drive::{self, Energies, Run, energies, row_width};
use orbas::invariants::{
    Coefficients, Energy, Invariant, LinearPowerSpectrum, LinearRadialSpectrum, PowerSpectrum,
    RadialSpectrum, WeightedCoefficients,
};
use orbas::simd::Level;
use orbas::structure::{Batch, Vector};

fn random(n: usize) -> Vec<f64> {
    let mut random = Random(5);
    (0..n).map(|_| random.next()).collect()
}

/// A molecule, a skewed slab smaller than the cutoff and a one-atom crystal.
fn batch() -> Batch {
    let mut random = Random(17);
    let sizes = [23, 4, 1];
    let mut positions: Vec<Vector> = Vec::new();
    for (n, size) in sizes.iter().zip([7.0, 4.0, 1.0]) {
        let start = positions.len();
        while positions.len() < start + n {
            let p: Vector = std::array::from_fn(|_| size * random.next());
            let near = |q: &Vector| (0..3).map(|x| (p[x] - q[x]).powi(2)).sum::<f64>() < 1.2;
            if !positions[start..].iter().any(near) {
                positions.push(p);
            }
        }
    }
    let numbers = (0..positions.len()).map(|k| [1, 6, 8, 1][k % 4]).collect();
    let cell = [[4.1, 0.3, 0.0], [-1.2, 4.4, 0.5], [0.4, -0.2, 5.0]];
    let pbc = [[false; 3], [true, true, false], [true; 3]];
    Batch::new(positions, numbers, vec![0, 23, 27, 28], vec![[[0.0; 3]; 3], cell, cell], &pbc).unwrap()
}

/// Keeps the first `n` of five functions.
fn narrow(degree: &mut DegreeData, n: usize) {
    degree.count = n;
    degree.data = degree.data.chunks(5).flat_map(|q| q[..n].to_vec()).collect();
}

/// Combined, separate, ragged and per-center channels; species 7 does not occur.
fn plans(level: Level) -> Vec<DensityPlan> {
    let species = vec![1, 6, 7, 8];
    let settings = |combined| common::settings(species.clone(), 5, 3, combined, 64, level);
    let mut ragged = settings(true);
    for functions in &mut ragged.functions[0] {
        narrow(&mut functions[2], 3);
    }
    ragged.channels[0][2] = 3;
    let mut per_center = settings(false);
    per_center.channels = vec![per_center.channels[0].clone(); 4];
    per_center.functions = vec![per_center.functions[0].clone(); 4];
    // One center species has fewer channels than the others, and one has them in another order.
    narrow(&mut per_center.functions[1][3][1], 2);
    per_center.channels[1][1] -= 3;
    per_center.functions[2].reverse();
    [settings(true), settings(false), ragged, per_center]
        .iter()
        .map(|settings| DensityPlan::new(settings).unwrap())
        .collect()
}

/// Rows [atom, 3, column] and strain [3, 3, column] of one structure.
fn rows(invariant: &dyn Invariant, batch: &Batch, structure: usize, plan: &DensityPlan) -> [Vec<f64>; 2] {
    let n = row_width(invariant, plan);
    let mut out = [vec![0.0; batch.atoms_of(structure).len() * 3 * n], vec![0.0; 9 * n]];
    let [rows, strain] = &mut out;
    drive::rows(batch, structure, plan, invariant, rows, strain, Run::default()).unwrap();
    out
}

fn dot(row: &[f64], weights: &[f64]) -> f64 {
    row.iter().zip(weights).map(|(x, w)| x * w).sum()
}

/// Rows contracted with weights are forces and virials of the adjoint.
fn check(invariant: &dyn Invariant, batch: &Batch, plan: &DensityPlan, weights: &[f64], energy: &dyn Energy) {
    let Energies { forces, virials, .. } = energies(batch, plan, energy, Run::default()).unwrap();
    for structure in 0..batch.n_frames() {
        let n = weights.len();
        let [rows, strain] = rows(invariant, batch, structure, plan);
        let scale = virials[structure].iter().flatten().fold(1e-3, |a: f64, b| a.max(b.abs()));
        let forces = forces[batch.atoms_of(structure)].as_flattened();
        for (k, (row, force)) in rows.chunks_exact(n).zip(forces).enumerate() {
            let value = -dot(row, weights);
            assert!((value - force).abs() < 1e-12 * scale, "{structure}, row {k}: {value} {force}");
        }
        for (k, (row, virial)) in strain.chunks_exact(n).zip(virials[structure].as_flattened()).enumerate() {
            let value = dot(row, weights);
            assert!((value - virial).abs() < 1e-12 * scale, "{structure}, strain {k}: {value} {virial}");
        }
        let largest = rows.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        for column in 0..3 * n {
            let sum: f64 = rows.iter().skip(column).step_by(3 * n).sum();
            assert!(sum.abs() <= 1e-13 * largest, "translation of {structure}: {sum} of {largest}");
        }
    }
}

#[test]
fn rows_times_weights_are_forces_and_virials() {
    let batch = batch();
    for level in Level::available() {
        for plan in &plans(level) {
            let spectrum = PowerSpectrum::new(plan);
            let weights = random(4 * spectrum.width());
            let readout = LinearPowerSpectrum::new(&spectrum, &weights).unwrap();
            check(&spectrum, &batch, plan, &weights, &readout);

            let weights = random(4 * plan.max_channels(0));
            let spectrum = RadialSpectrum::new(plan);
            let readout = LinearRadialSpectrum::new(&spectrum, &weights).unwrap();
            check(&spectrum, &batch, plan, &weights, &readout);

            let coefficients = Coefficients::new(plan);
            let weights = random(row_width(&coefficients, plan));
            let mut starts = vec![0];
            for a in 0..4 {
                starts.push(starts[a] + plan.center(a).layout().width());
            }
            let species = plan.species_indices(&batch).unwrap();
            let of_atom = species.iter().map(|&a| &weights[starts[a as usize]..starts[a as usize + 1]]);
            let readout = WeightedCoefficients::new(plan, &species, of_atom.collect()).unwrap();
            check(&coefficients, &batch, plan, &weights, &readout);
        }
    }
}

#[test]
fn a_lone_atom_among_its_images_has_no_gradient() {
    let (batch, plan) = (batch(), &plans(Level::detect())[1]);
    let [rows, strain] = rows(&PowerSpectrum::new(plan), &batch, 2, plan);
    assert!(rows.iter().all(|&x| x == 0.0));
    assert!(strain.iter().any(|&x| x != 0.0));
}

#[test]
fn threads_do_not_matter() {
    let batch = common::diamond(3, 2);
    let plan = common::plan(vec![14, 15], 4, 3, false, 64, Level::detect());
    let compute = || rows(&PowerSpectrum::new(&plan), &batch, 0, &plan);
    let first = compute();
    for threads in [1, 2, 3, 8] {
        orbas::parallel::set_num_threads(threads).unwrap();
        assert_eq!(compute(), first, "{threads} threads");
    }
}
