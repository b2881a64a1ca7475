//! What probes and operators ask: `/livez`, `/readyz`, `/health`, `/metrics`, `/status`, `/leader`.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tensor_chain::replicated::Checkpoint;
use tensor_client::wire::{self, Band, Leader, Problem};
use tensor_cluster::api::{Peer, ReplicaStatus};

use super::metrics::role_name;
use super::refusal::Refusal;
use super::request::Params;
use super::service::Service;

/// What `/metrics` is written in.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers as long as the process serves at all.
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "It lives", body = str)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadyParams {
    /// Ready without a leader too: for nodes that are to be added to a cluster, or asked for stale reads only.
    noleader: Option<String>,
}

/// Whether clients should be sent here.
#[utoipa::path(get, path = "/readyz", params(ReadyParams), responses(
    (status = 200, description = "Ready", body = str),
    (status = 503, description = "No leader is known", body = wire::ProblemBody),
))]
pub(super) async fn ready(
    State(service): State<Arc<Service>>,
    Params(params): Params<ReadyParams>,
) -> Result<&'static str, Refusal> {
    match service.ledger.status().leader {
        None if params.noleader.is_none() => Err(Problem::NoLeader.into()),
        _ => Ok("ready\n"),
    }
}

/// The checks, and the worst of them. 503 where that is critical.
#[utoipa::path(get, path = "/health", responses(
    (status = 200, description = "Healthy, or with warnings", body = wire::Health),
    (status = 503, description = "Critical", body = wire::Health),
))]
pub(super) async fn health(State(service): State<Arc<Service>>) -> Response {
    let health = service.health(&service.ledger.status());
    let code = match health.status {
        Band::Critical => StatusCode::SERVICE_UNAVAILABLE,
        Band::Healthy | Band::Warning => StatusCode::OK,
    };
    (code, Answer(health)).into_response()
}

/// What the node counts, for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "OpenMetrics text", body = str)))]
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Result<Response, Refusal> {
    let (status, statistics) = (service.ledger.status(), service.ledger.statistics());
    let text = service.metrics.text(status, statistics, service.fallbacks());
    let text = text.map_err(|error| Problem::NodeFailed { reason: error.to_string() })?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// The node, and the cluster as it sees it.
#[utoipa::path(get, path = "/status", responses((status = 200, description = "Status", body = wire::Status)))]
pub(super) async fn status(State(service): State<Arc<Service>>) -> Answer<wire::Status> {
    let status = service.ledger.status();
    let health = service.health(&status);
    let ReplicaStatus {
        node,
        role,
        term,
        leader,
        last_log,
        committed,
        applied,
        height,
        tip_hash,
        state_hash,
        finalized,
        members,
    } = status;
    let member = |member: tensor_cluster::api::Member| wire::Member {
        node: member.peer.node.to_string(),
        peer_address: member.peer.peer_address,
        http_address: member.peer.http_address,
        voter: member.voter,
    };
    Answer(wire::Status {
        node: node.to_string(),
        role: role_name(role).to_owned(),
        term,
        leader: leader.map(leader_of),
        last_log,
        committed,
        applied,
        height: height.0,
        tip_hash: tip_hash.to_string(),
        state_hash: state_hash.to_string(),
        finalized: finalized.map(|Checkpoint { height, block_hash, .. }| wire::Finalized {
            height: height.0,
            block_hash: block_hash.to_string(),
        }),
        members: members.into_iter().map(member).collect(),
        handovers: service.ledger.statistics().handovers,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        isa: service.config.isa().to_string(),
        device: service.config.device(),
        uptime_ms: service.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        health,
    })
}

/// Who leads.
#[utoipa::path(get, path = "/leader", responses(
    (status = 200, description = "The leader", body = Leader),
    (status = 503, description = "No leader is known", body = wire::ProblemBody),
))]
pub(super) async fn leader(State(service): State<Arc<Service>>) -> Result<Answer<Leader>, Refusal> {
    let leader = service.ledger.status().leader.ok_or(Problem::NoLeader)?;
    Ok(Answer(leader_of(leader)))
}

fn leader_of(Peer { node, http_address, .. }: Peer) -> Leader {
    Leader { node: node.to_string(), http_address }
}
