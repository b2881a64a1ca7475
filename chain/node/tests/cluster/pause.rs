//! A leader that is stopped for longer than an election and then goes on as if nothing had been.

use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tensor_client::ClientConfig;
use tensor_client::blocking::Node as Client;
use tensor_tests::faults::dose;

use crate::load::{self, Load};
use crate::process::{Cluster, await_that, client, seed};

/// Readers that ask the stopped leader while another one leads: answered when it wakes, they must not see what was.
#[test]
fn a_leader_that_wakes_answers_nothing_stale() {
    let mut random = ChaCha8Rng::seed_from_u64(seed());
    let cluster = Cluster::of_three();
    let load = Load::on(&cluster, &mut random);
    let mut answered = 0;
    for _ in 0..dose("CLUSTER_PAUSES", 3) {
        cluster.await_progress(10);
        let sleeper = cluster.leader();
        let others: Vec<_> =
            (0..3).filter(|&node| node != sleeper).map(|node| cluster.endpoint(node)).collect();
        let awake = client(&others);
        let old = load.clock.next_value();
        awake.wait(awake.client().put("probe", old.to_string())).unwrap();
        cluster.signal(sleeper, "STOP");
        let new = load.clock.next_value();
        await_that("another node leads and takes writes", || {
            awake.wait(awake.client().put("probe", new.to_string())).is_ok()
        });
        // From here on the value is the new one: whoever asks now must see it.
        let endpoint = cluster.endpoint(sleeper);
        let clock = &load.clock;
        let seen = thread::scope(|scope| {
            let readers: Vec<_> = (0..8)
                .map(|_| {
                    let endpoint = endpoint.clone();
                    scope.spawn(move || load::read(&patient(&endpoint), clock, "probe"))
                })
                .collect();
            await_that("the questions lie before the sleeper", || waiting_questions(&cluster, sleeper) >= 8);
            cluster.signal(sleeper, "CONT");
            readers.into_iter().filter_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        for operation in &seen {
            assert_eq!(load::seen(operation), Some(new), "a stale read of {old}");
        }
        answered += seen.len();
    }
    assert!(answered > 0, "the sleeper never answered");
    let history = load.finish(100);
    cluster.await_same_state();
    load::check(&cluster, history);
}

/// A client of one node that outlasts its sleep.
fn patient(endpoint: &str) -> Client {
    let timeout = Duration::from_secs(30);
    Client::new([endpoint], ClientConfig { attempt_timeout: timeout, deadline: timeout }).unwrap()
}

/// Connections on which bytes wait that the node has not read.
fn waiting_questions(cluster: &Cluster, node: usize) -> usize {
    crate::proxy::unread_at(cluster.nodes[node].http.parse().unwrap())
}
