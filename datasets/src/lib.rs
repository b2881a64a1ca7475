//! Named data with provenance, the user's own files, and seeded generators.
//!
//! [`EcbFx`] is 27 years of real exchange rates, embedded. [`open`] takes a file of the user's or one of
//! the larger data sets of [`Source`], which [`fetch`](fetch::fetch) has put into a [`Cache`]. [`generate`] holds
//! one small generator per shape of data that a kernel or the chain has to be good at: same seed, same
//! bytes, on every machine.
#![forbid(unsafe_code)]

mod cache;
mod date;
mod ecb_fx;
pub mod fetch;
pub mod files;
pub mod generate;
mod open;
mod sha256;
mod sources;

pub use cache::{CACHE_ENV, Cache, CacheError, State};
pub use date::{BadDate, Date};
pub use ecb_fx::{ECB_FX_ZIP, EcbFx, EcbFxError, Rate};
pub use open::{Dataset, OpenError, Provenance, open, open_mapped};
pub use sha256::{BadSha256, Sha256};
pub use sources::{Client, Format, Name, Package, PackageFile, Source, SourcesError, UnknownName};
