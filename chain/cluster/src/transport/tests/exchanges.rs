//! What peers that keep to the rules can rely on.

use std::pin::pin;

use futures_util::poll;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::*;
use crate::link::{Answers, MAX_FRAME_BYTES};

/// Requests that are sent one by one.
async fn ask(from: &Node, to: &Peer, channel: Channel) -> (mpsc::Sender<Bytes>, Answers) {
    let (sender, receiver) = mpsc::channel(1);
    let next = |mut receiver: mpsc::Receiver<Bytes>| async { Some((receiver.recv().await?, receiver)) };
    let requests = stream::unfold(receiver, next).boxed();
    (sender, soon(from.transport.stream(to, channel, requests)).await.unwrap())
}

#[tokio::test]
async fn calls_are_answered_or_refused_on_both_channels() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    for channel in [Channel::Urgent, Channel::Bulk] {
        let call = |request| soon(a.transport.call(&b.peer, channel, request));
        assert_eq!(call(Bytes::from("yes")).await, Ok(Bytes::from("yes")));
        assert_eq!(call(Bytes::new()).await, Ok(Bytes::new()));
        assert_eq!(call(Bytes::from("no")).await, Err(LinkError::Refused { node: id(2) }));
        let longest = noise(MAX_FRAME_BYTES, 1);
        assert_eq!(call(longest.clone()).await, Ok(longest));
        let longer = call(noise(MAX_FRAME_BYTES + 1, 1)).await;
        assert!(matches!(longer, Err(LinkError::Unreachable { .. })), "{longer:?}");
    }
}

#[tokio::test]
async fn a_stream_is_answered_while_it_is_asked_and_ends_with_the_requests() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    let (requests, mut answers) = ask(&a, &b.peer, Channel::Urgent).await;
    for number in 0..100_u8 {
        let request = Bytes::from(vec![number; 7 * usize::from(number)]);
        requests.send(request.clone()).await.unwrap();
        assert_eq!(soon(answers.next()).await, Some(Ok(request)));
    }
    drop(requests);
    assert_eq!(soon(answers.next()).await, None);
}

#[tokio::test]
async fn a_service_that_will_not_go_on_ends_the_answers() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    let (requests, mut answers) = ask(&a, &b.peer, Channel::Urgent).await;
    requests.send(Bytes::from("yes")).await.unwrap();
    requests.send(Bytes::from("no")).await.unwrap();
    assert_eq!(soon(answers.next()).await, Some(Ok(Bytes::from("yes"))));
    assert_eq!(soon(answers.next()).await, None);
    soon(requests.closed()).await; // nobody goes on asking
}

#[tokio::test]
async fn much_arrives_whole_and_in_order() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    let message = |number: usize| match number % 100 {
        0 => noise(1 << 20, number as u64),
        short => Bytes::from(vec![short as u8; number % 1_000]),
    };
    let requests = stream::iter((0..3_000).map(message)).boxed();
    let mut answers = soon(a.transport.stream(&b.peer, Channel::Bulk, requests)).await.unwrap();
    for number in 0..3_000 {
        assert!(soon(answers.next()).await == Some(Ok(message(number))), "message {number}");
    }
    assert_eq!(soon(answers.next()).await, None);
}

#[tokio::test]
async fn hundreds_of_calls_share_a_connection() {
    let (a, b) = (Node::start(1, &[], Echo).await, Node::start(2, &[1], Echo).await);
    let call = |number: usize| {
        let request = noise(number, 9);
        let answer = a.transport.call(&b.peer, Channel::Urgent, request.clone());
        async move { answer.await == Ok(request) }
    };
    let all = futures_util::future::join_all((0..500).map(call));
    assert!(soon(all).await.into_iter().all(|whole| whole));
}

#[tokio::test]
async fn who_gives_up_a_question_stops_the_work_on_it() {
    let (a, stuck) = (Node::start(1, &[], Echo).await, Stuck::default());
    let watched = Stuck(Arc::clone(&stuck.0));
    let b = Node::start(2, &[1], stuck).await;
    {
        let mut call = pin!(a.call(&b.peer, "anyone?"));
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            () = soon(watched.until(1)) => {}
        }
    }
    soon(watched.until(0)).await;

    let (requests, answers) = ask(&a, &b.peer, Channel::Urgent).await;
    requests.send(Bytes::from("anyone?")).await.unwrap();
    soon(watched.until(1)).await;
    drop(answers);
    soon(watched.until(0)).await;
    soon(requests.closed()).await;
}

#[tokio::test]
async fn a_reader_that_is_stuck_holds_up_nobody_else() {
    let (a, stuck) = (Node::start(1, &[], Echo).await, Stuck::default());
    let watched = Stuck(Arc::clone(&stuck.0));
    let b = Node::start(2, &[1], stuck).await;
    let c = Node::start(3, &[1], Echo).await;

    let (requests, mut answers) = ask(&a, &b.peer, Channel::Bulk).await;
    // What is accepted is bounded by the window and what waits on the way to it.
    let mut accepted = 0;
    let mut full = false;
    while !full {
        tokio::select! {
            biased;
            sent = requests.send(noise(1 << 20, 3)) => {
                sent.unwrap();
                accepted += 1;
            }
            // The other messages had every chance to move while this one went there and back.
            answer = async {
                for _ in 0..50 { a.call(&c.peer, "still there?").await.unwrap(); }
            } => { let () = answer; full = true; }
        }
        assert!(accepted <= 8, "{accepted} MiB accepted for a reader that is stuck");
    }
    assert!(accepted >= 4);
    assert!(poll!(answers.next()).is_pending());

    // Neither its own other streams nor its other connection wait.
    let urgent = a.transport.call(&b.peer, Channel::Urgent, Bytes::from("you?"));
    let bulk = a.transport.call(&b.peer, Channel::Bulk, Bytes::from("you?"));
    tokio::select! {
        answer = urgent => panic!("{answer:?}"),
        answer = bulk => panic!("{answer:?}"),
        () = soon(watched.until(3)) => {} // both calls, and the stream before them
    }
}
