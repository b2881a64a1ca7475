//! The judge inside the guard band: comparisons of the real numbers that inputs denote, with no rounding.
//!
//! Fast arithmetic elsewhere is only ever a filter with a proved error bound. Whatever falls inside
//! the bound is decided here, so the answer never depends on the hardware or the order of a sum.

mod classify;
mod deltas;
mod directions;
mod dyadic;
mod entry;
mod pair;
mod predicates;
mod rank;
mod rows;
mod sum;

pub(crate) use classify::{PairView, classify};
pub(crate) use directions::Directions;
pub(crate) use dyadic::Dyadic;
pub(crate) use entry::DeltaRow;
pub(crate) use pair::{CodePair, FloatPair, SquaredNorm, shared_values};
pub(crate) use predicates::jaccard_at_least;
pub(crate) use rank::{Candidate, Judge};
pub(crate) use rows::{Comparison, JudgedRows};
pub(crate) use sum::Sum;
