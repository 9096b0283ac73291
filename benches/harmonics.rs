//! Spherical harmonics of many directions: the recurrences, and the oracle by Legendre functions and the azimuth, whose
//! gradients are central differences. Elements are vectors.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::angular::{reference, spherical_harmonics};
use orbas::simd::Level;
use orbas::structure::Vector;

/// Results of the first stay in cache; those of the second are written to fresh memory, which costs more than they do.
const SIZES: [usize; 2] = [100, 10_000];

fn central_differences(vector: Vector, max_angular: usize) -> Vec<f64> {
    const H: f64 = 1e-5;
    let mut slopes = Vec::new();
    for x in 0..3 {
        let moved = |step: f64| {
            let mut there = vector;
            there[x] += step;
            reference::spherical_harmonics(there, max_angular)
        };
        slopes.extend(moved(H).iter().zip(moved(-H)).map(|(up, down)| (up - down) / (2.0 * H)));
    }
    slopes
}

fn directions(c: &mut Criterion) {
    let mut group = c.benchmark_group("harmonics");
    for (n, max_angular) in SIZES.into_iter().flat_map(|n| [(n, 6), (n, 12)]) {
        let mut random = common::Random(6);
        let vectors: Vec<Vector> = (0..n).map(|_| std::array::from_fn(|_| 6.0 * random.next())).collect();
        group.throughput(Throughput::Elements(n as u64));
        let id = |method: &str| BenchmarkId::new(method, format!("random-{n}/l{max_angular}"));
        for level in Level::available() {
            let name = format!("{level:?}").to_lowercase();
            for (what, gradients) in [("values", false), ("gradients", true)] {
                group.bench_function(id(&format!("{what}-{name}")), |b| {
                    b.iter(|| spherical_harmonics(&vectors, max_angular, gradients, level));
                });
            }
        }
        group.bench_function(id("values-reference"), |b| {
            b.iter(|| {
                vectors.iter().map(|v| reference::spherical_harmonics(*v, max_angular)[0]).sum::<f64>()
            });
        });
        group.bench_function(id("gradients-reference"), |b| {
            b.iter(|| vectors.iter().map(|v| central_differences(*v, max_angular)[0]).sum::<f64>());
        });
    }
    group.finish();
}

criterion_group!(name = benches; config = common::criterion(); targets = directions);
criterion_main!(benches);
