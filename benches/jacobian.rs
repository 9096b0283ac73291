//! Jacobian rows: the adjoint once per column (the obvious way), and the gather. Throughput is per atom.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::expansion::{DensityPlan, coefficient_row_width, coefficient_rows, energies_and_forces};
use orbas::invariants::{PowerSpectrum, power_spectrum_rows};
use orbas::potential::LinearPowerSpectrum;
use orbas::simd::Level;
use orbas::structure::Batch;

/// Forces of weights that are one for one column and zero for the others, column by column.
fn by_columns(batch: &Batch, plan: &DensityPlan) -> f64 {
    let n = plan.species().len() * PowerSpectrum::new(plan).width();
    let mut checksum = 0.0;
    for column in 0..n {
        let mut weights = vec![0.0; n];
        weights[column] = 1.0;
        let readout = LinearPowerSpectrum::new(plan, &weights).expect("weights that fit");
        let energies = energies_and_forces(batch, plan, &readout, &mut || false).expect("a valid batch");
        checksum += energies.forces[0][0];
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
        let n = plan.species().len() * PowerSpectrum::new(&plan).width();
        let (mut rows, mut strain) = (vec![0.0; batch.n_atoms() * 3 * n], vec![0.0; 9 * n]);
        group.bench_function(BenchmarkId::new(format!("{name}-power-spectrum"), "n8l6"), |b| {
            b.iter(|| power_spectrum_rows(&batch, 0, &plan, &mut rows, &mut strain, &mut || false));
        });
        if name == "si-64" {
            group.bench_function(BenchmarkId::new(format!("{name}-power-spectrum-columns"), "n8l6"), |b| {
                b.iter(|| by_columns(&batch, &plan));
            });
        }
        let n = coefficient_row_width(&plan);
        let (mut rows, mut strain) = (vec![0.0; batch.n_atoms() * 3 * n], vec![0.0; 9 * n]);
        group.bench_function(BenchmarkId::new(format!("{name}-density"), "n8l6"), |b| {
            b.iter(|| coefficient_rows(&batch, 0, &plan, &mut rows, &mut strain, &mut || false));
        });
    }
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
