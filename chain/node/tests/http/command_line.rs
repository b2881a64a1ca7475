//! The commands with `--endpoint`: the same answers as on a directory.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Node;
use crate::client::nobody;
use crate::solo::Mood;

/// The exit code, stdout and stderr of one command.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorchain"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENSORCHAIN_")) {
        command.env_remove(name);
    }
    let output = command.args(args).current_dir(dir).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Hashes name the node and the time: they differ from run to run.
fn without_hashes(text: &str) -> String {
    let is_hex = |word: &str| word.len() >= 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ')
        .map(|word| if is_hex(word.trim_matches(['"', ',', '\n'])) { "HASH" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_cluster_answers_as_a_directory_does() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vector.json"), format!("{:?}", [0.5; 128])).unwrap();
    std::fs::write(dir.path().join("bytes"), [0xff, 0, b'\n']).unwrap();
    let url = node.url();
    for args in [
        &["put", "greeting", "hello"][..],
        &["put", "other/é", "x", "--embedding", "vector.json"],
        &["cas", "greeting", "hi", "--expected", "hello"],
        &["cas", "greeting", "x", "--expected", "hello"],
        &["get", "greeting"],
        &["get", "greeting", "--at", "1"],
        &["get", "greeting", "--output", "json"],
        &["list"],
        &["list", "other", "--output", "json"],
        &["delete", "greeting"],
        &["get", "greeting"],
        &["history", "greeting"],
        &["history", "greeting", "--output", "json"],
        &["put", "bytes", "--file", "bytes"],
        &["put", "bytes/vector", "--file", "bytes", "--embedding", "vector.json"],
        &["history", "bytes"],
        &["history", "bytes/vector", "--output", "json"],
        &["similar", "--block", "2", "-k", "1"],
        &["drift"],
        &["drift", "--output", "json"],
        &["drift", "--from", "9", "--to", "3"],
        &["drift", "--from", "99"],
    ] {
        let on_dir = run(dir.path(), &[args, &["--data-dir", "data"]].concat());
        let on_node = run(dir.path(), &[args, &["--endpoint", &url]].concat());
        assert_eq!(
            (on_node.0, without_hashes(&on_node.1)),
            (on_dir.0, without_hashes(&on_dir.1)),
            "{args:?} {on_node:?}"
        );
    }
    let (_, proof, _) = run(dir.path(), &["prove", "other/é", "--endpoint", &url]);
    std::fs::write(dir.path().join("proof.json"), proof).unwrap();
    let (code, proven, _) = run(dir.path(), &["verify-proof", "proof.json"]);
    assert!(code == 0 && proven.contains("other/é = x, written in block 2"), "{proven}");
}

#[test]
fn what_only_a_directory_can_answer_is_refused() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    let url = node.url();
    for args in [&["verify"][..], &["dump"], &["backup", "to"], &["conflicts"], &["drift", "--train", "2"]] {
        let (code, _, stderr) = run(dir.path(), &[args, &["--endpoint", &url]].concat());
        assert!(code == 2 && stderr.contains("--data-dir"), "{args:?}: {stderr}");
    }
    assert_eq!(run(dir.path(), &["get", "k", "--endpoint", &url, "--data-dir", "data"]).0, 2);
    assert_eq!(run(dir.path(), &["get", "k", "--endpoint", "https://x:1"]).0, 10);
}

#[test]
fn stale_reads_are_served_without_a_quorum_and_are_for_clusters_only() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    node.put("/v1/kv/k", b"v");
    node.solo.set_mood(Mood::Leaderless);
    let vector = format!("--vector={:?}", [0.5; 128]);
    for args in [
        &["get", "k"][..],
        &["get", "k", "--at", "1"],
        &["list"],
        &["history", "k"],
        &["similar", "--block", "1"],
        &["similar", &vector],
        &["drift"],
    ] {
        let asked = |more: &[&str]| run(dir.path(), &[args, more].concat());
        assert_eq!(asked(&["--stale", "--endpoint", &node.url()]).0, 0, "{args:?}");
        let (code, _, stderr) = asked(&["--stale", "--data-dir", "data"]);
        assert!(code == 2 && stderr.contains("--endpoint"), "{args:?}: {stderr}");
    }
}

#[test]
fn an_unknown_outcome_has_an_exit_code_of_its_own() {
    let node = Node::start();
    let dir = tempfile::tempdir().unwrap();
    node.solo.set_mood(Mood::Forgets);
    let (code, _, stderr) = run(dir.path(), &["put", "k", "v", "--endpoint", &node.url()]);
    assert!(code == 7 && stderr.contains("unknown"), "{stderr}");
}

/// What `cluster status` says as JSON of these endpoints, and its exit code.
fn status_of(dir: &Path, endpoints: &[String]) -> (i32, Value) {
    let (code, stdout, stderr) =
        run(dir, &["cluster", "status", "--output", "json", "--endpoint", &endpoints.join(",")]);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout:?} {stderr}")))
}

#[test]
fn the_state_of_a_cluster_of_which_nobody_answers_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let endpoints = [nobody(), nobody(), nobody()];
    let (code, status) = status_of(dir.path(), &endpoints);
    assert_eq!((code, &status["health"], &status["members"]), (4, &json!("unknown"), &json!([])));
    for (asked, endpoint) in status["endpoints"].as_array().unwrap().iter().zip(&endpoints) {
        assert_eq!(asked["endpoint"], **endpoint);
        assert!(asked["error"].as_str().unwrap().contains(endpoint.as_str()), "{asked}");
    }
    let (code, table, _) = run(dir.path(), &["cluster", "status", "--endpoint", &endpoints.join(",")]);
    assert!(code == 4 && table.starts_with("cluster is in an unknown state"), "{table}");
    for endpoint in &endpoints {
        assert!(table.contains(&format!("\n{endpoint}: cannot reach")), "{table}");
    }
}

#[test]
fn of_three_members_one_dead_is_degraded_two_are_no_quorum_and_strangers_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two, stranger) = (Node::start(), Node::start(), Node::start());
    let three = nobody();
    let members = [one.url(), two.url(), three.clone()];
    let members = members.map(|url| url.trim_start_matches("http://").to_owned());
    one.solo.set_members(1, &members);
    two.solo.set_members(2, &members);
    stranger.solo.set_members(9, &[]);

    let (code, status) = status_of(dir.path(), &[three.clone(), two.url(), stranger.url()]);
    assert_eq!((code, &status["health"]), (3, &json!("degraded")));
    let members: Vec<_> = status["members"].as_array().unwrap().iter().collect();
    let answers: Vec<_> = members.iter().map(|member| member["status"].is_object()).collect();
    assert_eq!(answers, [true, true, false], "{status}");
    assert!(members[2]["error"].as_str().unwrap().contains(&three), "{status}");
    assert_eq!(status["endpoints"][2]["status"]["members"], json!([]));
    let endpoints = [three, stranger.url(), two.url()].join(",");
    let (_, table, _) = run(dir.path(), &["cluster", "status", "--endpoint", &endpoints]);
    assert!(
        table.contains(&format!("\n{}: node 090909090909 is not part of a cluster yet", stranger.url())),
        "{table}"
    );

    drop(one);
    let (code, status) = status_of(dir.path(), &[two.url()]);
    assert_eq!((code, &status["health"]), (4, &json!("no_quorum")));
}
