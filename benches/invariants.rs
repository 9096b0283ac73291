//! Power spectra from structures to features: the kernel, and plain loops over reference coefficients as the oracle.
//! Elements are atoms.

mod common;

use common::plain;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::density::reference;
use orbas::drive::{Numbers, Run, values};
use orbas::invariants::{PowerSpectrum, RadialSpectrum};
use orbas::simd::Level;

fn power_spectra(c: &mut Criterion) {
    let mut group = c.benchmark_group("power-spectrum");
    for case in common::regimes() {
        let batch = &case.batch;
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        for (n, l) in case.sizes {
            let plan = common::plan(case.species.clone(), *n, *l, case.combined, 96, Level::detect());
            let spectrum = PowerSpectrum::new(&plan);
            let mut out = vec![0.0; batch.n_atoms() * spectrum.width()];
            group.bench_function(BenchmarkId::new(case.name, format!("n{n}l{l}")), |b| {
                b.iter(|| values(batch, &plan, &spectrum, Numbers::from(&mut out), Run::default()));
            });
        }
    }
    for case in common::oracle_regimes() {
        let batch = &case.batch;
        let plan = common::plan(case.species.clone(), 8, 6, case.combined, 96, Level::detect());
        let channels: Vec<usize> = (0..=6).map(|l| plan.max_channels(l)).collect();
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        group.bench_function(BenchmarkId::new(format!("{}-reference", case.name), "n8l6"), |b| {
            b.iter(|| {
                let mut spectra = Vec::new();
                for structure in 0..batch.n_frames() {
                    let rows =
                        reference::density_coefficients(batch, structure, &plan).expect("coefficients");
                    spectra.extend(rows.iter().map(|row| plain::power_spectrum(row, &channels)));
                }
                spectra
            });
        });
    }
    group.finish();
}

fn radial_spectra(c: &mut Criterion) {
    let mut group = c.benchmark_group("radial-spectrum");
    let batch = common::diamond(5, 1);
    let plan = common::plan(vec![14], 8, 0, true, 96, Level::detect());
    let spectrum = RadialSpectrum::new(&plan);
    let mut out = vec![0.0; batch.n_atoms() * plan.max_channels(0)];
    group.throughput(Throughput::Elements(batch.n_atoms() as u64));
    group.bench_function(BenchmarkId::new("big-cell-si1000", "n8l0"), |b| {
        b.iter(|| values(&batch, &plan, &spectrum, Numbers::from(&mut out), Run::default()));
    });
    group.finish();
}

criterion_group!(name = benches; config = common::criterion(); targets = power_spectra, radial_spectra);
criterion_main!(benches);
