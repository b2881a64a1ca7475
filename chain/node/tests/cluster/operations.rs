//! What an operator does with a cluster, and what it shows to those who watch it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;
use tensor_client::wire::Receipt;

use super::process::{Cluster, Node, await_that, client, tensorchain};

/// A port that is free at the moment: a restored node has to listen where its cluster was told.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The body of an answer.
fn get(http: &str, path: &str) -> String {
    ask(http, "GET", path, "", "")
}

/// The body of the answer to a request with more headers than those that it needs.
fn ask(http: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(http).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n{headers}").unwrap();
    write!(stream, "content-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Names of metrics in a text, without what histograms add to them.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c| !is_part(c));
    let names = words.filter(|word| word.starts_with("tensorchain_") || word.starts_with("process_"));
    names
        .map(|name| {
            let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            part.unwrap_or(name).to_owned()
        })
        .collect()
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_a_leader_shows() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let cluster = Cluster::of_three();
    let node = client(&cluster.endpoints());
    node.wait(node.client().put("key", "value")).unwrap();
    let leader = cluster.endpoint(cluster.leader());
    let http = leader.trim_start_matches("http://");
    let asked = tensorchain(&["cluster", "snapshot", "--endpoint", &leader]).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    let mut shown = String::new();
    await_that("the leader has heard of its followers and written a snapshot", || {
        shown = get(http, "/metrics");
        shown.matches("tensorchain_raft_last_contact_seconds{").count() == 2
            && shown.contains("\ntensorchain_snapshot_age_seconds ")
    });
    let samples: Vec<_> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    let samples = metrics_in(&samples.join("\n"));
    for file in ["dashboard.json", "alerts.yml"] {
        let named = metrics_in(&std::fs::read_to_string(deploy.join(file)).unwrap());
        assert!(named.len() > 10, "{file} names {named:?}");
        for name in named {
            // What has no device has no fallbacks: described, and not counted.
            let described = name == "tensorchain_kernel_fallback_total"
                && shown.contains("# TYPE tensorchain_kernel_fallback counter");
            assert!(samples.contains(&name) || described, "{file} names {name}, which no node shows");
        }
    }
    let dashboard = std::fs::read_to_string(deploy.join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 20));

    let health: Value = serde_json::from_str(&get(http, "/health")).unwrap();
    assert_eq!(health["status"], "healthy", "{health}");
    let names: Vec<_> = health["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    for name in ["members_silent", "quorum_acked_seconds", "log_sync_p99_seconds", "commit_p99_seconds"] {
        assert!(names.contains(&&Value::from(name)), "the leader watches {name}: {names:?}");
    }
}

