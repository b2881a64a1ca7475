//! Who takes part: the transport lets in whom the log names, and a new node asks to be named.

use std::collections::BTreeSet;
use std::time::Duration;

use tensor_chain::NodeId;
use tensor_client::{Client, ClientError, wire};
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::Ticket;
use tensor_cluster::transport::KnownNodes;
use tensor_cluster::{Cluster, Replica, StatusWatch};

use crate::http::SILENT;
use crate::logging;

/// How long to wait before asking again where nobody could let this node in, and between looks at the members.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps the transport to the members of the cluster, and log lines to the term, until the replica stops. Before this
/// node has heard of any members, those that it was told of at the start are known.
///
/// The log of a node that was away may not name a member that was added meanwhile, and if that one leads, nobody else
/// sends the entry that does. So where a stranger wants to connect, the members that the log names are asked, and whom
/// those name that know of a later change is let in until the log changes.
pub(super) async fn follow(replica: Replica, known: KnownNodes) {
    let mut cluster = replica.watch_cluster();
    let mut members = BTreeSet::new();
    let mut asking = Box::pin(told_of_others(&replica, &known));
    let mut now = Some(cluster.now());
    while let Some(Cluster { term, members: named }) = now {
        logging::in_term(term);
        let named: BTreeSet<_> = named.into_iter().map(|member| member.peer.node).collect();
        if !named.is_empty() && named != members {
            known.set(named.iter().copied());
            members = named;
        }
        now = tokio::select! {
            changed = cluster.changed() => changed,
            told = &mut asking => {
                let new: Vec<_> = told.difference(&members).collect();
                if !new.is_empty() {
                    tracing::info!(members = ?new, "members that this node's log does not name yet are let in");
                    known.set(members.union(&told).copied());
                }
                asking = Box::pin(told_of_others(&replica, &known));
                Some(cluster.now())
            }
        };
    }
}

/// Whom the members name, once somebody is turned away. Begins with a pause: strangers cause no more questions than one in
/// that time.
async fn told_of_others(replica: &Replica, known: &KnownNodes) -> BTreeSet<NodeId> {
    tokio::time::sleep(PAUSE).await;
    known.turned_away().await;
    replica.members_elsewhere().await
}

/// Logs on the leader when a member does not answer any more and when it does again, until the replica stops.
pub(super) async fn report_silence(replica: Replica) {
    tokio::select! {
        () = replica.stopped() => {}
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
///
/// # Errors
/// Why they do not let it in.
pub(super) async fn join(mut status: StatusWatch, me: Peer, ticket: Ticket) -> Result<(), String> {
    let node = me.node;
    let member = status.until(move |status| status.members.iter().any(|member| member.peer.node == node));
    tokio::select! {
        _ = member => Ok(()),
        asked = ask(&me, &ticket) => asked,
    }
}

async fn ask(me: &Peer, ticket: &Ticket) -> Result<(), String> {
    let endpoints: Vec<_> = ticket.peers.iter().map(|peer| format!("http://{}", peer.http_address)).collect();
    let text = ticket.encode().map_err(|error| error.to_string())?;
    let client = Client::new(endpoints).map_err(|error| error.to_string())?;
    let Peer { node, peer_address, http_address } = me.clone();
    let peer = wire::Peer { node: node.to_string(), peer_address, http_address };
    loop {
        match client.join(&text, &peer).await {
            Ok(()) => {
                tracing::info!("joined the cluster; it decides when this node votes");
                return Ok(());
            }
            Err(error @ (ClientError::Unavailable { .. } | ClientError::Unknown { .. })) => {
                tracing::warn!(%error, "cannot join yet");
            }
            Err(error) => return Err(format!("the cluster does not let this node in: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
