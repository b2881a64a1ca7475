//! A GPU beside the CPU: opened by its number, and measured only at what it computes itself.

use std::collections::BTreeMap;

use tensor_kernels::{Fallback, Kernels};

use crate::error::BenchError;

/// What stands in place of an instruction-set level.
pub const NAME: &str = "gpu";

/// Kernels that ask this GPU first, with all cores beside it.
///
/// # Errors
/// No such adapter, or one that fails its tests, in its own words; a build without GPU backend.
#[cfg(feature = "gpu")]
pub fn open(number: usize) -> Result<Kernels, BenchError> {
    use std::sync::Arc;

    use tensor_kernels::gpu::{Gpu, Options};

    // Nothing is too small to be measured.
    let options = Options { least_pairs: 0, ..Options::default() };
    let gpu = Gpu::open(number, options).map_err(|error| BenchError::NoGpu { reason: error.to_string() })?;
    Ok(Kernels::detect()?.with_accelerator(Arc::new(gpu)))
}

/// Refused: there is no backend for it.
///
/// # Errors
/// Always.
#[cfg(not(feature = "gpu"))]
pub fn open(_: usize) -> Result<Kernels, BenchError> {
    Err(BenchError::NoGpu { reason: "this build has no GPU backend".to_owned() })
}

/// Why what ran since `before` was not all the GPU's own work; `None` where it was, or there is no GPU.
pub(crate) fn left_to_the_cpu(
    handle: &Kernels,
    before: &BTreeMap<(&'static str, Option<Fallback>), u64>,
) -> Option<&'static str> {
    handle.accelerator()?;
    let after = handle.asked();
    let mut ran = after.iter().filter(|(what, times)| before.get(*what) != Some(*times));
    match ran.next() {
        None => Some(Fallback::NoVersion.in_words()),
        Some(((_, first), _)) => {
            let fallback = ran.find_map(|((_, fallback), _)| *fallback);
            first.or(fallback).map(Fallback::in_words)
        }
    }
}
