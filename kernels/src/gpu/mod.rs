//! Kernels on a graphics processor, through wgpu: the device proposes, the CPU disposes.
//!
//! A GPU is never believed. It only tells which pairs may matter; the CPU decides each of them by the exact predicates
//! that every other backend uses. What it left out is covered three times: by answers that are known
//! ([`known_answers`]) when the device is opened, by a random checksum of every row of every run ([`checksum`]), and by
//! counts of what was done and written. A fault of any kind discards the answer, the CPU computes, and the device is
//! out of use for the rest of the process.
//!
//! | file | what it holds |
//! |---|---|
//! | `adapters.rs` | which adapters there are |
//! | `device.rs` | one open device, its limits and faults |
//! | `memory.rs`, `pipelines.rs`, `submit.rs` | buffers, compiled kernels, one submission and one wait |
//! | `coded_rows.rs` | rows as planes of signed bytes |
//! | `candidates.rs`, `checksum.rs` | pairs that may matter, tile by tile, and the check of each tile |
//! | `conflict_matrix.rs`, `cosine_classes.rs` | the operations |

mod adapters;
mod candidates;
mod checksum;
mod coded_rows;
mod conflict_matrix;
mod cosine_classes;
mod device;
mod fault;
mod known_answers;
mod memory;
mod pipelines;
mod submit;

pub use adapters::{Adapter, AdapterKind, adapters};
pub use device::{Gpu, OpenError, Options};
pub use fault::Fault;
