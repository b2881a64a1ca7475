//! `kill -9` of one node, of a majority, of all, and of nodes that are only just recovering.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_tests::faults::dose;

use crate::load::{self, Load};
use crate::process::{Cluster, await_that, seed};

/// Each way to kill is taken in turn. CLUSTER_KILLS says how many processes die in all.
#[test]
fn kill_9_loses_and_doubles_nothing() {
    let kills = dose("CLUSTER_KILLS", 20);
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let mut cluster = Cluster::of_three();
    let load = Load::on(&cluster, &mut random);
    let (mut killed, mut turn) = (0, 0);
    while killed < kills {
        cluster.await_progress(u64::from(random.next_u32() % 100) + 5);
        let one = random.next_u32() as usize % 3;
        let mut victims: Vec<usize> = match turn % 4 {
            0 => vec![cluster.leader()],
            1 => vec![one],
            2 => (0..3).filter(|&node| node != one).collect(),
            _ => vec![0, 1, 2],
        };
        victims.iter().for_each(|&node| cluster.kill(node));
        if victims.len() == 1 {
            cluster.await_progress(20);
        }
        // The one that is to come back first dies once more, somewhere in its recovery.
        let again = random.next_u32() as usize % victims.len();
        victims.swap(0, again);
        let moment = Duration::from_millis(u64::from(random.next_u32() % 400));
        cluster.start_and_kill(victims[0], moment);
        victims.iter().for_each(|&node| cluster.start(node));
        killed += victims.len() as u32 + 1;
        turn += 1;
    }
    await_that("all nodes are back", || cluster.statuses().len() == 3);
    cluster.await_progress(20);
    let history = load.finish(100);
    cluster.await_same_state();
    load::check(&cluster, history);
}
