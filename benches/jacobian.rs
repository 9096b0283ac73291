//! Jacobian rows: the adjoint once per column (the obvious way), and the gather. Throughput is per atom.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::density::DensityPlan;
use orbas::drive::{self, Run, energies, row_width};
use orbas::invariants::{Coefficients, LinearPowerSpectrum, PowerSpectrum};
use orbas::simd::Level;
use orbas::structure::Batch;

/// Forces of weights that are one for one column and zero for the others, column by column.
fn by_columns(batch: &Batch, plan: &DensityPlan) -> f64 {
    let spectrum = PowerSpectrum::new(plan);
    let n = plan.species().len() * spectrum.width();
    let mut checksum = 0.0;
    for column in 0..n {
        let mut weights = vec![0.0; n];
        weights[column] = 1.0;
        let readout = LinearPowerSpectrum::new(&spectrum, &weights).expect("weights that fit");
        let found = energies(batch, plan, &readout, Run::default()).expect("a valid batch");
        checksum += found.forces[0][0];
    }
    checksum
}

fn rows(c: &mut Criterion) {
    orbas::parallel::set_num_threads(1).expect("one thread");
    let mut group = c.benchmark_group("jacobian");
    group.sample_size(10);
    let cases = [
        ("si-64", common::diamond(2, 1), vec![14], true),
        ("si-1000", common::diamond(5, 1), vec![14], true),
        ("si4-64-combined", common::diamond(2, 4), vec![14, 15, 16, 17], true),
        ("si4-64-separate", common::diamond(2, 4), vec![14, 15, 16, 17], false),
    ];
    for (name, batch, species, combined) in cases {
        group.throughput(Throughput::Elements(batch.n_atoms() as u64));
        let plan = common::plan(species, 8, 6, combined, 96, Level::detect());
        let spectrum = PowerSpectrum::new(&plan);
        let n = row_width(&spectrum, &plan);
        let (mut rows, mut strain) = (vec![0.0; batch.n_atoms() * 3 * n], vec![0.0; 9 * n]);
        group.bench_function(BenchmarkId::new(format!("{name}-power-spectrum"), "n8l6"), |b| {
            b.iter(|| drive::rows(&batch, 0, &plan, &spectrum, &mut rows, &mut strain, Run::default()));
        });
        if name == "si-64" {
            group.bench_function(BenchmarkId::new(format!("{name}-power-spectrum-columns"), "n8l6"), |b| {
                b.iter(|| by_columns(&batch, &plan));
            });
        }
        let coefficients = Coefficients::new(&plan);
        let n = row_width(&coefficients, &plan);
        let (mut rows, mut strain) = (vec![0.0; batch.n_atoms() * 3 * n], vec![0.0; 9 * n]);
        group.bench_function(BenchmarkId::new(format!("{name}-density"), "n8l6"), |b| {
            b.iter(|| drive::rows(&batch, 0, &plan, &coefficients, &mut rows, &mut strain, Run::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
