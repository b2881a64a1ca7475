//! `tensorchain demo`: 27 years of real exchange rates through everything this project does.

mod answer;
mod stopwatch;

pub use answer::{Chain, Codebook, Conflicts, Data, Demo, DeviceLine, Drift, Neighbour, Similar, Verification};
pub use stopwatch::{Stage, Timing};
