//! Forces and virials of every readout against finite differences of its energy, over every option that enters.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::Random;
use orbas::density::{DensityPlan, PlanSettings};
use orbas::drive::{Energies, Numbers, Run, energies, values};
use orbas::invariants::{
    Energy, LinearPowerSpectrum, LinearRadialSpectrum, PowerSpectrum, RadialSpectrum, WeightedCoefficients,
};
use orbas::neighbors::PairList;
use orbas::radial::{Cutoff, RadialScaling, Smoothing};
use orbas::simd::Level;
use orbas::structure::{Batch, Matrix, Vector};

/// A structure as plain data, to be moved about.
#[derive(Clone)]
struct Movable {
    positions: Vec<Vector>,
    numbers: Vec<i32>,
    matrix: Matrix,
    pbc: [bool; 3],
}

impl Movable {
    fn batch(&self) -> Batch {
        let n = self.positions.len();
        Batch::new(self.positions.clone(), self.numbers.clone(), vec![0, n], vec![self.matrix], &[self.pbc])
            .unwrap()
    }

    /// `r -> (1 + strain) r` for positions and cell, with one non-zero entry.
    fn strained(&self, a: usize, b: usize, amount: f64) -> Self {
        let mut out = self.clone();
        for row in out.positions.iter_mut().chain(&mut out.matrix) {
            row[a] += amount * row[b];
        }
        out
    }
}

/// Where the cutoffs of [`plans`] have a kink in the second derivative (Å), and how far every pair stays from it:
/// farther than finite differences move it, so that they converge.
const KINKS: [f64; 2] = [6.0, 6.0 - WIDTH];
const CLEARANCE: f64 = 0.004;
const WIDTH: f64 = 1.7;

/// Atoms one by one at random places where no pair is too close or near a kink.
fn scatter(random: &mut Random, n: usize, size: f64, matrix: Matrix, pbc: [bool; 3]) -> Movable {
    let mut atoms = Movable { positions: Vec::new(), numbers: Vec::new(), matrix, pbc };
    while atoms.positions.len() < n {
        let mut more = atoms.clone();
        more.positions.push(std::array::from_fn(|_| size * random.next()));
        more.numbers.push([1, 6, 8][atoms.numbers.len() % 3]);
        let near_kink = |d: &f64| KINKS.iter().any(|kink| (d - kink).abs() < CLEARANCE);
        let pairs = PairList::new(&more.batch().frame(0), 6.1).unwrap();
        if pairs.distances.iter().all(|d| *d > 1.2 && !near_kink(d)) {
            atoms = more;
        }
    }
    atoms
}

/// A cluster, a slab with a skewed cell smaller than the cutoff, and a one-atom crystal.
fn structures() -> Vec<Movable> {
    let mut random = Random(11);
    let cell = [[4.1, 0.3, 0.0], [-1.2, 4.4, 0.5], [0.4, -0.2, 5.0]];
    vec![
        scatter(&mut random, 40, 9.0, [[0.0; 3]; 3], [false; 3]),
        scatter(&mut random, 5, 4.5, cell, [true, true, false]),
        scatter(&mut random, 1, 1.0, cell, [true; 3]),
    ]
}

/// Every kind of weight and mixing, ragged channels among them.
fn plans() -> Vec<DensityPlan> {
    let species = vec![1, 6, 8];
    let base = |combined| common::settings(species.clone(), 5, 3, combined, 64, Level::detect());
    let cutoff = |smoothing| Cutoff::new(6.0, WIDTH, smoothing).unwrap();
    let mut all: Vec<PlanSettings> = Vec::new();
    for (combined, smoothing, scaling) in [
        (true, Smoothing::Cosine, None),
        (false, Smoothing::Quintic, Some((1.3, 2.0, 7.0))),
        (true, Smoothing::Quintic, Some((0.0, 1.5, 2.5))),
    ] {
        let mut settings = base(combined);
        settings.weight.cutoff = cutoff(smoothing);
        settings.weight.scaling = scaling.map(|(c, r0, m)| RadialScaling::new(c, r0, m).unwrap());
        all.push(settings);
    }
    // One set of tables per center species.
    let mut per_center = base(true);
    per_center.weight.cutoff = cutoff(Smoothing::Quintic);
    per_center.channels = vec![per_center.channels[0].clone(); 3];
    per_center.functions = [0, 1, 2].map(|_| per_center.functions[0].clone()).to_vec();
    all.push(per_center);
    all.iter().map(|settings| DensityPlan::new(settings).unwrap()).collect()
}

fn random_weights(n: usize) -> Vec<f64> {
    let mut random = Random(3);
    (0..n).map(|_| random.next()).collect()
}

fn evaluate(structure: &Movable, plan: &DensityPlan, energy: &dyn Energy) -> Energies {
    energies(&structure.batch(), plan, energy, Run::default()).unwrap()
}

fn total(structure: &Movable, plan: &DensityPlan, readout: &dyn Energy) -> f64 {
    evaluate(structure, plan, readout).atoms.iter().sum()
}

