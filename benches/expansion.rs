//! Density expansion: oracle and kernels in one group. Ids carry size and regime; throughput is per atom.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::expansion::{density_coefficients, reference};
use orbas::invariants::{PowerSpectrum, power_spectrum_into};
use orbas::simd::Level;

fn values(c: &mut Criterion) {
    orbas::parallel::set_num_threads(1).expect("one thread");
    let mut group = c.benchmark_group("density");
    let level = Level::detect();
    let cases = [
        ("si-64", common::diamond(2, 1), 1),
        ("si-1000", common::diamond(5, 1), 1),
        ("si4-1000", common::diamond(5, 4), 4),
        ("mol18x1000", common::molecules(1000), 0),
    ];
    for (name, batch, n_species) in &cases {
        let species: Vec<i32> =
            if *n_species == 0 { vec![1, 6, 7, 8, 9] } else { (14..14 + n_species).collect() };
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        for (n, l, nodes) in [(8, 6, 96), (12, 9, 96)] {
            for combined in [true, false] {
                if species.len() == 1 && !combined {
                    continue;
                }
                let plan = common::plan(species.clone(), n, l, combined, nodes, level);
                let mixing = if combined { "combined" } else { "separate" };
                group.bench_function(
                    BenchmarkId::new(format!("{name}-{mixing}"), format!("n{n}l{l}")),
                    |b| {
                        b.iter(|| density_coefficients(batch, &plan, &mut || false));
                    },
                );
            }
        }
    }
    let (name, batch, _) = &cases[0];
    let plan = common::plan(vec![14], 8, 6, true, 96, level);
    group.sample_size(10);
    group.throughput(Throughput::Elements(batch.n_atoms() as u64));
    group.bench_function(BenchmarkId::new(format!("{name}-reference"), "n8l6"), |b| {
        b.iter(|| reference::density_coefficients(batch, 0, &plan));
    });
    group.finish();
}

fn spectra(c: &mut Criterion) {
    orbas::parallel::set_num_threads(1).expect("one thread");
    let mut group = c.benchmark_group("power-spectrum");
    let batch = common::diamond(5, 1);
    group.throughput(Throughput::Elements(batch.n_atoms() as u64));
    for (n, l) in [(8, 6), (12, 9)] {
        let plan = common::plan(vec![14], n, l, true, 96, Level::detect());
        group.bench_function(BenchmarkId::new("si-1000", format!("n{n}l{l}")), |b| {
            let mut values = vec![0.0; batch.n_atoms() * PowerSpectrum::new(&plan).width()];
            b.iter(|| power_spectrum_into(&batch, &plan, &mut values, &mut || false));
        });
    }
    group.finish();
}

criterion_group!(benches, values, spectra);
criterion_main!(benches);
