//! Who takes part: the transport lets in whom the log names, and a new node asks to be named.

use std::time::Duration;

use tensor_client::{Client, wire};
use tensor_cluster::StatusWatch;
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::Ticket;
use tensor_cluster::transport::KnownNodes;

/// How long to wait before asking again where nobody could let this node in.
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
