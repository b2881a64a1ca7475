//! `/v1/watch`: blocks as they are applied, as server-sent events. The id of an event is the height of its block, so
//! a client that was cut off goes on where it was by sending the last id it saw, as browsers do by themselves.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tensor_chain::{ChainError, Height};
use tensor_client::wire::{self, Problem, ProblemBody};
use tokio::sync::watch::Receiver;

use super::refusal::Refusal;
use super::request::Params;
use super::server::stopped;
use super::service::Service;
use crate::answers;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WatchParams {
    /// First block. Default the next one.
    from: Option<u64>,
}

/// Blocks as this node applies them, from a height on. Each event has the height of its block as id; a
/// `last-event-id` header goes on after that block, whatever `from` says.
#[utoipa::path(get, path = "/v1/watch", params(WatchParams,
    ("last-event-id" = Option<u64>, Header, description = "The last block that was seen")), responses((status = 200,
    description = "An endless stream of events, each a block", body = wire::BlockSeen, content_type = "text/event-stream")))]
pub(super) async fn watch(
    State(service): State<Arc<Service>>,
    Params(WatchParams { from }): Params<WatchParams>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let heights = service.ledger.heights();
    let next = match headers.get("last-event-id") {
        Some(last) => {
            let last: Option<u64> = last.to_str().ok().and_then(|last| last.parse().ok());
            let invalid = || Problem::InvalidRequest {
                what: "last-event-id".to_owned(),
                reason: "expected a height".to_owned(),
            };
            last.and_then(|last| Height(last).next()).ok_or_else(invalid)?
        }
        None => match from {
            Some(from) => Height(from),
            None => heights.borrow().next().ok_or(Problem::NoBlock { height: u64::MAX })?,
        },
    };
    let watcher = Watcher { stop: service.stop.clone(), service, heights, next: Some(next) };
    Ok(Sse::new(unfold(watcher, Watcher::step)).keep_alive(KeepAlive::default()))
}

/// Where a watcher stands; nothing is read ahead of what its client takes.
struct Watcher {
    service: Arc<Service>,
    heights: Receiver<Height>,
    stop: Receiver<bool>,
    /// The next block to be sent; none after a problem or the last height there can be.
    next: Option<Height>,
}

impl Watcher {
    /// The next event; the stream ends when the server stops or the block cannot be read.
    async fn step(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let height = self.next?;
        tokio::select! {
            reached = self.heights.wait_for(|tip| *tip >= height) => drop(reached.ok()?),
            () = stopped(&mut self.stop) => return None,
        }
        let read = move |chain: &tensor_chain::TensorChain| {
            let block = chain.get_block(height)?.ok_or(ChainError::BlockNotFound(height))?;
            Ok(answers::block_seen(&block))
        };
        let seen = self.service.look_up(read).await;
        let event = seen.and_then(|seen| {
            let event = Event::default().id(height.to_string()).event("block").json_data(&seen);
            event.map_err(|error| Problem::NodeFailed { reason: error.to_string() }.into())
        });
        match event {
            Ok(event) => {
                self.next = height.next();
                Some((Ok(event), self))
            }
            Err(Refusal(problem)) => {
                self.next = None;
                let event = Event::default().event("problem").json_data(ProblemBody::from(problem));
                Some((Ok(event.ok()?), self))
            }
        }
    }
}
