//! The settings of an expansion, checked once and arranged for the kernel.

use std::f64::consts::PI;
use std::ops::Range;

use super::layout::{Layout, PAIRS};
use crate::angular::{Harmonics, n_harmonics};
use crate::error::{Error, Result};
use crate::memory::{collected, filled};
use crate::radial::{RadialTable, RadialWeight};
use crate::simd::{Level, Schedule};
use crate::structure::Batch;

/// Radial functions of one neighbor species at one degree.
#[derive(Debug, Clone)]
pub struct DegreeData {
    /// First output channel.
    pub channel: usize,
    /// Number of channels.
    pub count: usize,
    /// Value, first and second derivative at the nodes. [3, node, channel]
    pub data: Vec<f64>,
}

/// What a user decides.
#[derive(Debug, Clone)]
pub struct PlanSettings {
    /// `f(r)`.
    pub weight: RadialWeight,
    /// Sorted atomic numbers.
    pub species: Vec<i32>,
    /// Weight of the center's own density.
    pub center_weight: f64,
    /// Nodes of every table, uniform over [0, cutoff].
    pub n_nodes: usize,
    /// Number of output channels. `[center kind][l]`
    pub channels: Vec<Vec<usize>>,
    /// Radial functions. `[center kind][neighbor species][l]`
    pub functions: Vec<Vec<Vec<DegreeData>>>,
    /// Instruction set.
    pub level: Level,
}

/// Tables for one kind of center: the same for all species, or one kind per species.
#[derive(Debug)]
pub struct CenterTables {
    /// Arrangement of the coefficients.
    pub(crate) layout: Layout,
    /// [neighbor species]
    pub(crate) tables: Vec<RadialTable>,
    /// Where a species' channels start in a padded row. `[neighbor species][l]`
    targets: Vec<Vec<usize>>,
    /// Whether all species add to the same channels, so that their neighbors need no sorting.
    pub(crate) combined: bool,
    /// Where the neighbors of a species add what. [neighbor species]
    pub(crate) schedules: Vec<Schedule>,
    /// Longest padded table row.
    pub(crate) row: usize,
    /// Pairs that are worked on at a time.
    pub(crate) chunk: usize,
    /// The center's own density, in the padded l = 0 row. `[center species][channel]`
    pub(crate) own: Vec<Vec<f64>>,
}

/// A checked expansion.
#[derive(Debug)]
pub struct DensityPlan {
    pub(crate) weight: RadialWeight,
    pub(crate) harmonics: Harmonics,
    pub(crate) level: Level,
    species: Vec<i32>,
    kinds: Vec<CenterTables>,
}

impl DensityPlan {
    /// Checks and arranges the settings.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if shapes do not fit or numbers are not finite.
    pub fn new(settings: &PlanSettings) -> Result<Self> {
        let bad = |requirement, value: String| {
            Err(Error::BadParameter { name: "an expansion", requirement, value })
        };
        let species = settings.species.clone();
        if species.is_empty() || !species.is_sorted_by(|a, b| a < b) {
            return bad("made for a sorted list of distinct species", format!("{species:?}"));
        }
        if !settings.center_weight.is_finite() {
            return bad("given a finite center weight", settings.center_weight.to_string());
        }
        let n_kinds = settings.functions.len();
        if n_kinds != settings.channels.len() || (n_kinds != 1 && n_kinds != species.len()) {
            return bad("given one set of tables, or one per center species", format!("{n_kinds} sets"));
        }
        let n_degrees = settings.channels[0].len();
        if n_degrees == 0 || settings.channels.iter().any(|c| c.len() != n_degrees) {
            return bad("given the same degrees for every center species", format!("{n_degrees} degrees"));
        }
        let kinds = settings
            .channels
            .iter()
            .zip(&settings.functions)
            .map(|(channels, functions)| CenterTables::new(settings, channels, functions))
            .collect::<Result<_>>()?;
        let harmonics = Harmonics::new(n_degrees - 1);
        Ok(Self { weight: settings.weight, harmonics, level: settings.level, species, kinds })
    }

    /// The sorted species.
    #[must_use]
    pub fn species(&self) -> &[i32] {
        &self.species
    }

    /// The instruction set in use.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The largest degree.
    #[must_use]
    pub fn max_angular(&self) -> usize {
        self.harmonics.max_angular()
    }

    /// The tables of centers of one species (by index).
    #[must_use]
    pub fn center(&self, species: usize) -> &CenterTables {
        &self.kinds[if self.kinds.len() == 1 { 0 } else { species }]
    }

    /// Largest number of channels of a degree over the kinds of centers.
    #[must_use]
    pub fn max_channels(&self, l: usize) -> usize {
        self.kinds.iter().map(|kind| kind.layout.channels(l)).max().unwrap_or(0)
    }

    /// Species index of every atom of a batch.
    ///
    /// # Errors
    /// [`Error::UnknownSpecies`] for the first atom whose species has no channel; [`Error::OutOfMemory`].
    pub fn species_indices(&self, batch: &Batch) -> Result<Vec<u32>> {
        self.species_among(batch, 0..batch.n_atoms())
    }

