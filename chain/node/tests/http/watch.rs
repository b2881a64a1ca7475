//! Watching: every block once and in order, whatever happens to connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tensor_client::wire::{Problem, ProblemBody};
use tensor_client::{AttemptError, Client, ClientConfig, ClientError};
use tensor_node::http::HttpConfig;

use crate::Node;
use crate::raw::{PATIENCE, connect};

/// The next `count` events of a watch: their ids and data.
fn events(node: &Node, target: &str, headers: &str, count: usize) -> Vec<(u64, Value)> {
    let mut stream = connect(node.address);
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut id = 0;
    let mut found = Vec::new();
    for line in lines {
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.parse().unwrap();
        } else if let Some(data) = line.strip_prefix("data: ") {
            found.push((id, serde_json::from_str(data).unwrap()));
            if found.len() == count {
                break;
            }
        }
    }
    found
}

#[test]
fn a_watch_begins_where_it_is_asked_to_and_goes_on_where_it_was() {
    let node = Node::start();
    for n in 1..=4 {
        node.put(&format!("/v1/kv/k{n}"), b"secret");
    }
    let seen = events(&node, "/v1/watch?from=2", "", 3);
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(seen[0].1["operations"], serde_json::json!([{"key": "k2", "operation": "put"}]));
    let resumed = events(&node, "/v1/watch?from=0", "last-event-id: 3\r\n", 1);
    assert_eq!(resumed[0].0, 4);
    for headers in ["last-event-id: x\r\n", "last-event-id: 18446744073709551615\r\n"] {
        assert_eq!(node.ask("GET", "/v1/watch", headers, b"").status, 400, "{headers}");
    }
}

#[test]
fn a_client_misses_no_block_when_the_server_is_replaced() {
    let mut node = Node::start();
    let solo = std::sync::Arc::clone(&node.solo);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new([node.url()]).unwrap();
    let mut watch = client.watch(1);
    let mut next = || {
        let block = runtime.block_on(async { tokio::time::timeout(PATIENCE, watch.next()).await });
        block.unwrap().unwrap().height
    };
    node.put("/v1/kv/a", b"");
    node.put("/v1/kv/b", b"");
    assert_eq!((next(), next()), (1, 2));
    let config = HttpConfig { listen: node.address, ..HttpConfig::default() };
    node.stop();
    drop(node);
    solo.the_chain().put("c", "").unwrap();
    let node = Node::over(solo, config);
    node.put("/v1/kv/d", b"");
    assert_eq!((next(), next()), (3, 4));
}

/// A node that cannot read the block that a watch begins with.
fn damaged() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let problem = ProblemBody::from(Problem::NodeFailed { reason: "damaged".to_owned() });
    let event = format!("event: problem\ndata: {}\n\n", serde_json::to_string(&problem).unwrap());
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{event}",
        event.len()
    );
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_node_that_cannot_go_on_leaves_the_watch_to_another_and_is_an_error_where_there_is_none() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config =
        ClientConfig { attempt_timeout: Duration::from_millis(200), deadline: Duration::from_millis(400) };
    let next = |endpoints: &[String]| {
        let client = Client::with_config(endpoints, config).unwrap();
        runtime.block_on(async { tokio::time::timeout(PATIENCE, client.watch(1).next()).await }).unwrap()
    };
    let node = Node::start();
    node.put("/v1/kv/a", b"");
    assert_eq!(next(&[damaged(), damaged(), node.url()]).unwrap().height, 1);

    let failed = next(&[damaged(), damaged()]).unwrap_err();
    let ClientError::Unavailable { last: AttemptError::Problem { problem, .. } } = &failed else {
        panic!("{failed}")
    };
    assert!(matches!(problem, Problem::NodeFailed { .. }), "{failed}");
}
