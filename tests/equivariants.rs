//! The iteration of equivariants against the same written as a sum, and the properties it must have.

use std::sync::Arc;

use orbas::angular::reference::spherical_harmonics;
use orbas::drive::{self, Numbers, Run};
use orbas::invariants::Iteration;
use orbas::invariants::iteration::{
    Blocks, CouplingSettings, InvariantsSettings, LinearIteration, OutputSettings, Plan, PlanSettings,
    ProjectionSettings, StepSettings, Symmetry, reference,
};
use orbas::math::clebsch_gordan::ClebschGordan;
use orbas::simd::Level;

/// Seeded numbers in [-0.5, 0.5) (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    fn numbers(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Every pair of a density channel and a channel below, in an order of the degrees.
fn all_couplings(channels: &[usize], below: &[(Symmetry, usize)]) -> Vec<CouplingSettings> {
    let mut couplings = Vec::new();
    for (l, &n) in channels.iter().enumerate() {
        for &(second, m) in below {
            let pairs: Vec<[u32; 2]> =
                (0..n as u32).flat_map(|a| (0..m as u32).map(move |b| [a, b])).collect();
            let distinct = pairs.len();
            couplings.push(CouplingSettings { l, second, factors: vec![1.0; distinct], pairs, distinct });
        }
    }
    couplings
}

/// Two of a channel with itself last, for the half-pair rule.
fn halved(mut couplings: Vec<CouplingSettings>) -> Vec<CouplingSettings> {
    couplings.retain(|c| c.l <= c.second.lambda);
    for c in &mut couplings {
        if c.l == c.second.lambda {
            let selves: Vec<[u32; 2]> = c.pairs.iter().copied().filter(|p| p[0] == p[1]).collect();
            c.pairs.retain(|p| p[0] < p[1]);
            c.distinct = c.pairs.len();
            c.factors = vec![std::f64::consts::SQRT_2; c.distinct];
            c.factors.extend(vec![1.0; selves.len()]);
            c.pairs.extend(selves);
        } else {
            c.factors.fill(std::f64::consts::SQRT_2);
        }
    }
    couplings
}

