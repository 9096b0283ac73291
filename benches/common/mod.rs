//! Structures, plans and slow versions that the benches and the tests share; seeded, no files.
#![allow(dead_code, reason = "no bench and no test uses everything")]

pub(crate) mod plain;

use std::time::Duration;

use criterion::Criterion;
use orbas::density::{DegreeData, DensityPlan, PlanSettings};
use orbas::radial::{Cutoff, RadialWeight, Smoothing};
use orbas::simd::Level;
use orbas::structure::{Batch, Matrix, Vector};

/// A small generator (SplitMix64): uniform numbers in [-0.5, 0.5).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }
}

/// Short runs: all stages together stay below some minutes. Flags of the command line go first.
pub(crate) fn criterion() -> Criterion {
    orbas::parallel::set_num_threads(1).expect("one thread");
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

/// Silicon, 43 neighbors within 6 Å: rattled diamond, 8 n^3 atoms of the first `n_species` atomic numbers from 14 on in
/// turn.
pub(crate) fn diamond(n: usize, n_species: usize) -> Batch {
    crystal(5.43, n, n_species)
}

/// The same at the lattice constant of carbon: 160 neighbors within 6 Å.
pub(crate) fn dense(n: usize) -> Batch {
    crystal(3.57, n, 1)
}

fn crystal(lattice_constant: f64, n: usize, n_species: usize) -> Batch {
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
            let rattle = 0.35 / 5.43 * lattice_constant;
            positions.push(std::array::from_fn(|x| {
                lattice_constant * (cell[x] as f64 + b[x]) + rattle * random.next()
            }));
        }
    }
    let numbers = (0..positions.len()).map(|k| 14 + (k % n_species) as i32).collect();
    let length = lattice_constant * n as f64;
    let matrix: Matrix = [[length, 0.0, 0.0], [0.0, length, 0.0], [0.0, 0.0, length]];
    let offsets = vec![0, positions.len()];
    Batch::new(positions, numbers, offsets, vec![matrix], &[[true; 3]]).expect("a valid crystal")
}

/// A gas: n^3 atoms of silicon at random places in a periodic box, 5 neighbors within 6 Å on average.
pub(crate) fn gas(n: usize) -> Batch {
    let mut random = Random(4);
    let length = 5.66 * n as f64;
    let positions: Vec<Vector> =
        (0..n * n * n).map(|_| std::array::from_fn(|_| length * random.next())).collect();
    let matrix: Matrix = [[length, 0.0, 0.0], [0.0, length, 0.0], [0.0, 0.0, length]];
    let offsets = vec![0, positions.len()];
    Batch::new(positions, vec![14; n * n * n], offsets, vec![matrix], &[[true; 3]]).expect("a valid gas")
}

/// `n` molecules of 18 atoms in a ball, of 5 species.
pub(crate) fn molecules(n: usize) -> Batch {
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

/// Structures of one regime, and the expansions that are timed on them.
pub(crate) struct Regime {
    /// Part of the id.
    pub name: &'static str,
    /// The structures.
    pub batch: Batch,
    /// Their species.
    pub species: Vec<i32>,
    /// Whether all species add to the same channels.
    pub combined: bool,
    /// (number of radial functions, largest l)
    pub sizes: &'static [(usize, usize)],
}

const SMALL: &[(usize, usize)] = &[(8, 6)];
const SMALL_AND_LARGE: &[(usize, usize)] = &[(8, 6), (12, 9)];

/// Big cells and small molecules, dense and sparse, of one, four and five species.
pub(crate) fn regimes() -> Vec<Regime> {
    let regime = |name, batch, species, combined, sizes| Regime { name, batch, species, combined, sizes };
    let si = || vec![14];
    let qm9 = || vec![1, 6, 7, 8, 9];
    vec![
        regime("big-cell-si1000", diamond(5, 1), si(), true, SMALL_AND_LARGE),
        regime("big-cell-4-species-combined-1000", diamond(5, 4), (14..18).collect(), true, SMALL),
        regime("big-cell-4-species-separate-1000", diamond(5, 4), (14..18).collect(), false, SMALL),
        regime("molecules-5-species-combined-18x100", molecules(100), qm9(), true, SMALL_AND_LARGE),
        regime("molecules-5-species-separate-18x100", molecules(100), qm9(), false, SMALL),
        regime("dense-c1000", dense(5), si(), true, SMALL),
        regime("sparse-gas1000", gas(10), si(), true, SMALL),
    ]
}

/// The same for slow versions, smaller.
pub(crate) fn oracle_regimes() -> Vec<Regime> {
    let regime = |name, batch, species| Regime { name, batch, species, combined: true, sizes: SMALL };
    vec![
        regime("big-cell-si64", diamond(2, 1), vec![14]),
        regime("molecules-5-species-combined-18x3", molecules(3), vec![1, 6, 7, 8, 9]),
    ]
}

/// Gaussians in r as radial functions: what is tabulated does not matter for speed.
pub(crate) fn plan(
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
pub(crate) fn settings(
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
