//! A node as a service: what it tells systemd, how it stops, and what it logs.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::process::{Cluster, Setup, client, tensorchain};

/// What a node tells a real socket, in order, and every line that it logs.
#[test]
fn systemd_is_told_when_the_node_listens_lives_and_stops_and_every_line_is_json() {
    let dir = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let told = || {
        let mut bytes = [0; 4096];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    };
    let mut command = tensorchain(&["node", "-v", "--log-format", "json", "--output", "json"]);
    command.args(["--listen-peer", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(dir.path().join("node"));
    command.env("NOTIFY_SOCKET", dir.path().join("notify")).env("WATCHDOG_USEC", "200000");
    let mut node = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Read as it comes: a full pipe would hold the node up.
    let stderr = BufReader::new(node.stderr.take().unwrap());
    let logged = thread::spawn(move || stderr.lines().map(Result::unwrap).collect::<Vec<_>>());
    let ready = told();
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert_eq!([told(), told()], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);

    let listening: Value = serde_json::Deserializer::from_reader(node.stdout.take().unwrap())
        .into_iter()
        .next()
        .unwrap()
        .unwrap();
    let http = listening["http_address"].as_str().unwrap();
    assert!(ready.contains(&format!("STATUS=clients at http://{http}")), "{ready}");
    let endpoint = format!("http://{http}");
    for args in [&["cluster", "init"][..], &["ready", "--wait"]] {
        let output = tensorchain(args).args(["--endpoint", &endpoint]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert!(Command::new("kill").arg(node.id().to_string()).status().unwrap().success());
    let stopping = std::iter::repeat_with(told).find(|line| line != "WATCHDOG=1\n");
    assert_eq!(stopping.as_deref(), Some("STOPPING=1\n"));
    assert_eq!(node.wait().unwrap().code(), Some(0));
    let logged = logged.join().unwrap();
    let lines: Vec<Value> = logged.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let leader = lines.iter().find(|line| line["message"] == "the cluster has a leader").unwrap();
    assert_eq!((&leader["node"], &leader["leader"]), (&listening["node"], &listening["node"]));
    assert_eq!((&leader["level"], &leader["term"]), (&"INFO".into(), &1.into()));
    let last = lines.iter().rev().find(|line| line["target"] == "tensor_node::commands::node").unwrap();
    assert_eq!((&last["message"], &last["term"]), (&"stopping".into(), &1.into()));
}

/// What the most talkative log says is in which span, and how long each took.
#[test]
fn every_request_and_every_kernel_is_a_span() {
    let setup = Setup { env: vec![("TENSORCHAIN_LOG_FORMAT", "json")], flags: &["-vvv"], proxied: false };
    let mut cluster = Cluster::of(2, setup);
    cluster.run(&["put", "key", "value"]);
    cluster.run(&["similar", "--block", "1"]);
    // A follower asks the leader how far it has to be.
    let follower = client(&[cluster.endpoint(1 - cluster.leader())]);
    follower.wait(follower.client().get("key")).unwrap();
    // Ended, so that no line is half there.
    for node in 0..2 {
        cluster.terminate(node);
    }
    let said: String = cluster.nodes.iter().map(|node| node.said()).collect();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for beginning in
        ["http{method=PUT path=\"/v1/kv/{key}\"}", "ask{to=", "answer{from=", "kernel{operation=\"search\""]
    {
        let is_it = |span: &Value| span.as_str().is_some_and(|span| span.starts_with(beginning));
        let ends = |line: &&Value| line["message"] == "close" && line["time.busy"].is_string();
        let mut ended = lines.iter().filter(ends).filter_map(|line| line["spans"].as_array()?.last());
        assert!(ended.any(is_it), "{beginning} in {} lines", lines.len());
    }
    // Also where another thread does the work.
    let last = |line: &Value| line["spans"].as_array().and_then(|spans| spans.last().cloned());
    let is_search =
        |span: Value| span.as_str().is_some_and(|span| span.starts_with("kernel{operation=\"search\""));
    let searched = lines.iter().find(|line| last(line).is_some_and(is_search)).unwrap();
    assert!(searched["spans"][0].as_str().unwrap().starts_with("http{"), "{searched}");
}

/// Whoever presses Ctrl-C once is served as by SIGTERM.
#[test]
fn an_interrupted_node_stops_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tensorchain(&["node", "--listen-peer", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"]);
    let mut node = command.arg("--data-dir").arg(dir.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("node "), "{said}");
    assert!(Command::new("kill").args(["-INT", &node.id().to_string()]).status().unwrap().success());
    assert_eq!(node.wait().unwrap().code(), Some(0));
}
