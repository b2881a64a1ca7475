//! What a request says beside its body: key, query, session and token. Whatever is not understood is refused before
//! a handler runs.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tensor_chain::{MAX_KEY_BYTES, TransactionError};
use tensor_client::wire::{CLIENT_ID_HEADER, Problem, SEQUENCE_HEADER};
use tensor_cluster::api::ClientId;

use super::refusal::Refusal;
use super::service::Service;

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Consistency {
    /// It sees everything that was acknowledged before it was sent.
    #[default]
    Linearizable,
    /// It sees what this node happens to have applied.
    Stale,
}

fn invalid(what: &str, reason: impl ToString) -> Refusal {
    Refusal(Problem::InvalidRequest { what: what.to_owned(), reason: reason.to_string() })
}

/// The last part of the address, percent-decoded once: a key of 1 to 4,096 bytes.
#[derive(Debug)]
pub(super) struct Key(pub(super) String);

impl FromRequestParts<Arc<Service>> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let Path(key) = Path::<String>::from_request_parts(parts, service)
            .await
            .map_err(|error: PathRejection| invalid("key", error))?;
        match key.len() {
            1..=MAX_KEY_BYTES => Ok(Self(key)),
            got => Err(invalid("key", TransactionError::KeyLength { got })),
        }
    }
}

/// A height in the address.
#[derive(Debug)]
pub(super) struct HeightPath(pub(super) u64);

impl FromRequestParts<Arc<Service>> for HeightPath {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let Path(height) = Path::<u64>::from_request_parts(parts, service)
            .await
            .map_err(|error: PathRejection| invalid("height", error))?;
        Ok(Self(height))
    }
}

/// The query. Unknown and repeated parameters are refused: a misspelt `consistency` must not be passed over.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Service>> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let Query(params) = Query::<T>::from_request_parts(parts, service)
            .await
            .map_err(|error: QueryRejection| invalid("query", error.body_text()))?;
        Ok(Self(params))
    }
}

/// Session and number of a write, where the client wants to be able to repeat it.
#[derive(Debug)]
pub(super) struct Session(pub(super) Option<(ClientId, u64)>);

impl FromRequestParts<Arc<Service>> for Session {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Service>) -> Result<Self, Refusal> {
        let client = number(&parts.headers, CLIENT_ID_HEADER)?;
        let sequence = number(&parts.headers, SEQUENCE_HEADER)?;
        match (client, sequence) {
            (None, None) => Ok(Self(None)),
            (Some(client), Some(sequence)) => Ok(Self(Some((ClientId(client), sequence)))),
            (Some(_), None) => Err(invalid(SEQUENCE_HEADER, "missing beside the client id")),
            (None, Some(_)) => Err(invalid(CLIENT_ID_HEADER, "missing beside the sequence")),
        }
    }
}

/// A header that is a number and occurs at most once.
fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(name, "given more than once"));
    }
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or_else(|| invalid(name, "expected a decimal number of 64 bits"))
}

/// Proof that the request showed the admin token.
#[derive(Debug)]
pub(super) struct Admin(());

impl FromRequestParts<Arc<Service>> for Admin {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Refusal> {
        let token = service.config.admin_token.as_ref().ok_or(Problem::AdminDisabled)?;
        let shown = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
        if !shown.is_some_and(|shown| token.is(shown)) {
            return Err(Problem::Unauthorized.into());
        }
        Ok(Self(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn numbers_in_headers_are_digits_and_given_once() {
        let parsed = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x", HeaderValue::from_static(value));
            }
            number(&headers, "x").ok()
        };
        assert_eq!(parsed(&[]), Some(None));
        assert_eq!(parsed(&["18446744073709551615"]), Some(Some(u64::MAX)));
        for bad in [&["1", "1"][..], &["+1"], &["-1"], &[""], &["1 "], &["0x1"], &["18446744073709551616"]] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }
}