#[test]
fn a_new_cluster_goes_on_where_a_snapshot_was_taken() {
    let old = Cluster::of_three();
    let node = client(&old.endpoints());
    let session = node.wait(node.client().session()).unwrap();
    let put = |n| node.wait(session.put(&format!("key-{n}"), format!("value-{n}"))).unwrap();
    let receipts: Vec<_> = (0..30).map(put).collect();
    node.wait(node.client().put("key-0", "another value")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let saved: Value =
        serde_json::from_str(&old.run(&["snapshot", "save", &path("saved"), "--output", "json"])).unwrap();
    assert_eq!(saved["height"], 31);
    node.wait(node.client().put("later", "value")).unwrap();

    let (peer, http) = (free_port(), free_port());
    let restore = |file: &str, to: &str| {
        let mut command = tensorchain(&["snapshot", "restore", file, "--data-dir", to, "--output", "json"]);
        command.args(["--listen-peer", &peer, "--listen-http", &http]).output().unwrap()
    };
    let restored = restore(&path("saved"), &path("new"));
    assert!(restored.status.success(), "{restored:?}");
    let again = restore(&path("saved"), &path("new"));
    assert_eq!(again.status.code(), Some(1), "the directory is not empty any more");

    let first = Node::start_at(&dir.path().join("new"), &peer, &http, None);
    assert_eq!(serde_json::from_slice::<Value>(&restored.stdout).unwrap()["node"], *first.id);
    let endpoint = format!("http://{http}");
    let cluster = |args: &[&str]| {
        let output = tensorchain(args).args(["--endpoint", &endpoint]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(cluster(&["ready", "--wait", "--timeout-ms", "60000"]).0);
    let new = client(std::slice::from_ref(&endpoint));
    let value =
        |key: &str| new.wait(new.client().get(key)).unwrap().value.map(|v| String::from_utf8(v).unwrap());
    assert_eq!(value("key-29").as_deref(), Some("value-29"));
    assert_eq!(value("later"), None);
    let history = new.wait(new.client().history("key-0", 0)).unwrap();
    assert_eq!(history.changes.len(), 2);
    // The old cluster's sessions go on: what was written in one is answered as then, and not applied again.
    for (n, receipt) in receipts.iter().enumerate().skip(20) {
        let headers = format!("x-client-id: {}\r\nx-sequence: {}\r\n", session.id(), n + 1);
        let again = ask(&http, "PUT", &format!("/v1/kv/key-{n}"), &headers, "another value");
        assert_eq!(serde_json::from_str::<Receipt>(&again).unwrap(), *receipt);
        assert_eq!(value(&format!("key-{n}")), Some(format!("value-{n}")));
    }
    // Its client ids are known, and the new one issues none of them again.
    let issued = new.wait(new.client().session()).unwrap();
    new.wait(issued.put("key-0", "in the new cluster")).unwrap();

    let (_, ticket) = cluster(&["cluster", "ticket"]);
    let second =
        Node::start_at(&dir.path().join("second"), "127.0.0.1:0", "127.0.0.1:0", Some(ticket.trim()));
    await_that("the second node votes", || cluster(&["cluster", "promote", &second.id]).0);
    let other = client(&[format!("http://{}", second.http)]);
    await_that("the second node has what was before it", || {
        let status = |node: &tensor_client::blocking::Node| node.wait(node.client().status()).ok();
        status(&other).zip(status(&new)).is_some_and(|(a, b)| a.state_hash == b.state_hash && a.height == 32)
    });
    let found = other.wait(other.client().get("key-29")).unwrap();
    assert_eq!(found.value.as_deref(), Some(&b"value-29"[..]));
    assert_eq!(old.status_code(), Some(0), "the old cluster goes on");
}

/// The runbook without a quorum: what the only node has applied that is left is where a new cluster begins.
#[test]
fn a_survivor_without_a_quorum_is_where_a_new_cluster_begins() {
    let mut old = Cluster::of_three();
    let node = client(&old.endpoints());
    node.wait(node.client().put("key", "value")).unwrap();
    old.await_same_state();
    old.kill(0);
    old.kill(1);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let run = |args: &[&str]| {
        let output = tensorchain(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    run(&["snapshot", "save", &path("saved"), "--stale", "--endpoint", &old.endpoint(2)]);
    let (peer, http) = (free_port(), free_port());
    let addresses = ["--listen-peer", &peer, "--listen-http", &http];
    run(&[&["snapshot", "restore", &path("saved"), "--data-dir", &path("new")][..], &addresses].concat());
    let _first = Node::start_at(&dir.path().join("new"), &peer, &http, None);
    let endpoint = format!("http://{http}");
    run(&["ready", "--wait", "--timeout-ms", "60000", "--endpoint", &endpoint]);
    let new = client(&[endpoint]);
    assert_eq!(new.wait(new.client().get("key")).unwrap().value.as_deref(), Some(&b"value"[..]));
    new.wait(new.client().put("key", "in the new cluster")).unwrap();
}

/// The members as `cluster status` lists them: their ids, addresses and whether they vote.
fn members(cluster: &Cluster) -> Vec<(String, String, bool)> {
    let endpoints = cluster.endpoints().join(",");
    let args = ["cluster", "status", "--output", "json", "--endpoint", &endpoints];
    let status: Value = serde_json::from_slice(&tensorchain(&args).output().unwrap().stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let member = |member: &Value| {
        (text(&member["node"]), text(&member["http_address"]), member["voter"] == Value::Bool(true))
    };
    status["members"].as_array().unwrap().iter().map(member).collect()
}

/// The runbook: a leader hands over and is removed, and a new node takes its place.
#[test]
fn a_node_is_removed_and_another_takes_its_place() {
    let mut cluster = Cluster::of_three();
    let node = client(&cluster.endpoints());
    node.wait(node.client().put("key", "value")).unwrap();
    let old = cluster.leader();
    let other = (old + 1) % 3;
    let (old_id, other_id) = (cluster.nodes[old].id.clone(), cluster.nodes[other].id.clone());
    cluster.run(&["cluster", "transfer", &other_id]);
    await_that("the other one leads", || cluster.leader_now() == Some(other));

    // Voters are not changed right after they were changed.
    await_that("the old one is removed", || cluster.try_run(&["cluster", "remove", &old_id]).is_ok());
    cluster.terminate(old);
    let left = members(&cluster);
    assert!(left.len() == 2 && left.iter().all(|(id, ..)| *id != old_id), "{left:?}");
    assert_eq!(cluster.status_code(), Some(0), "the one that is stopped is no member any more");

    let ticket = cluster.run(&["cluster", "ticket"]);
    cluster.launch(Some(ticket.trim()));
    let new_id = cluster.nodes[3].id.clone();
    let new = || members(&cluster).into_iter().find(|(id, ..)| *id == new_id);
    await_that("the new one is a learner", || new().is_some_and(|(.., votes)| !votes));
    // Its clients are to come by another name.
    let (peer, http) =
        (cluster.nodes[3].peer.clone(), cluster.nodes[3].http.replace("127.0.0.1", "localhost"));
    cluster.run(&["cluster", "add-learner", &new_id, &peer, &http]);
    assert_eq!(new(), Some((new_id.clone(), http.clone(), false)));
    await_that("the new one votes", || cluster.try_run(&["cluster", "promote", &new_id]).is_ok());
    await_that("all are well", || cluster.status_code() == Some(0));
    assert_eq!(new(), Some((new_id.clone(), http, true)));
    assert_eq!(members(&cluster).len(), 3);
    let asked = client(&[cluster.endpoint(3)]);
    assert_eq!(asked.wait(asked.client().get("key")).unwrap().value.as_deref(), Some(&b"value"[..]));
}

#[test]
fn a_damaged_snapshot_makes_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    {
        let node = Node::start_at(&dir.path().join("node"), "127.0.0.1:0", "127.0.0.1:0", None);
        let endpoint = format!("http://{}", node.http);
        let run = |args: &[&str]| {
            let output = tensorchain(args).args(["--endpoint", &endpoint]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        run(&["cluster", "init"]);
        run(&["put", "greeting", "hello"]);
        run(&["snapshot", "save", &path("saved")]);
    }
    let sound = std::fs::read(path("saved")).unwrap();
    let restore = |bytes: &[u8]| {
        std::fs::write(path("damaged"), bytes).unwrap();
        let restored =
            tensorchain(&["snapshot", "restore", &path("damaged"), "--data-dir", &path("restored")])
                .output()
                .unwrap();
        (restored.status.code(), String::from_utf8_lossy(&restored.stderr).into_owned())
    };
    for position in (0..sound.len()).step_by(sound.len() / 40) {
        let mut flipped = sound.clone();
        flipped[position] ^= 0x20;
        let (code, says) = restore(&flipped);
        assert!(matches!(code, Some(1 | 5 | 20)), "byte {position}: {code:?} {says}");
        assert!(!says.contains("panicked"), "byte {position}: {says}");
    }
    for len in [0, 1, sound.len() / 2, sound.len() - 1] {
        assert!(matches!(restore(&sound[..len]).0, Some(1 | 5)), "cut at {len}");
    }
    assert_eq!(restore(&[&sound[..], b"x"].concat()).0, Some(5), "too long");
    let left: BTreeSet<_> = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expected = ["damaged", "node", "node.log", "saved"].map(Into::into);
    assert_eq!(left, BTreeSet::from(expected), "nothing is left of what failed");
    assert_eq!(restore(&sound).0, Some(0));
}

#[test]
fn ready_tells_a_node_that_serves_from_one_that_waits_and_one_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_at(dir.path(), "127.0.0.1:0", "127.0.0.1:0", None);
    let (here, nowhere) = (format!("http://{}", node.http), format!("http://{}", free_port()));
    let ready = |args: &[&str], endpoint: &str| {
        let output = tensorchain(&["ready", "--endpoint", endpoint]).args(args).output().unwrap();
        output.status.code()
    };
    assert_eq!(ready(&[], &here), Some(4), "no leader yet");
    assert_eq!(ready(&["--no-leader"], &here), Some(0));
    assert_eq!(ready(&["--wait", "--timeout-ms", "300"], &here), Some(7));
    let init = tensorchain(&["cluster", "init", "--endpoint", &here]).output().unwrap();
    assert!(init.status.success(), "{init:?}");
    // Whoever asks next is told of a cluster with a leader.
    let status = tensorchain(&["cluster", "status", "--endpoint", &here]).output().unwrap();
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    assert_eq!(ready(&["--wait"], &here), Some(0));
    assert_eq!(ready(&["--wait", "--timeout-ms", "300"], &nowhere), Some(7));
    let both = format!("{here},{nowhere}");
    assert_eq!(ready(&["--no-leader"], &both), Some(4), "one of two");
}
