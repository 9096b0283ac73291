//! Tabulated radial integrals of one neighbor species: quintic B-splines for every channel and degree.
//!
//! The table of an optimal basis of q functions (Eq. 9, 18) has the size and the cost of that of any other basis of q
//! functions: nothing here knows what is tabulated.

use crate::error::{Error, Result};
use crate::math::b_spline::{self, derivative_weights, n_coefficients, value_weights};
use crate::memory::collected;
use crate::simd::Aligned;

/// Radial functions of one degree that one neighbor species contributes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSection {
    /// First output channel of this degree.
    pub(crate) channel: usize,
    /// Number of channels.
    pub(crate) count: usize,
    /// Where the section starts in a (padded) row of the table.
    pub(crate) start: usize,
    /// Numbers it takes there: `count` rounded up to whole vectors.
    pub(crate) padded: usize,
}

impl TableSection {
    /// First output channel of this degree.
    #[must_use]
    pub fn channel(&self) -> usize {
        self.channel
    }

    /// Number of channels.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Radial integrals on a uniform grid over [0, radius], for all degrees, ready for vector loads.
#[derive(Debug)]
pub struct RadialTable {
    n_nodes: usize,
    spacing: f64,
    sections: Vec<TableSection>,
    row: usize,
    /// Coefficients of the splines. [coefficient, row]
    coefficients: Aligned,
}

impl RadialTable {
    /// Arranges node data for vectors of `lanes` numbers.
    ///
    /// `degrees[l]` is the first output channel, the number of channels and their data [3, node, channel]: value,
    /// first and second derivative with respect to r. Of the derivatives, those at the two ends count.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the shapes do not fit, a number is not finite, or there are fewer than three nodes.
    pub fn new(
        radius: f64,
        n_nodes: usize,
        degrees: &[(usize, usize, &[f64])],
        lanes: usize,
    ) -> Result<Self> {
        let bad = |requirement, value: String| {
            Err(Error::BadParameter { name: "a radial table", requirement, value })
        };
        if n_nodes < 3 || !(radius > 0.0 && radius.is_finite()) {
            return bad(
                "given on three nodes or more of a finite range",
                format!("{n_nodes} nodes, radius {radius}"),
            );
        }
        let mut sections = Vec::with_capacity(degrees.len());
        let mut row = 0;
        for &(channel, count, data) in degrees {
            if data.len() != 3 * n_nodes * count {
                return bad("of the shape [3, node, channel]", format!("{} numbers", data.len()));
            }
            if let Some(x) = data.iter().find(|x| !x.is_finite()) {
                return bad("finite everywhere", x.to_string());
            }
            let padded = count.next_multiple_of(lanes);
            sections.push(TableSection { channel, count, start: row, padded });
            row += padded;
        }
        let spacing = radius / (n_nodes - 1) as f64;
        let mut coefficients = Aligned::zeros(n_coefficients(n_nodes).saturating_mul(row))?;
        for (section, &(_, count, data)) in sections.iter().zip(degrees) {
            for channel in 0..count {
                let at = |kind: usize, node: usize| data[(kind * n_nodes + node) * count + channel];
                let values = collected((0..n_nodes).map(|node| at(0, node)))?;
                let ends = [0, n_nodes - 1].map(|node| [at(1, node), at(2, node)]);
                for (k, c) in b_spline::coefficients(&values, ends, spacing)?.into_iter().enumerate() {
                    coefficients[k * row + section.start + channel] = c;
                }
            }
        }
        Ok(Self { n_nodes, spacing, sections, row, coefficients })
    }

    /// Channels of each degree. `[l]`
    #[must_use]
    pub fn sections(&self) -> &[TableSection] {
        &self.sections
    }

    /// Length of a padded row of all channels and degrees.
    pub(crate) fn row_length(&self) -> usize {
        self.row
    }

    /// Distance of two nodes in Å.
    #[must_use]
    pub fn spacing(&self) -> f64 {
        self.spacing
    }

    /// Number of nodes.
    #[must_use]
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// The six rows of coefficients that an interval reads. [6, row]
    #[inline(always)]
    pub(crate) fn interval(&self, index: usize) -> &[f64] {
        &self.coefficients[index * self.row..(index + b_spline::ORDER) * self.row]
    }

    /// Values and derivatives of all channels of one degree at one distance: the plain form, for tests and plots.
    #[must_use]
    pub fn evaluate(&self, l: usize, r: f64) -> Vec<[f64; 2]> {
        let position = (r / self.spacing).clamp(0.0, (self.n_nodes - 1) as f64);
        let index = (position as usize).min(self.n_nodes - 2);
        let t = position - index as f64;
        let (value, slope) = (value_weights(t), derivative_weights(t, self.spacing));
        let rows = self.interval(index);
        let section = &self.sections[l];
        (section.start..section.start + section.count)
            .map(|q| {
                let dot = |weights: [f64; 6]| (0..6).map(|k| weights[k] * rows[k * self.row + q]).sum();
                [dot(value), dot(slope)]
            })
            .collect()
    }
}
