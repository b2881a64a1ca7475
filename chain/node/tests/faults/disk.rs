//! A disk that is full or does not confirm: the exit code says so and nothing acknowledged is lost.
//!
//! Faults are injected into system calls by `strace`; where it cannot trace, the tests say SKIPPED.

use std::path::Path;
use std::process::{Command, Output};

use super::{succeeds, tensorchain};

fn can_trace() -> bool {
    tensor_tests::faults::can_trace(&[], "no disk fault was injected")
}

/// `put KEY VALUE` with a fault in the `when`-th call of `calls`.
fn put_with_fault(dir: &Path, fault: &str, key: &str) -> Output {
    let plain = tensorchain(dir);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", fault])
        .arg(plain.get_program())
        .args(plain.get_args());
    command.args(["put", key, "value"]).output().unwrap()
}

/// Injects `error` into every n-th call until a run is not hit any more; checks each outcome.
fn every_call(calls: &str, error: &str, exit: i32) -> u32 {
    let mut hits = 0;
    for when in 1..=200 {
        let dir = tempfile::tempdir().unwrap();
        succeeds(tensorchain(dir.path()).args(["put", "before", "value"]));
        let fault = format!("inject={calls}:error={error}:when={when}");
        let output = put_with_fault(dir.path(), &fault, "during");
        let acknowledged = output.stdout.ends_with(b"\n");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{fault}: {output:?}");
        // Whatever happened, the directory opens again and what was acknowledged is there.
        let dir = dir.path();
        assert_eq!(succeeds(tensorchain(dir).args(["get", "before"])).stdout, b"value", "{fault}");
        let during = tensorchain(dir).args(["get", "during"]).output().unwrap();
        if acknowledged {
            assert_eq!(during.stdout, b"value", "{fault}: acknowledged and lost");
        }
        succeeds(tensorchain(dir).arg("verify").arg(dir));
        match output.status.code() {
            Some(code) if code == exit => hits += 1,
            // Some calls are not of the log; a fault there may be harmless or another failure, never silence.
            Some(0) => assert!(acknowledged, "{fault}: success without an answer"),
            _ => assert!(!acknowledged || !output.stderr.is_empty(), "{fault}: {output:?}"),
        }
        let untouched = output.status.success() && !traced_calls_reach(dir, calls, when);
        if untouched {
            break;
        }
    }
    hits
}

/// Whether a put makes at least `when` of these calls.
fn traced_calls_reach(dir: &Path, calls: &str, when: u32) -> bool {
    let trace = dir.join("trace");
    let plain = tensorchain(dir);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", &format!("trace={calls}"), "-o"]).arg(&trace);
    command.arg(plain.get_program()).args(plain.get_args()).args(["put", "count", "value"]);
    command.output().unwrap();
    let lines = std::fs::read_to_string(&trace).unwrap_or_default();
    lines.lines().filter(|line| line.contains('(')).count() >= when as usize
}

#[test]
fn a_failing_fsync_ends_with_its_own_code() {
    if can_trace() {
        assert!(every_call("fdatasync,fsync", "EIO", 21) > 0, "no fault reached the log");
    }
}

#[test]
fn a_full_disk_ends_with_its_own_code() {
    if can_trace() {
        assert!(every_call("write,pwrite64,writev,pwritev", "ENOSPC", 22) > 0, "no fault reached the log");
    }
}
