//! Tabulated radial integrals of one neighbor species: quintic Hermite nodes for every channel and degree.
//!
//! The table of an optimal basis of q functions (Eq. 9, 18) has the size and the cost of that of any other basis of q
//! functions: nothing here knows what is tabulated.

use crate::error::{Error, Result};
use crate::math::hermite_spline::{derivative_weights, value_weights};
use crate::simd::Aligned;

/// Radial functions of one degree that one neighbor species contributes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSection {
    /// First output channel of this degree.
    pub channel: usize,
    /// Number of channels.
    pub count: usize,
    /// Where the section starts in a (padded) row of the table.
    pub(crate) start: usize,
    /// Numbers it takes there: `count` rounded up to whole vectors.
    pub(crate) padded: usize,
}

/// Radial integrals on a uniform grid over [0, radius], for all degrees, ready for vector loads.
#[derive(Debug, Clone)]
pub struct RadialTable {
    n_nodes: usize,
    spacing: f64,
    sections: Vec<TableSection>,
    row: usize,
    /// [node, vector, 3, lane]: value, first and second derivative.
    nodes: Aligned,
}

impl RadialTable {
    /// Arranges node data for vectors of `lanes` numbers.
    ///
    /// `degrees[l]` is the first output channel, the number of channels and their data [3, node, channel]: value,
    /// first and second derivative with respect to r.
    ///
    /// # Errors
    /// [`Error::BadParameter`] if the shapes do not fit, a number is not finite, or there are fewer than two nodes.
    pub fn new(
        radius: f64,
        n_nodes: usize,
        degrees: &[(usize, usize, &[f64])],
        lanes: usize,
    ) -> Result<Self> {
        let bad = |requirement, value: String| {
            Err(Error::BadParameter { name: "a radial table", requirement, value })
        };
        if n_nodes < 2 || !(radius > 0.0 && radius.is_finite()) {
            return bad(
                "given on two nodes or more of a finite range",
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
        let mut nodes = Aligned::zeros(n_nodes * row * 3);
        for (section, &(_, count, data)) in sections.iter().zip(degrees) {
            for kind in 0..3 {
                for node in 0..n_nodes {
                    for channel in 0..count {
                        let (vector, lane) = ((section.start + channel) / lanes, channel % lanes);
                        nodes[node * 3 * row + (vector * 3 + kind) * lanes + lane] =
                            data[(kind * n_nodes + node) * count + channel];
                    }
                }
            }
        }
        Ok(Self { n_nodes, spacing: radius / (n_nodes - 1) as f64, sections, row, nodes })
    }

    /// Channels of each degree. [l]
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

    /// The two nodes that enclose an interval, each [vector, 3, lane].
    #[inline(always)]
    pub(crate) fn interval(&self, index: usize) -> &[f64] {
        &self.nodes[index * 3 * self.row..(index + 2) * 3 * self.row]
    }

    /// Values and derivatives of all channels of one degree at one distance: the plain form, for tests and plots.
    #[must_use]
    pub fn evaluate(&self, l: usize, r: f64, lanes: usize) -> Vec<[f64; 2]> {
        let position = (r / self.spacing).clamp(0.0, (self.n_nodes - 1) as f64);
        let index = (position as usize).min(self.n_nodes - 2);
        let t = position - index as f64;
        let (value, slope) = (value_weights(t, self.spacing), derivative_weights(t, self.spacing));
        let nodes = self.interval(index);
        let section = &self.sections[l];
        (section.start..section.start + section.count)
            .map(|q| {
                let six: [f64; 6] = std::array::from_fn(|k| {
                    let (node, kind) = (k / 3, k % 3);
                    nodes[node * 3 * self.row + (q / lanes * 3 + kind) * lanes + q % lanes]
                });
                let dot = |w: [f64; 6]| w.iter().zip(six).map(|(w, y)| w * y).sum();
                [dot(value), dot(slope)]
            })
            .collect()
    }
}
