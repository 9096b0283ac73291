//! How the coefficients of a center change when an atom around it moves, or its surroundings are strained: directions in
//! the space of coefficients, side by side, so that kernels along them have a direction in every lane.

use super::center::Scratch;
use super::layout::PAIRS;
use super::pairs::{Accumulate, Component, Evaluate, Lanes, PairRun};
use super::plan::DensityPlan;
use crate::error::Result;
use crate::memory::Grow;
use crate::neighbors::Search;
use crate::structure::{Matrix, Vector};

/// Components of the strain in the order of Voigt; the derivatives of invariants are symmetric.
pub(crate) const VOIGT: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]];

/// Directions are filled up to a multiple of this: whole blocks of lanes of any kernel.
const GROUP: usize = 16;

/// Directions of one center, and the scratch memory to make them.
#[derive(Debug, Default)]
pub(crate) struct Directions {
    /// Atoms that move, in rising order without the center; periodic images of one move together.
    pub(crate) atoms: Vec<u32>,
    /// Number of directions: x, y, z of every atom, then those of the strain, if any.
    pub(crate) n: usize,
    /// From a coefficient to the next; what is behind the directions is zero.
    pub(crate) stride: usize,
    /// `[padded coefficient][stride]`
    pub(crate) values: Vec<f64>,
    sorted: Vec<(u32, u32)>,
    shifts: Vec<[i64; 3]>,
    translations: Vec<Vector>,
    lanes: Lanes,
    scaled: [Vec<f64>; 2],
    /// By the motion of an atom, and by the strain. `[direction][padded]`
    moved: [Vec<f64>; 3],
    strained: [Vec<f64>; 6],
}

/// Weights of the pairs of a block in sums by the strain. `[component][pair]`, `[xyz][pair]`
struct StrainWeights {
    along: [[f64; PAIRS]; 6],
    across: [[f64; PAIRS]; 3],
}

