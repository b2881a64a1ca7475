//! Nodes whose system calls fail or never return, as `strace` is told.

use std::path::PathBuf;

pub fn can_trace() -> bool {
    tensor_tests::faults::can_trace(&["-D"], "no disk fault was injected into a node")
}

/// What a system call does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It says that the disk fails.
    Eio,
    /// It says that the disk is full.
    Enospc,
    /// The process dies when it makes it.
    Kill,
}

/// Calls that make data durable.
pub const SYNCS: &str = "fdatasync,fsync";
/// Calls that write files.
pub const WRITES: &str = "write,pwrite64,writev,pwritev";

/// The program to start a node through so that in each of its threads the `nth` of some calls fails; of writes only
/// those to the given files. The node stays the child that was started.
pub fn injecting(fault: Fault, calls: &str, nth: u32, files: &[PathBuf]) -> Vec<String> {
    let effect = match fault {
        Fault::Eio => "error=EIO",
        Fault::Enospc => "error=ENOSPC",
        Fault::Kill => "signal=SIGKILL",
    };
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{effect}:when={nth}"));
    let fixed = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    // Other calls are not slowed down by it. With it no signal is delivered (strace 6.1).
    let filter = (fault != Fault::Kill).then_some("--seccomp-bpf".to_owned());
    let paths = files.iter().flat_map(|file| ["-P".to_owned(), file.display().to_string()]);
    fixed.into_iter().map(str::to_owned).chain(filter).chain(paths).collect()
}
