//! Energies, forces and virials by the adjoint: the kernel, and the plain loop over pairs as the oracle. Elements are
//! atoms.

mod common;

use common::plain;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::density::DensityPlan;
use orbas::drive::{Run, energies};
use orbas::invariants::{LinearPowerSpectrum, PowerSpectrum, WeightedCoefficients};
use orbas::simd::Level;
use orbas::structure::Batch;

fn numbers(n: usize) -> Vec<f64> {
    let mut random = common::Random(7);
    (0..n).map(|_| random.next()).collect()
}

fn weights_of_features(plan: &DensityPlan) -> Vec<f64> {
    numbers(plan.species().len() * PowerSpectrum::new(plan).width())
}

/// A model linear in the power spectrum.
fn linear(c: &mut Criterion) {
    let mut group = c.benchmark_group("linear-power-spectrum");
    for case in common::regimes() {
        let batch = &case.batch;
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        for (n, l) in case.sizes {
            let plan = common::plan(case.species.clone(), *n, *l, case.combined, 96, Level::detect());
            let spectrum = PowerSpectrum::new(&plan);
            let readout = LinearPowerSpectrum::new(&spectrum, &weights_of_features(&plan)).expect("weights");
            group.bench_function(BenchmarkId::new(case.name, format!("n{n}l{l}")), |b| {
                b.iter(|| energies(batch, &plan, &readout, Run::default()));
            });
        }
    }
    for case in common::oracle_regimes() {
        let settings = common::settings(case.species.clone(), 8, 6, case.combined, 96, Level::detect());
        let plan = DensityPlan::new(&settings).expect("a valid plan");
        let slow = plain::Adjoint::new(&plan, &settings);
        let (weights, width) = (weights_of_features(&plan), PowerSpectrum::new(&plan).width());
        group.throughput(Throughput::Elements(case.batch.n_atoms() as u64));
        group.bench_function(BenchmarkId::new(format!("{}-reference", case.name), "n8l6"), |b| {
            b.iter(|| {
                slow.energies_and_forces(&case.batch, |_, a, row| {
                    plain::linear_power_spectrum(row, &settings.channels[0], &weights[a * width..][..width])
                })
            });
        });
    }
    group.finish();
}

/// One packed row of dE/dc for every atom, laid end to end, and where each begins.
fn gradients(batch: &Batch, plan: &DensityPlan) -> (Vec<u32>, Vec<f64>, usize) {
    let width = plan.center(0).layout().width();
    (plan.species_indices(batch).expect("known species"), numbers(batch.n_atoms() * width), width)
}

/// The vector-Jacobian product of the expansion alone.
fn pull_back(c: &mut Criterion) {
    let mut group = c.benchmark_group("pull-back");
    for case in common::regimes() {
        let batch = &case.batch;
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        for (n, l) in case.sizes {
            let plan = common::plan(case.species.clone(), *n, *l, case.combined, 96, Level::detect());
            let (species, rows, width) = gradients(batch, &plan);
            let readout = WeightedCoefficients::new(&plan, &species, rows.chunks_exact(width).collect())
                .expect("a row for every atom");
            group.bench_function(BenchmarkId::new(case.name, format!("n{n}l{l}")), |b| {
                b.iter(|| energies(batch, &plan, &readout, Run::default()));
            });
        }
    }
    for case in common::oracle_regimes() {
        let settings = common::settings(case.species.clone(), 8, 6, case.combined, 96, Level::detect());
        let plan = DensityPlan::new(&settings).expect("a valid plan");
        let slow = plain::Adjoint::new(&plan, &settings);
        let (_, rows, width) = gradients(&case.batch, &plan);
        group.throughput(Throughput::Elements(case.batch.n_atoms() as u64));
        group.bench_function(BenchmarkId::new(format!("{}-reference", case.name), "n8l6"), |b| {
            b.iter(|| {
                slow.energies_and_forces(&case.batch, |atom, _, row| {
                    plain::weighted_coefficients(row, &rows[atom * width..][..width])
                })
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = common::criterion(); targets = linear, pull_back);
criterion_main!(benches);
