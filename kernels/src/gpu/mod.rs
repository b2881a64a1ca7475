//! Kernels on a graphics processor, through wgpu.
//!
//! The GPU proposes and the CPU decides, with one exception: in k-means on codes its first rows and its assignments are
//! used, after checksums and a sample of 16 rows a round. Everywhere else it only tells which pairs and rows may matter;
//! the CPU decides each of them by the exact predicates that every other backend uses. What it left out is covered
//! three times: by answers that are known (`known_answers.rs`, `first_use.rs`) when the device is opened or first asked,
//! by random checksums of every run (`checksum.rs`, `tile_rows.rs`), and by counts of what was done and written. A fault
//! of any kind discards the answer, the CPU computes, and the [`Gpu`] is out of use for good. A program opens one and
//! shares it.
//!
//! ```no_run
//! use std::sync::Arc;
//! use tensor_kernels::gpu::{Gpu, Options};
//! use tensor_kernels::{ByteView, Kernels, Thresholds};
//! let kernels = Kernels::detect()?.with_accelerator(Arc::new(Gpu::open(0, Options::default())?));
//! let codes = vec![1i8; 4_096 * 384];
//! let run = kernels.cosine_conflicts(ByteView::new(&codes, 4_096, 384)?, &Thresholds::default());
//! println!("{} pairs by {}", run.value.pairs().len(), run.info); // `gpu`, or who else and why
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Asked only where it is measured to be faster, and not opened before that may be worth it:
//!
//! ```no_run
//! use std::sync::Arc;
//! use tensor_kernels::gpu::{LazyGpu, Options};
//! use tensor_kernels::{Kernels, Selector};
//! let kernels = Kernels::detect()?
//!     .with_accelerator(Arc::new(LazyGpu::new(Options::default(), false)))
//!     .with_selector(Selector::new("this CPU", None));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `adapters.rs` | which adapters there are |
//! | `device.rs`, `lazy.rs` | one open device, its limits and faults; one that is opened when that is worth it |
//! | `accepts.rs`, `link.rs` | which requests it has a version of; what the way to it costs |
//! | `memory.rs`, `pipelines.rs`, `submit.rs` | buffers, compiled kernels, one submission and one wait |
//! | `coded_rows.rs`, `resident_rows.rs` | rows as planes of signed bytes, and those that stay on the device |
//! | `candidates.rs`, `tiles.rs`, `checksum.rs` | pairs that may matter, tile by tile, and the check of each row |
//! | `tile_rows.rs` | rows of bytes and of bits, and checksums of whole runs |
//! | `conflict_matrix.rs`, `cosine_classes.rs`, `search.rs`, `kmeans.rs`, `all_pairs.rs` | the operations |

mod accepts;
mod adapters;
mod all_pairs;
mod candidates;
mod checksum;
mod coded_rows;
mod conflict_matrix;
mod cosine_classes;
mod device;
mod fault;
mod first_use;
mod kmeans;
mod known_answers;
mod lazy;
mod link;
mod memory;
mod pipelines;
mod resident_rows;
mod search;
mod submit;
mod tile_rows;
mod tiles;

pub use adapters::{Adapter, AdapterKind, adapters};
pub use device::{Gpu, OpenError, Options};
pub use fault::Fault;
pub use lazy::{ALLOW_SOFTWARE_ENV, LazyGpu};
pub(crate) use resident_rows::Residence;
pub(crate) use search::Resident;
