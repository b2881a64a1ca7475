//! What the binary says, word for word: each file of `cmd/` is a session with its expected answers.
//!
//! `TRYCMD=overwrite cargo test -p tensor-node --test cli` writes the present answers into the files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

/// The exit code, stdout and stderr of `config show` with variables set, and with a configuration file.
fn config_show(variables: &[(&str, &str)], file: Option<&str>) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    if let Some(text) = file {
        std::fs::write(dir.path().join("file.toml"), text).unwrap();
        command.env("TENSORCHAIN_CONFIG", "file.toml");
    }
    command.envs(variables.iter().copied()).args(["config", "show"]).current_dir(dir.path());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn environment_variables_are_taken_as_they_are_written() {
    for dir in ["2024", "true", "[a]", "\"quoted\"", "{a=1}", "1e3", "-1"] {
        let (code, shown, stderr) = config_show(&[("TENSORCHAIN_DATA_DIR", dir)], None);
        assert!(code == 0 && shown.contains(&format!("data_dir           {dir}\n")), "{dir}: {stderr}");
    }
    let numbers = [("TENSORCHAIN_THREADS", "3"), ("TENSORCHAIN_CHECKPOINT_EVERY", "7")];
    let (code, shown, stderr) = config_show(&numbers, None);
    assert!(code == 0 && shown.contains("threads            3\n"), "{stderr}");
    assert!(shown.contains("checkpoint_every   7\n"), "{shown}");
    for wrong in ["three", "", "-1", "1.5", "1025"] {
        let (code, _, stderr) = config_show(&[("TENSORCHAIN_THREADS", wrong)], None);
        assert!(code == 10 && stderr.contains("THREADS"), "{wrong:?}: {stderr}");
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    const TOKEN: &str = "1234567890123456";
    let (code, shown, stderr) = config_show(&[("TENSORCHAIN_ADMIN_TOKEN", TOKEN)], None);
    assert!(code == 0 && shown.contains("admin_token        (set)\n"), "{stderr}");
    assert!(!shown.contains(TOKEN), "{shown}");
    let (code, _, stderr) = config_show(&[("TENSORCHAIN_ADMIN_TOKEN", "12345")], None);
    assert!(code == 10 && stderr.contains("16 bytes") && !stderr.contains("12345"), "{stderr}");
    for file in [
        "admin_token = 1234567890123456",
        "admin_token = 1234567890123456.5",
        "admin_token = \"1234567890123456",
        "admin_token = \"1234567890123456\" x",
        "admin_token = 1234567890123456x",
        "admin_token = [1234567890123456]",
        "threads = 1\nadmin_token = \"1234567890123456\"\nthreads = 2",
    ] {
        let (code, shown, stderr) = config_show(&[], Some(file));
        assert!(code == 10 && stderr.contains("file.toml"), "{file}: {stderr}");
        assert!(!(shown + &stderr).contains(TOKEN), "{file}: {stderr}");
    }
}
