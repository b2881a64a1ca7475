//! Keys and their values: `/v1/kv`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tensor_chain::{Changeset, Height, TensorChain, Transaction};
use tensor_client::wire::{self, BatchError, Operation, Problem};
use tensor_cluster::api::{Committed, Write};

use super::body::{Json, Raw};
use super::refusal::Refusal;
use super::request::{Consistency, Key, Params, Session};
use super::service::{ReadPoint, Service};
use crate::answers;

/// Most keys of one page.
const MAX_PAGE: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct GetParams {
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
    /// As of this block, instead of the last one.
    at: Option<u64>,
}

/// The value of a key, byte for byte.
#[utoipa::path(get, path = "/v1/kv/{key}", params(("key" = String, Path), GetParams), responses(
    (status = 200, description = "The value", body = [u8], content_type = "application/octet-stream",
        headers(("x-height" = u64), ("x-applied-index" = u64))),
    (status = 404, description = "The key has no value", body = wire::ProblemBody),
))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    Params(params): Params<GetParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let height = params.at.map_or(point.height, Height);
    let (key, value) = match params.at {
        None => {
            let value = service.glance(|chain| chain.get_at(&key, height))?;
            (key, value)
        }
        // What a key held earlier is read from its block.
        Some(_) => {
            let look_up = move |chain: &TensorChain| {
                let value = chain.get_at(&key, height)?;
                Ok((key, value))
            };
            service.look_up(look_up).await?
        }
    };
    let value = value.ok_or(Problem::NoValue { key, height: height.0 })?;
    let mut headers = read_headers(ReadPoint { height, ..point });
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok((headers, Bytes::from(value)).into_response())
}

/// What a read saw, as headers.
pub(super) fn read_headers(point: ReadPoint) -> HeaderMap {
    let applied = point.applied.map(|index| (wire::APPLIED_INDEX_HEADER, index));
    numbers([Some((wire::HEIGHT_HEADER, point.height.0)), applied])
}

fn numbers(values: [Option<(&'static str, u64)>; 2]) -> HeaderMap {
    let header = |(name, value)| (HeaderName::from_static(name), HeaderValue::from(value));
    values.into_iter().flatten().map(header).collect()
}

/// Writes a value: the body, byte for byte. Answered when it is durable.
#[utoipa::path(put, path = "/v1/kv/{key}", params(("key" = String, Path),
    ("x-client-id" = Option<u64>, Header, description = "Client id of a session"),
    ("x-sequence" = Option<u64>, Header, description = "Number of the write in its session; one that was sent before is answered as then")),
    request_body(content = [u8], content_type = "application/octet-stream"), responses(
    (status = 200, description = "Durable", body = wire::Receipt),
    (status = 413, description = "The value is too large", body = wire::ProblemBody),
    (status = 503, description = "The outcome is unknown, or nothing was done", body = wire::ProblemBody),
    (status = 507, description = "The disk is full, nothing was done", body = wire::ProblemBody),
))]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    session: Session,
    Raw(data): Raw,
) -> Result<Response, Refusal> {
    submit_one(&service, session, Transaction::Put { key, data }).await
}

/// Removes a key. Removing an absent key succeeds.
#[utoipa::path(delete, path = "/v1/kv/{key}", params(("key" = String, Path),
    ("x-client-id" = Option<u64>, Header, description = "Client id of a session"),
    ("x-sequence" = Option<u64>, Header, description = "Number of the write in its session; one that was sent before is answered as then")), responses(
    (status = 200, description = "Durable", body = wire::Receipt),
    (status = 503, description = "The outcome is unknown, or nothing was done", body = wire::ProblemBody),
    (status = 507, description = "The disk is full, nothing was done", body = wire::ProblemBody),
))]
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    session: Session,
) -> Result<Response, Refusal> {
    submit_one(&service, session, Transaction::Delete { key }).await
}

/// Writes a value if the present one is as expected.
#[utoipa::path(post, path = "/v1/kv/{key}/cas", params(("key" = String, Path),
    ("x-client-id" = Option<u64>, Header, description = "Client id of a session"),
    ("x-sequence" = Option<u64>, Header, description = "Number of the write in its session; one that was sent before is answered as then")), request_body = wire::Cas, responses(
    (status = 200, description = "Durable", body = wire::Receipt),
    (status = 409, description = "The key holds another value", body = wire::ProblemBody),
    (status = 503, description = "The outcome is unknown, or nothing was done", body = wire::ProblemBody),
    (status = 507, description = "The disk is full, nothing was done", body = wire::ProblemBody),
))]
pub(super) async fn cas(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    session: Session,
    Json(wire::Cas { expected, new }): Json<wire::Cas>,
) -> Result<Response, Refusal> {
    submit_one(&service, session, Operation::Cas { key, expected, new }.into_transaction()?).await
}

async fn submit_one(
    service: &Service,
    session: Session,
    transaction: Transaction,
) -> Result<Response, Refusal> {
    let changeset = Changeset::single(transaction).map_err(BatchError::from)?;
    submit(service, session, changeset).await
}

/// Commits, and says where it went.
pub(super) async fn submit(
    service: &Service,
    Session(session): Session,
    changeset: Changeset,
) -> Result<Response, Refusal> {
    let Committed { height, block_hash, log_index } =
        service.metrics.commit(service.ledger.submit(Write { changeset, session })).await?;
    let headers = numbers([Some((wire::HEIGHT_HEADER, height.0)), Some((wire::LOG_INDEX_HEADER, log_index))]);
    let receipt = wire::Receipt { height: height.0, hash: block_hash.to_string() };
    Ok((headers, axum::Json(receipt)).into_response())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Only keys that start with this.
    #[serde(default)]
    prefix: String,
    /// Only keys above this one: the last of the page before.
    after: Option<String>,
    /// Most keys of the page, at most 1,000.
    limit: Option<usize>,
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// Keys that have a value, ascending, a page at a time.
#[utoipa::path(get, path = "/v1/kv", params(ListParams),
    responses((status = 200, description = "A page of keys", body = wire::Keys,
        headers(("x-height" = u64), ("x-applied-index" = u64)))))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Params(params): Params<ListParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let limit = params.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let keys = service
        .look_up(move |chain| answers::keys(chain, &params.prefix, params.after.as_deref(), limit))
        .await?;
    Ok((read_headers(point), axum::Json(keys)).into_response())
}
