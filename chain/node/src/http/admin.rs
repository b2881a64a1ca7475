//! Changes of the cluster: `/v1/admin`, under a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tensor_chain::NodeId;
use tensor_client::wire::{self, Problem};
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::Ticket;

use super::body::Json;
use super::ledger::AdminRequest;
use super::refusal::Refusal;
use super::request::Admin;
use super::service::Service;

type Done = Result<StatusCode, Refusal>;

/// A node, and where it listens.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerBody {
    /// Its id.
    node: String,
    /// Where it listens for other nodes, as `host:port`.
    peer_address: String,
    /// Where it listens for clients, as `host:port`.
    http_address: String,
}

/// The first members of a cluster.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PeersBody {
    /// Voters; the node that is asked is one. None means that node alone.
    members: Vec<PeerBody>,
}

/// A member.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeBody {
    /// Its id.
    node: String,
}

impl PeerBody {
    fn peer(self) -> Result<Peer, Refusal> {
        let Self { node, peer_address, http_address } = self;
        Ok(Peer { node: node_id(&node)?, peer_address, http_address })
    }
}

fn node_id(text: &str) -> Result<NodeId, Refusal> {
    let invalid = |error: tensor_chain::ids::ParseIdError| Problem::InvalidRequest {
        what: "node".to_owned(),
        reason: error.to_string(),
    };
    text.parse().map_err(|error| invalid(error).into())
}

async fn administer(service: &Service, change: AdminRequest) -> Done {
    tracing::info!(?change, "admin request");
    service.ledger.administer(change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the cluster.
#[utoipa::path(post, path = "/v1/admin/initialize", request_body = PeersBody, security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn initialize(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(PeersBody { members }): Json<PeersBody>,
) -> Done {
    let peers = members.into_iter().map(PeerBody::peer).collect::<Result<_, _>>()?;
    administer(&service, AdminRequest::Initialize(peers)).await
}

/// Adds a node that receives the log and does not vote. Answered when the change is committed.
#[utoipa::path(post, path = "/v1/admin/learners", request_body = PeerBody, security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn add_learner(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(peer): Json<PeerBody>,
) -> Done {
    administer(&service, AdminRequest::AddLearner(peer.peer()?)).await
}

/// How long a ticket is good for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketBody {
    /// Seconds.
    valid_for_s: u64,
}

/// A ticket, and the node that joins with it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinBody {
    /// The ticket.
    ticket: String,
    /// The node.
    peer: PeerBody,
}

/// Issues a ticket: the first node that shows it within the time may join. The node that issued it must still lead then.
#[utoipa::path(post, path = "/v1/admin/tickets", request_body = TicketBody, security(("admin" = [])),
    responses((status = 200, description = "The ticket", body = wire::IssuedTicket), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn issue_ticket(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(TicketBody { valid_for_s }): Json<TicketBody>,
) -> Result<axum::Json<wire::IssuedTicket>, Refusal> {
    let ticket = service.ledger.issue_ticket(Duration::from_secs(valid_for_s))?;
    Ok(axum::Json(wire::IssuedTicket { ticket }))
}

/// Adds a node that shows a ticket: it receives the log and does not vote.
#[utoipa::path(post, path = "/v1/join", request_body = JoinBody,
    responses((status = 204, description = "Done"), (status = 409, description = "Not a ticket that admits", body = wire::ProblemBody)))]
pub(super) async fn join(
    State(service): State<Arc<Service>>,
    Json(JoinBody { ticket, peer }): Json<JoinBody>,
) -> Done {
    let invalid = |reason: String| Problem::InvalidRequest { what: "ticket".to_owned(), reason };
    let ticket = Ticket::decode(&ticket).map_err(|error| invalid(error.to_string()))?;
    let peer = peer.peer()?;
    tracing::info!(node = %peer.node, "a node asks to join");
    service.ledger.administer(AdminRequest::Join { ticket, peer }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A learner that is to vote.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PromoteBody {
    /// Its id.
    node: String,
    /// Whether it has caught up or not, and however short after the last change. Never where that would take the quorum
    /// away.
    #[serde(default)]
    force: bool,
}

/// Gives a learner a vote. It must answer and lack fewer than 100 log entries.
#[utoipa::path(post, path = "/v1/admin/promote", request_body = PromoteBody, security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody),
        (status = 409, description = "It lags, or the cluster does not allow it", body = wire::ProblemBody)))]
pub(super) async fn promote(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(PromoteBody { node, force }): Json<PromoteBody>,
) -> Done {
    administer(&service, AdminRequest::Promote { node: node_id(&node)?, force }).await
}

/// Removes a member.
#[utoipa::path(post, path = "/v1/admin/remove", request_body = NodeBody, security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(NodeBody { node }): Json<NodeBody>,
) -> Done {
    administer(&service, AdminRequest::Remove(node_id(&node)?)).await
}

/// Makes another voter lead.
#[utoipa::path(post, path = "/v1/admin/transfer", request_body = NodeBody, security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn transfer(
    State(service): State<Arc<Service>>,
    _: Admin,
    Json(NodeBody { node }): Json<NodeBody>,
) -> Done {
    administer(&service, AdminRequest::TransferLeader(node_id(&node)?)).await
}

/// Writes a snapshot now.
#[utoipa::path(post, path = "/v1/admin/snapshot", security(("admin" = [])),
    responses((status = 204, description = "Done"), (status = 401, description = "Not the token", body = wire::ProblemBody)))]
pub(super) async fn snapshot(State(service): State<Arc<Service>>, _: Admin) -> Done {
    administer(&service, AdminRequest::Snapshot).await
}
