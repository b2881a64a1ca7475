//! `GET /v1/admin/snapshot`: state and blocks as one stream, as large as they are, a part at a time.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde::Deserialize;
use tensor_client::wire::{self, APPLIED_INDEX_HEADER, HEIGHT_HEADER};
use tensor_cluster::api::Export;

use super::refusal::Refusal;
use super::request::{Admin, Consistency, Params};
use super::service::Service;

/// Bytes of a part.
const PART_BYTES: u64 = 1 << 18;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportParams {
    /// How fresh: linearizable (default) or stale, which needs no leader.
    #[serde(default)]
    consistency: Consistency,
}

/// Everything that the chain has come to: what `tensorchain snapshot restore` begins a new cluster with.
#[utoipa::path(get, path = "/v1/admin/snapshot", params(ExportParams), security(("admin" = [])), responses(
    (status = 200, description = "The snapshot", body = [u8], content_type = "application/octet-stream"),
    (status = 401, description = "Not the token", body = wire::ProblemBody),
    (status = 503, description = "No quorum to be up to date with", body = wire::ProblemBody)))]
pub(super) async fn export(
    State(service): State<Arc<Service>>,
    _: Admin,
    Params(params): Params<ExportParams>,
) -> Result<Response, Refusal> {
    service.read_point(params.consistency).await?;
    let Export { log_index, height, len, bytes } = service.ledger.export().await?;
    let headers = [
        ("content-type", "application/octet-stream".to_owned()),
        ("content-length", len.to_string()),
        (HEIGHT_HEADER, height.to_string()),
        (APPLIED_INDEX_HEADER, log_index.to_string()),
    ];
    Ok((headers, Body::from_stream(parts(bytes))).into_response())
}

/// Reads a part when the client has taken the one before.
fn parts(bytes: Box<dyn Read + Send>) -> impl Stream<Item = io::Result<Bytes>> {
    try_unfold(bytes, |mut bytes| async move {
        let read = move || -> io::Result<_> {
            let mut part = Vec::new();
            (&mut bytes).take(PART_BYTES).read_to_end(&mut part)?;
            Ok((!part.is_empty()).then(|| (Bytes::from(part), bytes)))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    })
}
