//! Three replicas in one process: what is acknowledged stays, is applied once, and reads see it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::time::Duration;

use common::{Cluster, DEADLINE, put, until_async};
use futures_util::{FutureExt, StreamExt};
use tensor_chain::{Changeset, Height, Transaction};
use tensor_cluster::api::{AdminError, MAX_ADDRESS_BYTES, Peer, ReadError, Role, SubmitError, Write};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn acknowledged_writes_survive_the_leader_and_a_restart_catches_up() {
    let mut cluster = Cluster::of(3).await;
    for n in 0..50 {
        cluster.put(&format!("key-{n}"), "before", None).await;
    }
    let old = cluster.leader().await;
    cluster.stop(old).await;
    for n in 50..100 {
        cluster.put(&format!("key-{n}"), "after", None).await;
    }
    let new = cluster.leader().await;
    assert_ne!(new, old);
    until_async("the change is counted", async || cluster.node(new).statistics().leader_changes > 0).await;
    for n in 0..100 {
        assert!(cluster.get(new, &format!("key-{n}")).is_some(), "key-{n}");
    }
    cluster.start(old).await;
    let status = cluster.assert_equal().await;
    assert_eq!(cluster.node(old).chain().height(), status.height);
    cluster.node(old).chain().verify_full().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_that_wait_together_share_blocks_and_each_has_its_own_outcome() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let update = Transaction::Update { key: "absent".to_owned(), data: Vec::new() };
    let fails = Write { changeset: Changeset::single(update).unwrap(), session: None };
    let mut writes: Vec<Write> = (0..500).map(|n| put(&format!("key-{n}"), "x", None)).collect();
    writes.insert(250, fails);
    let outcomes = cluster.node(leader).submit_many(writes).await;
    assert!(matches!(outcomes[250], Err(SubmitError::Rejected(_))));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 500);
    let status = cluster.assert_equal().await;
    assert!(status.height.0 < 250, "{} blocks", status.height);
    cluster.node(leader).chain().verify_full().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_is_written_in_the_order_of_the_writes() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let writes = (0..40).map(|n| put("key", &n.to_string(), None)).collect();
    let outcomes = cluster.node(leader).submit_many(writes).await;
    let heights: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap().height).collect();
    assert!(heights.is_sorted_by(|a, b| a < b), "{heights:?}");
    assert_eq!(cluster.get(leader, "key"), Some(b"39".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_request_is_applied_once_across_a_change_of_leader() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let client = cluster.node(leader).open_session().await.unwrap();
    let first = cluster.put("key", "1", Some((client, 1))).await;
    cluster.put("key", "2", Some((client, 2))).await;
    assert_eq!(cluster.put("key", "1", Some((client, 1))).await, first);
    cluster.stop(leader).await;
    // The new leader knows it too, and so does the old one when it is back.
    assert_eq!(cluster.put("key", "1", Some((client, 1))).await, first);
    let new = cluster.leader().await;
    assert_eq!(cluster.get(new, "key"), Some(b"2".into()));
    cluster.start(leader).await;
    cluster.assert_equal().await;
    assert_eq!(cluster.put("key", "1", Some((client, 1))).await, first);
    let unknown = tensor_cluster::api::ClientId(u64::MAX);
    let expired = cluster.node(cluster.leader().await).submit(put("key", "3", Some((unknown, 1)))).await;
    assert_eq!(expired, Err(SubmitError::SessionExpired));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_sees_what_was_acknowledged_and_is_refused_without_a_quorum() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let written = cluster.put("key", "value", None).await;
    assert!(cluster.node(follower).read_barrier().await.unwrap() >= written.log_index);
    assert_eq!(cluster.get(follower, "key"), Some(b"value".into()));

    cluster.isolate(leader);
    let refused = cluster.node(leader).read_barrier().await;
    assert!(matches!(refused, Err(ReadError::NoQuorum | ReadError::NotLeader { .. })), "{refused:?}");
    // The others have a new leader, and what it takes the old one has not.
    let others: Vec<usize> = (0..3).filter(|&index| index != leader).collect();
    let leads =
        others.iter().map(|&index| Box::pin(cluster.until(index, |status| status.role == Role::Leader)));
    let new = futures_util::future::select_all(leads).await.1;
    let new = others[new];
    let outcome = cluster.node(new).submit(put("key", "newer", None)).await;
    if outcome.is_ok() {
        assert_eq!(cluster.get(leader, "key"), Some(b"value".into()));
        assert!(cluster.node(leader).read_barrier().await.is_err());
    }
    cluster.network.heal();
    cluster.assert_equal().await;
}

/// Whoever follows the members is not woken by writes: there are several of them on every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_follows_the_members_rests_while_only_the_log_moves() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let replica = cluster.node(leader).clone();
    let (mut follows, mut heights) = (replica.watch_cluster(), replica.heights());
    let before = follows.now();
    let mut written = Height::GENESIS;
    for n in 0..20 {
        written = cluster.put(&format!("key-{n}"), "value", None).await.height;
    }
    let woken = follows.changed().now_or_never();
    // Unless a busy machine has elected again meanwhile.
    assert!(woken.is_none() || replica.status().term > before.term, "{before:?} to {woken:?}");
    let told = async { while heights.next().await.unwrap() < written {} };
    tokio::time::timeout(DEADLINE, told).await.unwrap();

    let new = cluster.add().await;
    cluster.node(cluster.leader().await).add_learner(cluster.peer(new)).await.unwrap();
    let changed = async { while follows.changed().await.unwrap().members.len() < 4 {} };
    tokio::time::timeout(DEADLINE, changed).await.unwrap();

    cluster.stop(leader).await;
    let ended = async {
        replica.stopped().await;
        while heights.next().await.is_some() {}
        while follows.changed().await.is_some() {}
    };
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_node_gets_a_snapshot_and_then_goes_on_as_the_others() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.node(cluster.leader().await).open_session().await.unwrap();
    for n in 0..300 {
        cluster.put(&format!("key-{}", n % 40), &n.to_string(), Some((client, n))).await;
    }
    let leader = cluster.leader().await;
    cluster.node(leader).snapshot().await.unwrap();
    let snapshot = cluster.dir(leader).join("snapshot");
    let made = async {
        let mut watch = cluster.node(leader).watch();
        while std::fs::read_dir(&snapshot).unwrap().next().is_none() {
            watch.changed().await.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, made).await.unwrap();

    let new = cluster.add().await;
    cluster.node(leader).add_learner(cluster.peer(new)).await.unwrap();
    let applied = cluster.node(leader).read_barrier().await.unwrap();
    cluster.until(new, |status| status.applied >= Some(applied)).await;
    cluster.promote(new).await;
    for n in 300..1_300 {
        cluster.put(&format!("key-{}", n % 40), &n.to_string(), Some((client, n))).await;
    }
    cluster.assert_equal().await;
    cluster.node(new).chain().verify_full().unwrap();
    // What it knows of clients came with the snapshot.
    cluster.stop((leader + 1) % 3).await;
    cluster.node(leader).transfer_leader(cluster.id(new)).await.unwrap();
    cluster.until(new, |status| status.role == Role::Leader).await;
    let term = cluster.node(new).status().term;
    // A leader that is told to lead goes on leading.
    cluster.node(new).transfer_leader(cluster.id(new)).await.unwrap();
    let again = cluster.put("key-0", "again", Some((client, 1_299))).await;
    assert_eq!(cluster.node(new).status().term, term);
    assert_eq!(again.height.0, cluster.node(new).chain().height().0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_are_changed_by_the_leader_and_named_when_unknown() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let stranger = cluster.add().await;
    let node = cluster.id(stranger);
    let (at_leader, at_follower) = (cluster.node(leader), cluster.node(follower));
    assert_eq!(at_leader.promote(node).await, Err(AdminError::NodeNotFound { node }));
    let elsewhere = at_follower.add_learner(cluster.peer(stranger)).await;
    assert_eq!(elsewhere, Err(AdminError::NotLeader { leader: Some(cluster.peer(leader)) }));
    assert_eq!(at_leader.initialize(vec![cluster.peer(leader)]).await, Err(AdminError::AlreadyInitialized));
    at_leader.add_learner(cluster.peer(stranger)).await.unwrap();
    cluster.promote(stranger).await;
    let voters = |status: &tensor_cluster::api::ReplicaStatus| {
        status.members.iter().filter(|member| member.voter).count()
    };
    cluster.until(stranger, |status| voters(status) == 4 && status.role == Role::Follower).await;
    at_leader.remove(cluster.id(follower)).await.unwrap();
    cluster.until(leader, |status| voters(status) == 3).await;
    cluster.put("key", "value", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_asks_to_be_let_in_says_nothing_of_others() {
    let mut cluster = Cluster::of(2).await;
    let leader = cluster.leader().await;
    let newcomer = cluster.add().await;
    let at_leader = cluster.node(leader);
    let follower = cluster.peer(1 - leader);
    let members = at_leader.status().members;
    let moved = Peer { http_address: "elsewhere".to_owned(), ..follower.clone() };
    let refused = Err(AdminError::AlreadyAMember { node: follower.node });
    assert_eq!(at_leader.admit(moved).await, refused);
    assert_eq!(at_leader.admit(follower).await, Ok(()), "as it is");
    for len in [0, MAX_ADDRESS_BYTES + 1] {
        let peer = Peer { peer_address: "x".repeat(len), ..cluster.peer(newcomer) };
        let refused = Err(AdminError::Address { node: peer.node });
        assert_eq!(at_leader.admit(peer.clone()).await, refused);
        assert_eq!(at_leader.add_learner(peer.clone()).await, refused);
        assert_eq!(cluster.node(newcomer).initialize(vec![peer]).await, refused);
    }
    assert_eq!(at_leader.status().members, members);
    at_leader.admit(cluster.peer(newcomer)).await.unwrap();
    cluster.until(newcomer, |status| status.members.len() == 3).await;
    assert_eq!(at_leader.admit(cluster.peer(newcomer)).await, Ok(()), "once more");
    let elsewhere = cluster.node(newcomer).members_elsewhere().await;
    assert!(elsewhere.is_empty(), "nobody knows of a later change: {elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_removal_takes_the_quorum_away() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let (gone, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.stop(gone).await;
    let refused = Err(AdminError::QuorumAtRisk { voters: 2, answering: 1 });
    until_async("the leader misses the one that has gone", async || {
        cluster.node(leader).statistics().followers.iter().any(|follower| {
            follower.node == cluster.id(gone)
                && follower.last_contact.is_none_or(|last| last > Duration::from_secs(3))
        })
    })
    .await;
    for node in [other, leader] {
        assert_eq!(cluster.node(leader).remove(cluster.id(node)).await, refused, "one of two would answer");
    }
    cluster.put("key", "value", None).await;
    cluster.node(leader).remove(cluster.id(gone)).await.unwrap();
    cluster.until(other, |status| status.members.len() == 2).await;
    cluster.put("key", "other", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_nodes_stop_and_one_has_lost_its_index_and_nothing_acknowledged_is_gone() {
    let mut cluster = Cluster::of(3).await;
    cluster.restart_all_with_snapshots_every(20).await;
    let client = cluster.node(cluster.leader().await).open_session().await.unwrap();
    let mut first = None;
    for n in 0..100 {
        let committed = cluster.put(&format!("key-{n}"), "value", Some((client, n))).await;
        first.get_or_insert(committed);
    }
    cluster.assert_equal().await;
    for index in 0..3 {
        cluster.stop(index).await;
    }
    let lost = cluster.dir(1);
    assert!(std::fs::read_dir(lost.join("snapshot")).unwrap().next().is_some(), "the log was never purged");
    std::fs::remove_dir_all(lost.join("index")).unwrap();
    for index in 0..3 {
        cluster.start(index).await;
    }
    cluster.assert_equal().await;
    for n in 0..100 {
        assert_eq!(cluster.get(1, &format!("key-{n}")), Some(b"value".into()), "key-{n}");
    }
    let leader = cluster.leader().await;
    if leader != 1 {
        cluster.node(leader).transfer_leader(cluster.id(1)).await.unwrap();
    }
    cluster.until(1, |status| status.role == Role::Leader).await;
    assert_eq!(Some(cluster.put("key-0", "value", Some((client, 0))).await), first);
}
