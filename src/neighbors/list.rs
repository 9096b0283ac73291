//! The neighbors of one structure, wherever they come from.

use super::neighborhood::{Neighborhood, Search};
use super::{CellList, SkinList};
use crate::error::Result;
use crate::structure::Frame;

/// The neighbors of one structure, freshly sorted or remembered.
#[derive(Debug)]
#[non_exhaustive]
pub enum NeighborList<'a> {
    /// Sorted for this search.
    Cells(Box<CellList<'a>>),
    /// Remembered; it must serve the structure.
    Skin(&'a SkinList, Frame<'a>),
}

impl<'a> NeighborList<'a> {
    /// Sorts the atoms of a structure.
    ///
    /// # Errors
    /// As [`CellList::new`].
    pub fn new(frame: Frame<'a>, cutoff: f64) -> Result<Self> {
        CellList::new(frame, cutoff).map(|cells| Self::Cells(Box::new(cells)))
    }

    /// Centers in the order in which a search is fastest.
    #[must_use]
    pub fn spatial_order(&self) -> &[u32] {
        match self {
            Self::Cells(cells) => cells.spatial_order(),
            Self::Skin(list, _) => list.visits(),
        }
    }

    /// Begins a search within `cutoff`, which is that of the list, that uses (and overwrites) some scratch memory.
    pub fn search<'s>(&'s self, cutoff: f64, scratch: &'s mut Neighborhood) -> Search<'s, 'a> {
        match self {
            Self::Cells(cells) => cells.search(scratch),
            Self::Skin(list, frame) => Search::new(*list, *frame, cutoff, scratch),
        }
    }
}
