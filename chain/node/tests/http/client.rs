//! The client crate against real servers: what it sends again, what it does not, and what it says when it cannot know.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use tensor_chain::MAX_VALUE_BYTES;
use tensor_client::text::Data;
use tensor_client::wire::{Batch, Operation, Problem};
use tensor_client::{Client, ClientConfig, ClientError, Consistency};
use tokio::runtime::Runtime;

use crate::Node;
use crate::solo::{Mood, peer};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client that gives up soon.
fn hasty(endpoints: &[String]) -> Client {
    let config =
        ClientConfig { attempt_timeout: Duration::from_millis(500), deadline: Duration::from_millis(1_000) };
    Client::with_config(endpoints, config).unwrap()
}

/// An address where nobody listens.
pub fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[test]
fn every_question_and_every_write() {
    let node = Node::start();
    let client = Client::new([node.url()]).unwrap();
    runtime().block_on(async {
        let key = "a/b %é?";
        assert_eq!(client.put(key, "one").await.unwrap().height, 1);
        let found = client.get(key).await.unwrap();
        assert_eq!((found.value, found.height), (Some(b"one".to_vec()), 1));
        client.cas(key, Some(b"one"), &[0xff]).await.unwrap();
        let refused = client.cas(key, None, b"x").await.unwrap_err();
        assert!(matches!(refused.problem(), Some(Problem::ValueDiffers { .. })), "{refused}");
        assert_eq!(client.list("a/", None).await.unwrap().keys, [key]);
        client.delete(key).await.unwrap();
        assert_eq!(client.get(key).await.unwrap().value, None);
        let batch =
            |operation| Batch { begin_height: None, reads: vec![], ops: vec![operation], embedding: None };
        let value = Data::of(b"value");
        let put = Operation::Put { key: "many".to_owned(), value: value.clone() };
        let update = Operation::Update { key: "absent".to_owned(), value };
        let many = vec![batch(put), batch(update)];
        let outcomes = client.session().await.unwrap().commit_many(many).await.unwrap();
        assert_eq!(outcomes[0].as_ref().map(|receipt| receipt.height), Ok(4));
        assert_eq!(outcomes[1], Err(Problem::KeyAbsent { key: "absent".to_owned() }));
        let before = client.get_with(key, Some(2), Consistency::Stale).await.unwrap();
        assert_eq!(before.value, Some(vec![0xff]));
        assert_eq!(client.history(key, 0).await.unwrap().changes.len(), 3);
        assert_eq!(client.block(3).await.unwrap().operations.len(), 1);
        assert_eq!(client.prove(key).await.unwrap().key, key);
        assert_eq!(client.similar_to_block(1, 2).await.unwrap().blocks.len(), 2);
        assert_eq!(client.similar_to_vector(vec![0.5; 128], 1).await.unwrap().blocks.len(), 1);
        assert_eq!(client.drift(None, None).await.unwrap().to, 4);
        assert_eq!(client.status().await.unwrap().height, 4);
    });
}

/// JSON would take six bytes for each as text, which is more than a body may have.
#[test]
fn the_largest_value_may_be_all_zeros() {
    let zeros = vec![0; MAX_VALUE_BYTES];
    let node = Node::start();
    let client = Client::new([node.url()]).unwrap();
    runtime().block_on(async {
        let value = Data::of(&zeros);
        let put = Operation::Put { key: "committed".to_owned(), value };
        let batch = Batch { begin_height: None, reads: vec![], ops: vec![put], embedding: None };
        client.commit(&batch).await.unwrap();
        client.cas("swapped", None, &zeros).await.unwrap();
        let mut workspace = client.begin().await.unwrap();
        workspace.put("in a workspace", &zeros);
        workspace.commit().await.unwrap();
        for key in ["committed", "swapped", "in a workspace"] {
            assert_eq!(client.get(key).await.unwrap().value.as_ref(), Some(&zeros), "{key}");
        }
    });
}

