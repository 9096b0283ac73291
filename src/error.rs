//! One error type, grouped by stage, with the numbers inside.

/// Everything that can go wrong between a structure and its features.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // --- structures -----------------------------------------------------------------------------------------
    /// A coordinate is NaN, infinite or absurdly large.
    #[error(
        "structure {structure}, atom {atom}: position component {axis} is {value}; positions must be finite and below 1e15 Å"
    )]
    BadPosition {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the atom in the structure.
        atom: usize,
        /// Cartesian axis: `x`, `y` or `z`.
        axis: char,
        /// The offending value.
        value: f64,
    },
    /// A cell entry is NaN, infinite or absurdly large.
    #[error(
        "structure {structure}: cell vector {vector} has the entry {value}; cell entries must be finite and below 1e15 Å"
    )]
    BadCell {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the cell vector.
        vector: usize,
        /// The offending value.
        value: f64,
    },
    /// The periodic cell vectors do not span as many dimensions as there are periodic directions.
    #[error(
        "structure {structure}: the cell vectors of its periodic directions are zero or linearly dependent; \
         give a proper cell or switch pbc off"
    )]
    SingularCell {
        /// Index of the structure in the batch.
        structure: usize,
    },
    /// An atomic number that is not one.
    #[error("structure {structure}, atom {atom}: atomic number {number} is out of the range 0..=255")]
    BadSpecies {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the atom in the structure.
        atom: usize,
        /// The offending number.
        number: i64,
    },
    /// The arrays of a batch do not fit together.
    #[error("inconsistent batch: {0}")]
    BadShape(String),

    // --- neighbors ------------------------------------------------------------------------------------------
    /// Two atoms sit on the same point, so their direction is undefined.
    #[error(
        "structure {structure}: atoms {first} and {second} coincide (distance {distance:.1e} Å); \
         remove the duplicate or mend the cell"
    )]
    CoincidentAtoms {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the center.
        first: usize,
        /// Index of its neighbor.
        second: usize,
        /// Their distance in Å.
        distance: f64,
    },
    /// An atom so many cells away that its lattice shift does not fit 32 bits.
    #[error(
        "structure {structure}, atom {atom}: more than 2^30 periodic cells away from its own; wrap the positions"
    )]
    FarImage {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the atom in the structure.
        atom: usize,
    },
    /// The cutoff sphere would hold an absurd number of atoms.
    #[error(
        "structure {structure}: about {neighbors:.1e} neighbors per atom within the cutoff, more than {most:.0e}; \
         the cell is too small for it (mend the cell or lower the cutoff)"
    )]
    TooDense {
        /// Index of the structure in the batch.
        structure: usize,
        /// Estimated number of neighbors of one atom.
        neighbors: f64,
        /// The bound.
        most: f64,
    },

    // --- expansion ------------------------------------------------------------------------------------------
    /// A species that the basis has no channel for.
    #[error("structure {structure}, atom {atom}: species {number} is unknown; known species: {known:?}")]
    UnknownSpecies {
        /// Index of the structure in the batch.
        structure: usize,
        /// Index of the atom in the structure.
        atom: usize,
        /// Its atomic number.
        number: i32,
        /// The species the expansion was made for.
        known: Vec<i32>,
    },
    /// A setting out of its range.
    #[error("{name} must be {requirement}, got {value}")]
    BadParameter {
        /// Name of the setting.
        name: &'static str,
        /// What is required of it.
        requirement: &'static str,
        /// What was given.
        value: String,
    },
    /// There is not enough memory.
    #[error(
        "out of memory: {bytes} bytes more are needed; work on fewer structures at a time, \
         or with fewer features"
    )]
    OutOfMemory {
        /// How many bytes were asked for in vain.
        bytes: usize,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
