//! A ledger in a directory, from the first put to the backup: what each command answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use tensor_chain::MAX_VALUE_BYTES;

/// One command on a directory, with nothing of the caller's environment.
fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    command.arg("--data-dir").arg(dir.join("data")).args(args).current_dir(dir);
    command
}

/// The exit code, stdout and stderr of a command.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The exit code, stdout and stderr of one command on a directory.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    outcome(&mut command(dir, args))
}

/// Stdout of a command that has to succeed.
fn says(dir: &Path, args: &[&str]) -> String {
    let (code, stdout, stderr) = run(dir, args);
    assert_eq!(code, 0, "{args:?}: {stderr}");
    stdout
}

#[test]
fn a_session() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (code, _, stderr) = run(dir, &["get", "greeting"]);
    assert!(code == 1 && stderr.contains("no chain in"), "reading makes no chain: {stderr}");

    assert!(says(dir, &["put", "greeting", "hello"]).starts_with("block 1 "));
    assert!(says(dir, &["cas", "greeting", "hi", "--expected", "hello"]).starts_with("block 2 "));
    let (code, _, stderr) = run(dir, &["cas", "greeting", "x", "--expected", "hello"]);
    assert!(code == 1 && stderr.contains("transaction failed"), "{stderr}");
    assert_eq!(says(dir, &["get", "greeting"]), "hi");
    assert_eq!(says(dir, &["get", "greeting", "--at", "1"]), "hello");
    assert_eq!(says(dir, &["list"]), "greeting\n");
    assert_eq!(says(dir, &["list", "x"]), "\n");
    says(dir, &["delete", "greeting"]);
    let (code, _, stderr) = run(dir, &["get", "greeting"]);
    assert!(code == 1 && stderr.contains("no value at height 3"), "{stderr}");
    assert_eq!(
        says(dir, &["history", "greeting"]),
        "       1  put     hello\n       2  cas     hi\n       3  delete\n"
    );
    assert!(says(dir, &["verify", "--full"]).starts_with("ok: 4 blocks, 3 operations"));
    assert_eq!(says(dir, &["dump"]).lines().count(), 4);
    let alike = says(dir, &["similar", "--block", "1", "-k", "1"]);
    assert!(
        alike.lines().count() == 1 && !alike.starts_with("       1 "),
        "another block than itself: {alike}"
    );
    assert!(says(dir, &["drift"]).contains("--train K"));
    assert!(says(dir, &["drift", "--train", "2"]).contains("3 blocks with a change and a code"));

    assert!(says(dir, &["backup", "copy"]).contains("4 blocks"));
    assert!(says(dir, &["verify", "copy", "--full"]).starts_with("ok: 4 blocks"));
}

#[test]
fn proofs_hold_and_forged_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    says(dir, &["put", "k", "value"]);
    for (key, expected) in [("k", "k = value, written in block 1"), ("absent", "absent has no value")] {
        let proof = says(dir, &["prove", key]);
        let file = dir.join("proof.json");
        std::fs::write(&file, &proof).unwrap();
        assert!(says(dir, &["verify-proof", "proof.json"]).contains(expected));
        let other_block = "00".repeat(32);
        assert_eq!(run(dir, &["verify-proof", "proof.json", "--block-hash", &other_block]).0, 5);
        // The same path for another key proves nothing.
        std::fs::write(&file, proof.replace(&format!("\"key\": \"{key}\""), "\"key\": \"other\"")).unwrap();
        let (code, stdout, _) = run(dir, &["verify-proof", "proof.json"]);
        assert!(code == 5 || (key == "absent" && stdout.contains("other has no value")), "{code} {stdout}");
        // Any flipped digit of the proof.
        let at = proof.find("\"proof\": \"").unwrap() + 40;
        let mut forged = proof.into_bytes();
        forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
        std::fs::write(&file, forged).unwrap();
        assert_eq!(run(dir, &["verify-proof", "proof.json"]).0, 5);
    }
}

