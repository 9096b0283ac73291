//! Every fast path against its slow, obvious form: neighbors by trying all pairs, densities by the plain sum.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::Random;
use orbas::Error;
use orbas::density::{DensityPlan, reference};
use orbas::drive::{Numbers, Run, density_coefficients, values};
use orbas::invariants::{PowerSpectrum, RadialSpectrum};
use orbas::neighbors::{PairList, brute_force};
use orbas::simd::Level;
use orbas::structure::{Batch, Matrix, Vector};
use proptest::prelude::*;

type Pair = (i64, i64, [i64; 3], [u64; 3]);

/// Pairs with their vectors to the bit, in a fixed order.
fn sorted(list: &PairList) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = (0..list.len())
        .map(|k| {
            (list.centers[k], list.neighbors[k], list.shifts[k], list.vectors[k].map(|x| (x + 0.0).to_bits()))
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

fn one(positions: Vec<Vector>, matrix: Matrix, pbc: [bool; 3]) -> Option<Batch> {
    let n = positions.len();
    Batch::new(positions, vec![14; n], vec![0, n], vec![matrix], &[pbc]).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Skewed, thin and left-handed cells, every mix of pbc, atoms many cells away, cutoffs beyond the cell.
    #[test]
    fn pairs_equal_those_of_brute_force(
        matrix in prop::array::uniform3(prop::array::uniform3(-4.0..4.0f64)),
        pbc in prop::array::uniform3(any::<bool>()),
        points in prop::collection::vec(prop::array::uniform3(-9.0..9.0f64), 1..16),
        cutoff in 0.5..4.0f64,
    ) {
        let Some(batch) = one(points, matrix, pbc) else { return Ok(()) };
        let frame = batch.frame(0);
        // Near-singular cells have millions of images: brute force would never end.
        prop_assume!(frame.cell.periodic_volume().is_none_or(|v| v > 8.0) && frame.cell.heights.iter().all(|h| *h > 0.6));
        let fast = PairList::new(&frame, cutoff).unwrap();
        prop_assert!(fast.centers.is_sorted());
        prop_assert_eq!(sorted(&fast), sorted(&brute_force(&frame, cutoff).unwrap()));
    }
}

#[test]
fn pairs_of_large_and_sparse_systems_equal_those_of_brute_force() {
    let crystal = common::diamond(4, 1);
    let frame = crystal.frame(0);
    assert_eq!(sorted(&PairList::new(&frame, 5.0).unwrap()), sorted(&brute_force(&frame, 5.0).unwrap()));

    // Clusters far from each other: the bins between them are empty, and must cost nothing.
    let mut random = Random(5);
    let points: Vec<Vector> = (0..400)
        .map(|k| std::array::from_fn(|x| 1e7 * f64::from(k % 4) * (x as f64 - 0.7) + 8.0 * random.next()))
        .collect();
    let molecule = one(points, [[0.0; 3]; 3], [false; 3]).unwrap();
    let frame = molecule.frame(0);
    assert_eq!(sorted(&PairList::new(&frame, 3.0).unwrap()), sorted(&brute_force(&frame, 3.0).unwrap()));
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= tolerance * scale, "{x} {y} (largest {scale})");
    }
}

fn compute(batch: &Batch, plan: &DensityPlan) -> Vec<Vec<f64>> {
    density_coefficients(batch, plan, &mut || false).unwrap()
}

/// Rows of all centers in the order of the atoms, from the arrays by species.
fn rows_in_order(batch: &Batch, plan: &DensityPlan, arrays: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let species = plan.species_indices(batch).unwrap();
    let mut next = vec![0; arrays.len()];
    species
        .iter()
        .map(|&a| {
            let (a, width) = (a as usize, plan.center(a as usize).layout().width());
            next[a] += 1;
            arrays[a][(next[a] - 1) * width..next[a] * width].to_vec()
        })
        .collect()
}

#[test]
fn every_level_and_mixing_equals_the_plain_sum() {
    for (batch, species) in
        [(common::diamond(2, 2), vec![14, 15]), (common::molecules(2), vec![1, 6, 7, 8, 9])]
    {
        for (n, l, combined) in
            [(8, 6, true), (5, 3, false), (3, 9, true), (12, 2, false), (1, 0, true), (17, 1, true)]
        {
            for level in Level::available() {
                let plan = common::plan(species.clone(), n, l, combined, 64, level);
                let rows = rows_in_order(&batch, &plan, &compute(&batch, &plan));
                for structure in 0..batch.n_frames() {
                    let slow = reference::density_coefficients(&batch, structure, &plan).unwrap();
                    for (fast, slow) in rows[batch.atoms_of(structure)].iter().zip(slow) {
                        close(fast, &slow, 1e-13);
                    }
                }
            }
        }
    }
}

