//! The adjoint against its plain form, pair by pair, at every instruction set.

#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../benches/common/mod.rs"]
mod common;

use common::{Random, plain};
use orbas::density::{DensityPlan, PlanSettings};
use orbas::drive::{Energies, Numbers, Run, energies, values};
use orbas::invariants::{LinearPowerSpectrum, PowerSpectrum, WeightedCoefficients};
use orbas::potential::LinearUncertainty;
use orbas::radial::{Cutoff, RadialScaling, Smoothing};
use orbas::simd::Level;
use orbas::structure::Batch;

fn random(n: usize) -> Vec<f64> {
    let mut random = Random(3);
    (0..n).map(|_| random.next()).collect()
}

/// Equal to a tolerance relative to the largest energy, force and virial.
fn close(fast: &Energies, slow: &Energies, tolerance: f64) {
    fn compare<'a>(a: impl Iterator<Item = &'a f64>, b: impl Iterator<Item = &'a f64>, tolerance: f64) {
        let (a, b): (Vec<f64>, Vec<f64>) = (a.copied().collect(), b.copied().collect());
        assert_eq!(a.len(), b.len());
        let largest = b.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        for (x, y) in a.iter().zip(&b) {
            assert!((x - y).abs() <= tolerance * largest, "{x} {y} (largest {largest})");
        }
    }
    compare(fast.atoms.iter(), slow.atoms.iter(), tolerance);
    compare(fast.forces.iter().flatten(), slow.forces.iter().flatten(), tolerance);
    compare(fast.virials.iter().flatten().flatten(), slow.virials.iter().flatten().flatten(), tolerance);
}

fn check(batch: &Batch, settings: &PlanSettings) {
    let plan = DensityPlan::new(settings).unwrap();
    let slow = plain::Adjoint::new(&plan, settings);
    let run = |result: orbas::error::Result<Energies>| result.unwrap();

    let width = PowerSpectrum::new(&plan).width();
    let weights = random(plan.species().len() * width);
    let readout = LinearPowerSpectrum::new(&PowerSpectrum::new(&plan), &weights).unwrap();
    let fast = run(energies(batch, &plan, &readout, Run::default()));
    let expected = slow.energies_and_forces(batch, |_, a, row| {
        plain::linear_power_spectrum(row, &settings.channels[0], &weights[a * width..][..width])
    });
    close(&fast, &expected, 1e-12);

    let species = plan.species_indices(batch).unwrap();
    let width = plan.center(0).layout().width();
    let rows = random(species.len() * width);
    let readout = WeightedCoefficients::new(&plan, &species, rows.chunks_exact(width).collect()).unwrap();
    let fast = run(energies(batch, &plan, &readout, Run::default()));
    let expected = slow.energies_and_forces(batch, |atom, _, row| {
        plain::weighted_coefficients(row, &rows[atom * width..][..width])
    });
    close(&fast, &expected, 1e-12);
}

/// Crystals, molecules, a gas in which some atoms are alone.
fn batches() -> Vec<(Batch, Vec<i32>)> {
    vec![
        (common::diamond(1, 2), vec![14, 15]),
        (common::molecules(2), vec![1, 6, 7, 8, 9]),
        (common::gas(3), vec![14]),
    ]
}

#[test]
fn every_level_and_mixing_equals_the_plain_loop() {
    for (batch, species) in batches() {
        for (n, l, combined) in [(8, 6, true), (5, 3, false), (3, 7, true), (1, 0, true), (9, 1, false)] {
            for level in Level::available() {
                check(&batch, &common::settings(species.clone(), n, l, combined, 64, level));
            }
        }
    }
}

#[test]
fn weights_of_distance_and_tables_per_center_enter() {
    for (batch, species) in batches() {
        for (rate, scale, exponent) in [(1.3, 2.0, 7.0), (0.0, 1.5, 2.5)] {
            let mut settings = common::settings(species.clone(), 4, 3, true, 64, Level::detect());
            settings.weight.cutoff = Cutoff::new(6.0, 1.7, Smoothing::Quintic).unwrap();
            settings.weight.scaling = Some(RadialScaling::new(rate, scale, exponent).unwrap());
            settings.channels = vec![settings.channels[0].clone(); species.len()];
            // Other tables for every center: those of the species in another order.
            let functions = settings.functions[0].clone();
            let turned = |a: usize| {
                let mut functions = functions.clone();
                functions.rotate_left(a);
                functions
            };
            settings.functions = (0..species.len()).map(turned).collect();
            check(&batch, &settings);
        }
    }
}

#[test]
fn levels_agree() {
    let batch = common::diamond(2, 2);
    let at = |level| {
        let plan = common::plan(vec![14, 15], 7, 5, false, 64, level);
        let width = PowerSpectrum::new(&plan).width();
        let readout = LinearPowerSpectrum::new(&PowerSpectrum::new(&plan), &random(2 * width)).unwrap();
        energies(&batch, &plan, &readout, Run::default()).unwrap()
    };
    let widest = at(Level::detect());
    for level in Level::available() {
        close(&at(level), &widest, 1e-13);
    }
}

#[test]
fn error_bars_are_those_of_summed_features() {
    let batch = common::diamond(2, 2);
    let plan = common::plan(vec![14, 15], 3, 2, true, 64, Level::detect());
    let width = PowerSpectrum::new(&plan).width();
    let mut features = vec![0.0; batch.n_atoms() * width];
    let out = Numbers::from(&mut features);
    values(&batch, &plan, &PowerSpectrum::new(&plan), out, Run::default()).unwrap();
    let species = plan.species_indices(&batch).unwrap();
    let directions = random(3 * 2 * width);
    let mut expected = 0.0;
    for direction in directions.chunks_exact(2 * width) {
        let mut along = 0.0;
        for (row, &a) in features.chunks_exact(width).zip(&species) {
            let own = &direction[a as usize * width..][..width];
            along += row.iter().zip(own).map(|(x, d)| x * d).sum::<f64>();
        }
        expected += along * along;
    }
    let bars = LinearUncertainty::new(&plan, directions.clone(), 0.25).unwrap();
    let found = bars.deviations(&batch, &plan, &mut || false).unwrap();
    assert_eq!(found.len(), 1);
    assert!((found[0] - 0.5 * expected.sqrt()).abs() <= 1e-12 * expected.sqrt());
    assert!(LinearUncertainty::new(&plan, directions[1..].to_vec(), 0.25).is_err());
    assert!(LinearUncertainty::new(&plan, directions, f64::NAN).is_err());
}
