//! Exit codes: what a script may rely on.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

use tensor_chain::atomic_io::AtomicIoError;
use tensor_chain::dir::DirError;
use tensor_chain::identity::IdentityError;
use tensor_chain::index::IndexError;
use tensor_chain::log::LogError;
use tensor_chain::replicated::SnapshotError;
use tensor_chain::{ChainError, StoreError};
use tensor_client::ClientError;
use tensor_cluster::ReplicaError;
use tensor_datasets::fetch::FetchError;
use tensor_datasets::files::FileError;
use tensor_datasets::{CacheError, EcbFxError, Name};
use tensor_kernels::KernelError;

use crate::output::OutputError;

/// What the system says of a disk that fails; the library has no name for it.
const EIO: i32 = 5;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// It failed for a reason with no code of its own.
    Failed = 1,
    /// The arguments are wrong.
    Usage = 2,
    /// Some members of the cluster do not answer.
    Degraded = 3,
    /// No node could do it, and nothing was done.
    Unavailable = 4,
    /// What was to be verified does not hold.
    Mismatch = 5,
    /// The requested device or instruction set is not available.
    NoDevice = 6,
    /// The time was over: what was waited for did not come about, or no node said what became of a write.
    Timeout = 7,
    /// The configuration is wrong.
    BadConfig = 10,
    /// Stored data are damaged.
    Corruption = 20,
    /// The disk fails: it did not confirm a write.
    SyncFailed = 21,
    /// The disk is full.
    NoSpace = 22,
    /// The chain here is not the one that the cluster's voters have signed.
    Divergence = 30,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed, and the code that says so.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: Option<String>,
}

impl Failure {
    /// A failure with a message for stderr.
    #[must_use]
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: Some(message.to_string()) }
    }

    /// A failure of which everything has been said.
    #[must_use]
    pub const fn silent(exit: Exit) -> Self {
        Self { exit, message: None }
    }

    /// A file that could not be written.
    #[must_use]
    pub fn of_file(file: &Path, error: &AtomicIoError) -> Self {
        Self::new(of_file(error), format!("{}: {error}", file.display()))
    }

    /// A data set that could not be fetched.
    #[must_use]
    pub fn of_fetch(name: Name, error: &FetchError) -> Self {
        let exit = match error {
            FetchError::Cache(error) => of_cache(error),
            FetchError::Hash { .. } => Exit::Mismatch,
            FetchError::Unpack { error, .. } => of_io(error),
            _ => Exit::Failed,
        };
        Self::new(exit, format!("{name}: {error}"))
    }

    /// A replica that did not start or has stopped.
    #[must_use]
    pub fn of_replica(error: &ReplicaError) -> Self {
        let exit = match error {
            ReplicaError::Chain(error) => of_chain(error),
            ReplicaError::Log(error) | ReplicaError::Snapshot(error) => of_io(error),
            // Whatever else the disk says to a write, it has not confirmed it.
            ReplicaError::LogWrite(error) => match of_io(error) {
                Exit::NoSpace => Exit::NoSpace,
                _ => Exit::SyncFailed,
            },
            ReplicaError::Config(_) => Exit::BadConfig,
            ReplicaError::Raft(_) => Exit::Failed,
            ReplicaError::Start(first) => return Self::of_replica(first),
        };
        Self::new(exit, error)
    }

    /// The code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The message, unless everything has been said.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        Self::new(of_chain(&error), error)
    }
}

impl From<ReplicaError> for Failure {
    fn from(error: ReplicaError) -> Self {
        Self::of_replica(&error)
    }
}

fn of_chain(error: &ChainError) -> Exit {
    match error {
        ChainError::StorageError(storage) => of_storage(storage),
        ChainError::Diverged(_) => Exit::Divergence,
        // The bytes are as they were written, and what they say does not hold.
        ChainError::ValidationFailed { .. } => Exit::Mismatch,
        _ => Exit::Failed,
    }
}

