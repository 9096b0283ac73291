//! Density expansion with its neighbor search: the kernel, and the plain sum as the oracle. Elements are atoms.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::density::reference;
use orbas::drive::{Numbers, Run, coefficient_shapes, density_coefficients_into};
use orbas::simd::Level;

fn values(c: &mut Criterion) {
    let mut group = c.benchmark_group("density");
    for case in common::regimes() {
        let batch = &case.batch;
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        for (n, l) in case.sizes {
            let plan = common::plan(case.species.clone(), *n, *l, case.combined, 96, Level::detect());
            let shapes = coefficient_shapes(batch, &plan).expect("known species");
            let mut arrays: Vec<Vec<f64>> = shapes.iter().map(|[n, width]| vec![0.0; n * width]).collect();
            group.bench_function(BenchmarkId::new(case.name, format!("n{n}l{l}")), |b| {
                b.iter(|| {
                    let slices = arrays.iter_mut().map(Numbers::from).collect();
                    density_coefficients_into(batch, &plan, slices, Run::default())
                });
            });
        }
    }
    for case in common::oracle_regimes() {
        let batch = &case.batch;
        let plan = common::plan(case.species.clone(), 8, 6, case.combined, 96, Level::detect());
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        group.bench_function(BenchmarkId::new(format!("{}-reference", case.name), "n8l6"), |b| {
            b.iter(|| {
                (0..batch.n_frames())
                    .map(|structure| reference::density_coefficients(batch, structure, &plan))
                    .collect::<Result<Vec<_>, _>>()
            });
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = common::criterion(); targets = values);
criterion_main!(benches);
