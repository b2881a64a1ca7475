//! Transactions of clients: `/v1/session`, `/v1/begin`, `/v1/batch`. The workspace is the client's: between `begin`
//! and `batch` the node knows nothing of it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tensor_client::wire;

use super::body::Json;
use super::kv;
use super::refusal::Refusal;
use super::request::{Consistency, Params, Session};
use super::service::Service;

/// Issues a client id: writes that carry it and a number of their own are applied once, however often they are sent.
#[utoipa::path(post, path = "/v1/session",
    responses(
        (status = 200, description = "A client id", body = wire::Session),
        (status = 507, description = "The disk is full, nothing was done", body = wire::ProblemBody),
    ))]
pub(super) async fn session(State(service): State<Arc<Service>>) -> Result<Answer<wire::Session>, Refusal> {
    let client = service.ledger.open_session().await?;
    Ok(Answer(wire::Session { client_id: client.to_string() }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BeginParams {
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// The height that a transaction begins at.
#[utoipa::path(get, path = "/v1/begin", params(BeginParams),
    responses((status = 200, description = "Where to begin", body = wire::Begun)))]
pub(super) async fn begin(
    State(service): State<Arc<Service>>,
    Params(params): Params<BeginParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let begun = wire::Begun { height: point.height.0 };
    Ok((kv::read_headers(point), Answer(begun)).into_response())
}

/// Commits operations together or not at all.
#[utoipa::path(post, path = "/v1/batch", params(
    ("x-client-id" = Option<u64>, Header, description = "Client id of a session"),
    ("x-sequence" = Option<u64>, Header, description = "Number of the write in its session; one that was sent before is answered as then")), request_body = wire::Batch, responses(
    (status = 200, description = "Durable", body = wire::Receipt),
    (status = 400, description = "Operations that can be part of no block", body = wire::ProblemBody),
    (status = 409, description = "Another commit came first", body = wire::ProblemBody),
    (status = 503, description = "The outcome is unknown, or nothing was done", body = wire::ProblemBody),
    (status = 507, description = "The disk is full, nothing was done", body = wire::ProblemBody),
))]
pub(super) async fn batch(
    State(service): State<Arc<Service>>,
    session: Session,
    Json(batch): Json<wire::Batch>,
) -> Result<Response, Refusal> {
    kv::submit(&service, session, batch.into_changeset()?).await
}
