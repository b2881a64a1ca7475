//! A device that compares directions once and never again in time, and has no version of anything else.

use std::sync::atomic::{AtomicBool, Ordering};

use tensor_kernels::{Accelerator, ConflictList, CosineRows, Fallback, Kernels, Opened, Request, Thresholds};

#[derive(Debug, Default)]
pub struct Moody(AtomicBool);

impl Accelerator for Moody {
    fn name(&self) -> String {
        "moody".to_owned()
    }

    fn accepts(&self, request: &Request<'_>) -> Result<(), Fallback> {
        if matches!(request, Request::CosineConflicts(..)) { Ok(()) } else { Err(Fallback::NoVersion) }
    }

    fn open(&self) -> Result<Opened, Fallback> {
        Err(Fallback::Absent)
    }

    fn cosine_conflicts(
        &self,
        rows: CosineRows<'_>,
        thresholds: &Thresholds,
    ) -> Result<ConflictList, Fallback> {
        match self.0.swap(true, Ordering::Relaxed) {
            true => Err(Fallback::Timeout),
            false => Ok(Kernels::scalar().unwrap().cosine_conflicts(rows, thresholds).value),
        }
    }
}
