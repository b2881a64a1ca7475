//! Named data with provenance, and seeded generators.
//!
//! [`EcbFx`] is 27 years of real exchange rates, embedded. [`generate`] holds one small generator per
//! shape of data that a kernel or the chain has to be good at: same seed, same bytes, on every machine.
#![forbid(unsafe_code)]

mod date;
mod ecb_fx;
pub mod files;
pub mod generate;

pub use date::{BadDate, Date};
pub use ecb_fx::{ECB_FX_ZIP, EcbFx, EcbFxError, Rate};