#[test]
fn a_workspace_sees_its_beginning_and_its_own_writes_and_conflicts_are_named() {
    let node = Node::start();
    let client = Client::new([node.url()]).unwrap();
    runtime().block_on(async {
        client.put("a", "1").await.unwrap();
        let mut mine = client.begin().await.unwrap();
        let mut late = client.begin().await.unwrap();
        client.put("other", "x").await.unwrap();
        assert_eq!(mine.get("a").await.unwrap(), Some(b"1".to_vec()));
        assert_eq!(mine.get("other").await.unwrap(), None);
        mine.put("a", [0xff]);
        assert_eq!(mine.get("a").await.unwrap(), Some(vec![0xff]));
        mine.delete("b");
        assert_eq!(mine.get("b").await.unwrap(), None);
        // It looked at `other`, which was written since.
        let refused = mine.commit().await.unwrap_err();
        assert!(matches!(refused.problem(), Some(Problem::KeyConflict { key, with: 2 }) if key == "other"));

        late.put("c", "3");
        late.set_embedding(vec![0.25; 128]);
        let session = client.session().await.unwrap();
        assert_eq!(late.commit_in(&session).await.unwrap().height, 3);
    });
}

#[test]
fn a_client_may_be_content_with_what_a_node_has_applied() {
    let node = Node::start();
    let client = hasty(&[node.url()]);
    runtime().block_on(async {
        client.put("k", "v").await.unwrap();
        node.solo.set_mood(Mood::Leaderless);
        assert!(client.drift(None, None).await.is_err());
        let stale = client.with_consistency(Consistency::Stale);
        assert_eq!(stale.get("k").await.unwrap().value, Some(b"v".to_vec()));
        assert_eq!(stale.list("", None).await.unwrap().keys, ["k"]);
        assert_eq!(stale.history("k", 0).await.unwrap().changes.len(), 1);
        assert_eq!(stale.prove("k").await.unwrap().key, "k");
        assert_eq!(stale.block(1).await.unwrap().height, 1);
        assert_eq!(stale.similar_to_block(1, 1).await.unwrap().blocks.len(), 1);
        assert_eq!(stale.similar_to_vector(vec![0.5; 128], 1).await.unwrap().blocks.len(), 1);
        assert_eq!(stale.drift(None, None).await.unwrap().to, 1);
        assert!(stale.begin().await.is_err(), "a transaction begins at the newest state");
    });
}

#[test]
fn the_leader_is_followed_and_then_asked_first() {
    let leader = Node::start();
    let follower = Node::start();
    follower.solo.set_mood(Mood::Follows(peer(&leader.address.to_string())));
    let client = Client::new([nobody(), follower.url()]).unwrap();
    runtime().block_on(async {
        client.put("k", "v").await.unwrap();
        client.put("k", "w").await.unwrap();
    });
    assert_eq!(leader.solo.submissions(), 2);
    assert_eq!(follower.solo.submissions(), 1);
}

#[test]
fn nodes_that_name_each_other_are_not_followed_for_ever() {
    let [one, two] = [Node::start(), Node::start()];
    one.solo.set_mood(Mood::Follows(peer(&two.address.to_string())));
    two.solo.set_mood(Mood::Follows(peer(&one.address.to_string())));
    let client = hasty(&[one.url()]);
    let failed = runtime().block_on(client.put("k", "v")).unwrap_err();
    assert!(matches!(failed, ClientError::Unavailable { .. }), "{failed}");
    let asked = one.solo.submissions() + two.solo.submissions();
    assert!(asked < 50, "{asked} times in a second");
}

#[test]
fn a_write_of_unknown_outcome_is_repeated_in_a_session_only() {
    let node = Node::start();
    let client = hasty(&[node.url()]);
    runtime().block_on(async {
        let session = client.session().await.unwrap();
        node.solo.set_mood(Mood::Forgets);
        let unknown = client.put("k", "bare").await.unwrap_err();
        assert!(unknown.is_unknown(), "{unknown}");
        assert_eq!(node.solo.submissions(), 1);

        let (written, ()) = tokio::join!(session.put("k", "in session"), async {
            // The write before, and two attempts without an outcome; then the cluster is well again.
            node.solo.submitted(3).await;
            node.solo.set_mood(Mood::Leads);
        });
        assert_eq!(written.unwrap().height, 2, "applied by the first attempt and never again");
        assert_eq!(node.solo.the_chain().height().0, 2);
    });
}

