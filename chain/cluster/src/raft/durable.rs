//! How much of this node's own log is on its disk.
//!
//! An entry can be committed by the disks of others before this node's own has it. It is not applied before that: what
//! applying it leads to may reach the disk at any time, and after a power loss the chain would be ahead of the log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::failure::FirstFailure;

/// Follows the log of one node. Clones follow the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Durable(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The lowest index that may not be on disk.
    next: AtomicU64,
    moved: Notify,
}

impl Durable {
    /// The log is on disk up to an index and no further.
    pub(super) fn set(&self, last: Option<u64>) {
        self.0.next.store(last.map_or(0, |last| last.saturating_add(1)), Ordering::Release);
        self.moved();
    }

    /// The log is on disk at least up to an index.
    pub(super) fn raise(&self, last: u64) {
        self.0.next.fetch_max(last.saturating_add(1), Ordering::AcqRel);
        self.moved();
    }

    /// The lowest index that may not be on disk.
    pub(super) fn end(&self) -> u64 {
        self.0.next.load(Ordering::Acquire)
    }

    /// Whoever waits looks again: the log was synced, or never will be.
    pub(super) fn moved(&self) {
        self.0.moved.notify_waiters();
    }

    /// Returns when the log is on disk up to an index.
    ///
    /// # Errors
    /// The log has failed.
    pub(super) async fn reach(&self, index: u64, failure: &FirstFailure) -> io::Result<()> {
        loop {
            let moved = self.0.moved.notified();
            if self.end() > index {
                return Ok(());
            }
            if let Some(error) = failure.get() {
                return Err(io::Error::other(error.to_string()));
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::failure::ReplicaError;
    use super::*;

    #[tokio::test]
    async fn an_entry_is_waited_for_until_it_is_on_disk_or_never_will_be() {
        let (durable, failure) = (Durable::default(), FirstFailure::default());
        durable.set(Some(4));
        durable.reach(4, &failure).await.unwrap();
        let mut fifth = Box::pin(durable.reach(5, &failure));
        assert!(fifth.as_mut().now_or_never().is_none());
        durable.raise(5);
        fifth.await.unwrap();
        // Taken out of the log again, others come in their place.
        durable.set(Some(3));
        let mut fourth = Box::pin(durable.reach(4, &failure));
        assert!(fourth.as_mut().now_or_never().is_none());
        failure.keep(ReplicaError::LogWrite(io::Error::other("disk")));
        durable.moved();
        assert!(fourth.await.is_err());
    }
}
