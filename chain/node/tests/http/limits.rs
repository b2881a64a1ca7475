//! Bad input and bad manners: each is refused with a code of its own, costs little, and leaves the node serving.

use std::io::{Read, Write};
use std::time::Duration;

use serde_json::json;
use tensor_chain::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use tensor_node::http::HttpConfig;

use crate::Node;
use crate::raw::{connect, parse, read_all};
use crate::solo::Mood;

/// Short enough to wait for, long enough that an honest request is never late.
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn requests_that_say_something_else_than_is_understood() {
    let node = Node::start();
    let long_key = "k".repeat(MAX_KEY_BYTES + 1);
    for (method, target, body, status, code) in [
        ("GET", "/v1/kv/%FF", "", 400, "invalid_request"),
        ("GET", &format!("/v1/kv/{long_key}"), "", 400, "invalid_request"),
        ("GET", "/v1/kv/k?consistncy=stale", "", 400, "invalid_request"),
        ("GET", "/v1/kv/k?consistency=eventual", "", 400, "invalid_request"),
        ("GET", "/v1/kv/k?at=1&at=2", "", 400, "invalid_request"),
        ("GET", "/v1/kv/k?at=-1", "", 400, "invalid_request"),
        ("GET", "/v1/kv/", "", 404, "no_such_route"),
        ("GET", "/v1/kv/../../etc/passwd", "", 404, "no_such_route"),
        ("GET", "/v1/kv/a/b", "", 404, "no_such_route"),
        ("POST", "/v1/kv/k", "", 405, "method_not_allowed"),
        ("BREW", "/v1/kv/k", "", 405, "method_not_allowed"),
        ("POST", "/v1/batch", "{}", 400, "invalid_request"),
    ] {
        let answer = node.ask(method, target, "", body.as_bytes());
        assert_eq!((answer.status, &*answer.code()), (status, code), "{method} {target}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many: Vec<_> = (0..1_001).map(|n| json!({"op": "delete", "key": n.to_string()})).collect();
    for (body, code) in [
        (deep.as_str(), "invalid_request"),
        (r#"{"ops": [], "ops": []}"#, "invalid_request"),
        (r#"{"ops": [{"op": "delete", "key": "k"}], "embedding": [NaN]}"#, "invalid_request"),
        (r#"{"ops": [{"op": "delete", "key": "k"}], "embedding": [1e400]}"#, "invalid_request"),
        (r#"{"ops": [{"op": "delete", "key": "k"}], "embedding": [1e39]}"#, "invalid_request"),
        (r#"{"ops": [{"op": "put", "key": "k", "value": {"hex": "0"}}]}"#, "transaction_failed"),
        (r#"{"ops": [{"op": "delete", "key": ""}]}"#, "transaction_failed"),
        (r#"{"ops": []}"#, "transaction_failed"),
        (&json!({"ops": many}).to_string(), "transaction_failed"),
    ] {
        let answer = node.post("/v1/batch", body);
        assert_eq!((answer.status, &*answer.code()), (400, code), "{}", &body[..body.len().min(80)]);
    }
    assert_eq!(node.solo.the_chain().height().0, 0);
}

#[test]
fn bodies_and_headers_have_limits() {
    let node = Node::start();
    assert_eq!(node.put("/v1/kv/k", &vec![1; MAX_VALUE_BYTES]).status, 200);
    // Refused for what it declares, before any of it is sent.
    let declared = format!("PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", u64::MAX / 2);
    let answer = node.send(declared.as_bytes());
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));
    // Without a declared length it is counted.
    let chunk = [b"10000\r\n".to_vec(), vec![1; 0x10000], b"\r\n".to_vec()].concat();
    let head = b"PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let answer = node.send(&[head, chunk.repeat(20)].concat());
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));

    let get = |headers: &str| format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    assert_eq!(node.send(get(&format!("x: {}\r\n", "y".repeat(40_000))).as_bytes()).status, 431);
    assert_eq!(node.send(get(&"x: y\r\n".repeat(10_000)).as_bytes()).status, 431);
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    assert!([414, 431].contains(&node.send(target.as_bytes()).status));
    let two_lengths = "PUT /v1/kv/s HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab";
    assert_eq!(node.send(two_lengths.as_bytes()).status, 400);
    let overflow =
        "PUT /v1/kv/s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n";
    assert_eq!(node.send(overflow.as_bytes()).status, 400);
    assert_eq!(node.get("/v1/kv/s").status, 404);
}

#[test]
fn length_and_chunks_together_are_never_two_requests() {
    let node = Node::start();
    let smuggled = "PUT /v1/kv/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
        0\r\n\r\nPUT /v1/kv/smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    node.send(smuggled.as_bytes());
    assert_eq!(node.get("/v1/kv/smuggled").status, 404);
}

#[test]
fn a_body_that_is_cut_off_writes_nothing() {
    let node = Node::start();
    let mut stream = connect(node.address);
    stream.write_all(b"PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let bytes = read_all(&mut stream);
    assert!(bytes.is_empty() || parse(&bytes).status == 400, "{:?}", String::from_utf8_lossy(&bytes));
    assert_eq!(node.get("/v1/kv/k").status, 404);
}

#[test]
fn slow_headers_slow_bodies_and_idle_connections_end() {
    let node = Node::with_config(HttpConfig {
        header_deadline: SHORT,
        body_deadline: SHORT,
        ..HttpConfig::default()
    });
    // A header that never ends, and a connection that never begins.
    for start in [&b"GET /livez HTTP/1.1\r\nhost:"[..], b""] {
        let mut stream = connect(node.address);
        stream.write_all(start).unwrap();
        let bytes = read_all(&mut stream);
        assert!(bytes.is_empty() || parse(&bytes).status == 408, "{:?}", String::from_utf8_lossy(&bytes));
    }
    let mut slow = connect(node.address);
    slow.write_all(b"PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
    let answer = parse(&read_all(&mut slow));
    assert_eq!((answer.status, &*answer.code()), (408, "body_timeout"));
    // A connection that was used and then left alone.
    let mut idle = connect(node.address);
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(parse(&read_all(&mut idle)).status, 200);
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let node =
        Node::with_config(HttpConfig { max_connections: 1, write_deadline: SHORT, ..HttpConfig::default() });
    let value = vec![b'x'; MAX_VALUE_BYTES];
    assert_eq!(node.put("/v1/kv/k", &value).status, 200);
    // Far more answers than all buffers between here and there hold, on the only connection there is.
    let mut stream = loop {
        let mut stream = connect(node.address);
        stream.write_all("GET /v1/kv/k HTTP/1.1\r\nhost: x\r\n\r\n".repeat(30).as_bytes()).unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        // Refused as long as the connection before is not quite closed.
        if first.ends_with(b"200") {
            break stream;
        }
    };
    // The place is free again once the connection has been given up.
    until(|| node.get("/livez").status == 200);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 30 * MAX_VALUE_BYTES);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let node = Node::with_config(HttpConfig { max_connections: 2, ..HttpConfig::default() });
    let mut held = [connect(node.address), connect(node.address)];
    for stream in &mut held {
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert!(first.ends_with(b"200"));
    }
    let refused = parse(&read_all(&mut connect(node.address)));
    assert_eq!((refused.status, &*refused.code()), (503, "too_many_connections"));
    drop(held);
    until(|| node.get("/livez").status == 200);
}

#[test]
fn bodies_on_their_way_share_one_limit() {
    let node = Node::with_config(HttpConfig { max_incoming_bytes: 1_000, ..HttpConfig::default() });
    let mut first = connect(node.address);
    first
        .write_all(b"PUT /v1/kv/k HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 900\r\n\r\n")
        .unwrap();
    first.write_all(&[1; 800]).unwrap();
    until(|| node.put("/v1/kv/other", &[1; 300]).code_of(429) == Some("busy".to_owned()));
    first.write_all(&[1; 100]).unwrap();
    assert_eq!(parse(&read_all(&mut first)).status, 200);
    assert_eq!(node.put("/v1/kv/other", &[1; 300]).status, 200);
}

#[test]
fn a_server_that_stops_ends_requests_and_takes_no_more() {
    let mut node = Node::with_config(HttpConfig { shutdown_deadline: SHORT, ..HttpConfig::default() });
    let mut idle = connect(node.address);
    let mut watching = connect(node.address);
    watching.write_all(b"GET /v1/watch HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut first = [0; 12];
    watching.read_exact(&mut first).unwrap();
    node.solo.set_mood(Mood::Hangs);
    let mut hanging = connect(node.address);
    hanging.write_all(b"DELETE /v1/kv/k HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    node.runtime.block_on(node.solo.submitted(1));
    node.stop();
    assert!(read_all(&mut idle).is_empty());
    assert!(read_all(&mut watching).ends_with(b"0\r\n\r\n"), "a stream that ends as it should");
    assert!(read_all(&mut hanging).is_empty(), "cut off at the deadline");
    assert!(std::net::TcpStream::connect(node.address).is_err());
}

#[test]
fn only_loopback_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let config = HttpConfig { listen: address.parse().unwrap(), ..HttpConfig::default() };
        let refused = runtime.block_on(tensor_node::http::server::Server::bind(config)).unwrap_err();
        assert!(refused.to_string().contains("loopback"), "{refused}");
    }
}

/// Asks until it is so; the test runner's patience is the deadline.
fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}
