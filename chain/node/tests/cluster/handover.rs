//! A leader whose disk has become slow.

use std::time::Duration;

use crate::process::{Cluster, TOKEN, await_that, await_within, client};
use crate::strace::{SYNCS, can_trace, delaying};

/// Syncs of each thread that are as quick as ever: more than it takes to start and to be made the leader.
const QUICK: usize = 60;

/// A leader leads for half a minute before it hands over, and as long again where others were not well either.
const DEADLINE: Duration = Duration::from_secs(150);

#[test]
fn a_leader_whose_disk_becomes_slow_hands_over_and_what_was_acknowledged_stays() {
    if !can_trace() {
        return;
    }
    let mut cluster = Cluster::of_three();
    cluster.terminate(0);
    let slow = delaying(Duration::from_secs(2), SYNCS, QUICK + 1);
    cluster.try_start(0, &slow).unwrap_or_else(|ended| panic!("{ended:?}"));
    let (node, id) = (client(&cluster.endpoints()), cluster.nodes[0].id.clone());
    // It may not have caught up yet, or lead already.
    let make_it_lead = || drop(node.wait(node.client().admin(TOKEN).transfer(&id)));
    await_that("the node with the slow disk leads", || {
        make_it_lead();
        cluster.leader_now() == Some(0)
    });
    let (mut asked, mut acknowledged) = (0, Vec::new());
    await_within(DEADLINE, "it hands over", || {
        asked += 1;
        let key = format!("key-{asked}");
        // Of one that is under way when another node leads it may not be known what has become of it.
        if node.wait(node.client().put(&key, "value")).is_ok() {
            acknowledged.push(key);
        }
        let statuses = cluster.statuses();
        let own = statuses.iter().find(|status| status["node"].as_str() == Some(&id));
        let handovers = own.and_then(|status| status["handovers"].as_u64());
        if handovers == Some(0) && cluster.leader_now().is_some_and(|leader| leader != 0) {
            make_it_lead(); // on a busy machine it may have lost an election
        }
        handovers == Some(1)
    });
    await_that("another node leads", || cluster.leader_now().is_some_and(|leader| leader != 0));
    assert!(
        asked > QUICK && asked - acknowledged.len() < 10,
        "{asked} asked, {} acknowledged",
        acknowledged.len()
    );
    for key in acknowledged {
        let found = node.wait(node.client().get(&key)).unwrap();
        assert_eq!(found.value.as_deref(), Some(&b"value"[..]), "{key}");
    }
}