#[test]
fn levels_agree_and_threads_do_not_matter() {
    let batch = common::diamond(3, 2);
    let plan_at = |level| common::plan(vec![14, 15], 7, 5, false, 64, level);
    let widest = compute(&batch, &plan_at(Level::detect()));
    for level in Level::available() {
        for (a, b) in compute(&batch, &plan_at(level)).iter().zip(&widest) {
            close(a, b, 1e-13);
        }
    }
    for threads in [1, 2, 3, 8] {
        orbas::parallel::set_num_threads(threads).unwrap();
        assert_eq!(compute(&batch, &plan_at(Level::detect())), widest, "{threads} threads");
    }
}

#[test]
fn spectra_are_those_of_the_coefficients() {
    let batch = common::molecules(3);
    let plan = common::plan(vec![1, 6, 7, 8, 9], 3, 4, false, 64, Level::detect());
    let rows = rows_in_order(&batch, &plan, &compute(&batch, &plan));
    let (q, width) = (15, 5 * 15 * 16 / 2);
    let (mut spectrum, mut radial) = (vec![0.0; batch.n_atoms() * width], vec![0.0; batch.n_atoms() * q]);
    let out = Numbers::from(&mut spectrum);
    values(&batch, &plan, &PowerSpectrum::new(&plan), out, Run::default()).unwrap();
    let out = Numbers::from(&mut radial);
    values(&batch, &plan, &RadialSpectrum::new(&plan), out, Run::default()).unwrap();
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row[..q], radial[i * q..(i + 1) * q]);
        let expected = common::plain::power_spectrum(row, &[q; 5]);
        close(&spectrum[i * width..(i + 1) * width], &expected, 1e-14);
    }
}

#[test]
fn bad_structures_and_interrupts_are_errors() {
    let plan = common::plan(vec![14], 4, 2, true, 32, Level::detect());
    let zero = [[0.0; 3]; 3];
    let twins = one(vec![[0.0; 3], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]], zero, [false; 3]).unwrap();
    let error = density_coefficients(&twins, &plan, &mut || false).unwrap_err();
    assert!(matches!(error, Error::CoincidentAtoms { structure: 0, first: 1, second: 2, .. }), "{error}");
    // An atom and its own image's twin, one cell apart.
    let wrapped = one(
        vec![[0.5, 0.0, 0.0], [4.5, 0.0, 0.0]],
        [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]],
        [true; 3],
    );
    let error = density_coefficients(&wrapped.unwrap(), &plan, &mut || false).unwrap_err();
    assert!(matches!(error, Error::CoincidentAtoms { first: 0, second: 1, .. }), "{error}");
    let unknown = common::diamond(1, 2);
    let error = density_coefficients(&unknown, &plan, &mut || false).unwrap_err();
    assert_eq!(error, Error::UnknownSpecies { structure: 0, atom: 1, number: 15, known: vec![14] });
    let error = density_coefficients(&common::diamond(2, 1), &plan, &mut || true).unwrap_err();
    assert_eq!(error, Error::Interrupted);
    let tiny =
        one(vec![[0.0; 3]], [[1e-3, 0.0, 0.0], [0.0, 1e-3, 0.0], [0.0, 0.0, 1e-3]], [true; 3]).unwrap();
    assert!(matches!(PairList::new(&tiny.frame(0), 5.0).unwrap_err(), Error::TooDense { .. }));
}

#[test]
fn nothing_in_nothing_out() {
    let plan = common::plan(vec![14], 4, 2, true, 32, Level::detect());
    let empty = Batch::new(vec![], vec![], vec![0], vec![], &[]).unwrap();
    assert_eq!(compute(&empty, &plan), vec![Vec::<f64>::new()]);
    let atom = one(vec![[1.0, 2.0, 3.0]], [[0.0; 3]; 3], [false; 3]).unwrap();
    let row = compute(&atom, &plan).remove(0);
    assert!(row[..4].iter().any(|c| *c != 0.0) && row[4..].iter().all(|c| *c == 0.0));
}