/// The write was applied by the first attempt; that its number is not remembered later takes nothing back.
#[test]
fn what_is_refused_after_an_attempt_of_unknown_outcome_stays_unknown() {
    let put = |key: &str| Batch {
        begin_height: None,
        reads: vec![],
        ops: vec![Operation::Put { key: key.to_owned(), value: Data::of(b"v") }],
        embedding: None,
    };
    let node = Node::start();
    let client = Client::new([node.url()]).unwrap();
    // When another attempt has come, the answer to the first has.
    let forgotten_when_repeated = async |writes: u64| {
        node.solo.submitted(writes).await;
        node.solo.forget_sessions();
        node.solo.set_mood(Mood::Leads);
    };
    runtime().block_on(async {
        let session = client.session().await.unwrap();
        node.solo.set_mood(Mood::Forgets);
        let (written, ()) = tokio::join!(session.put("k", "v"), forgotten_when_repeated(2));
        assert!(written.as_ref().is_err_and(ClientError::is_unknown), "{written:?}");
        let refused = session.put("k", "w").await.unwrap_err();
        assert_eq!(refused.problem(), Some(&Problem::SessionExpired), "nothing was tried before");

        let session = client.session().await.unwrap();
        node.solo.set_mood(Mood::Forgets);
        let before = node.solo.submissions();
        let many = session.commit_many(vec![put("l"), put("m")]);
        let (written, ()) = tokio::join!(many, forgotten_when_repeated(before + 3));
        assert_eq!(written.unwrap(), [Err(Problem::UnknownOutcome), Err(Problem::UnknownOutcome)]);
    });
    assert_eq!(node.solo.the_chain().height().0, 3);
}

#[test]
fn a_busy_or_leaderless_cluster_is_asked_again_because_nothing_was_done() {
    let node = Node::start();
    let client = Client::new([node.url()]).unwrap();
    for mood in [Mood::Busy, Mood::Leaderless] {
        node.solo.set_mood(mood);
        let before = node.solo.submissions();
        runtime().block_on(async {
            let (written, ()) = tokio::join!(client.put("k", "v"), async {
                node.solo.submitted(before + 2).await;
                node.solo.set_mood(Mood::Leads);
            });
            written.unwrap();
        });
    }
    assert_eq!(node.solo.the_chain().height().0, 2);
}

/// A server that takes a request, says something or nothing, and dies.
fn dies(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(answer);
    });
    url
}

#[test]
fn a_server_that_dies_leaves_a_write_unknown_and_a_read_to_others() {
    let node = Node::start();
    node.put("/v1/kv/k", b"v");
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{\"height\": 9",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwhat",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"no http",
    ] {
        let what = String::from_utf8_lossy(answer);
        let write = runtime().block_on(hasty(&[dies(answer)]).put("k", "w")).unwrap_err();
        assert!(write.is_unknown(), "{what:?}: {write}");
        if !answer.ends_with(b"what") {
            let read = runtime().block_on(hasty(&[dies(answer), node.url()]).get("k"));
            assert_eq!(read.unwrap().value, Some(b"v".to_vec()), "{what:?}");
        }
    }
    let unreachable = runtime().block_on(hasty(&[nobody()]).put("k", "w")).unwrap_err();
    assert!(matches!(unreachable, ClientError::Unavailable { .. }), "{unreachable}");
    node.solo.set_mood(Mood::Hangs);
    let hangs = runtime().block_on(hasty(&[node.url()]).put("k", "w")).unwrap_err();
    assert!(hangs.is_unknown(), "{hangs}");
}

/// Or else one node that takes requests and answers none would be asked first for ever.
#[test]
fn a_server_that_does_not_answer_is_not_asked_first_again() {
    let (silent, node) = (Node::start(), Node::start());
    let client = hasty(&[silent.url(), node.url()]);
    silent.solo.set_mood(Mood::Hangs);
    runtime().block_on(async {
        assert!(client.put("k", "v").await.unwrap_err().is_unknown());
        client.put("k", "w").await.unwrap();
    });
}
