//! Nodes whose system calls fail, are slow or never return, as `strace` is told.

use std::path::PathBuf;
use std::time::Duration;

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
    // No signal is delivered with it (strace 6.1).
    let filter = (fault != Fault::Kill).then_some(FILTER.to_owned());
    let paths = files.iter().flat_map(|file| ["-P".to_owned(), file.display().to_string()]);
    strace(calls, &format!("{effect}:when={nth}")).into_iter().chain(filter).chain(paths).collect()
}

/// As [`injecting`], so that in each of its threads some calls take longer, from the `nth` on.
pub fn delaying(delay: Duration, calls: &str, nth: usize) -> Vec<String> {
    let effect = format!("delay_enter={}:when={nth}+", delay.as_micros());
    strace(calls, &effect).into_iter().chain([FILTER.to_owned()]).collect()
}

/// With it no other calls are slowed down.
const FILTER: &str = "--seccomp-bpf";

fn strace(calls: &str, effect: &str) -> Vec<String> {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{effect}"));
    let fixed = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    fixed.map(str::to_owned).to_vec()
}