fn symmetries(couplings: &[CouplingSettings], max_lambda: usize) -> Vec<Symmetry> {
    let mut found: Vec<Symmetry> = couplings
        .iter()
        .flat_map(|c| (0..=max_lambda).filter_map(|lambda| c.second.coupled(c.l, lambda)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn projection(
    random: &mut Random,
    rows: usize,
    width: usize,
    lower: &[(usize, usize)],
) -> ProjectionSettings {
    let purification = lower.iter().map(|&(order, n)| (order, random.numbers(n * width))).collect();
    ProjectionSettings { width, matrix: random.numbers(rows * width), purification }
}

/// Three orders: halved pairs, contracted, purified; everything that a plan can hold.
fn contracted(level: Level) -> PlanSettings {
    let mut random = Random(7);
    let channels = vec![4, 3, 2];
    let density: Vec<_> = channels.iter().enumerate().map(|(l, &q)| (Symmetry::density(l), q)).collect();
    let mut steps: Vec<StepSettings> = Vec::new();
    let mut below = density.clone();
    for nu in 2..=4 {
        let couplings = all_couplings(&channels, &below);
        let couplings = if nu == 2 { halved(couplings) } else { couplings };
        let mut step = StepSettings { couplings, outputs: Vec::new(), invariants: None };
        let mut widths = Vec::new();
        for symmetry in symmetries(&step.couplings, 3) {
            let rows = step.rows(symmetry);
            let width = [7, 13, 5, 1][symmetry.lambda].min(rows);
            let lower = if symmetry.even && symmetry.lambda < 3 { vec![(1, 2)] } else { Vec::new() };
            let made = (rows < 400).then(|| projection(&mut random, rows, width, &lower));
            widths.push((symmetry, made.as_ref().map_or(rows, |m| m.width)));
            step.outputs.push(OutputSettings { symmetry, projection: made });
        }
        let pairs: Vec<[u32; 3]> = below
            .iter()
            .filter(|(s, _)| s.even && s.lambda < channels.len())
            .flat_map(|&(s, m)| {
                let n = channels[s.lambda];
                (0..n as u32)
                    .flat_map(move |a| (0..m as u32).step_by(2).map(move |b| [s.lambda as u32, a, b]))
            })
            .collect();
        let factors = (0..pairs.len()).map(|k| 1.0 + 0.1 * k as f64).collect();
        let lower = [(1, 3), (2, 6), (3, 6)];
        let made = projection(&mut random, pairs.len(), 9, &lower[..nu - 1]);
        step.invariants = Some(InvariantsSettings { pairs, factors, projection: Some(made) });
        steps.push(step);
        below = widths;
    }
    PlanSettings { channels, steps, level }
}

/// So many pairs of one coupling that they take several tiles, in the coupling with the most products.
fn wide(level: Level) -> PlanSettings {
    let mut random = Random(9);
    let channels = vec![2, 31];
    let density: Vec<_> = channels.iter().enumerate().map(|(l, &q)| (Symmetry::density(l), q)).collect();
    let couplings = halved(all_couplings(&channels, &density));
    let mut step = StepSettings { couplings, outputs: Vec::new(), invariants: None };
    for symmetry in symmetries(&step.couplings, 2) {
        let made = projection(&mut random, step.rows(symmetry), 20, &[]);
        step.outputs.push(OutputSettings { symmetry, projection: Some(made) });
    }
    let triples =
        |l: u32| (0..channels[l as usize] as u32).flat_map(move |a| (0..20).map(move |b| [l, a, b]));
    let pairs: Vec<[u32; 3]> = triples(0).chain(triples(1)).collect();
    let invariants = InvariantsSettings { factors: vec![1.0; pairs.len()], pairs, projection: None };
    let last = StepSettings { couplings: Vec::new(), outputs: Vec::new(), invariants: Some(invariants) };
    PlanSettings { channels, steps: vec![step, last], level }
}

/// No contraction at all, lambda to its limit: two orders.
fn complete(level: Level) -> PlanSettings {
    let channels = vec![3, 2];
    let density: Vec<_> = channels.iter().enumerate().map(|(l, &q)| (Symmetry::density(l), q)).collect();
    let mut below = density;
    let mut steps = Vec::new();
    for nu in 2..=3 {
        let couplings = all_couplings(&channels, &below);
        let couplings = if nu == 2 { halved(couplings) } else { couplings };
        let mut step = StepSettings { couplings, outputs: Vec::new(), invariants: None };
        let all = symmetries(&step.couplings, nu);
        step.outputs = all.iter().map(|&symmetry| OutputSettings { symmetry, projection: None }).collect();
        below = all.iter().map(|&symmetry| (symmetry, step.rows(symmetry))).collect();
        steps.push(step);
    }
    PlanSettings { channels, steps, level }
}

fn all_blocks(plan: &Arc<Plan>) -> Vec<(usize, usize)> {
    (1..=plan.max_order()).flat_map(|nu| (0..plan.blocks(nu).len()).map(move |k| (nu, k))).collect()
}

fn evaluate(plan: &Arc<Plan>, density: &[f64], blocks: &[(usize, usize)]) -> Vec<Vec<f64>> {
    let n = density.len() / plan.density_width();
    let mut arrays: Vec<Vec<f64>> = blocks
        .iter()
        .map(|&(nu, k)| {
            let (symmetry, width) = plan.blocks(nu)[k];
            vec![f64::NAN; n * (2 * symmetry.lambda + 1) * width]
        })
        .collect();
    let slices = arrays.iter_mut().map(Vec::as_mut_slice).collect();
    let wanted = Blocks::new(plan, blocks.to_vec()).expect("blocks");
    drive::equivariants_of(&wanted, density, slices, Run::default()).expect("equivariants");
    arrays
}

fn invariants(plan: &Arc<Plan>, density: &[f64]) -> Vec<f64> {
    let mut values = vec![f64::NAN; density.len() / plan.density_width() * plan.n_features()];
    let (iteration, out) = (Iteration::of_plan(plan, false).expect("orders"), Numbers::from(&mut values));
    drive::values_of(plan.channels(), density, &iteration, out, Run::default()).expect("invariants");
    values
}

fn assert_close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1e-300_f64, |most, x| most.max(x.abs()));
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-12 * scale + 1e-15, "{what}: {x} is not {y}");
    }
}

#[test]
fn kernels_do_what_the_equation_says() {
    for level in Level::available() {
        for settings in [contracted(level), wide(level), complete(level)] {
            let plan = Plan::new(&settings).map(Arc::new).expect("a plan");
            let width = plan.density_width();
            let density = Random(3).numbers(37 * width);
            let blocks = all_blocks(&plan);
            let arrays = evaluate(&plan, &density, &blocks);
            let features = invariants(&plan, &density);
            for (e, c) in density.chunks(width).enumerate().step_by(9) {
                let expected = reference::iterate(&settings, c);
                for (&(nu, k), array) in blocks.iter().zip(&arrays) {
                    let (symmetry, block) = &expected.blocks[nu - 1][k];
                    let row = array.len() / 37;
                    let what = format!("{level:?}, order {nu}, {symmetry:?}, environment {e}");
                    assert_close(&array[e * row..(e + 1) * row], &block.concat(), &what);
                }
                let row = plan.n_features();
                assert_close(&features[e * row..(e + 1) * row], &expected.invariants.concat(), "invariants");
            }
        }
    }
}

