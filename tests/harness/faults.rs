//! What tests with faults have in common: how often, from which seed, and whether `strace` can help.

use std::process::Command;

use crate::tell;

/// How often to do something: as a variable of the environment says, or as the gate has time for.
///
/// # Panics
/// A variable that is no number.
#[must_use]
pub fn dose(variable: &str, in_the_gate: u32) -> u32 {
    given(variable).unwrap_or(in_the_gate)
}

/// Where random choices begin: as a variable of the environment says, or afresh. It is printed, since whoever reads of a
/// failure has to be able to repeat it.
///
/// # Panics
/// A variable that is no number.
#[must_use]
pub fn seed(variable: &str) -> u64 {
    let fresh = || std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
    let seed = given(variable).unwrap_or_else(fresh);
    tell(&format!("{variable}={seed}"));
    seed
}

#[expect(clippy::panic, reason = "a run that was asked for and is not understood is no run")]
fn given<N: std::str::FromStr>(variable: &str) -> Option<N> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Whether this machine lets `strace` trace a child, with these options. Where not, `left_out` is SKIPPED.
///
/// # Panics
/// `HAVE_STRACE` has promised it.
#[must_use]
pub fn can_trace(options: &[&str], left_out: &str) -> bool {
    let traced = Command::new("strace").args(options).args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    let able = traced.is_ok_and(|output| output.status.success());
    if !able {
        assert!(std::env::var_os("HAVE_STRACE").is_none(), "strace was promised and does not work");
        tell(&format!("SKIPPED: strace cannot trace here; {left_out}"));
    }
    able
}
