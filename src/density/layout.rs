//! Where channel q of degree l stands, padded to whole vectors inside, packed outside; and the pairs of a block.

/// Most pairs of a block.
pub(crate) const PAIRS: usize = 64;

/// From a harmonic to the next: no power of two, whose rows would share few sets of the cache.
pub(crate) const STRIDE: usize = PAIRS + 8;

/// Channels of one degree that the same neighbor species fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    /// First output channel.
    channel: usize,
    /// Number of channels.
    count: usize,
    /// Where the group starts in a padded row.
    padded_start: usize,
}

/// One degree.
#[derive(Debug, Clone)]
struct Degree {
    groups: Vec<Group>,
    /// Number of output channels.
    channels: usize,
    /// Length of a padded row.
    stride: usize,
    /// Start of this degree in the padded coefficients.
    padded_start: usize,
    /// Start of this degree in the packed coefficients.
    packed_start: usize,
}

/// The arrangement of the coefficients of one center: for each degree l the array [m, q].
#[derive(Debug, Clone)]
pub struct Layout {
    degrees: Vec<Degree>,
    padded_len: usize,
    width: usize,
    /// Padded and packed arrangement are the same.
    unpadded: bool,
}

impl Layout {
    /// From the (first channel, count) of each neighbor species at each degree, `[l][species]`; species with the same
    /// channels share a group.
    pub(crate) fn new(channels: &[usize], sections: &[Vec<(usize, usize)>], lanes: usize) -> Self {
        let mut degrees = Vec::with_capacity(channels.len());
        let (mut padded_len, mut width) = (0, 0);
        for (l, (&channels, sections)) in channels.iter().zip(sections).enumerate() {
            let mut groups: Vec<Group> = Vec::new();
            let mut stride = 0;
            for &(channel, count) in sections {
                if count == 0 || groups.iter().any(|g| g.channel == channel && g.count == count) {
                    continue;
                }
                groups.push(Group { channel, count, padded_start: stride });
                stride += count.next_multiple_of(lanes);
            }
            degrees.push(Degree { groups, channels, stride, padded_start: padded_len, packed_start: width });
            padded_len += (2 * l + 1) * stride;
            width += (2 * l + 1) * channels;
        }
        let same =
            |d: &Degree| d.stride == d.channels && d.groups.iter().all(|g| g.padded_start == g.channel);
        let unpadded = degrees.iter().all(same);
        Self { degrees, padded_len, width, unpadded }
    }

    /// The largest degree.
    #[must_use]
    pub fn max_angular(&self) -> usize {
        self.degrees.len() - 1
    }

    /// Number of channels of a degree.
    #[must_use]
    pub fn channels(&self, l: usize) -> usize {
        self.degrees[l].channels
    }

    /// Numbers in a packed row of all degrees.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Numbers in a padded row of all degrees.
    #[must_use]
    pub fn padded_len(&self) -> usize {
        self.padded_len
    }

    /// Start of a degree in the padded coefficients, and the length of its rows.
    #[inline(always)]
    pub(crate) fn padded(&self, l: usize) -> (usize, usize) {
        (self.degrees[l].padded_start, self.degrees[l].stride)
    }

    /// Where the channels of a table section start in a padded row.
    pub(crate) fn padded_channel(&self, l: usize, channel: usize, count: usize) -> usize {
        let found = self.degrees[l].groups.iter().find(|g| g.channel == channel && g.count == count);
        found.map_or(0, |g| g.padded_start)
    }