/// Eq. 15: with every pair, no contraction and lambda to its limit, the norm of order nu is that of the density to nu.
/// Sixteen roundings of the largest feature: 1e-6.
#[test]
fn single_precision_rounds_and_nothing_else() {
    for level in Level::available() {
        for settings in [contracted(level), wide(level), complete(level)] {
            let plan = Plan::new(&settings).map(Arc::new).expect("a plan");
            let density = Random(11).numbers(75 * plan.density_width());
            let doubles = invariants(&plan, &density);
            let mut singles = vec![f32::NAN; doubles.len()];
            let iteration = Iteration::of_plan(&plan, true).expect("orders");
            let out = Numbers::from(singles.as_mut_slice());
            drive::values_of(plan.channels(), &density, &iteration, out, Run::default()).expect("invariants");
            let most = doubles.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            for (x, y) in singles.iter().zip(&doubles) {
                assert!((f64::from(*x) - y).abs() <= 1e-6 * most, "{level:?}: {x} is not {y}");
            }
        }
    }
}

#[test]
fn norms_multiply() {
    let plan = Plan::new(&complete(Level::detect())).map(Arc::new).expect("a plan");
    let width = plan.density_width();
    let density = Random(5).numbers(3 * width);
    let blocks = all_blocks(&plan);
    let arrays = evaluate(&plan, &density, &blocks);
    for e in 0..3 {
        let mut norms = [0.0; 3];
        for ((nu, _), array) in blocks.iter().zip(&arrays) {
            let row = array.len() / 3;
            norms[nu - 1] += array[e * row..(e + 1) * row].iter().map(|x| x * x).sum::<f64>();
        }
        assert!((norms[1] / norms[0].powi(2) - 1.0).abs() < 1e-12);
        assert!((norms[2] / norms[0].powi(3) - 1.0).abs() < 1e-12);
    }
}

#[test]
fn bits_do_not_depend_on_company_or_threads() {
    let plan = Plan::new(&contracted(Level::detect())).map(Arc::new).expect("a plan");
    let width = plan.density_width();
    let density = Random(11).numbers(101 * width);
    let whole = invariants(&plan, &density);
    for threads in [1, 2, 8] {
        orbas::parallel::set_num_threads(threads).expect("threads");
        assert_eq!(invariants(&plan, &density), whole);
    }
    let row = plan.n_features();
    for first in [0, 1, 40, 99] {
        let end = (first + 35).min(101);
        let part = invariants(&plan, &density[first * width..end * width]);
        assert_eq!(part, whole[first * row..end * row]);
    }
}

/// What is skipped because nothing needs it changes no bit of what is wanted.
#[test]
fn skipping_changes_nothing() {
    let plan = Plan::new(&contracted(Level::detect())).map(Arc::new).expect("a plan");
    let density = Random(13).numbers(20 * plan.density_width());
    let blocks = all_blocks(&plan);
    for (block, array) in blocks.iter().zip(evaluate(&plan, &density, &blocks)) {
        assert_eq!(evaluate(&plan, &density, &[*block]), [array]);
    }
}

