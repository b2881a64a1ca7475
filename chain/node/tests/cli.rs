//! What the binary says, word for word: each file of `cmd/` is a session with its expected answers.
//!
//! `TRYCMD=overwrite cargo test -p tensor-node --test cli` writes the present answers into the files.

use std::process::{Command, Stdio};

#[test]
fn sessions() {
    let cases = trycmd::TestCases::new();
    cases.case("tests/cmd/*.trycmd").case("tests/cmd/*.toml");
    if cfg!(feature = "gpu") {
        // What it says depends on the machine; tests of the demo ask that.
        cases.skip("tests/cmd/device.trycmd");
    }
}

/// As in `tensorchain completions bash | head -0`.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    let mut child =
        command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
