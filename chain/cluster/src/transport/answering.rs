//! What happens on the streams that a peer opened: its messages go to the service, the answers back.
//!
//! Each stream has a task of its own, which ends with the stream: a peer that gives up a question stops the work on
//! its answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use tensor_chain::NodeId;
use tokio_util::task::TaskTracker;

use super::frame::Exchange;
use super::stream::{MessageStream, RecvHalf, StreamError};
use crate::link::PeerService;

/// Answers one peer.
pub(super) struct Answering {
    pub(super) service: Arc<dyn PeerService>,
    pub(super) peer: NodeId,
    pub(super) tasks: TaskTracker,
}

impl Answering {
    /// Starts to answer on a stream.
    pub(super) fn begin(&self, exchange: Exchange, stream: MessageStream) {
        let (service, peer) = (Arc::clone(&self.service), self.peer);
        self.tasks.spawn(async move {
            // Whoever asked knows how the stream ended; here nobody is left to tell.
            let _ = match exchange {
                Exchange::Call => answer_call(&*service, peer, stream).await,
                Exchange::Stream => answer_stream(&*service, peer, stream).await,
            };
        });
    }
}

async fn answer_call(
    service: &dyn PeerService,
    peer: NodeId,
    MessageStream { mut sender, mut receiver }: MessageStream,
) -> Result<(), StreamError> {
    let Some(request) = receiver.recv().await? else { return Ok(()) };
    let answer = tokio::select! {
        answer = service.call(peer, request) => answer,
        () = sender.given_up() => return Ok(()),
    };
    if let Some(answer) = answer {
        sender.send(answer).await?;
    }
    sender.finish();
    receiver.recv().await.map(drop) // its end
}

async fn answer_stream(
    service: &dyn PeerService,
    peer: NodeId,
    MessageStream { mut sender, receiver }: MessageStream,
) -> Result<(), StreamError> {
    let mut answers = service.stream(peer, messages(receiver));
    loop {
        let answer = tokio::select! {
            answer = answers.next() => answer,
            () = sender.given_up() => return Ok(()),
        };
        match answer {
            Some(answer) => sender.send(answer).await?,
            None => break,
        }
    }
    sender.finish();
    Ok(())
}

/// The messages of a stream until its end, or until it is given up.
fn messages(receiver: RecvHalf) -> BoxStream<'static, Bytes> {
    let next = |mut receiver: RecvHalf| async move {
        let message = receiver.recv().await.ok().flatten()?;
        Some((message, receiver))
    };
    unfold(receiver, next).boxed()
}