/// Energies are weights times features, and gradients those of finite differences.
#[test]
fn gradients_are_those_of_the_features() {
    let levels = Level::available().into_iter();
    for settings in levels.flat_map(|level| [contracted(level), wide(level)]) {
        let plan = Plan::new(&settings).map(Arc::new).expect("a plan");
        let (width, n) = (plan.density_width(), 35);
        let density = Random(17).numbers(n * width);
        let weights = Random(19).numbers(plan.n_features());
        let iteration = Iteration::of_plan(&plan, false).expect("orders");
        let readout = LinearIteration::new(&iteration, &weights).expect("weights");
        let (mut energies, mut gradients) = (vec![f64::NAN; n], vec![f64::NAN; n * width]);
        let out = (&mut energies, &mut gradients);
        drive::energies_of(plan.channels(), &density, &readout, out.0, out.1, Run::default())
            .expect("energies");
        let energies_of = |density: &[f64]| -> Vec<f64> {
            let features = invariants(&plan, density);
            let rows = features.chunks(weights.len());
            rows.map(|row| row.iter().zip(&weights).map(|(x, w)| x * w).sum()).collect()
        };
        assert_close(&energies, &energies_of(&density), "energies");
        let direction = Random(23).numbers(n * width);
        let moved = |h: f64| -> Vec<f64> { density.iter().zip(&direction).map(|(x, d)| x + h * d).collect() };
        // The energy is a polynomial of degree 4 of the coefficients, for which this formula is exact.
        let h = 0.25;
        let values = [h, -h, 2.0 * h, -2.0 * h].map(|h| energies_of(&moved(h)));
        let slopes: Vec<f64> = (0..n)
            .map(|e| (8.0 * (values[0][e] - values[1][e]) - (values[2][e] - values[3][e])) / (12.0 * h))
            .collect();
        let expected: Vec<f64> = gradients
            .chunks(width)
            .zip(direction.chunks(width))
            .map(|(g, d)| g.iter().zip(d).map(|(g, d)| g * d).sum())
            .collect();
        assert_close(&expected, &slopes, "gradients");
    }
}

#[test]
fn weights_must_fit() {
    let plan = Plan::new(&contracted(Level::detect())).map(Arc::new).expect("a plan");
    let iteration = Iteration::of_plan(&plan, false).expect("orders");
    assert!(LinearIteration::new(&iteration, &[1.0]).is_err());
    assert!(LinearIteration::new(&iteration, &vec![f64::INFINITY; plan.n_features()]).is_err());
}

#[test]
fn an_interrupt_stops() {
    let plan = Plan::new(&contracted(Level::detect())).map(Arc::new).expect("a plan");
    let density = Random(1).numbers(plan.density_width());
    let mut values = vec![0.0; plan.n_features()];
    let (iteration, stop) = (Iteration::of_plan(&plan, false).expect("orders"), &mut || true);
    let out = Numbers::from(&mut values);
    let stopped = drive::values_of(plan.channels(), &density, &iteration, out, Run::until(stop));
    assert_eq!(stopped, Err(orbas::Error::Interrupted));
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let good = contracted(Level::detect());
    let refused = |change: &dyn Fn(&mut PlanSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        Plan::new(&settings).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused(&|s| s.steps[0].couplings[0].pairs[0] = [99, 0]).contains("channels that exist"));
    assert!(refused(&|s| s.steps[1].couplings[0].factors[0] = f64::NAN).contains("finite factor"));
    assert!(refused(&|s| s.steps[1].outputs.clear()).contains("channels that exist"));
    assert!(refused(&|s| s.channels.clear()).contains("at least one degree"));
    assert!(refused(&|s| s.steps[0].outputs[1] = s.steps[0].outputs[0].clone()).contains("once"));
    let shorten = |s: &mut PlanSettings| {
        if let Some(projection) = &mut s.steps[0].outputs[0].projection {
            projection.matrix.pop();
        }
    };
    assert!(refused(&shorten).contains("every row"));
}

/// Gaunt's theorem: harmonics of one direction, of degrees l1 and l2, couple to a multiple of those of degree lambda. It is
/// `sqrt((2 l1 + 1)(2 l2 + 1) / (4 pi (2 lambda + 1))) <l1 0; l2 0 | lambda 0>`, which vanishes for odd sums of degrees.
#[test]
fn products_of_harmonics_are_harmonics() {
    let tables = ClebschGordan::new(12);
    let harmonics = spherical_harmonics([0.3, -0.5, 0.81], 12);
    let of = |l: usize| &harmonics[l * l..(l + 1) * (l + 1)];
    for (l1, l2) in [(1_usize, 1), (2, 3), (6, 4), (6, 6)] {
        for lambda in l1.abs_diff(l2)..=l1 + l2 {
            let table = tables.real(l1, l2, lambda);
            let mut product = vec![0.0; 2 * lambda + 1];
            for c in &table {
                product[c.mu] += c.value * of(l1)[c.m1] * of(l2)[c.m2];
            }
            let middle = table.iter().find(|c| (c.m1, c.m2, c.mu) == (l1, l2, lambda));
            let numbers = ((2 * l1 + 1) * (2 * l2 + 1)) as f64 / (2 * lambda + 1) as f64;
            let factor = (numbers / (4.0 * std::f64::consts::PI)).sqrt() * middle.map_or(0.0, |c| c.value);
            for (x, y) in product.iter().zip(of(lambda)) {
                assert!((x - factor * y).abs() < 1e-14);
            }
        }
    }
}