#[test]
fn vectors_fix_the_dimension_and_are_held_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("three.json"), "[0.1, 0.5, 0]").unwrap();
    std::fs::write(dir.join("two.json"), "[0.1, 0.5]").unwrap();
    std::fs::write(dir.join("bad.json"), "[0.1, null]").unwrap();
    says(dir, &["put", "a", "b", "--embedding", "three.json"]);
    assert!(says(dir, &["similar", "--vector", "[0.1, 0.5, 0]"]).contains("  1.0000"));
    let (code, _, stderr) = run(dir, &["put", "a", "c", "--embedding", "two.json"]);
    assert!(code == 1 && stderr.contains('2') && stderr.contains('3'), "{stderr}");
    assert_eq!(run(dir, &["put", "a", "c", "--embedding", "bad.json"]).0, 1);
    assert_eq!(run(dir, &["put", "a", "c", "--embedding", "missing.json"]).0, 1);
    assert_eq!(run(dir, &["similar", "--vector", "[1e999]"]).0, 2);
}

#[test]
fn every_answer_is_json_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    says(dir, &["put", "k", "v"]);
    for args in [
        &["put", "k", "w"][..],
        &["get", "k"],
        &["list"],
        &["history", "k"],
        &["prove", "k"],
        &["verify"],
        &["similar", "--block", "1"],
        &["drift"],
        &["conflicts"],
        &["caps"],
        &["config", "show"],
    ] {
        let answer = says(dir, &[args, &["--output", "json"]].concat());
        assert!(serde_json::from_str::<Value>(&answer).is_ok(), "{args:?}: {answer}");
    }
    for line in says(dir, &["dump", "--output", "json"]).lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

/// Verification and training have no device of their own: what is asked for is used or refused, as everywhere.
#[test]
fn what_cannot_compute_is_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    says(dir, &["put", "k", "v"]);
    let available = tensor_kernels::Isa::available();
    let absent = tensor_kernels::Isa::ALL.into_iter().find(|isa| !available.contains(isa)).unwrap();
    for args in [&["get", "k"][..], &["verify"], &["verify", "data", "--full"], &["drift", "--train", "2"]] {
        let at_level = |isa: &str| outcome(command(dir, args).env("TENSORCHAIN_ISA", isa));
        assert_eq!(at_level("scalar").0, 0, "{args:?}");
        assert_eq!(at_level(absent.name()).0, 6, "{args:?}");
        assert_eq!(at_level("foo").0, 10, "{args:?}");
        assert_eq!(run(dir, &[args, &["--device", "gpu:99"]].concat()).0, 6, "{args:?}");
    }
}

/// A chain that is made keeps the dimension of its first vector for good.
#[test]
fn what_is_refused_makes_no_chain() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let many = format!("[{}0]", "0,".repeat(65_536));
    for (file, vector) in [("huge.json", "[3e38, 1, 2]"), ("empty.json", "[]"), ("many.json", &many)] {
        std::fs::write(dir.join(file), vector).unwrap();
    }
    let long_key = "k".repeat(4_097);
    for (args, why) in [
        (&["put", "a", "1", "--embedding", "huge.json"][..], "magnitude"),
        (&["put", "a", "1", "--embedding", "empty.json"], "empty.json: 0 components"),
        (&["put", "a", "1", "--embedding", "many.json"], "many.json: 65537 components"),
        (&["put", "", "x"], "key of 0 bytes"),
        (&["put", &long_key, "x"], "key of 4097 bytes"),
        (&["delete", "k"], "no chain in"),
        (&["cas", "k", "new", "--expected", "old"], "no chain in"),
        (&["cas", "", "new"], "key of 0 bytes"),
    ] {
        let (code, _, stderr) = run(dir, args);
        assert!(code == 1 && stderr.contains(why), "{why}: {stderr}");
        assert!(!dir.join("data").exists(), "{why}");
    }
    assert!(says(dir, &["cas", "k", "new"]).starts_with("block 1 "));
    // Nor does it change one that is there.
    assert_eq!(run(dir, &["put", "a", "1", "--embedding", "huge.json"]).0, 1);
    assert_eq!(says(dir, &["dump"]).lines().count(), 2);
}

