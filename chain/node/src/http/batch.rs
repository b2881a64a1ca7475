//! Transactions of clients: `/v1/session`, `/v1/begin`, `/v1/batch`, `/v1/batches`. The workspace is the client's:
//! between `begin` and `batch` the node knows nothing of it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tensor_chain::MAX_BLOCK_TRANSACTIONS;
use tensor_client::wire::{self, Kind, Problem};
use tensor_cluster::api::{Committed, SubmitError, Write};

use super::body::Json;
use super::kv;
use super::refusal::{AsProblem, Refusal};
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
    responses((status = 200, description = "Where to begin", body = wire::Begun,
        headers(("x-height" = u64), ("x-applied-index" = u64)))))]
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

/// Commits many batches, each by itself: what becomes of one is no concern of the others. Refused as a whole where none
/// of them was done and, in a session, where some have to be sent again: those that were done are answered as before.
#[utoipa::path(post, path = "/v1/batches", params(
    ("x-client-id" = Option<u64>, Header, description = "Client id of a session"),
    ("x-sequence" = Option<u64>, Header, description = "Number of the first batch in its session; each of the others has the next")), request_body = wire::Batches, responses(
    (status = 200, description = "What became of each", body = wire::Outcomes),
    (status = 400, description = "No batches, or too many", body = wire::ProblemBody),
    (status = 503, description = "The outcome is unknown, or nothing was done", body = wire::ProblemBody),
))]
pub(super) async fn batches(
    State(service): State<Arc<Service>>,
    Session(session): Session,
    Json(wire::Batches { batches }): Json<wire::Batches>,
) -> Result<Answer<wire::Outcomes>, Refusal> {
    let count = batches.len();
    if !(1..=MAX_BLOCK_TRANSACTIONS).contains(&count) {
        let reason = format!("expected 1 to {MAX_BLOCK_TRANSACTIONS}, got {count}");
        return Err(Problem::InvalidRequest { what: "batches".to_owned(), reason }.into());
    }
    if session.is_some_and(|(_, first)| first.checked_add(count as u64).is_none()) {
        let (what, reason) = (wire::SEQUENCE_HEADER.to_owned(), "no numbers are left above it".to_owned());
        return Err(Problem::InvalidRequest { what, reason }.into());
    }
    let mut writes = Vec::with_capacity(count);
    let mut parse = |(number, batch): (u64, wire::Batch)| {
        let changeset = batch.into_changeset().map_err(AsProblem::problem)?;
        let session = session.map(|(client, first)| (client, first + number));
        writes.push(Write { changeset, session });
        Ok(())
    };
    let parsed: Vec<Result<(), Problem>> = (0..).zip(batches).map(&mut parse).collect();
    let mut submitted = service.metrics.commit_many(service.ledger.submit_many(writes)).await.into_iter();
    let outcome = |parsed: Result<(), Problem>| {
        parsed?;
        submitted.next().unwrap_or(Err(SubmitError::Unknown)).map_err(AsProblem::problem)
    };
    let outcomes: Vec<Result<Committed, Problem>> = parsed.into_iter().map(outcome).collect();
    if let Some(problem) = answer_of_all(&outcomes, session.is_some()) {
        return Err(problem.clone().into());
    }
    let outcomes = outcomes.into_iter().map(|outcome| match outcome {
        Ok(Committed { height, block_hash, .. }) => {
            wire::Outcome::Durable(wire::Receipt { height: height.0, hash: block_hash.to_string() })
        }
        Err(problem) => wire::Outcome::Refused(problem.into()),
    });
    Ok(Answer(wire::Outcomes { outcomes: outcomes.collect() }))
}

/// The problem that is the answer to all batches: one that has to be sent again, where the others can be as well.
fn answer_of_all(outcomes: &[Result<Committed, Problem>], in_session: bool) -> Option<&Problem> {
    let problems = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let again: Vec<&Problem> = problems.filter(|problem| problem.kind() != Kind::Final).collect();
    let repeatable = in_session || again.len() == outcomes.len();
    // What is unknown of one is unknown of all.
    let unknown = again.iter().find(|problem| problem.kind() == Kind::Unknown);
    unknown.or(again.first()).copied().filter(|_| repeatable)
}
