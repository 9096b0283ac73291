//! Body-order iteration from density coefficients: oracle and kernels in one group. Throughput is per environment.

mod common;

use std::sync::Arc;

use common::Random;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::drive::{Numbers, Run, energies_of, equivariants_of, values_of};
use orbas::invariants::Iteration;
use orbas::invariants::iteration::{
    Blocks, CouplingSettings, InvariantsSettings, LinearIteration, OutputSettings, Plan, PlanSettings,
    ProjectionSettings, StepSettings, Symmetry, reference,
};
use orbas::simd::Level;

/// Sizes of an iteration; rows of the projections are what the pairs give.
struct Sizes {
    channels: Vec<usize>,
    /// Pairs, components and pairs and components of the invariants of each order; usize::MAX for all, uncontracted.
    orders: Vec<[usize; 4]>,
}

const ALL: usize = usize::MAX;

fn numbers(random: &mut Random, n: usize) -> Vec<f64> {
    (0..n).map(|_| random.next()).collect()
}

fn projection(random: &mut Random, rows: usize, width: usize) -> Option<ProjectionSettings> {
    let matrix = |random: &mut Random| numbers(random, rows * width);
    (width < rows).then(|| ProjectionSettings { width, matrix: matrix(random), purification: Vec::new() })
}

/// Every k-th of all pairs, so that as many are left as wanted.
fn thinned<const N: usize>(pairs: Vec<[u32; N]>, total: usize, wanted: usize) -> Vec<[u32; N]> {
    let step = if wanted == ALL { 1 } else { total.div_ceil(wanted) };
    pairs.into_iter().step_by(step.max(1)).collect()
}

fn settings(sizes: &Sizes, level: Level) -> PlanSettings {
    let mut random = Random(1);
    let channels = sizes.channels.clone();
    let top = channels.len() - 1;
    let mut below: Vec<_> = channels.iter().enumerate().map(|(l, &q)| (Symmetry::density(l), q)).collect();
    let mut steps = Vec::new();
    for (index, &[n_pairs, n_components, n_invariant_pairs, n_invariants]) in sizes.orders.iter().enumerate()
    {
        let mut couplings = Vec::new();
        for (l, &n) in channels.iter().enumerate() {
            for &(second, m) in below.iter().filter(|(s, _)| index > 0 || l <= s.lambda) {
                let half = index == 0 && l == second.lambda;
                let pairs = (0..n as u32).flat_map(|a| (0..m as u32).map(move |b| [a, b]));
                let pairs: Vec<[u32; 2]> = pairs.filter(|p| !half || p[0] < p[1]).collect();
                couplings.push(CouplingSettings { l, second, factors: Vec::new(), distinct: 0, pairs });
            }
        }
        let total = couplings.iter().map(|c| c.pairs.len()).sum();
        for c in &mut couplings {
            c.pairs =
                if n_pairs == 0 { Vec::new() } else { thinned(std::mem::take(&mut c.pairs), total, n_pairs) };
            c.factors = vec![1.0; c.pairs.len()];
            c.distinct = c.pairs.len();
        }
        let mut step = StepSettings { couplings, outputs: Vec::new(), invariants: None };
        let mut widths = Vec::new();
        for lambda in 0..=top {
            for even in [true, false] {
                let symmetry = Symmetry { lambda, even };
                let rows = step.rows(symmetry);
                if rows > 0 {
                    let projection = projection(&mut random, rows, n_components);
                    widths.push((symmetry, projection.as_ref().map_or(rows, |p| p.width)));
                    step.outputs.push(OutputSettings { symmetry, projection });
                }
            }
        }
        let of = |(s, m): &(Symmetry, usize)| {
            let (l, m, n) = (s.lambda as u32, *m as u32, channels[s.lambda] as u32);
            (0..n).flat_map(move |a| (0..m).map(move |b| [l, a, b]))
        };
        let even = below.iter().filter(|(s, _)| s.even && s.lambda <= top);
        let pairs: Vec<[u32; 3]> = even.flat_map(of).filter(|p| index > 0 || p[1] <= p[2]).collect();
        let total = pairs.len();
        let pairs = thinned(pairs, total, n_invariant_pairs);
        let projection = projection(&mut random, pairs.len(), n_invariants);
        step.invariants = Some(InvariantsSettings { factors: vec![1.0; pairs.len()], pairs, projection });
        steps.push(step);
        below = widths;
    }
    PlanSettings { channels, steps, level }
}

