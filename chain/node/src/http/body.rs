//! Bodies: bounded in size, in time, and in how much of them all connections together may have on the way. Nothing
//! is ever allocated for a length that is only declared.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tensor_chain::MAX_VALUE_BYTES;
use tensor_client::wire::Problem;
use tokio::time::timeout;

use super::refusal::Refusal;
use super::service::Service;

/// Most bytes of a JSON body. The operations of a batch encode to at most 1 MiB; hexadecimal doubles that, and a
/// vector of the largest dimension takes less than another.
const MAX_JSON_BYTES: usize = 4 << 20;

/// A value as it is.
#[derive(Debug)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl FromRequest<Arc<Service>> for Raw {
    type Rejection = Refusal;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refusal> {
        receive(request, service, MAX_VALUE_BYTES).await.map(Self)
    }
}

/// A value in JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Refusal> {
        // A browser sends other types across origins without asking first.
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            value.to_str().is_ok_and(|text| text.split(';').next() == Some("application/json"))
        });
        if !is_json {
            return Err(invalid("content-type", "expected application/json".to_owned()));
        }
        let bytes = receive(request, service, MAX_JSON_BYTES).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| invalid("body", error.to_string()))
    }
}

/// The body of a request, all of it.
async fn receive(request: Request, service: &Service, limit: usize) -> Result<Vec<u8>, Refusal> {
    let too_large = || Refusal(Problem::TooLarge { what: "body".to_owned(), limit: limit as u64 });
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > limit as u64) {
        return Err(too_large());
    }
    let deadline = service.config.body_deadline;
    let received = timeout(deadline, collect(request.into_body(), service, limit)).await;
    let late = || Problem::BodyTimeout { limit_ms: deadline.as_millis().try_into().unwrap_or(u64::MAX) };
    received.map_err(|_| late())??.ok_or_else(too_large)
}

/// The body, or `None` if it is too long.
async fn collect(mut body: Body, service: &Service, limit: usize) -> Result<Option<Vec<u8>>, Refusal> {
    // Given back when the body is complete or given up.
    let mut room = Vec::new();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| invalid("body", error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            return Ok(None);
        }
        // A chunk is no longer than the limit of a body, which fits.
        let len = u32::try_from(data.len()).map_err(|_| Problem::Busy)?;
        room.push(service.incoming_bytes.try_acquire_many(len).map_err(|_| Problem::Busy)?);
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes))
}

fn invalid(what: &str, reason: String) -> Refusal {
    Refusal(Problem::InvalidRequest { what: what.to_owned(), reason })
}
