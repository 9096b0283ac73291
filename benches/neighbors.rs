//! Neighbor search: bins and searches as the expansion uses them, and the pairs as arrays; brute force is the oracle.
//! Elements are pairs.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use orbas::neighbors::{CellList, Neighborhood, PairArrays, PairList, brute_force, count_pairs, fill_pairs};
use orbas::simd::{Kernel, Level, Simd};
use orbas::structure::{Batch, Frame};

const CUTOFF: f64 = 6.0;

/// The neighbors of every center of a structure, one after the other in the order of the bins; their number.
struct Visit<'a>(Frame<'a>);

impl Kernel for Visit<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> usize {
        let cells = CellList::new(self.0, CUTOFF).expect("bins");
        let mut scratch = Neighborhood::default();
        let mut search = cells.search(&mut scratch);
        let mut pairs = 0;
        for &center in cells.spatial_order() {
            search.around(s, center as usize).expect("distinct atoms");
            pairs += search.len();
        }
        pairs
    }
}

/// Searches and fills arrays that exist already: what fresh memory costs is not the search's.
fn fill(frame: &Frame<'_>, list: &mut PairList) {
    let cells = CellList::new(*frame, CUTOFF).expect("bins");
    let counts = count_pairs(&cells, &mut || false).expect("distinct atoms");
    let arrays = PairArrays {
        centers: Some(&mut list.centers),
        neighbors: Some(&mut list.neighbors),
        shifts: Some(&mut list.shifts),
        vectors: Some(&mut list.vectors),
        distances: None,
    };
    fill_pairs(&cells, &counts, arrays, &mut || false).expect("distinct atoms");
}

fn pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("neighbors");
    let cases: [(&str, Batch); 8] = [
        ("big-cell-si216", common::diamond(3, 1)),
        ("big-cell-si1000", common::diamond(5, 1)),
        ("big-cell-si8000", common::diamond(10, 1)),
        ("big-cell-si64000", common::diamond(20, 1)),
        ("molecules-18x1000", common::molecules(1000)),
        ("sparse-gas1000", common::gas(10)),
        ("sparse-gas64000", common::gas(40)),
        ("dense-c1000", common::dense(5)),
    ];
    for (name, batch) in &cases {
        let mut lists: Vec<PairList> =
            batch.frames().map(|frame| PairList::new(&frame, CUTOFF).expect("pairs")).collect();
        group.throughput(Throughput::Elements(lists.iter().map(PairList::len).sum::<usize>() as u64));
        group.bench_function(BenchmarkId::new("search", name), |b| {
            b.iter(|| batch.frames().map(|frame| Level::detect().run(Visit(frame))).sum::<usize>());
        });
        group.bench_function(BenchmarkId::new("arrays", name), |b| {
            b.iter(|| batch.frames().zip(&mut lists).for_each(|(frame, list)| fill(&frame, list)));
        });
        if batch.n_atoms() <= 216 || batch.n_frames() > 1 {
            group.bench_function(BenchmarkId::new("brute-force", name), |b| {
                b.iter(|| {
                    let count = |frame| brute_force(&frame, CUTOFF).expect("pairs").len();
                    batch.frames().map(count).sum::<usize>()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(name = benches; config = common::criterion(); targets = pairs);
criterion_main!(benches);
