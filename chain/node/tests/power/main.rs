//! Power losses: what a disk may hold when it stops, by the system calls that the real program made until then.
//!
//! `kill -9` leaves the page cache to the kernel and says nothing about syncs. Here `strace` writes down what the program
//! did to its files; a model of a disk, which has promised no more than POSIX does, says what may be left of that at any
//! moment; and the real program has to open what is left and to have every write that it had acknowledged by then.
//! POWER_SEED repeats a run.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod crash;
mod disk;
mod embedded;
mod loading;
mod node;
mod recording;
mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;

use crash::below;
use disk::Op;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use recording::Recording;
use tensor_chain::log::LOG_FILE_NAME;
use tensor_tests::faults;

fn can_trace() -> bool {
    faults::can_trace(&["--seccomp-bpf"], "no power loss was tried")
}

fn dose(variable: &str, in_the_gate: u32) -> usize {
    faults::dose(variable, in_the_gate) as usize
}

fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(faults::seed("POWER_SEED"))
}

/// The data directory, below the directory that stands for the disk.
fn data(root: &Path) -> PathBuf {
    root.canonicalize().unwrap().join("data")
}

/// The binary, with nothing of the caller's environment.
fn tensorchain(through: Option<Command>, root: &Path) -> Command {
    let program = env!("CARGO_BIN_EXE_tensorchain");
    let mut command = match through {
        Some(mut command) => {
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    command.current_dir("/").arg("--data-dir").arg(data(root)).args(["--threads", "1"]);
    command
}

/// Has the binary verify what a power loss left, if a chain has begun there.
fn verify(root: &Path, args: &[&str]) -> Result<(), String> {
    if !data(root).join(LOG_FILE_NAME).exists() {
        return Ok(());
    }
    let output = tensorchain(None, root).arg("verify").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // The log is there and its first block is not: whoever opens it makes that.
    let has_begun = output.status.code() != Some(1) || !said.contains("the chain has no blocks");
    match output.status.success() || !has_begun {
        true => Ok(()),
        false => Err(format!("verify: {}: {said}", output.status)),
    }
}

/// When the power is lost: at any moment, or when a sync is about to end or something has been said.
fn moment_of(recording: &Recording, random: &mut ChaCha8Rng) -> usize {
    let all = recording.ops.len();
    let any = below(random, all + 1);
    if below(random, 2) == 0 {
        return any;
    }
    let telling = |op: &Op| matches!(op, Op::SyncEnds { .. } | Op::Said(_));
    let next = recording.ops[any..].iter().position(telling).map_or(all, |after| any + after);
    (next + below(random, 2)).min(all)
}
