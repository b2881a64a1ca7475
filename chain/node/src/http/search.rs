//! The chain read back: proofs, histories, blocks, and questions to the whole of it.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tensor_chain::{ChainError, Height};
use tensor_client::wire::{self, BatchError};

use super::body::Json;
use super::kv;
use super::refusal::Refusal;
use super::request::{Consistency, HeightPath, Key, Params};
use super::service::{ReadPoint, Service};
use crate::answers;

/// Most blocks of one answer to a search.
const MAX_NEAR: usize = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadParams {
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// An answer, and the applied state that it reflects at least.
fn as_of(point: ReadPoint, answer: impl Serialize) -> Response {
    (kv::read_headers(point), Answer(answer)).into_response()
}

/// A proof of what the state says of a key, for whoever knows nothing but a block hash.
#[utoipa::path(get, path = "/v1/proof/{key}", params(("key" = String, Path), ReadParams),
    responses((status = 200, description = "A proof", body = wire::Proof,
        headers(("x-height" = u64), ("x-applied-index" = u64)))))]
pub(super) async fn proof(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    Params(params): Params<ReadParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let proof = service.look_up(move |chain| answers::proof(chain, &key)).await?;
    Ok(as_of(point, proof))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    /// First block: `next` of the page before. Default 0.
    #[serde(default)]
    from: u64,
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// Every operation on a key, a page at a time.
#[utoipa::path(get, path = "/v1/history/{key}", params(("key" = String, Path), HistoryParams),
    responses((status = 200, description = "A page of its history", body = wire::History,
        headers(("x-height" = u64), ("x-applied-index" = u64)))))]
pub(super) async fn history(
    State(service): State<Arc<Service>>,
    Key(key): Key,
    Params(params): Params<HistoryParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let history = service.look_up(move |chain| answers::history(chain, &key, Height(params.from))).await?;
    Ok(as_of(point, history))
}

/// A block with its operations.
#[utoipa::path(get, path = "/v1/blocks/{height}", params(("height" = u64, Path), ReadParams), responses(
    (status = 200, description = "The block", body = wire::Block,
        headers(("x-height" = u64), ("x-applied-index" = u64))),
    (status = 404, description = "A height above the tip", body = wire::ProblemBody),
))]
pub(super) async fn block(
    State(service): State<Arc<Service>>,
    HeightPath(height): HeightPath,
    Params(params): Params<ReadParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let height = Height(height);
    let read = move |chain: &tensor_chain::TensorChain| {
        let block = chain.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
        Ok(answers::block(&block))
    };
    let block = service.look_up(read).await?;
    Ok(as_of(point, block))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarParams {
    /// The block whose change others are compared with.
    block: u64,
    /// How many blocks are wanted, at most 1,000. Default 10.
    k: Option<usize>,
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// Blocks whose change was most like that of a block. Reads every block this node has applied.
#[utoipa::path(get, path = "/v1/similar", params(SimilarParams), responses(
    (status = 200, description = "The nearest blocks", body = wire::Similar,
        headers(("x-height" = u64), ("x-applied-index" = u64))),
    (status = 429, description = "Other searches are being served", body = wire::ProblemBody),
))]
pub(super) async fn similar_to_block(
    State(service): State<Arc<Service>>,
    Params(params): Params<SimilarParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(params.consistency).await?;
    let (height, k) = (Height(params.block), params.k.unwrap_or(10).min(MAX_NEAR));
    let similar = service.search(move |chain| answers::similar_to_block(chain, height, k)).await?;
    Ok(as_of(point, similar))
}

/// Blocks whose change was most like a vector. Reads every block this node has applied.
#[utoipa::path(post, path = "/v1/similar", params(ReadParams), request_body = wire::SimilarQuery, responses(
    (status = 200, description = "The nearest blocks", body = wire::Similar,
        headers(("x-height" = u64), ("x-applied-index" = u64))),
    (status = 429, description = "Other searches are being served", body = wire::ProblemBody),
))]
pub(super) async fn similar_to_vector(
    State(service): State<Arc<Service>>,
    Params(params): Params<ReadParams>,
    Json(wire::SimilarQuery { vector, k }): Json<wire::SimilarQuery>,
) -> Result<Response, Refusal> {
    let vector = tensor_kernels::SparseVec::from_dense(&vector).map_err(BatchError::from)?;
    let point = service.read_point(params.consistency).await?;
    let k = k.min(MAX_NEAR);
    let similar = service.search(move |chain| answers::similar_to_vector(chain, &vector, k)).await?;
    Ok(as_of(point, similar))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DriftParams {
    /// First block. Default 0.
    from: Option<u64>,
    /// Last block. Default the tip.
    to: Option<u64>,
    /// How fresh: linearizable (default) or stale.
    #[serde(default)]
    consistency: Consistency,
}

/// How much the codebook misses of each block's change, and whether that grows.
#[utoipa::path(get, path = "/v1/drift", params(DriftParams), responses(
    (status = 200, description = "The drift", body = wire::Drift,
        headers(("x-height" = u64), ("x-applied-index" = u64))),
    (status = 429, description = "Other searches are being served", body = wire::ProblemBody),
))]
pub(super) async fn drift(
    State(service): State<Arc<Service>>,
    Params(DriftParams { from, to, consistency }): Params<DriftParams>,
) -> Result<Response, Refusal> {
    let point = service.read_point(consistency).await?;
    let drift = service.search(move |chain| answers::drift(chain, from, to, None)).await?;
    Ok(as_of(point, drift))
}
