//! Nodes that cannot reach each other, in one direction or both.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_client::ClientConfig;
use tensor_client::blocking::Node as Client;
use tensor_tests::faults::dose;

use crate::load::{self, Load};
use crate::process::{Cluster, Setup, await_that, client, seed};

/// Which links are cut of a node and the two others: pairs of sender and receiver.
type Partition = fn(usize, usize, usize) -> Vec<(usize, usize)>;

const PARTITIONS: [(&str, Partition); 5] = [
    ("nobody reaches it, it reaches nobody", |one, a, b| vec![(one, a), (one, b), (a, one), (b, one)]),
    ("it hears nobody", |one, a, b| vec![(a, one), (b, one)]),
    ("nobody hears it", |one, a, b| vec![(one, a), (one, b)]),
    ("it alone reaches both others", |_, a, b| vec![(a, b), (b, a)]),
    ("one of the others does not hear it", |one, a, _| vec![(one, a)]),
];

/// Each kind of partition is taken in turn, of the leader and of followers. CLUSTER_PARTITIONS says how many.
#[test]
fn partitions_lose_double_and_hide_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let cluster = Cluster::of(3, Setup { proxied: true, ..Setup::default() });
    let load = Load::on(&cluster, &mut random);
    for turn in 0..dose("CLUSTER_PARTITIONS", 6) as usize {
        cluster.await_progress(10);
        let (name, links) = PARTITIONS[turn % PARTITIONS.len()];
        let leader = cluster.leader();
        let one = if random.next_u32() % 4 < 3 { leader } else { (leader + 1) % 3 };
        let swap = random.next_u32() as usize % 2;
        cluster.network.cut(links(one, (one + 1 + swap) % 3, (one + 2 - swap) % 3));
        // A majority is connected all the time, so there is progress, if need be under another leader.
        let before = cluster.committed();
        await_that(&format!("a majority takes writes ({name})"), || cluster.committed() > before + 20);
        cluster.network.heal();
    }
    await_that("all nodes follow one leader", || cluster.leader_now().is_some());
    cluster.await_progress(20);
    let history = load.finish(100);
    cluster.await_same_state();
    load::check(&cluster, history);
}

/// A leader that has lost its majority confirms nothing, and what it had taken alone is gone when it is back.
#[test]
fn a_leader_alone_acknowledges_nothing() {
    let cluster = Cluster::of(3, Setup { proxied: true, ..Setup::default() });
    let leader = cluster.leader();
    let (a, b) = ((leader + 1) % 3, (leader + 2) % 3);
    let (attempt_timeout, deadline) = (Duration::from_secs(3), Duration::from_secs(4));
    let config = ClientConfig { attempt_timeout, deadline };
    let alone = Client::new([cluster.endpoint(leader)], config).unwrap();
    alone.wait(alone.client().put("key", "before")).unwrap();
    cluster.network.cut([(leader, a), (leader, b), (a, leader), (b, leader)]);
    assert!(alone.wait(alone.client().put("key", "alone")).is_err());
    assert!(alone.wait(alone.client().get("key")).is_err(), "a read that no majority confirms");
    let others = client(&[cluster.endpoint(a), cluster.endpoint(b)]);
    others.wait(others.client().put("key", "after")).unwrap();
    cluster.network.heal();
    cluster.await_same_state();
    let found = alone.wait(alone.client().history("key", 0)).unwrap();
    let values: Vec<_> = found.changes.into_iter().filter_map(|change| change.value).collect();
    assert_eq!(values, ["before", "after"].map(|text| tensor_client::text::Data::Text(text.to_owned())));
}
