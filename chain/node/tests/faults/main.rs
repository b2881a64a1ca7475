//! The shipped binary under faults: killed, damaged, short of disk. What it acknowledged is still there.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed; a skipped one says so"
)]

mod damage;
mod disk;
mod kill;

use std::path::Path;
use std::process::{Command, Output};

/// The binary, on one data directory, with nothing of the caller's environment.
fn tensorchain(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(data_dir).args(["--threads", "1"]);
    command
}

/// Runs a command that has to succeed.
fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// Fresh numbers from a seed that every failure message carries (xorshift64*).
struct Seeded {
    seed: u64,
    state: u64,
}

impl Seeded {
    /// From `TEST_SEED`, or from the clock.
    fn new() -> Self {
        let clock =
            || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let seed =
            std::env::var("TEST_SEED").map_or_else(|_| u64::from(clock()) | 1, |seed| seed.parse().unwrap());
        eprintln!("TEST_SEED={seed}");
        Self { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}