/// What an operator has to do about storage: restore, replace, make room.
fn of_storage(error: &StoreError) -> Exit {
    match error {
        StoreError::Log(LogError::Corrupt { .. } | LogError::UnknownVersion { .. })
        | StoreError::Index(IndexError::Corrupt { .. } | IndexError::Damaged(_) | IndexError::NotAsClosed)
        | StoreError::Block { .. }
        | StoreError::State { .. }
        | StoreError::Value { .. }
        | StoreError::Misplaced { .. }
        | StoreError::Params(_)
        | StoreError::Finality(_)
        | StoreError::OtherTip { .. }
        | StoreError::Session(_)
        | StoreError::Applied(_)
        | StoreError::Dir(DirError::UnknownFormat { .. }) => Exit::Corruption,
        StoreError::Quarantined { .. } => Exit::Divergence,
        StoreError::Log(LogError::Fsync { .. }) | StoreError::Index(IndexError::Fsync(_)) => Exit::SyncFailed,
        StoreError::Log(LogError::NoSpace { .. }) | StoreError::Index(IndexError::NoSpace(_)) => {
            Exit::NoSpace
        }
        StoreError::Dir(DirError::Io { source, .. }) => of_file(source),
        StoreError::Identity(IdentityError::CorruptFile { .. }) => Exit::Corruption,
        StoreError::Identity(IdentityError::Io { source, .. }) => of_file(source),
        _ => Exit::Failed,
    }
}

fn of_file(error: &AtomicIoError) -> Exit {
    match error {
        AtomicIoError::Fsync(_) => Exit::SyncFailed,
        AtomicIoError::Io(source) => of_io(source),
        AtomicIoError::NoParentDir(_) => Exit::Failed,
    }
}

fn of_io(error: &io::Error) -> Exit {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref()) {
        return of_file(error);
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref()) {
        return of_snapshot(error);
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref()) {
        return of_chain(error);
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Exit::NoSpace,
        ErrorKind::InvalidData => Exit::Corruption,
        _ if error.raw_os_error() == Some(EIO) => Exit::SyncFailed,
        _ => Exit::Failed,
    }
}

fn of_snapshot(error: &SnapshotError) -> Exit {
    match error {
        SnapshotError::Chain(error) => of_chain(error),
        SnapshotError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => Exit::Corruption,
        SnapshotError::Io(error) => of_io(error),
        SnapshotError::Header(_)
        | SnapshotError::TooLong { .. }
        | SnapshotError::Digest
        | SnapshotError::Tip { .. } => Exit::Corruption,
    }
}

fn of_cache(error: &CacheError) -> Exit {
    match error {
        CacheError::Io { error, .. } | CacheError::File { error: FileError::Io(error), .. } => of_io(error),
        CacheError::Unexpected { .. } => Exit::Mismatch,
        _ => Exit::Failed,
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        Self::new(of_cache(&error), error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        ChainError::from(error).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::BadEndpoint { .. } | ClientError::NoEndpoint => Exit::BadConfig,
            ClientError::Unavailable { .. } => Exit::Unavailable,
            ClientError::Unknown { .. } => Exit::Timeout,
            ClientError::Batch(_) | ClientError::Refused(_) | ClientError::Runtime(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<EcbFxError> for Failure {
    fn from(error: EcbFxError) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        match error {
            // Whoever read our output has seen enough, as in `tensorchain list | head`.
            OutputError::ReaderGone => Self { exit: Exit::Ok, message: None },
            error @ (OutputError::Io(_) | OutputError::Json(_)) => Self::new(Exit::Failed, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_one_however_deep_the_error_lies() {
        let full = || {
            let source = io::Error::from(ErrorKind::StorageFull).into();
            ChainError::from(StoreError::from(DirError::Io { dir: "dir".into(), source }))
        };
        let wrapped = [io::Error::other(full()), io::Error::other(SnapshotError::from(full()))];
        for error in wrapped.map(ReplicaError::Snapshot).into_iter().chain([full().into()]) {
            assert_eq!(Failure::of_replica(&error).exit(), Exit::NoSpace, "{error:?}");
        }
    }
}
