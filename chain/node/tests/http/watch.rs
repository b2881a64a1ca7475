//! Watching: every block once and in order, whatever happens to connections.

use std::io::{BufRead, BufReader, Write};

use serde_json::Value;
use tensor_client::Client;
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
