//! Strangers at the ports of running nodes: whatever they send, hold open or repeat, the cluster goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tensor_chain::Identity;
use tensor_cluster::api::Peer;
use tensor_cluster::link::{Channel, PeerLink};
use tensor_cluster::transport::{KnownNodes, Transport, TransportConfig};

use crate::process::{Cluster, Setup, await_that, client};

/// Longer than any deadline of a node.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes and waits until the other side has hung up; returns what it said.
fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may hang up before it has taken everything.
    let _ = stream.write_all(bytes);
    hung_up(&mut stream)
}

/// What the other side says until it hangs up, which it has to.
fn hung_up(stream: &mut TcpStream) -> Vec<u8> {
    let (mut said, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return said,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Kilobytes of memory that a process has in use.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// All is as before: the same processes, no panic, and writes go through.
fn is_unharmed(cluster: &mut Cluster, what: &str) {
    let node = client(&cluster.endpoints());
    node.wait(node.client().put("key", what)).unwrap();
    assert_eq!(node.wait(node.client().get("key")).unwrap().value.as_deref(), Some(what.as_bytes()));
    for n in 0..cluster.nodes.len() {
        assert!(!cluster.has_ended(n), "node {n} has ended: {what}");
        let said = cluster.nodes[n].said();
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
}

#[test]
fn strangers_at_the_peer_port_are_hung_up_on() {
    let mut cluster = Cluster::of(3, Setup { proxied: true, ..Setup::default() });
    let victim = (cluster.leader() + 1) % 3;
    let peer = cluster.nodes[victim].peer.clone();
    let before = resident_kib(cluster.nodes[victim].pid());
    let megabyte = [b"\x16\x03\x01\x40\x00".as_slice(), &[7; 1 << 20]].concat();
    for (what, bytes) in [
        ("nothing", &b""[..]),
        ("a request of HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("zeros", &[0; 4096]),
        ("a TLS record longer than any", b"\x16\x03\x03\xff\xff"),
        ("a TLS record that does not end", b"\x16\x03\x01\x02\x00\x01\x00"),
        ("a handshake of four gigabytes", b"\x16\x03\x03\x00\x04\x01\xff\xff\xff"),
        ("an alert", b"\x15\x03\x03\x00\x02\x01\x00"),
        ("data before any handshake", b"\x17\x03\x03\x00\x05hello"),
        ("a megabyte", &megabyte),
    ] {
        let said = exchange(&peer, bytes);
        assert!(said.len() <= 7, "{what}: {} bytes to somebody who has proved nothing", said.len());
    }
    is_unharmed(&mut cluster, "garbage");

    // What a peer once said, said again: the same hello, and all that followed it.
    let recorded = cluster.network.recorded(victim);
    assert!(!recorded.is_empty(), "no peer has dialled");
    let connected = |cluster: &Cluster| cluster.nodes[victim].said().matches("peer connected").count();
    let welcomed = connected(&cluster);
    for bytes in &recorded {
        exchange(&peer, bytes);
    }
    assert_eq!(connected(&cluster), welcomed, "a replayed hello was welcomed");
    is_unharmed(&mut cluster, "replays");

    // Somebody with a key of his own, and somebody who takes the node for another one.
    let status = &cluster.statuses()[0];
    let member = |n: usize| status["members"][n]["node"].as_str().unwrap().parse().unwrap();
    let meant = cluster.nodes[victim].id.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for node in [meant, (0..3).map(member).find(|node| *node != meant).unwrap()] {
        let asked = runtime.block_on(async {
            let (identity, cluster_id) = (Arc::new(Identity::generate().unwrap()), cluster.id());
            let known = KnownNodes::new([node]);
            let stranger = Transport::new(identity, cluster_id, known, TransportConfig::default());
            let to = Peer { node, peer_address: peer.clone(), http_address: String::new() };
            let asked = stranger.call(&to, Channel::Urgent, "question".into()).await;
            stranger.shutdown().await;
            asked
        });
        assert!(asked.is_err(), "a stranger was answered: {asked:?}");
    }
    is_unharmed(&mut cluster, "strangers");

    // Many who say nothing keep no peer out: a new leader has to reach the node past them.
    let silent: Vec<_> = (0..500).map(|_| TcpStream::connect(&peer).unwrap()).collect();
    let leader = cluster.leader();
    cluster.terminate(leader);
    is_unharmed_without(&mut cluster, leader, "silence");
    silent.into_iter().for_each(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(hung_up(&mut stream).is_empty());
    });
    let after = resident_kib(cluster.nodes[victim].pid());
    assert!(after < before + (64 << 10), "{before} KiB before, {after} after");
}

/// Two of three are enough.
fn is_unharmed_without(cluster: &mut Cluster, stopped: usize, what: &str) {
    await_that("the others follow one leader", || {
        cluster.leader_now().is_some_and(|leader| leader != stopped)
    });
    is_unharmed(cluster, what);
}

#[test]
fn slow_clients_neither_stop_a_node_nor_fill_its_memory() {
    let mut cluster = Cluster::of(1, Setup::default());
    let http = cluster.nodes[0].http.clone();
    let node = client(&cluster.endpoints());
    let pid = cluster.nodes[0].pid();
    let time_of_puts = |name: &str| {
        let began = Instant::now();
        (0..100).for_each(|n| drop(node.wait(node.client().put(&format!("{name}-{n}"), "value")).unwrap()));
        began.elapsed()
    };
    time_of_puts("warm");
    let (quiet, before) = (time_of_puts("quiet"), resident_kib(pid));
    // Of 2,048 connections that it holds, two thousand trickle: headers, bodies, or nothing at all.
    let starts = [
        &b"GET /livez HTTP/1.1\r\nhost: x\r\n"[..],
        b"PUT /v1/kv/slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
        b"",
    ];
    let mut slow: Vec<_> = (0..2_000)
        .map(|n| {
            let mut stream = TcpStream::connect(&http).unwrap();
            stream.write_all(starts[n % starts.len()]).unwrap();
            stream
        })
        .collect();
    let trickled = time_of_puts("trickled");
    for (n, stream) in slow.iter_mut().enumerate() {
        // Whoever has begun goes on a little, and still comes to no end.
        if !starts[n % starts.len()].is_empty() {
            stream.write_all(b"x: y\r\n").unwrap();
        }
    }
    let flooded = trickled.max(time_of_puts("flooded"));
    let after = resident_kib(pid);
    assert!(flooded < quiet * 10 + Duration::from_secs(2), "100 writes took {quiet:?}, then {flooded:?}");
    assert!(after < before + (64 << 10), "{before} KiB before, {after} after");
    // Who comes on top of what it holds is told so; and when the slow ones are gone, all is well.
    let more: Vec<_> = (0..100).map(|_| TcpStream::connect(&http).unwrap()).collect();
    let told = more.into_iter().rev().any(|mut stream| {
        // The first of them may still have found a place, and hear nothing.
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let (mut said, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = stream.read(&mut part) {
            said.extend_from_slice(&part[..count]);
        }
        String::from_utf8_lossy(&said).contains("too_many_connections")
    });
    assert!(told, "nobody was told that there are too many connections");
    drop(slow);
    is_unharmed(&mut cluster, "slow clients");
}