/// Every byte, none more and none less.
#[test]
fn any_bytes_can_be_put_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let largest: Vec<u8> = (0..MAX_VALUE_BYTES).map(|at| (at % 251) as u8).collect();
    for value in [&b"\xff\x00\n"[..], b"", b"text\n", &largest] {
        std::fs::write(dir.join("value"), value).unwrap();
        says(dir, &["put", "from-file", "--file", "value"]);
        let stdin = File::open(dir.join("value")).unwrap();
        assert_eq!(outcome(command(dir, &["put", "from-stdin", "--file", "-"]).stdin(stdin)).0, 0);
        for key in ["from-file", "from-stdin"] {
            assert!(command(dir, &["get", key]).output().unwrap().stdout == value, "{key}");
        }
    }
    std::fs::write(dir.join("value"), [&largest[..], b"1"].concat()).unwrap();
    for (file, why) in [("value", "at most 1032192 bytes"), ("/dev/zero", "at most"), ("absent", "absent")] {
        let (code, _, stderr) = run(dir, &["put", "k", "--file", file]);
        assert!(code == 1 && stderr.contains(file) && stderr.contains(why), "{stderr}");
    }
    for usage in [&["put", "k"][..], &["put", "k", "v", "--file", "value"]] {
        assert_eq!(run(dir, usage).0, 2);
    }
}

#[test]
fn a_value_has_a_line_of_its_own_on_a_terminal_only() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    says(dir, &["put", "k", "value"]);
    assert_eq!(says(dir, &["get", "k"]), "value");
    let mut terminal = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let other_end = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let other_end = File::options().read(true).write(true).open(other_end).unwrap();
    let status = command(dir, &["get", "k"]).stdout(other_end).status().unwrap();
    let mut shown = [0; 7];
    terminal.read_exact(&mut shown).unwrap();
    assert!(status.success() && &shown == b"value\r\n", "{shown:?}");
}

#[test]
fn drift_says_what_is_wrong_with_a_range() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    says(dir, &["put", "k", "v"]);
    for (args, code, why) in [
        (&["--to", "99999"][..], 1, "no block at height 99999: the last one is at 1"),
        (&["--from", "9"], 1, "no block at height 9: the last one is at 1"),
        (&["--from", "9", "--to", "3"], 2, "--from 9 is above --to 3"),
        (&["--from", "9", "--to", "3", "--train", "2"], 2, "--from 9 is above --to 3"),
        (&["--to", "0", "--train", "2"], 1, "--train: blocks 0 to 0 have no change"),
        (&["--train", "0"], 2, "--train"),
    ] {
        let (got, stdout, stderr) = run(dir, &[&["drift"], args].concat());
        assert!(got == code && stderr.contains(why) && stdout.is_empty(), "{args:?}: {got} {stderr}");
    }
    assert!(says(dir, &["drift", "--from", "1", "--to", "1", "--train", "9"]).contains("1 blocks with"));
}

/// For people two operations may look alike, for programs never.
#[test]
fn a_dump_for_programs_is_a_document_a_line_and_leaves_no_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("vector.json"), "[0.5, 0, -2]").unwrap();
    std::fs::write(dir.join("bytes"), [0xff]).unwrap();
    says(dir, &["put", "x = y", "z", "--embedding", "vector.json"]);
    says(dir, &["put", "x", "y = z"]);
    says(dir, &["put", "x", "--file", "bytes"]);
    says(dir, &["delete", "x"]);
    let dump = says(dir, &["dump", "--output", "json"]);
    let blocks: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let operations: Vec<_> = blocks.iter().map(|block| block["operations"].clone()).collect();
    assert_eq!(
        operations,
        [
            json!([]),
            json!([{"key": "x = y", "operation": "put", "value": {"text": "z"}}]),
            json!([{"key": "x", "operation": "put", "value": {"text": "y = z"}}]),
            json!([{"key": "x", "operation": "put", "value": {"hex": "ff"}}]),
            json!([{"key": "x", "operation": "delete"}]),
        ]
    );
    assert_eq!(blocks[1]["delta"], json!({"dim": 3, "indices": [0, 2], "values": [0.5, -2.0]}));
    for (height, block) in blocks.iter().enumerate() {
        assert_eq!(block["height"], height);
        assert!(height == 0 || block["prev_hash"] == blocks[height - 1]["hash"]);
        assert_eq!((&block["codebook_epoch"], &block["quantized_codes"]), (&json!(0), &json!([])));
        assert_eq!(block["tx_root"].as_str().unwrap().len(), 64);
    }
    assert!(says(dir, &["dump"]).lines().nth(1).unwrap().ends_with(" put x = y = z"));
}
