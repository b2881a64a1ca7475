//! Every address, and what happens around each handler: it is counted, timed, and sent on to the leader if need be.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tensor_client::wire::Problem;
use tracing::Instrument;

use super::refusal::{self, Refusal};
use super::service::Service;
use super::{admin, batch, export, health, kv, openapi, search, watch};

/// Addresses and their handlers.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Service>>)> {
    vec![
        ("/livez", get(health::live)),
        ("/readyz", get(health::ready)),
        ("/health", get(health::health)),
        ("/metrics", get(health::metrics)),
        ("/status", get(health::status)),
        ("/leader", get(health::leader)),
        ("/openapi.json", get(openapi::serve)),
        ("/v1/kv", get(kv::list)),
        ("/v1/kv/{key}", get(kv::get).put(kv::put).delete(kv::delete)),
        ("/v1/kv/{key}/cas", post(kv::cas)),
        ("/v1/session", post(batch::session)),
        ("/v1/begin", get(batch::begin)),
        ("/v1/batch", post(batch::batch)),
        ("/v1/batches", post(batch::batches)),
        ("/v1/watch", get(watch::watch)),
        ("/v1/proof/{key}", get(search::proof)),
        ("/v1/history/{key}", get(search::history)),
        ("/v1/similar", get(search::similar_to_block).post(search::similar_to_vector)),
        ("/v1/drift", get(search::drift)),
        ("/v1/blocks/{height}", get(search::block)),
        ("/v1/admin/initialize", post(admin::initialize)),
        ("/v1/join", post(admin::join)),
        ("/v1/admin/tickets", post(admin::issue_ticket)),
        ("/v1/admin/learners", post(admin::add_learner)),
        ("/v1/admin/promote", post(admin::promote)),
        ("/v1/admin/remove", post(admin::remove)),
        ("/v1/admin/transfer", post(admin::transfer)),
        ("/v1/admin/snapshot", get(export::export).post(admin::snapshot)),
    ]
}

/// The router over a service.
pub(super) fn router(service: &Arc<Service>) -> Router {
    let mut router = Router::new();
    for (path, handler) in routes() {
        let around = from_fn_with_state((Arc::clone(service), path), around);
        router = router.route(path, handler.fallback(no_such_method).layer(around));
    }
    router.fallback(no_such_route).with_state(Arc::clone(service))
}

async fn no_such_route() -> Refusal {
    Refusal(Problem::NoSuchRoute)
}

async fn no_such_method() -> Refusal {
    Refusal(Problem::MethodNotAllowed)
}

/// What happens around each handler.
async fn around(
    State((service, path)): State<(Arc<Service>, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let (method, asked, began) = (request.method().clone(), request.uri().clone(), Instant::now());
    let span = tracing::debug_span!("http", %method, path);
    let response = next.run(request).instrument(span).await.into_response();
    let response = refusal::redirect(response, &asked);
    service.metrics.answered(path, &method, response.status(), began.elapsed());
    response
}
