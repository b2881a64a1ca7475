//! The API's own description, derived from the handlers and from the types that are sent.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use tensor_client::wire::Problem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::refusal::Refusal;
use super::{admin, batch, export, health, kv, search, watch};

#[derive(OpenApi)]
#[openapi(
    info(title = "Tensor Chain", description = "A ledger whose transactions carry a delta vector beside their key writes."),
    modifiers(&AdminToken),
    paths(
        health::live, health::ready, health::health, health::metrics, health::status, health::leader, serve,
        kv::list, kv::get, kv::put, kv::delete, kv::cas, batch::session, batch::begin, batch::batch, batch::batches, watch::watch,
        search::proof, search::history, search::similar_to_block, search::similar_to_vector, search::drift,
        search::block, admin::initialize, admin::join, admin::issue_ticket, admin::add_learner, admin::promote, admin::remove, admin::transfer,
        admin::snapshot, export::export,
    )
)]
struct Api;

struct AdminToken;

impl Modify for AdminToken {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        api.components.get_or_insert_default().add_security_scheme("admin", bearer);
    }
}

/// The description of the API.
///
/// # Errors
/// None in practice: the document is made of strings and numbers.
pub fn document() -> Result<String, serde_json::Error> {
    Api::openapi().to_pretty_json()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI", body = Object)))]
pub(super) async fn serve() -> Result<Response, Refusal> {
    let document = document().map_err(|error| Problem::NodeFailed { reason: error.to_string() })?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let api = Api::openapi();
        let described: BTreeSet<&str> = api.paths.paths.keys().map(String::as_str).collect();
        let served: BTreeSet<&str> =
            super::super::routes::routes().into_iter().map(|(path, _)| path).collect();
        assert_eq!(described, served);
    }
}
