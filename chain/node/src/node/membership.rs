//! Who takes part: the transport lets in whom the log names, and a new node asks to be named.

use std::collections::BTreeSet;
use std::time::Duration;

use tensor_client::{Client, wire};
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::Ticket;
use tensor_cluster::transport::KnownNodes;
use tensor_cluster::{Replica, StatusWatch};

use crate::http::SILENT;

/// How long to wait before asking again where nobody could let this node in, and between looks at the members.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the transport to the members of the cluster, until the replica stops. Before this node has heard of any, the
/// nodes that it was told of at the start are known.
pub(super) async fn follow(mut status: StatusWatch, known: KnownNodes) {
    let mut now = status.until(|_| true).await;
    while let Some(status_now) = now {
        if !status_now.members.is_empty() {
            known.set(status_now.members.into_iter().map(|member| member.peer.node));
        }
        now = status.changed().await;
    }
}

/// Logs on the leader when a member does not answer any more and when it does again, until the replica stops.
pub(super) async fn report_silence(replica: Replica) {
    let mut status = replica.watch();
    tokio::select! {
        _ = status.until(|_| false) => {}
        () = report_forever(&replica) => {}
    }
}

async fn report_forever(replica: &Replica) {
    let mut silent = BTreeSet::new();
    loop {
        let followers = replica.statistics().followers;
        let is_silent = |last: Option<Duration>| last.is_none_or(|last| last > SILENT);
        let now: BTreeSet<_> =
            followers.iter().filter(|follower| is_silent(follower.last_contact)).map(|f| f.node).collect();
        for node in now.difference(&silent) {
            tracing::warn!(member = %node, "a member does not answer");
        }
        for follower in followers.iter().filter(|f| silent.contains(&f.node) && !now.contains(&f.node)) {
            tracing::info!(member = %follower.node, "a member answers again");
        }
        silent = now;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks the nodes that a ticket names to let this one in, until one has or this node is a member already.
pub(super) async fn join(mut status: StatusWatch, me: Peer, ticket: Ticket) {
    let node = me.node;
    let member = status.until(move |status| status.members.iter().any(|member| member.peer.node == node));
    tokio::select! {
        _ = member => {}
        () = ask(&me, &ticket) => {}
    }
}

async fn ask(me: &Peer, ticket: &Ticket) {
    let endpoints: Vec<_> = ticket.peers.iter().map(|peer| format!("http://{}", peer.http_address)).collect();
    let (text, client) = match (ticket.encode(), Client::new(endpoints)) {
        (Ok(text), Ok(client)) => (text, client),
        (Err(error), _) => return tracing::error!(%error, "the ticket is of no use"),
        (_, Err(error)) => return tracing::error!(%error, "the ticket is of no use"),
    };
    let Peer { node, peer_address, http_address } = me.clone();
    let peer = wire::Peer { node: node.to_string(), peer_address, http_address };
    loop {
        match client.join(&text, &peer).await {
            Ok(()) => return tracing::info!("joined the cluster; it decides when this node votes"),
            Err(
                error @ (tensor_client::ClientError::Unavailable { .. }
                | tensor_client::ClientError::Unknown { .. }),
            ) => {
                tracing::warn!(%error, "cannot join yet");
            }
            Err(error) => return tracing::error!(%error, "the cluster does not let this node in"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