    /// The packed row, where it is that already.
    #[inline(always)]
    pub(crate) fn without_padding<'c>(&self, c: &'c [f64]) -> Option<&'c [f64]> {
        self.unpadded.then(|| &c[..self.width])
    }

    /// Padded coefficients to a packed row.
    #[inline(always)]
    pub(crate) fn pack(&self, c: &[f64], row: &mut [f64]) {
        if let Some(packed) = self.without_padding(c) {
            row.copy_from_slice(packed);
            return;
        }
        row.fill(0.0);
        for (l, degree) in self.degrees.iter().enumerate() {
            for m in 0..=2 * l {
                let from = &c[degree.padded_start + m * degree.stride..][..degree.stride];
                let to = &mut row[degree.packed_start + m * degree.channels..][..degree.channels];
                for g in &degree.groups {
                    to[g.channel..g.channel + g.count]
                        .copy_from_slice(&from[g.padded_start..g.padded_start + g.count]);
                }
            }
        }
    }

    /// A packed row to padded coefficients; the padding is zero.
    #[inline(always)]
    pub(crate) fn unpack(&self, row: &[f64], c: &mut [f64]) {
        c.fill(0.0);
        for (l, degree) in self.degrees.iter().enumerate() {
            for m in 0..=2 * l {
                let to = &mut c[degree.padded_start + m * degree.stride..][..degree.stride];
                let from = &row[degree.packed_start + m * degree.channels..][..degree.channels];
                for g in &degree.groups {
                    to[g.padded_start..g.padded_start + g.count]
                        .copy_from_slice(&from[g.channel..g.channel + g.count]);
                }
            }
        }
    }

    /// The arrangement of packed coefficients themselves.
    pub(crate) fn packed(channels: &[usize]) -> Self {
        let sections: Vec<_> = channels.iter().map(|&n| vec![(0, n)]).collect();
        Self::new(channels, &sections, 1)
    }

    /// A packed row as padded coefficients.
    #[must_use]
    pub fn padded_row(&self, row: &[f64]) -> Vec<f64> {
        let mut c = vec![0.0; self.padded_len];
        self.unpack(row, &mut c);
        c
    }

    /// Where the channels of a degree stand in a padded row. `[channel]`
    pub(crate) fn padded_places(&self, l: usize) -> Vec<usize> {
        let degree = &self.degrees[l];
        let mut places = vec![0; degree.channels];
        for g in &degree.groups {
            for k in 0..g.count {
                places[g.channel + k] = g.padded_start + k;
            }
        }
        places
    }

    /// Whether the channels of a degree stand in a padded row as they do in a packed one.
    #[inline(always)]
    pub(crate) fn in_order(&self, l: usize) -> bool {
        let Degree { groups, channels, .. } = &self.degrees[l];
        matches!(groups[..], [g] if g.channel == 0 && g.count == *channels)
    }

    /// One m-row of a degree without its padding.
    #[inline(always)]
    pub(crate) fn unpad_row(&self, l: usize, c: &[f64], m: usize, to: &mut [f64]) {
        let degree = &self.degrees[l];
        let from = &c[degree.padded_start + m * degree.stride..][..degree.stride];
        for g in &degree.groups {
            to[g.channel..g.channel + g.count]
                .copy_from_slice(&from[g.padded_start..g.padded_start + g.count]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_drops_the_padding_only() {
        // l = 0: two species with 3 and 1 channels; l = 1: both in the same 2.
        let layout = Layout::new(&[4, 2], &[vec![(0, 3), (3, 1)], vec![(0, 2), (0, 2)]], 4);
        assert_eq!((layout.padded_len(), layout.width()), (8 + 3 * 4, 4 + 3 * 2));
        let c: Vec<f64> = (0..layout.padded_len()).map(|k| k as f64).collect();
        let mut row = vec![0.0; layout.width()];
        layout.pack(&c, &mut row);
        assert_eq!(row, [0.0, 1.0, 2.0, 4.0, 8.0, 9.0, 12.0, 13.0, 16.0, 17.0]);
        assert_eq!(layout.padded_channel(0, 3, 1), 4);
        let mut one = vec![0.0; 2];
        layout.unpad_row(1, &c, 2, &mut one);
        assert_eq!(one, [16.0, 17.0]);
        let mut back = vec![f64::NAN; layout.padded_len()];
        layout.unpack(&row, &mut back);
        assert_eq!(back[..8], [0.0, 1.0, 2.0, 0.0, 4.0, 0.0, 0.0, 0.0]);
        assert_eq!((layout.padded_places(0), layout.padded_places(1)), (vec![0, 1, 2, 4], vec![0, 1]));
    }
}