/// Central differences of fourth order.
fn difference(energy: impl Fn(f64) -> f64) -> f64 {
    let h = 2e-4;
    (8.0 * (energy(h) - energy(-h)) - (energy(2.0 * h) - energy(-2.0 * h))) / (12.0 * h)
}

fn check(structure: &Movable, plan: &DensityPlan, readout: &dyn Energy) {
    let result = evaluate(structure, plan, readout);
    let largest = result.forces.iter().flatten().fold(1.0, |a: f64, b| a.max(b.abs()));
    for atom in 0..structure.positions.len().min(4) {
        for x in 0..3 {
            let expected = -difference(|h| {
                let mut moved = structure.clone();
                moved.positions[atom][x] += h;
                total(&moved, plan, readout)
            });
            let force = result.forces[atom][x];
            assert!((force - expected).abs() < 1e-7 * largest, "atom {atom}, {x}: {force} {expected}");
        }
    }
    for a in 0..3 {
        for b in 0..3 {
            let expected = difference(|h| total(&structure.strained(a, b, h), plan, readout));
            let virial = result.virials[0][a][b];
            let scale = largest * structure.positions.len() as f64;
            assert!((virial - expected).abs() < 1e-7 * scale, "strain {a}{b}: {virial} {expected}");
        }
    }
    for x in 0..3 {
        let sum: f64 = result.forces.iter().map(|f| f[x]).sum();
        assert!(sum.abs() < 1e-11 * largest * structure.positions.len() as f64);
    }
}

#[test]
fn forces_and_virials_are_finite_differences() {
    for structure in structures() {
        for plan in &plans() {
            let n = 3 * PowerSpectrum::new(plan).width();
            check(
                &structure,
                plan,
                &LinearPowerSpectrum::new(&PowerSpectrum::new(plan), &random_weights(n)).unwrap(),
            );
            let n = 3 * plan.max_channels(0);
            check(
                &structure,
                plan,
                &LinearRadialSpectrum::new(&RadialSpectrum::new(plan), &random_weights(n)).unwrap(),
            );
            let species = plan.species_indices(&structure.batch()).unwrap();
            let width = plan.center(0).layout().width();
            let weights = random_weights(species.len() * width);
            let rows = weights.chunks_exact(width).collect();
            check(&structure, plan, &WeightedCoefficients::new(plan, &species, rows).unwrap());
        }
    }
}

#[test]
fn energies_are_weighted_features_at_every_level() {
    let structure = &structures()[0];
    for level in Level::available() {
        let plan = common::plan(vec![1, 6, 8], 6, 4, false, 64, level);
        let width = PowerSpectrum::new(&plan).width();
        let weights = random_weights(3 * width);
        let mut features = vec![0.0; structure.positions.len() * width];
        let spectrum = PowerSpectrum::new(&plan);
        let out = Numbers::from(&mut features);
        values(&structure.batch(), &plan, &spectrum, out, Run::default()).unwrap();
        let readout = LinearPowerSpectrum::new(&PowerSpectrum::new(&plan), &weights).unwrap();
        let species = plan.species_indices(&structure.batch()).unwrap();
        let found = evaluate(structure, &plan, &readout).atoms;
        for ((row, &a), energy) in features.chunks_exact(width).zip(&species).zip(found) {
            let expected: f64 = row.iter().zip(&weights[a as usize * width..]).map(|(p, w)| p * w).sum();
            let scale: f64 = row.iter().map(|p| p.abs()).sum();
            assert!((energy - expected).abs() < 1e-13 * scale, "{level:?}: {energy} {expected}");
        }
    }
}

#[test]
fn threads_do_not_matter_and_self_images_do_not_pull() {
    let batch = common::diamond(3, 2);
    let plan = common::plan(vec![14, 15], 4, 3, true, 64, Level::detect());
    let spectrum = PowerSpectrum::new(&plan);
    let readout = LinearPowerSpectrum::new(&spectrum, &random_weights(2 * spectrum.width())).unwrap();
    let compute = || energies(&batch, &plan, &readout, Run::default()).unwrap();
    let first = compute();
    for threads in [1, 2, 3, 8] {
        orbas::parallel::set_num_threads(threads).unwrap();
        assert_eq!(compute(), first, "{threads} threads");
    }
    let plan = &plans()[0];
    let readout =
        LinearRadialSpectrum::new(&RadialSpectrum::new(plan), &random_weights(3 * plan.max_channels(0)))
            .unwrap();
    let lonely = evaluate(&structures()[2], plan, &readout);
    let largest = lonely.virials[0].iter().flatten().fold(0.0, |a: f64, b| a.max(b.abs()));
    assert!(lonely.forces[0].iter().all(|f| f.abs() < 1e-14 * largest), "{:?}", lonely.forces);
}

#[test]
fn weights_of_a_wrong_shape_are_refused() {
    let plan = common::plan(vec![14], 4, 2, true, 32, Level::detect());
    assert!(LinearPowerSpectrum::new(&PowerSpectrum::new(&plan), &[1.0; 3]).is_err());
    assert!(LinearRadialSpectrum::new(&RadialSpectrum::new(&plan), &[f64::NAN; 4]).is_err());
    assert!(WeightedCoefficients::new(&plan, &[0], vec![&[1.0; 5]]).is_err());
}
