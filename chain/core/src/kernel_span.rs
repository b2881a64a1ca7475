//! How a call of a kernel is found in a log.

use tracing::span::EnteredSpan;

/// The span of one call, while it is held. `rows` is how many the call was for.
pub(crate) fn kernel_span(operation: &'static str, rows: usize) -> EnteredSpan {
    tracing::debug_span!("kernel", operation, rows).entered()
}
