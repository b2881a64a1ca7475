//! Refuses writes before the disk is full: a log that meets the end of its disk stops the node, so it must not come to
//! that. Reads go on, and so do writes as soon as there is room again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::ReplicaConfig;
use crate::api::SubmitError;

/// How often the disk is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// How far below the limit a warning is worth its while, in percent of the disk.
const MARGIN_PERCENT: u8 = 15;

/// How full the disk of a data directory is, and from when on that is too full.
#[derive(Debug)]
pub(super) struct DiskGuard {
    dir: PathBuf,
    limit_percent: u8,
    used_percent: AtomicU8,
}

/// What a disk with so much in use means for writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Room {
    Ample,
    /// Writes are taken, and soon may not be.
    Scarce,
    None,
}

impl DiskGuard {
    pub(super) fn new(config: &ReplicaConfig) -> Self {
        let (dir, limit_percent) = (config.dir.clone(), config.disk_limit_percent);
        let guard = Self { dir, limit_percent, used_percent: AtomicU8::new(0) };
        guard.look();
        guard
    }

    /// # Errors
    /// [`SubmitError::DiskFull`] where there is no room for writes.
    pub(super) fn check(&self) -> Result<(), SubmitError> {
        let used_percent = self.used_percent.load(Ordering::Relaxed);
        match self.room_with(used_percent) {
            Room::Ample | Room::Scarce => Ok(()),
            Room::None => Err(SubmitError::DiskFull { used_percent, limit_percent: self.limit_percent }),
        }
    }

    /// Looks at the disk again and again, and says when it becomes another matter.
    pub(super) async fn watch(&self) {
        let mut before = Room::Ample;
        loop {
            let used_percent = self.look();
            let room = self.room_with(used_percent);
            if room != before {
                let (dir, limit_percent) = (self.dir.display(), self.limit_percent);
                match room {
                    Room::Ample => tracing::info!(%dir, used_percent, "the disk has room again"),
                    Room::Scarce => tracing::warn!(
                        %dir, used_percent, limit_percent, "the disk fills up; at the limit writes are refused"
                    ),
                    Room::None => tracing::error!(
                        %dir, used_percent, limit_percent, "DISK FULL: writes are refused until there is room"
                    ),
                }
                before = room;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// What there was at the last look.
    pub(super) fn room(&self) -> Room {
        self.room_with(self.used_percent.load(Ordering::Relaxed))
    }

    fn room_with(&self, used_percent: u8) -> Room {
        match used_percent {
            used if used >= self.limit_percent => Room::None,
            used if used >= self.limit_percent.saturating_sub(MARGIN_PERCENT) => Room::Scarce,
            _ => Room::Ample,
        }
    }

    /// A disk that does not say how full it is counts as it did before: the log finds out when it is.
    fn look(&self) -> u8 {
        if let Ok(disk) = rustix::fs::statvfs(&self.dir) {
            let used = used_percent(disk.f_blocks, disk.f_bfree, disk.f_bavail);
            self.used_percent.store(used, Ordering::Relaxed);
        }
        self.used_percent.load(Ordering::Relaxed)
    }
}

/// As `df` says it: of what is in use or available to this process, the part in use, rounded up.
fn used_percent(blocks: u64, free: u64, available: u64) -> u8 {
    let used = u128::from(blocks.saturating_sub(free));
    let all = used + u128::from(available);
    let percent = (used * 100).div_ceil(all.max(1));
    percent.min(100) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use tensor_chain::ChainConfig;

    #[test]
    fn a_share_is_rounded_up_and_never_above_all() {
        assert_eq!(used_percent(0, 0, 0), 0);
        assert_eq!(used_percent(1_000, 1_000, 1_000), 0);
        assert_eq!(used_percent(1_000, 999, 999), 1);
        // A part is kept for the system: what is available counts, not what is free.
        assert_eq!(used_percent(1_000, 500, 0), 100);
        assert_eq!(used_percent(u64::MAX, 0, 0), 100);
        assert_eq!(used_percent(1_000, 51, 50), 95);
    }

    #[test]
    fn writes_are_refused_from_the_limit_on() {
        let dir = tempfile::tempdir().unwrap();
        let guard = |disk_limit_percent| {
            let config = ReplicaConfig::new(dir.path(), ChainConfig::default());
            let guard = DiskGuard::new(&ReplicaConfig { disk_limit_percent, ..config });
            guard.used_percent.store(95, Ordering::Relaxed);
            guard
        };
        let full = SubmitError::DiskFull { used_percent: 95, limit_percent: 95 };
        assert_eq!(guard(95).check(), Err(full));
        assert_eq!(guard(96).check(), Ok(()));
        assert_eq!([95, 96, 111].map(|limit| guard(limit).room()), [Room::None, Room::Scarce, Room::Ample]);
    }
}
