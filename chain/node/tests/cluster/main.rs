//! Three real processes on loopback: what is acknowledged survives whatever happens to a minority of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod operations;
mod process;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use process::{Cluster, await_that, client, seed, tensorchain};
use rand_chacha::rand_core::{Rng, SeedableRng};

#[test]
fn three_nodes_answer_as_one_and_a_stopped_one_catches_up() {
    let mut cluster = Cluster::of_three();
    for (n, endpoint) in cluster.endpoints().into_iter().enumerate() {
        let node = client(&[endpoint]);
        node.wait(node.client().put(&format!("key-{n}"), format!("value-{n}"))).unwrap();
    }
    for endpoint in cluster.endpoints() {
        let node = client(&[endpoint]);
        for n in 0..3 {
            let found = node.wait(node.client().get(&format!("key-{n}"))).unwrap();
            assert_eq!(found.value, Some(format!("value-{n}").into_bytes()));
        }
    }
    assert_eq!(cluster.status_code(), Some(0));

    let leader = cluster.leader();
    cluster.terminate(leader);
    let others = client(&cluster.endpoints());
    for n in 0..20 {
        others.wait(others.client().put(&format!("later-{n}"), "value")).unwrap();
    }
    assert_eq!(cluster.status_code(), Some(3));
    cluster.start(leader);
    cluster.await_same_state();
    assert_eq!(cluster.status_code(), Some(0));

    let follower = (0..3).find(|&node| node != cluster.leader()).unwrap();
    let rest: Vec<_> = (0..3).filter(|&node| node != follower).collect();
    rest.iter().for_each(|&node| cluster.terminate(node));
    let alone = client(&[cluster.endpoint(follower)]);
    assert!(alone.wait(alone.client().put("alone", "value")).is_err());
    assert!(alone.wait(alone.client().get("key-0")).is_err(), "a read that no majority confirms");
    assert_eq!(cluster.status_code(), Some(4));
}

#[test]
fn a_directory_with_a_chain_of_its_own_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert!(tensorchain(&["put", "key", "value", "--data-dir", path]).output().unwrap().status.success());
    let files =
        || dir.path().read_dir().unwrap().map(|file| file.unwrap().file_name()).collect::<BTreeSet<_>>();
    let before = files();
    let node = tensorchain(&["node", "--data-dir", path, "--listen-http", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(node.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&node.stderr).contains("not replicated"), "{node:?}");
    assert_eq!(files(), before);
}

/// Writes of a session while nodes are killed: each is there once, or was never acknowledged.
#[test]
fn kill_9_loses_and_doubles_nothing() {
    let kills: u32 = std::env::var("CLUSTER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(6);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed());
    let mut cluster = Cluster::of_three();
    let (endpoints, stop) = (cluster.endpoints(), AtomicBool::new(false));
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (endpoints, stop) = (&endpoints, &stop);
                scope.spawn(move || write_until(writer, endpoints, stop))
            })
            .collect();
        for _ in 0..kills {
            let before = cluster.committed();
            let victim = random.next_u32() as usize % 3;
            await_that("writes go on", || cluster.committed() > before + u64::from(random.next_u32() % 200));
            cluster.kill(victim);
            let before = cluster.committed();
            await_that("two nodes take writes", || cluster.committed() > before + 20);
            cluster.start(victim);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<BTreeMap<_, _>>()
    });
    assert!(acknowledged.len() > 100, "{} writes", acknowledged.len());
    cluster.await_same_state();
    let node = client(&endpoints);
    for (key, height) in &acknowledged {
        let history = node.wait(node.client().history(key, 0)).unwrap();
        let heights: Vec<_> = history.changes.iter().map(|change| change.height).collect();
        assert_eq!(heights, [*height], "{key}");
    }
}

/// Keys that were acknowledged, each with the height of its block.
fn write_until(writer: u32, endpoints: &[String], stop: &AtomicBool) -> Vec<(String, u64)> {
    let node = client(endpoints);
    let session = node.wait(node.client().session()).unwrap();
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{writer}-{n}");
        if let Ok(receipt) = node.wait(session.put(&key, "value")) {
            acknowledged.push((key, receipt.height));
        }
    }
    acknowledged
}
