//! Structures and plans that the benches share; seeded, no files.
#![allow(dead_code)]

use orbas::expansion::{DegreeData, DensityPlan, PlanSettings};
use orbas::radial::{Cutoff, RadialWeight, Smoothing};
use orbas::simd::Level;
use orbas::structure::{Batch, Matrix, Vector};

/// A small generator (SplitMix64): uniform numbers in [-0.5, 0.5).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }
}

/// Rattled diamond, 8 n^3 atoms of the first `n_species` atomic numbers from 14 on in turn.
pub fn diamond(n: usize, n_species: usize) -> Batch {
    const A: f64 = 5.43;
    let mut random = Random(1);
    let basis = [
        [0.0, 0.0, 0.0],
        [0.0, 0.5, 0.5],
        [0.5, 0.0, 0.5],
        [0.5, 0.5, 0.0],
        [0.25, 0.25, 0.25],
        [0.25, 0.75, 0.75],
        [0.75, 0.25, 0.75],
        [0.75, 0.75, 0.25],
    ];
    let mut positions: Vec<Vector> = Vec::new();
    for i in 0..n * n * n {
        let cell = [i / (n * n), i / n % n, i % n];
        for b in basis {
            positions.push(std::array::from_fn(|x| A * (cell[x] as f64 + b[x]) + 0.35 * random.next()));
        }
    }
    let numbers = (0..positions.len()).map(|k| 14 + (k % n_species) as i32).collect();
    let length = A * n as f64;
    let matrix: Matrix = [[length, 0.0, 0.0], [0.0, length, 0.0], [0.0, 0.0, length]];
    let offsets = vec![0, positions.len()];
    Batch::new(positions, numbers, offsets, vec![matrix], &[[true; 3]]).expect("a valid crystal")
}

/// `n` molecules of 18 atoms in a ball, of 5 species.
pub fn molecules(n: usize) -> Batch {
    let mut random = Random(2);
    let mut positions: Vec<Vector> = Vec::new();
    for _ in 0..n {
        let start = positions.len();
        while positions.len() < start + 18 {
            let p: Vector = std::array::from_fn(|_| 6.0 * random.next());
            let near = |q: &Vector| (0..3).map(|x| (p[x] - q[x]).powi(2)).sum::<f64>() < 1.0;
            if !positions[start..].iter().any(near) {
                positions.push(p);
            }
        }
    }
    let numbers = (0..positions.len()).map(|k| [1, 6, 1, 7, 1, 8, 1, 6, 9][k % 9]).collect();
    let offsets = (0..=n).map(|k| 18 * k).collect();
    Batch::new(positions, numbers, offsets, vec![[[0.0; 3]; 3]; n], &vec![[false; 3]; n])
        .expect("valid molecules")
}

/// Gaussians in r as radial functions: what is tabulated does not matter for speed.
pub fn plan(
    species: Vec<i32>,
    n: usize,
    max_angular: usize,
    combined: bool,
    n_nodes: usize,
    level: Level,
) -> DensityPlan {
    DensityPlan::new(&settings(species, n, max_angular, combined, n_nodes, level)).expect("a valid plan")
}

/// The settings of [`plan`].
pub fn settings(
    species: Vec<i32>,
    n: usize,
    max_angular: usize,
    combined: bool,
    n_nodes: usize,
    level: Level,
) -> PlanSettings {
    let radius = 6.0;
    let cutoff = Cutoff::new(radius, 0.5, Smoothing::Cosine).expect("a valid cutoff");
    let channels = vec![vec![if combined { n } else { n * species.len() }; max_angular + 1]];
    let of_species = |a: usize| {
        let channel = if combined { 0 } else { n * a };
        (0..=max_angular)
            .map(|l| DegreeData { channel, count: n, data: gaussians(n, radius, n_nodes, a + l) })
            .collect()
    };
    let functions = vec![(0..species.len()).map(of_species).collect()];
    let weight = RadialWeight { cutoff, scaling: None };
    PlanSettings { weight, species, center_weight: 1.0, n_nodes, channels, functions, level }
}

fn gaussians(n: usize, radius: f64, n_nodes: usize, seed: usize) -> Vec<f64> {
    let mut data = Vec::with_capacity(3 * n * n_nodes);
    for kind in 0..3 {
        for node in 0..n_nodes {
            for q in 0..n {
                let center = radius * (q as f64 + 0.5) / n as f64 + 0.01 * seed as f64;
                let x = radius * node as f64 / (n_nodes - 1) as f64 - center;
                let value = (-2.0 * x * x).exp();
                data.push([value, -4.0 * x * value, (16.0 * x * x - 4.0) * value][kind]);
            }
        }
    }
    data
}
