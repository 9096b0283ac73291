//! The coefficients themselves as features, packed; and energies linear in them.

use super::{Along, Energy, Environments, Invariant, Memory, PairSums};
use crate::density::{DensityPlan, Layout, PairRun};
use crate::error::{Error, Result};
use crate::memory::Grow;
use crate::simd::{self, Level, Simd, copy_past_caches};

/// The packed coefficients: for each degree [m, q].
#[derive(Debug)]
pub struct Coefficients {
    n_degrees: usize,
    /// `[species]`
    widths: Vec<usize>,
    /// All rows together are larger than the caches.
    large: bool,
    level: Level,
}

impl Coefficients {
    /// Of the centers of a plan.
    #[must_use]
    pub fn new(plan: &DensityPlan) -> Self {
        let widths = (0..plan.species().len()).map(|a| plan.center(a).layout.width()).collect();
        Self { n_degrees: plan.max_angular() + 1, widths, large: false, level: plan.level() }
    }

    /// The same, for rows that together are larger than the caches.
    pub(crate) fn past_caches(self, large: bool) -> Self {
        Self { large, ..self }
    }
}

struct Copy<'a>(&'a [f64], &'a mut [f64]);

impl simd::Kernel for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        copy_past_caches(s, self.0, self.1);
    }
}

impl Invariant for Coefficients {
    fn n_degrees(&self) -> usize {
        self.n_degrees
    }

    fn width(&self, species: usize) -> usize {
        self.widths[species]
    }

    fn is_invariant(&self) -> bool {
        false
    }

    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(LinearMemory::default()))
    }

    fn values(&self, e: Environments<'_>, x: &mut [f64], _: &mut Memory) -> Result<()> {
        let width = self.widths[e.species];
        for (which, row) in x.chunks_exact_mut(width.max(1)).enumerate() {
            match e.layout.without_padding(e.density(which)) {
                Some(packed) if self.large => self.level.run(Copy(packed, row)),
                _ => e.layout.pack(e.density(which), row),
            }
        }
        Ok(())
    }

    fn tangents(
        &self,
        e: Environments<'_>,
        _: usize,
        along: Along<'_>,
        out: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        let mut packed = 0;
        for l in 0..self.n_degrees {
            let ((start, row), places) = (e.layout.padded(l), e.layout.padded_places(l));
            for m in 0..=2 * l {
                for place in &places {
                    let from = &along.d[(start + m * row + place) * along.stride..][..along.stride];
                    out[packed * along.stride..][..along.stride].copy_from_slice(from);
                    packed += 1;
                }
            }
        }
        Ok(())
    }

    fn pair_sums(&self) -> Option<&dyn PairSums> {
        Some(self)
    }
}

/// Change of the coefficients by the motion of a neighbor.
#[derive(Debug, Default)]
pub(super) struct LinearMemory {
    scaled: [Vec<f64>; 2],
    /// `[xyz][padded]`
    deltas: [Vec<f64>; 3],
    picked: Vec<f64>,
}

impl LinearMemory {
    /// [`PairSums::along`] of features that are coefficients, which `pick` takes from a padded row.
    pub(super) fn along(
        &mut self,
        layout: &Layout,
        pick: fn(&Layout, &[f64], &mut [f64]),
        delta: &[f64],
        factor: f64,
        row: &mut [f64],
    ) -> Result<()> {
        self.picked.clear();
        self.picked.try_resize(row.len(), 0.0)?;
        pick(layout, delta, &mut self.picked);
        for (to, from) in row.iter_mut().zip(&self.picked) {
            *to += factor * from;
        }
        Ok(())
    }

    /// [`PairSums::add`] likewise.
    pub(super) fn add(&mut self, plan: &DensityPlan, n_degrees: usize, run: &PairRun<'_>) -> Result<()> {
        let len = run.kind.layout.padded_len();
        for delta in &mut self.deltas {
            delta.try_resize(len.max(delta.len()), 0.0)?;
        }
        run.add_gradient(plan, n_degrees, &mut self.scaled, &mut self.deltas)
    }

    /// [`PairSums::close`] likewise.
    pub(super) fn close(
        &mut self,
        layout: &Layout,
        pick: fn(&Layout, &[f64], &mut [f64]),
        width: usize,
        rows: &mut [f64],
        stride: usize,
    ) -> Result<()> {
        for x in 0..3 {
            let mut delta = std::mem::take(&mut self.deltas[x]);
            self.along(layout, pick, &delta, 1.0, &mut rows[x * stride..][..width])?;
            delta.fill(0.0);
            self.deltas[x] = delta;
        }
        Ok(())
    }
}

impl PairSums for Coefficients {
    fn along(
        &self,
        plan: &DensityPlan,
        species: usize,
        [_, delta]: [&[f64]; 2],
        factor: f64,
        row: &mut [f64],
        memory: &mut Memory,
    ) -> Result<()> {
        let layout = &plan.center(species).layout;
        memory.of::<LinearMemory>().along(layout, Layout::pack, delta, factor, row)
    }

    fn add(&self, plan: &DensityPlan, run: &PairRun<'_>, memory: &mut Memory) -> Result<()> {
        memory.of::<LinearMemory>().add(plan, self.n_degrees, run)
    }

    fn close(
        &self,
        plan: &DensityPlan,
        [center, _]: [usize; 2],
        rows: &mut [f64],
        stride: usize,
        memory: &mut Memory,
    ) -> Result<()> {
        let (layout, width) = (&plan.center(center).layout, self.widths[center]);
        memory.of::<LinearMemory>().close(layout, Layout::pack, width, rows, stride)
    }
}

/// `E = sum_i sum_k w_ik c_ik` with a weight for every coefficient of every atom: the vector-Jacobian product of the
/// expansion, `w = dE/dc` of whatever energy comes after it.
#[derive(Debug, Clone)]
pub struct WeightedCoefficients<'w> {
    /// Packed rows, as the coefficients. `[atom][width]`
    rows: Vec<&'w [f64]>,
}

impl<'w> WeightedCoefficients<'w> {
    /// From one packed row for every atom of a batch; `species` holds their species indices.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if a row has not the width of its center's coefficients.
    pub fn new(plan: &DensityPlan, species: &[u32], rows: Vec<&'w [f64]>) -> Result<Self> {
        let fits = |(row, &a): (&&[f64], &u32)| row.len() == plan.center(a as usize).layout.width();
        if rows.len() != species.len() || !rows.iter().zip(species).all(fits) {
            return Err(Error::BadParameter {
                name: "weights of coefficients",
                requirement: "as many as coefficients",
                value: format!("{} rows for {} atoms", rows.len(), species.len()),
            });
        }
        Ok(Self { rows })
    }
}

impl Energy for WeightedCoefficients<'_> {
    fn memory(&self) -> Result<Memory> {
        Ok(Memory::new(()))
    }

    fn read(
        &self,
        e: Environments<'_>,
        energies: &mut [f64],
        gradients: &mut [f64],
        _: &mut Memory,
    ) -> Result<()> {
        let n = e.layout.padded_len();
        for (which, (energy, gradient)) in
            energies.iter_mut().zip(gradients.chunks_exact_mut(n.max(1))).enumerate()
        {
            e.layout.unpack(self.rows[e.atoms[which] as usize], gradient);
            *energy = e.density(which).iter().zip(gradient.iter()).map(|(c, g)| c * g).sum();
        }
        Ok(())
    }
}
