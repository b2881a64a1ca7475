//! Bugs that are put in on purpose: a simulation that does not find them proves nothing.

use crate::disk::DiskBug;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A write is acknowledged before the log is on disk.
    SkippedSync,
    /// A node that thinks it leads answers reads without asking the others.
    ReadWithoutQuorum,
    /// A snapshot has no sessions.
    SnapshotWithoutSessions,
    /// A leader that comes back leads on without an election.
    LeaderRestore,
    /// Applying an entry depends on the node: one of them loses some deletions.
    NodeDependentApply,
}

impl Bug {
    pub const ALL: [Self; 5] = [
        Self::SkippedSync,
        Self::ReadWithoutQuorum,
        Self::SnapshotWithoutSessions,
        Self::LeaderRestore,
        Self::NodeDependentApply,
    ];

    /// What of it is the disk's, in the machine at a place.
    pub fn of_disk(self, place: usize) -> Option<DiskBug> {
        match self {
            Self::SkippedSync => Some(DiskBug::SyncsNothing),
            Self::SnapshotWithoutSessions => Some(DiskBug::ForgetsSessions),
            Self::NodeDependentApply if place == 1 => Some(DiskBug::LosesDeletions),
            _ => None,
        }
    }
}

impl Bug {
    /// Seeds within which it has to be found.
    pub const fn seeds(self) -> u64 {
        match self {
            Self::SkippedSync => 10,
            Self::ReadWithoutQuorum => 200,
            Self::SnapshotWithoutSessions => 30,
            Self::LeaderRestore => 200,
            Self::NodeDependentApply => 50,
        }
    }

    /// What it is found by.
    pub const fn signs(self) -> &'static [&'static str] {
        match self {
            Self::SkippedSync => &["CommittedOnQuorum"],
            Self::ReadWithoutQuorum => &["Linearizable", "MonotoneReads"],
            Self::LeaderRestore => &["Linearizable", "MonotoneReads", "LogMatching", "StateMachineSafety"],
            Self::SnapshotWithoutSessions => &["ExactlyOnce", "EqualState", "MonotoneReads"],
            Self::NodeDependentApply => &["EqualState", "ReadOfItsHeight", "Linearizable", "a node stopped"],
        }
    }
}
