//! Work that would keep other tasks waiting, such as work on files.

use tokio::task::JoinError;

/// Does it on a thread for such work. A simulation has one thread, where everything has its place in one order.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if cfg!(feature = "simulation") {
        return Ok(work());
    }
    let span = tracing::Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await
}
