//! Blocks that a quorum of the voters has signed, and who may become a voter.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use common::{CHECKPOINT_EVERY, Cluster, until_async};
use tensor_chain::replicated::Checkpoint;
use tensor_cluster::api::{AdminError, ReplicaStatus};

/// The highest checkpoint that there can be.
fn last_checkpoint(status: &ReplicaStatus) -> u64 {
    status.height.0 / CHECKPOINT_EVERY * CHECKPOINT_EVERY
}

/// Waits until a node knows the highest checkpoint to be final.
async fn until_final(cluster: &Cluster, node: usize) -> Checkpoint {
    let is_final = |status: &ReplicaStatus| {
        status.finalized.is_some_and(|finalized| finalized.height.0 == last_checkpoint(status))
    };
    cluster.until(node, is_final).await.finalized.unwrap()
}

async fn until_final_is(cluster: &Cluster, node: usize, checkpoint: Checkpoint) {
    cluster.until(node, |status| status.finalized == Some(checkpoint)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_quorum_signed_is_final_on_every_node_through_restarts_and_snapshots() {
    let mut cluster = Cluster::of(3).await;
    for n in 0..100 {
        cluster.put(&format!("key-{n}"), "value", None).await;
    }
    let first = until_final(&cluster, cluster.leader().await).await;
    for node in 0..3 {
        until_final_is(&cluster, node, first).await;
        let block = cluster.node(node).chain().get_block(first.height).unwrap().unwrap();
        assert_eq!(block.hash(), first.block_hash);
    }
    // Two of three are a quorum, one is none.
    let leader = cluster.leader().await;
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.stop(one).await;
    for n in 100..150 {
        cluster.put(&format!("key-{n}"), "value", None).await;
    }
    let second = until_final(&cluster, leader).await;
    assert!(second.height > first.height);
    cluster.start(one).await;
    until_final_is(&cluster, one, second).await;

    // One that comes by snapshot, and has not voted on any of it.
    cluster.node(leader).snapshot().await.unwrap();
    let new = cluster.add().await;
    cluster.node(leader).add_learner(cluster.peer(new)).await.unwrap();
    until_final_is(&cluster, new, second).await;
    cluster.promote(new).await;
    // It makes the quorum with two of the others, of four.
    cluster.stop(other).await;
    for n in 150..200 {
        cluster.put(&format!("key-{n}"), "value", None).await;
    }
    let third = until_final(&cluster, cluster.leader().await).await;
    assert!(third.height > second.height);
    until_final_is(&cluster, new, third).await;
    cluster.start(other).await;
    cluster.assert_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_learner_that_lags_becomes_no_voter_and_no_force_takes_the_quorum_away() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let (at_leader, node) = (cluster.node(leader).clone(), cluster.id((leader + 1) % 3));
    assert_eq!(at_leader.promote(node).await, Err(AdminError::NotALearner { node }));
    let learner = cluster.add().await;
    let node = cluster.id(learner);
    cluster.isolate(learner);
    at_leader.add_learner(cluster.peer(learner)).await.unwrap();
    assert_eq!(at_leader.promote(node).await, Err(AdminError::LearnerUnhealthy { node }));
    // Of four voters three answer, and it could be forced. When one of these is away too it cannot.
    let down = (leader + 2) % 3;
    cluster.stop(down).await;
    let refused = Err(AdminError::QuorumAtRisk { voters: 4, answering: 2 });
    until_async("the leader misses the other", async || at_leader.promote(node).await == refused).await;
    assert_eq!(at_leader.promote_by_force(node).await, refused);
    cluster.start(down).await;

    cluster.network.heal();
    cluster.promote(learner).await;
    let voters = |status: &ReplicaStatus| status.members.iter().filter(|member| member.voter).count();
    cluster.until(learner, |status| voters(status) == 4).await;
}