    /// Species indices of a range of atoms of a batch.
    ///
    /// # Errors
    /// As [`Self::species_indices`].
    pub fn species_among(&self, batch: &Batch, atoms: Range<usize>) -> Result<Vec<u32>> {
        let mut lookup = [u32::MAX; 256];
        for (index, &number) in self.species.iter().enumerate() {
            if let Some(slot) = usize::try_from(number).ok().and_then(|n| lookup.get_mut(n)) {
                *slot = index as u32;
            }
        }
        let first = atoms.start;
        let indices: Vec<u32> =
            collected(batch.numbers()[atoms].iter().map(|&number| lookup[number as usize]))?;
        match indices.iter().position(|&index| index == u32::MAX) {
            None => Ok(indices),
            Some(place) => {
                let global = first + place;
                let structure =
                    (0..batch.n_frames()).find(|&s| batch.atoms_of(s).contains(&global)).unwrap_or(0);
                Err(Error::UnknownSpecies {
                    structure,
                    atom: global - batch.atoms_of(structure).start,
                    number: batch.numbers()[global],
                    known: self.species.clone(),
                })
            }
        }
    }
}

impl CenterTables {
    /// Arrangement of the coefficients.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Where the channels of a neighbor species start in a padded row of degree l.
    #[inline(always)]
    pub(crate) fn target(&self, species: usize, l: usize) -> usize {
        self.targets[species][l]
    }

    /// Longest padded table row.
    #[inline(always)]
    pub(crate) fn row(&self) -> usize {
        self.row
    }

    fn new(settings: &PlanSettings, channels: &[usize], functions: &[Vec<DegreeData>]) -> Result<Self> {
        let bad = |requirement, value: String| {
            Err(Error::BadParameter { name: "an expansion", requirement, value })
        };
        if functions.len() != settings.species.len() || functions.iter().any(|f| f.len() != channels.len()) {
            return bad(
                "given functions for every species and degree",
                format!("{} species", functions.len()),
            );
        }
        let lanes = settings.level.lanes();
        let radius = settings.weight.cutoff.radius();
        let sections: Vec<Vec<(usize, usize)>> = (0..channels.len())
            .map(|l| functions.iter().map(|species| (species[l].channel, species[l].count)).collect())
            .collect();
        for (&n, sections) in channels.iter().zip(&sections) {
            if let Some(&(first, count)) = sections.iter().find(|&&(first, count)| first + count > n) {
                return bad(
                    "given channels within its own",
                    format!("channels {first}..{} of {n}", first + count),
                );
            }
        }
        let layout = Layout::new(channels, &sections, lanes);
        let tables: Vec<RadialTable> = functions
            .iter()
            .map(|species| {
                let degrees: Vec<(usize, usize, &[f64])> =
                    species.iter().map(|d| (d.channel, d.count, d.data.as_slice())).collect();
                RadialTable::new(radius, settings.n_nodes, &degrees, lanes)
            })
            .collect::<Result<_>>()?;
        let targets: Vec<Vec<usize>> = functions
            .iter()
            .map(|species| {
                let degrees = species.iter().enumerate();
                degrees.map(|(l, d)| layout.padded_channel(l, d.channel, d.count)).collect()
            })
            .collect();
        let schedules = (tables.iter().zip(&targets))
            .map(|(table, target)| schedule(table, target, &layout, lanes))
            .collect();
        let combined = sections.iter().all(|species| species.iter().all(|s| *s == species[0]));
        let row = tables.iter().map(RadialTable::row_length).max().unwrap_or(0);
        // Harmonics and radial rows of a chunk are to stay near the core.
        let chunk = if row + n_harmonics(channels.len() - 1) <= 128 { PAIRS } else { PAIRS / 2 };
        let (_, stride) = layout.padded(0);
        let scale = settings.center_weight / (4.0 * PI).sqrt();
        let own = (tables.iter().zip(&targets))
            .map(|(table, target)| {
                let mut own = filled(stride, 0.0)?;
                for (to, [value, _]) in own[target[0]..].iter_mut().zip(table.evaluate(0, 0.0)) {
                    *to = scale * value;
                }
                Ok(own)
            })
            .collect::<Result<_>>()?;
        Ok(Self { layout, tables, targets, combined, schedules, row, chunk, own })
    }
}

/// The updates `c[m, q] += Y[m, j] R[j, q]` of all degrees for the neighbors of one species.
fn schedule(table: &RadialTable, targets: &[usize], layout: &Layout, lanes: usize) -> Schedule {
    let mut schedule = Schedule::new(lanes);
    for (l, (section, target)) in table.sections().iter().zip(targets).enumerate() {
        let (start, stride) = layout.padded(l);
        schedule.push(l * l, section.start, start + target, stride, 2 * l + 1, section.padded / lanes);
    }
    schedule
}
