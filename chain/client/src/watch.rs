//! Blocks as they come: a stream of server-sent events that goes on where it was when a connection ends.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use crate::endpoint::{Endpoint, with_query};
use crate::error::{AttemptError, ClientError};
use crate::exchange::{Exchange, FIRST_PAUSE, LONGEST_PAUSE, Request};
use crate::wire::{BlockSeen, Problem, ProblemBody};

/// Most bytes of one event: the keys of a block of 1 MiB, escaped.
const MAX_EVENT_BYTES: usize = 16 << 20;
/// How long a connection may say nothing. Nodes send a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// A stream of blocks, each once and in order.
#[derive(Debug)]
pub struct Watch {
    exchange: Arc<Exchange>,
    next: u64,
    stream: Option<Stream>,
    /// How long to wait when the present connection turns out to be of no use.
    pause: Duration,
    /// The node that said last that it cannot go on, and since when nodes have said nothing else.
    failing: Option<(Endpoint, Instant)>,
}

impl Watch {
    pub(crate) const fn new(exchange: Arc<Exchange>, from: u64) -> Self {
        Self { exchange, next: from, stream: None, pause: FIRST_PAUSE, failing: None }
    }

    /// The next block, as soon as there is one. A connection that ends is opened anew, at another node if need be, and
    /// at another one if a node says that it cannot go on. Nothing is lost when this is dropped and called again.
    ///
    /// # Errors
    /// No node could be reached, or all that could said that they cannot go on, for as long as the client's deadline.
    pub async fn next(&mut self) -> Result<BlockSeen, ClientError> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let target = with_query("/v1/watch", &[("from", Some(self.next.to_string()))]);
                    let failed = self.failing.as_ref().map(|(endpoint, _)| endpoint);
                    let (endpoint, body) = self.exchange.open_stream(&Request::read(target), failed).await?;
                    self.stream.insert(Stream { endpoint, body, events: Events::default() })
                }
            };
            let others_may = match stream.event().await {
                // A node may be behind the one before: it begins where it was asked to, all the same.
                Some(Event::Block(block)) if block.height == self.next => {
                    (self.next, self.pause) = (self.next.saturating_add(1), FIRST_PAUSE);
                    self.failing = None;
                    return Ok(block);
                }
                Some(Event::Problem(ProblemBody { error })) => {
                    let endpoint = stream.endpoint.clone();
                    self.cannot_go_on(endpoint, error.problem)
                }
                _ => {
                    self.failing = None;
                    Ok(())
                }
            };
            self.stream = None;
            others_may?;
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Remembers that a node cannot go on, or fails if nodes have said so for too long.
    fn cannot_go_on(&mut self, endpoint: Endpoint, problem: Problem) -> Result<(), ClientError> {
        let since = self.failing.take().map_or_else(Instant::now, |(_, since)| since);
        if since.elapsed() >= self.exchange.patience() {
            let last = AttemptError::Problem { endpoint: endpoint.to_string(), problem };
            return Err(ClientError::Unavailable { last });
        }
        self.failing = Some((endpoint, since));
        Ok(())
    }
}

/// An open connection.
#[derive(Debug)]
struct Stream {
    /// Of the node that answers.
    endpoint: Endpoint,
    body: Incoming,
    events: Events,
}

/// What a node says: their data tell one from the other.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Event {
    Block(BlockSeen),
    /// It cannot read the block that comes next, and ends the stream.
    Problem(ProblemBody),
}

impl Stream {
    /// The next event; `None` where the connection is of no further use.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(data) = self.events.pop() {
                return serde_json::from_str(&data).ok();
            }
            let frame = timeout(SILENCE, self.body.frame()).await.ok()??.ok()?;
            let Ok(bytes) = frame.into_data() else { continue };
            if self.events.bytes.len() + bytes.len() > MAX_EVENT_BYTES {
                return None;
            }
            self.events.bytes.extend_from_slice(&bytes);
        }
    }
}

/// Cuts bytes into events. Of each only the data matter; a comment, the sign of life, is no event.
#[derive(Debug, Default)]
struct Events {
    bytes: Vec<u8>,
    /// How far there is no end of an event.
    searched: usize,
}

impl Events {
    /// The data of the next whole event that has any.
    fn pop(&mut self) -> Option<String> {
        loop {
            let start = self.searched.saturating_sub(1);
            self.searched = self.bytes.len();
            let found = self.bytes.get(start..)?.windows(2).position(|pair| pair == b"\n\n")?;
            let event: Vec<u8> = self.bytes.drain(..start + found + 2).collect();
            self.searched = 0;
            let event = String::from_utf8_lossy(&event);
            let data: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            if !data.is_empty() {
                return Some(data.join("\n").trim_start().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_bytes_are() {
        let text = ":\n\nid: 1\nevent: block\ndata: {\"a\": 1}\n\n:\n\ndata: {}\n\ndata: cut";
        for at in 0..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for part in [&text[..at], &text[at..]] {
                events.bytes.extend_from_slice(part.as_bytes());
                found.extend(std::iter::from_fn(|| events.pop()));
            }
            assert_eq!(found, ["{\"a\": 1}", "{}"], "cut at {at}");
        }
    }
}
