//! Every invariant against finite differences, its way back, and itself in other blocks, at every instruction set.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../benches/common/mod.rs"]
mod common;

use std::sync::Arc;

use common::Random;
use orbas::density::DensityPlan;
use orbas::invariants::iteration::{
    CouplingSettings, InvariantsSettings, IterationKind, OutputSettings, Plan, PlanSettings,
    ProjectionSettings, StepSettings, Symmetry,
};
use orbas::invariants::{
    Coefficients, Environments, Invariant, Iteration, Kernel, PowerSpectrum, RadialSpectrum,
    SelectedPowerSpectrum, SpeciesPoints, check,
};
use orbas::simd::Level;

fn random(n: usize) -> Vec<f64> {
    let mut random = Random(9);
    (0..n).map(|_| random.next()).collect()
}

/// Two steps: all pairs of the same degrees to degrees 0 and 1, contracted; then invariants of these with the density.
fn iteration(density: &DensityPlan, level: Level) -> Iteration {
    let channels: Vec<usize> = (0..=density.max_angular()).map(|l| density.max_channels(l)).collect();
    let symmetries = [Symmetry::density(0), Symmetry::density(1)];
    let couplings: Vec<CouplingSettings> = (channels.iter().enumerate())
        .flat_map(|(l, &n)| [l, l + 1].map(|k| (l, k, n)))
        .filter(|&(_, k, _)| k < channels.len())
        .map(|(l, k, n)| {
            let pairs: Vec<[u32; 2]> =
                (0..n as u32).flat_map(|a| (0..channels[k] as u32).map(move |b| [a, b])).collect();
            let (factors, distinct) = (random(pairs.len()), pairs.len());
            CouplingSettings { l, second: Symmetry::density(k), pairs, factors, distinct }
        })
        .collect();
    let mut first = StepSettings { couplings, outputs: Vec::new(), invariants: None };
    first.outputs = symmetries
        .map(|symmetry| {
            let rows = first.rows(symmetry);
            let projection =
                ProjectionSettings { width: 3, matrix: random(3 * rows), purification: Vec::new() };
            OutputSettings { symmetry, projection: Some(projection) }
        })
        .to_vec();
    let pairs = vec![[0, 0, 2], [1, 1, 0], [1, 0, 1], [0, 1, 1]];
    let purification = vec![(1, random(2 * 2))];
    let projection = Some(ProjectionSettings { width: 2, matrix: random(8), purification });
    let invariants = Some(InvariantsSettings { factors: random(4), pairs, projection });
    let second = StepSettings { couplings: Vec::new(), outputs: Vec::new(), invariants };
    let plan = Plan::new(&PlanSettings { channels, steps: vec![first, second], level }).unwrap();
    let kind = IterationKind::new(Arc::new(plan));
    let width = kind.plan.n_features();
    let iteration = Iteration::new(vec![kind], density.species().len(), width, false).unwrap();
    iteration.check(density).unwrap();
    iteration
}

fn all(density: &DensityPlan, level: Level) -> Vec<(&'static str, Arc<dyn Invariant>)> {
    let power = PowerSpectrum::new(density);
    let columns = [3, 0, power.width() - 1, 7, 11];
    let selected: Arc<dyn Invariant> = Arc::new(SelectedPowerSpectrum::new(density, &columns).unwrap());
    let power: Arc<dyn Invariant> = Arc::new(power);
    let iteration: Arc<dyn Invariant> = Arc::new(iteration(density, level));
    let kernel = |inner: &Arc<dyn Invariant>, floor| -> Arc<dyn Invariant> {
        let of_species =
            |a| SpeciesPoints { features: random(7 * inner.width(a)), floor, weights: Vec::new() };
        let points: Vec<_> = (0..density.species().len()).map(of_species).collect();
        Arc::new(Kernel::new(density, Arc::clone(inner), 3, &points).unwrap())
    };
    vec![
        ("coefficients", Arc::new(Coefficients::new(density))),
        ("radial spectrum", Arc::new(RadialSpectrum::new(density))),
        ("kernel on power spectrum", kernel(&power, 0.0)),
        ("kernel on selected features", kernel(&selected, 0.3)),
        ("kernel on iteration", kernel(&iteration, 0.1)),
        ("power spectrum", power),
        ("selected features", selected),
        ("iteration", iteration),
    ]
}

#[test]
fn every_invariant_keeps_what_it_must() {
    for level in Level::available() {
        for combined in [true, false] {
            let density = common::plan(vec![1, 6], 3, 2, combined, 32, level);
            let layout = density.center(1).layout();
            let atoms: Vec<u32> = (0..19).collect();
            let packed = random(atoms.len() * layout.width());
            // Through a row and back, so that the padding is zero.
            let c: Vec<f64> = packed.chunks(layout.width()).flat_map(|row| layout.padded_row(row)).collect();
            let e = Environments { layout, species: 1, atoms: &atoms, c: &c };
            for (name, invariant) in all(&density, level) {
                let found = check(&invariant, e).unwrap();
                assert_eq!(found.blocks, 0.0, "{name}, {level:?}");
                assert!(found.differences < 1e-7 && found.adjoint < 1e-12, "{name}, {level:?}: {found:?}");
            }
        }
    }
}
