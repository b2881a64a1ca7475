//! Real processes on loopback under real faults: what is acknowledged is there, once, and every answer is one that a
//! single register a key could have given.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod bad_input;
mod damage;
mod disk;
mod handover;
mod history;
mod kills;
mod load;
mod newcomers;
mod operations;
mod partitions;
mod pause;
mod process;
mod proxy;
mod service;
mod strace;

use std::collections::BTreeSet;

use process::{Cluster, client, tensorchain};

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

#[test]
fn directories_of_others_are_refused_by_name() {
    let [mut one, mut other] = [(); 2].map(|()| Cluster::of(1, process::Setup::default()));
    let ticket = other.run(&["cluster", "ticket"]);
    one.terminate(0);
    other.terminate(0);
    let [dir, other_dir] = [&one, &other].map(|cluster| cluster.nodes[0].dir.clone());
    let refuses = |args: &[&str], code: i32, name: &str| {
        let output = tensorchain(args).arg("--data-dir").arg(&dir).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(dir.to_str().unwrap()) || code == 1, "{said}");
        assert!(said.contains(name), "{said}");
    };
    let node = ["node", "--listen-peer", "127.0.0.1:0", "--listen-http", "127.0.0.1:0"];
    refuses(&["put", "key", "value"], 1, "replicated");
    refuses(&[&node[..], &["--join", ticket.trim()]].concat(), 1, "belongs to cluster");
    let key = std::fs::read(dir.join("identity.key")).unwrap();
    std::fs::copy(other_dir.join("identity.key"), dir.join("identity.key")).unwrap();
    refuses(&node, 20, "belongs to node");
    std::fs::write(dir.join("identity.key"), key).unwrap();
    one.start(0);
}
