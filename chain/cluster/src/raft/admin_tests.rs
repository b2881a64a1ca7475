//! Changes of voters whose leader was lost half way, as the next leader finds them; and requests that are impossible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use tempfile::TempDir;
use tensor_chain::replicated::LogPosition;
use tensor_chain::{ChainConfig, TensorStore};

use super::config::{ReplicaConfig, Timing};
use super::messages::{Request, Response, decode, encode};
use super::replica::Replica;
use super::types::{Addresses, Entry, Payload, RaftNode, TypeConfig, Vote, log_id};
use crate::api::{AdminError, Peer, ReplicaStatus, Role};
use crate::memory_link::MemoryNetwork;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

async fn until(replica: &Replica, is: impl Fn(&ReplicaStatus) -> bool) -> ReplicaStatus {
    tokio::time::timeout(DEADLINE, replica.watch().until(is)).await.unwrap().unwrap()
}

/// Voters of a new cluster, the leader first, and their directories.
async fn cluster_of(count: usize) -> (Vec<Replica>, Vec<TempDir>) {
    let (network, mut replicas, mut dirs) = (MemoryNetwork::default(), Vec::new(), Vec::new());
    for _ in 0..count {
        let dir = tempfile::tempdir().unwrap();
        let node = TensorStore::open_replicated(dir.path(), 0).unwrap().identity().unwrap().node_id();
        let timing = Timing { election_min_ms: 500, election_max_ms: 1_000, heartbeat_ms: 100 };
        let config =
            ReplicaConfig { timing, ..ReplicaConfig::new(dir.path().to_owned(), ChainConfig::default()) };
        let replica = Replica::start(config, Arc::new(network.link(node))).await.unwrap();
        network.attach(node, replica.service());
        replicas.push(replica);
        dirs.push(dir);
    }
    replicas[0].initialize(replicas.iter().map(peer).collect()).await.unwrap();
    let leader = until(&replicas[0], |status| status.leader.is_some()).await.leader.unwrap();
    let place = replicas.iter().position(|replica| replica.node() == leader.node).unwrap();
    replicas.swap(0, place);
    let term = until(&replicas[0], |status| {
        status.role == Role::Leader && status.height.0 == 0 && status.applied.is_some()
    })
    .await
    .term;
    // Two of three elect: the third may not have heard of the term yet.
    for replica in &replicas[1..] {
        until(replica, |status| status.term >= term && status.leader.is_some()).await;
    }
    (replicas, dirs)
}

fn peer(replica: &Replica) -> Peer {
    let address = replica.node().to_string();
    Peer { node: replica.node(), peer_address: address.clone(), http_address: address }
}

/// A member whose key was stolen may say what it likes.
#[tokio::test]
async fn what_is_impossible_is_refused_though_a_member_says_it() {
    let (replicas, _dirs) = cluster_of(3).await;
    let [leader, follower, member] = replicas.as_slice() else { panic!("three") };
    let (from, term) = (member.node(), leader.status().term);
    let vote = |term| Vote::new_committed(term, RaftNode::from(from));
    let append = |term, index| {
        let log_id = log_id(LogPosition { term, index });
        let entry = Entry { log_id, payload: Payload::Blank };
        AppendEntriesRequest::<TypeConfig> {
            vote: vote(term),
            prev_log_id: None,
            entries: vec![entry],
            leader_commit: None,
        }
    };
    for request in [
        Request::Vote(VoteRequest::new(vote(u64::MAX), None)),
        Request::PreVote(VoteRequest::new(vote(u64::MAX), None)),
        Request::Append(append(u64::MAX, 0)),
        Request::Append(append(term + 1, 7)),
        Request::Append(append(term + 1, u64::MAX)),
        Request::Install { vote: vote(u64::MAX) },
    ] {
        let frame = encode(&request).unwrap();
        let append = matches!(request, Request::Append(_));
        for replica in [leader, follower] {
            assert!(replica.service().call(from, frame.clone()).await.is_none());
            if append {
                let answers = replica.service().stream(from, stream::iter([frame.clone()]).boxed());
                assert_eq!(answers.count().await, 0);
            }
        }
    }
    assert_eq!([leader, follower].map(|replica| replica.status().term), [term; 2]);
    let members = leader.service().call(from, encode(&Request::Members).unwrap()).await.unwrap();
    assert!(matches!(decode(&members), Some(Response::Members { members, .. }) if members.len() == 3));
    for replica in &replicas {
        replica.shutdown().await.unwrap();
    }
}

/// Has the leader begin its own removal and go no further.
async fn leave_half_done(leader: &Replica, replicas: &[Replica]) {
    let ids: BTreeSet<RaftNode> = replicas.iter().map(|replica| replica.node().into()).collect();
    let others = ids.iter().copied().filter(|id| *id != leader.node().into()).collect();
    let nodes: BTreeMap<RaftNode, Addresses> =
        replicas.iter().map(|replica| (replica.node().into(), (&peer(replica)).into())).collect();
    let joint = openraft::Membership::new(vec![ids, others], nodes).unwrap();
    leader.raft().append_membership(joint, Payload::Blank, []).await.unwrap();
}

#[tokio::test]
async fn a_change_that_was_left_half_done_is_finished_before_any_other() {
    for remove in [true, false] {
        let (replicas, _dirs) = cluster_of(4).await;
        let [leader, other, ..] = replicas.as_slice() else { panic!("four") };
        leave_half_done(leader, &replicas).await;
        // Asked for another change, whatever becomes of those that it removes.
        let asked = match remove {
            true => leader.remove(other.node()).await,
            false => leader.add_learner(Peer { peer_address: "elsewhere".to_owned(), ..peer(other) }).await,
        };
        assert!(matches!(asked, Err(AdminError::MembershipChangeInProgress { .. })), "{asked:?}");
        let removed = leader.node();
        let status = until(other, |status| {
            status.members.len() == 3 && status.leader.as_ref().is_some_and(|leader| leader.node != removed)
        })
        .await;
        assert!(status.members.iter().all(|member| member.voter && member.peer.node != removed));
        assert!(
            status.members.iter().any(|member| member.peer == peer(other)),
            "only what was begun is done"
        );
        assert_ne!(leader.status().role, Role::Stopped);
        for replica in &replicas {
            replica.shutdown().await.unwrap();
        }
    }
}
