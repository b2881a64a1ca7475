//! Nodes that join, and members that were away meanwhile.

use super::process::{Cluster, Setup, await_that, client};

use tensor_client::ClientError;
use tensor_client::wire::{Peer, Problem};

#[test]
fn a_voter_that_was_away_follows_a_leader_that_it_has_not_heard_of() {
    let mut cluster = Cluster::of_three();
    let leader = cluster.leader();
    let away = (leader + 1) % 3;
    cluster.kill(away);
    let newcomer = cluster.join();
    let id = cluster.nodes[newcomer].id.clone();
    // An id as `cluster status` shows it is enough.
    let short = &id[..12];
    await_that("the newcomer votes", || cluster.try_run(&["cluster", "promote", short, "--force"]).is_ok());
    for (ambiguous, says) in [("", "several members"), ("not hex", "no member")] {
        assert!(cluster.try_run(&["cluster", "remove", ambiguous]).unwrap_err().contains(says));
    }
    await_that("the newcomer leads", || {
        // Asked again where an election came between.
        cluster.leader_now() == Some(newcomer) || {
            drop(cluster.try_run(&["cluster", "transfer", &id]));
            false
        }
    });
    cluster.run(&["put", "key", "from the newcomer"]);
    cluster.start(away);
    cluster.await_same_state();
}

#[test]
fn a_ticket_admits_one_node_and_moves_none() {
    let mut cluster = Cluster::of(2, Setup::default());
    let members = |cluster: &Cluster| cluster.statuses()[0]["members"].clone();
    let before = members(&cluster);
    let leader = cluster.leader();
    let node = client(&[cluster.endpoint(leader)]);
    let joins = |ticket: &str, id: &str, http: &str| {
        let (node_id, peer_address) = (id.to_owned(), "127.0.0.1:1".to_owned());
        let peer = Peer { node: node_id, peer_address, http_address: http.to_owned() };
        node.wait(node.client().join(ticket.trim(), &peer))
    };
    let refused = |joined| match joined {
        Err(ClientError::Refused(Problem::AdminRefused { reason })) => reason,
        other => panic!("{other:?}"),
    };
    let ticket = cluster.run(&["cluster", "ticket"]);
    let voter = cluster.nodes[1 - leader].id.clone();
    assert!(refused(joins(&ticket, &voter, "127.0.0.1:1")).contains("is a member already"));
    let [new, other] = ["11", "22"].map(|byte| byte.repeat(32));
    assert!(refused(joins(&ticket, &new, "127.0.0.1:1")).contains("another node has shown it"));
    assert_eq!(members(&cluster), before);

    let ticket = cluster.run(&["cluster", "ticket"]);
    assert!(refused(joins(&ticket, &new, &"x".repeat(261))).contains("260 bytes"));
    assert_eq!(members(&cluster), before);
    joins(&ticket, &new, "127.0.0.1:1").unwrap();
    joins(&ticket, &new, "127.0.0.1:1").unwrap();
    assert!(refused(joins(&ticket, &other, "127.0.0.1:1")).contains("another node has shown it"));

    // A node that is not let in says so and ends.
    let turned_away = cluster.launch(Some(ticket.trim()));
    let ended = cluster.await_end(turned_away);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
    assert!(ended.said.contains("does not let this node in"), "{}", ended.said);
}