fn cases() -> Vec<(&'static str, Sizes, usize)> {
    let none = [ALL, ALL, ALL, ALL];
    vec![
        ("nu2-invariants/n5l5", Sizes { channels: vec![5; 6], orders: vec![[0, 0, ALL, ALL]] }, 640),
        ("nu3-invariants/n3l3", Sizes { channels: vec![3; 4], orders: vec![none, [0, 0, ALL, ALL]] }, 640),
        (
            "methane-small-tenth/n10l5nu4",
            Sizes {
                channels: vec![10; 6],
                orders: vec![[200, 50, ALL, ALL], [600, 50, 500, 100], [0, 0, 500, 200]],
            },
            640,
        ),
        (
            "methane-small/n10l5nu4",
            Sizes {
                channels: vec![10; 6],
                orders: vec![[2000, 500, ALL, ALL], [6000, 500, 5000, 1000], [0, 0, 5000, 2000]],
            },
            64,
        ),
    ]
}

fn iteration(c: &mut Criterion) {
    orbas::parallel::set_num_threads(1).expect("one thread");
    let mut group = c.benchmark_group("equivariants");
    group.sample_size(10);
    for (name, sizes, n) in cases() {
        let settings = settings(&sizes, Level::detect());
        let plan = Plan::new(&settings).map(Arc::new).expect("a plan");
        let density = numbers(&mut Random(2), n * plan.density_width());
        let mut values = vec![0.0; n * plan.n_features()];
        let iteration = Iteration::of_plan(&plan, false).expect("orders");
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("invariants", name), |b| {
            b.iter(|| {
                values_of(plan.channels(), &density, &iteration, Numbers::from(&mut values), Run::default())
            });
        });
        let weights = numbers(&mut Random(3), plan.n_features());
        let energy = LinearIteration::new(&iteration, &weights).expect("weights");
        let (mut energies, mut gradients) = (vec![0.0; n], vec![0.0; density.len()]);
        group.bench_function(BenchmarkId::new("energies-and-gradients", name), |b| {
            b.iter(|| {
                let out = (&mut energies, &mut gradients);
                energies_of(plan.channels(), &density, &energy, out.0, out.1, Run::default())
            });
        });
        if n > 64 {
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new("oracle", name), |b| {
                b.iter(|| reference::iterate(&settings, &density[..plan.density_width()]));
            });
        }
    }
    group.finish();
}

fn all_lambda(c: &mut Criterion) {
    orbas::parallel::set_num_threads(1).expect("one thread");
    let mut group = c.benchmark_group("equivariants-nu2-all-lambda");
    let sizes = Sizes { channels: vec![10; 6], orders: vec![[ALL, ALL, ALL, ALL]] };
    let settings = settings(&sizes, Level::detect());
    let plan = Plan::new(&settings).map(Arc::new).expect("a plan");
    let n = 320;
    let density = numbers(&mut Random(2), n * plan.density_width());
    let blocks = (0..plan.blocks(2).len()).map(|k| (2, k)).collect();
    let wanted = Blocks::new(&plan, blocks).expect("blocks");
    let sizes = plan.blocks(2).into_iter().map(|(s, q)| n * (2 * s.lambda + 1) * q);
    let mut arrays: Vec<Vec<f64>> = sizes.map(|size| vec![0.0; size]).collect();
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function("n10l5", |b| {
        b.iter(|| {
            let slices = arrays.iter_mut().map(Vec::as_mut_slice).collect();
            equivariants_of(&wanted, &density, slices, Run::default())
        });
    });
    group.finish();
}

criterion_group!(benches, iteration, all_lambda);
criterion_main!(benches);
