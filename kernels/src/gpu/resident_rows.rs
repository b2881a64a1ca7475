//! Rows of codes in the memory of a device, in strips. Those of a batch of deltas stay there as long as the batch
//! lives, so that a batch that is compared again is not sent again.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tensor_shaders::conflict_matrix::{MOST_ROWS, SIDE};
use wgpu::BufferUsages;

use super::checksum::{Sums, draw_columns};
use super::coded_rows::{CodedRows, Layout};
use super::device::Gpu;
use super::fault::Fault;
use super::memory::{Kept, Lease};

/// Rows of a strip.
pub(super) const STRIP_ROWS: usize = 1 << 13;
const _: () = assert!(STRIP_ROWS <= MOST_ROWS && STRIP_ROWS.is_multiple_of(SIDE));

/// What a device keeps of a batch. It is no part of what the batch is: a copy has nothing there, and all are equal.
///
/// These are [`ResidentRows`] without their type: whatever holds a batch would have all types of the graphics library to
/// go through to find out whether threads may share it, and the compiler gives up on so many.
#[derive(Debug, Default)]
pub(crate) struct Residence(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Clone for Residence {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Residence {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Residence {}

/// Rows on a device.
#[derive(Debug)]
pub(super) struct ResidentRows {
    pub(super) strips: Vec<Strip>,
    /// Two weights for each row.
    pub(super) columns: Vec<[u32; 2]>,
    sums: OnceLock<Sums>,
    /// Their share of the memory that batches may keep.
    kept: Option<Kept>,
}

/// Some consecutive rows, in one buffer.
#[derive(Debug)]
pub(super) struct Strip {
    pub(super) rows: Range<usize>,
    pub(super) codes: Lease,
}

impl ResidentRows {
    /// The rows on this device: those that are there already, or else sent now.
    pub(super) fn of(gpu: &Gpu, rows: CodedRows<'_>) -> Result<Arc<Self>, Fault> {
        let CodedRows::Deltas(batch) = rows else { return Self::upload(gpu, rows).map(Arc::new) };
        let slot = || batch.residence().0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_here = |resident: &Self| resident.kept.as_ref().is_some_and(|kept| gpu.memory().keeps(kept));
        let resident = slot().clone().and_then(|resident| resident.downcast().ok());
        if let Some(resident) = resident.filter(|resident| is_here(resident)) {
            return Ok(resident);
        }
        // Not under the lock: a thread that waits for others of its pool may be given a question about the same batch.
        let resident = Arc::new(Self::upload(gpu, rows)?);
        *slot() = resident.kept.is_some().then(|| Arc::clone(&resident) as Arc<dyn Any + Send + Sync>);
        Ok(resident)
    }

    fn upload(gpu: &Gpu, rows: CodedRows<'_>) -> Result<Self, Fault> {
        let layout = Layout::of(rows);
        let fitting = usize::try_from(gpu.most_bytes()).unwrap_or(usize::MAX) / layout.row_bytes().max(1);
        let strip_rows = (fitting / SIDE * SIDE).clamp(SIDE, STRIP_ROWS);
        let strip = |first: usize| {
            let rows_of_strip = first..(first + strip_rows).min(rows.rows());
            let codes = layout.pack(rows, rows_of_strip.clone());
            let codes = gpu.memory().upload(gpu, &codes, BufferUsages::STORAGE)?;
            Ok(Strip { rows: rows_of_strip, codes })
        };
        let strips = (0..rows.rows()).step_by(strip_rows).map(strip).collect::<Result<Vec<_>, _>>()?;
        let kept = gpu.memory().keep(strips.iter().map(|strip| strip.codes.size()).sum());
        Ok(Self { strips, columns: draw_columns(rows.rows()), sums: OnceLock::new(), kept })
    }

    /// The weighted sums of these rows.
    pub(super) fn sums(&self, rows: CodedRows<'_>) -> &Sums {
        match self.sums.get() {
            Some(sums) => sums,
            None => {
                // As in `of`, not while others would have to wait.
                let sums = Sums::of(rows, &self.columns);
                self.sums.get_or_init(|| sums)
            }
        }
    }
}