impl Directions {
    /// The motions of all atoms around the center of the last search. With the cell given, and if a pair crosses its
    /// border, six more: `sum_j (dc/dr_ij)_x t_y` over the translations t, the part of the strain that positions do not
    /// tell.
    pub(crate) fn of_motions(
        &mut self,
        plan: &DensityPlan,
        n_degrees: usize,
        search: &Search<'_, '_>,
        species: &[u32],
        scratch: &mut Scratch,
        cell: Option<&Matrix>,
    ) -> Result<()> {
        let (center, own) = (search.center(), species[search.center()] as usize);
        let crosses = self.translate(search, cell)?;
        self.sort(search, species, scratch, crosses)?;
        self.begin(plan, own, 3 * self.atoms.len() + if crosses { 6 } else { 0 })?;
        let kind = plan.center(own);
        let (mut column, mut first) = (0, 0);
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward })?;
            self.lanes.load(search, order, &scratch.block, 0);
            let (block, backward) = (&scratch.block, &scratch.backward);
            let mut start = 0;
            while start < order.len() {
                let atom = self.sorted[first + start].0;
                let same = self.sorted[first + start..first + order.len()].iter();
                let end = start + same.take_while(|&&(other, _)| other == atom).count();
                if atom as usize != center {
                    let pair = [own, kinds[start] as usize];
                    let run = PairRun::new(kind, pair, start..end, block, backward, &self.lanes, &[]);
                    run.add_gradient(plan, n_degrees, &mut self.scaled, &mut self.moved)?;
                    // Images of one atom may continue in the next block.
                    let next = self.sorted.get(first + end).map(|&(other, _)| other);
                    if next != Some(atom) {
                        column = self.store_motion(column);
                    }
                }
                start = end;
            }
            if crosses {
                let mut weights = StrainWeights { along: [[0.0; PAIRS]; 6], across: [[0.0; PAIRS]; 3] };
                for (lane, &pair) in order.iter().enumerate() {
                    let t = self.translations[pair as usize];
                    for (along, [x, y]) in weights.along.iter_mut().zip(VOIGT) {
                        along[lane] = block.units[x][lane] * t[y];
                    }
                    for y in 0..3 {
                        weights.across[y][lane] = t[y] / block.distances[lane];
                    }
                }
                self.add_strain(plan, n_degrees, own, kinds, scratch, &weights)?;
            }
            first += order.len();
        }
        if crosses {
            self.store_strain(column);
        }
        Ok(())
    }

    /// The strain of the surroundings of a center that was expanded: `sum_j (dc/dr_ij)_x (r_ij)_y`, six directions.
    pub(crate) fn of_strain(
        &mut self,
        plan: &DensityPlan,
        n_degrees: usize,
        search: &Search<'_, '_>,
        own: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.atoms.clear();
        self.begin(plan, own, 6)?;
        let kind = plan.center(own);
        for (order, kinds) in scratch.order.chunks(PAIRS).zip(scratch.kinds.chunks(PAIRS)) {
            let (block, backward) = (&mut scratch.block, &mut scratch.backward);
            plan.level.run(Evaluate { plan, kind, search, order, kinds, block, backward })?;
            let block = &scratch.block;
            let mut weights = StrainWeights { along: [[0.0; PAIRS]; 6], across: block.units };
            for (along, [x, y]) in weights.along.iter_mut().zip(VOIGT) {
                for lane in 0..order.len() {
                    along[lane] = block.units[x][lane] * block.units[y][lane] * block.distances[lane];
                }
            }
            self.add_strain(plan, n_degrees, own, kinds, scratch, &weights)?;
        }
        Ok(())
    }

    /// The six directions of the strain as they were summed. `[component][padded]`
    pub(crate) fn strained(&self) -> &[Vec<f64>; 6] {
        &self.strained
    }

    /// Puts them side by side.
    pub(crate) fn arrange_strain(&mut self) {
        self.store_strain(0);
    }

    /// Translations of the pairs, if a cell is given; whether there are any.
    fn translate(&mut self, search: &Search<'_, '_>, cell: Option<&Matrix>) -> Result<bool> {
        let Some(matrix) = cell else { return Ok(false) };
        self.shifts.try_resize(search.len(), [0; 3])?;
        search.shifts_into(&mut self.shifts);
        self.translations.clear();
        self.translations.try_extend(self.shifts.iter().map(|shift| {
            let [a, b, c] = shift.map(|n| n as f64);
            [0, 1, 2].map(|x| a * matrix[0][x] + b * matrix[1][x] + c * matrix[2][x])
        }))?;
        Ok(self.translations.iter().any(|&t| t != [0.0; 3]))
    }

    /// Orders the neighbors by atom; images of the center count in sums over translations only.
    fn sort(
        &mut self,
        search: &Search<'_, '_>,
        species: &[u32],
        scratch: &mut Scratch,
        images: bool,
    ) -> Result<()> {
        let center = search.center() as u32;
        self.sorted.clear();
        self.sorted.try_extend((0..search.len() as u32).map(|pair| (search.atom(pair as usize), pair)))?;
        if !images {
            self.sorted.retain(|&(atom, _)| atom != center);
        }
        self.sorted.sort_unstable();
        self.atoms.clear();
        self.atoms.try_extend(self.sorted.iter().map(|&(atom, _)| atom).filter(|&atom| atom != center))?;
        self.atoms.dedup();
        scratch.order.clear();
        scratch.order.try_extend(self.sorted.iter().map(|&(_, pair)| pair))?;
        scratch.kinds.clear();
        scratch.kinds.try_extend(self.sorted.iter().map(|&(atom, _)| species[atom as usize]))
    }

    fn begin(&mut self, plan: &DensityPlan, own: usize, n: usize) -> Result<()> {
        let padded = plan.center(own).layout.padded_len();
        for sum in self.moved.iter_mut().chain(&mut self.strained) {
            sum.clear();
            sum.try_resize(padded, 0.0)?;
        }
        (self.n, self.stride) = (n, n.next_multiple_of(GROUP));
        self.values.clear();
        self.values.try_resize(padded * self.stride, 0.0)
    }

    /// Adds the pairs of an evaluated block to the sums by the strain.
    fn add_strain(
        &mut self,
        plan: &DensityPlan,
        n_degrees: usize,
        own: usize,
        kinds: &[u32],
        scratch: &Scratch,
        weights: &StrainWeights,
    ) -> Result<()> {
        let component = |k: usize| {
            let [axis, y] = VOIGT[k];
            Component { axis, along: &weights.along[k], across: &weights.across[y] }
        };
        let components: [_; 6] = std::array::from_fn(component);
        let (block, backward) = (&scratch.block, &scratch.backward);
        let Self { lanes, scaled, strained, .. } = self;
        let mut start = 0;
        for run in kinds.chunk_by(|a, b| a == b) {
            let (pair, range) = ([own, run[0] as usize], start..start + run.len());
            start = range.end;
            let run = PairRun::new(plan.center(own), pair, range, block, backward, lanes, &[]);
            let (components, deltas) = (&components[..], &mut strained[..]);
            plan.level.run(Accumulate { run: &run, components, n_degrees, scaled, deltas })?;
        }
        Ok(())
    }

    /// Puts the motion of an atom behind those before, and begins the next.
    fn store_motion(&mut self, column: usize) -> usize {
        store(&self.moved, column, self.stride, &mut self.values);
        for sum in &mut self.moved {
            sum.fill(0.0);
        }
        column + 3
    }

    fn store_strain(&mut self, column: usize) {
        store(&self.strained, column, self.stride, &mut self.values);
    }
}

/// Rows to columns.
fn store(rows: &[Vec<f64>], column: usize, stride: usize, values: &mut [f64]) {
    for (p, to) in values.chunks_exact_mut(stride.max(1)).enumerate() {
        for (to, row) in to[column..].iter_mut().zip(rows) {
            *to = row[p];
        }
    }
}
