//! Each address: what it answers, and what it refuses.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tensor_chain::{ChainId, NodeId};
use tensor_cluster::api::Peer;
use tensor_cluster::ticket::Ticket;
use tensor_kernels::{ByteView, KMeansCodesOptions, Kernels, Thresholds};
use tensor_node::http::HttpConfig;
use tensor_node::http::ledger::AdminRequest;

use crate::moody::Moody;
use crate::solo::{Mood, peer};
use crate::{Node, TOKEN};

#[test]
fn values_are_bytes_and_keys_are_decoded_once() {
    let node = Node::start();
    let value: Vec<u8> = (0..=255).collect();
    for (target, key) in [
        ("/v1/kv/k", "k"),
        ("/v1/kv/a%2Fb", "a/b"),
        ("/v1/kv/%252F", "%2F"),
        ("/v1/kv/..%2F..%2Fetc%2Fpasswd", "../../etc/passwd"),
        ("/v1/kv/%C3%A9+%00", "é+\0"),
    ] {
        let put = node.put(target, &value);
        assert_eq!(put.status, 200, "{put:?}");
        assert_eq!(put.json()["hash"], node.solo.the_chain().tip_hash().to_string());
        assert_eq!(put.header("x-height"), Some(&*node.solo.the_chain().height().to_string()));
        assert_eq!(node.solo.the_chain().get(key).unwrap(), Some(value.clone()));
        let got = node.get(target);
        assert_eq!((got.status, got.body.as_slice()), (200, value.as_slice()));
        assert_eq!(got.header("content-type"), Some("application/octet-stream"));
        assert_eq!(got.header("x-height"), put.header("x-height"));
        assert_eq!(got.header("x-applied-index"), put.header("x-log-index"));
    }
    assert_eq!(node.ask("DELETE", "/v1/kv/k", "", b"").status, 200);
    let gone = node.get("/v1/kv/k");
    assert_eq!((gone.status, gone.code()), (404, "no_value".to_owned()));
    assert_eq!(node.get("/v1/kv/k?at=1").body, value);
    let above = node.get("/v1/kv/k?at=99");
    assert_eq!(
        (above.status, above.code(), &above.json()["error"]["height"]),
        (404, "no_block".into(), &json!(99))
    );
}

#[test]
fn swaps_say_what_they_found() {
    let node = Node::start();
    let swap = |body: &str| node.post("/v1/kv/k/cas", body);
    assert_eq!(swap(r#"{"new": {"text": "one"}}"#).status, 200);
    let differs = swap(r#"{"expected": {"hex": "00"}, "new": {"text": "two"}}"#);
    assert_eq!(differs.status, 409);
    let error = &differs.json()["error"];
    assert_eq!((&error["code"], &error["found"]), (&json!("value_differs"), &json!({"text": "one"})));
    assert_eq!(error["expected"], json!({"hex": "00"}));
    assert_eq!(swap(r#"{"expected": {"text": "one"}, "new": {"hex": "ff"}}"#).status, 200);
    assert_eq!(node.get("/v1/kv/k").body, [0xff]);
}

#[test]
fn a_batch_stands_whole_or_not_at_all() {
    let node = Node::start();
    node.put("/v1/kv/a", b"1");
    let begun = node.get("/v1/begin").json()["height"].as_u64().unwrap();
    assert_eq!(begun, 1);
    let batch = |begin: u64, reads: &[&str], key: &str| {
        let batch = json!({"begin_height": begin, "reads": reads, "ops": [
            {"op": "put", "key": key, "value": {"text": "v"}}, {"op": "delete", "key": "a"}]});
        node.post("/v1/batch", &batch.to_string())
    };
    assert_eq!(batch(begun, &["a"], "b").status, 200);
    let conflict = batch(begun, &["a"], "c");
    assert_eq!((conflict.status, conflict.code()), (409, "key_conflict".to_owned()));
    assert_eq!(conflict.json()["error"]["with"], 2);
    assert_eq!(node.get("/v1/kv/c").status, 404);
    let above = batch(9, &[], "d");
    assert_eq!((above.status, above.code()), (409, "begin_out_of_range".to_owned()));
    let update = node.post("/v1/batch", r#"{"ops": [{"op": "update", "key": "no", "value": {"text": ""}}]}"#);
    assert_eq!((update.status, update.code()), (409, "key_absent".to_owned()));
    let dimension = node.post("/v1/batch", r#"{"ops": [{"op": "delete", "key": "a"}], "embedding": [1, 2]}"#);
    assert_eq!((dimension.status, dimension.code()), (400, "transaction_failed".to_owned()));
    assert!(node.get("/metrics").body.windows(9).any(|part| part == b"conflicts"));
}

#[test]
fn of_many_batches_each_has_its_own_outcome() {
    let node = Node::start();
    let batch = |key: &str, op: &str| json!({"ops": [{"op": op, "key": key, "value": {"text": op}}]});
    let many = |batches: &[Value]| node.post("/v1/batches", &json!({ "batches": batches }).to_string());
    let answer = many(&[batch("a", "put"), batch("", "put"), batch("b", "update"), batch("a", "update")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let outcomes = &answer.json()["outcomes"];
    assert_eq!((&outcomes[0]["height"], &outcomes[3]["height"]), (&json!(1), &json!(2)));
    assert_eq!(outcomes[1]["error"]["code"], "transaction_failed");
    assert_eq!(outcomes[2]["error"]["code"], "key_absent");
    assert_eq!(node.get("/v1/kv/a").body, b"update");
    assert_eq!(node.get("/v1/kv/b").status, 404);
    let metrics = String::from_utf8(node.get("/metrics").body).unwrap();
    assert!(metrics.contains("tensorchain_block_commit_duration_seconds_count 2\n"), "{metrics}");

    for refused in [many(&[]), many(&vec![batch("a", "put"); 1_001])] {
        assert_eq!((refused.status, refused.code()), (400, "invalid_request".to_owned()));
    }
    node.solo.set_mood(Mood::Follows(peer("127.0.0.1:9")));
    let elsewhere = many(&[batch("c", "put"), batch("d", "put")]);
    assert_eq!((elsewhere.status, elsewhere.code()), (307, "not_leader".to_owned()));
    node.solo.set_mood(Mood::Forgets);
    assert_eq!(many(&[batch("c", "put")]).code(), "unknown_outcome");
    let mixed = many(&[batch("e", "put"), batch("", "put")]).json();
    assert_eq!(mixed["outcomes"][0]["error"]["code"], "unknown_outcome");
    assert_eq!(mixed["outcomes"][1]["error"]["code"], "transaction_failed");
}

#[test]
fn many_batches_of_a_session_have_numbers_in_a_row() {
    let node = Node::start();
    let session = node.ask("POST", "/v1/session", "", b"").json()["client_id"].as_str().unwrap().to_owned();
    let many = |first: u64, values: &[&str]| {
        let batch = |value: &&str| json!({"ops": [{"op": "put", "key": "k", "value": {"text": value}}]});
        let body = json!({ "batches": values.iter().map(batch).collect::<Vec<_>>() }).to_string();
        let headers =
            format!("content-type: application/json\r\nx-client-id: {session}\r\nx-sequence: {first}\r\n");
        node.ask("POST", "/v1/batches", &headers, body.as_bytes())
    };
    let first = many(1, &["one", "two"]);
    let again = many(2, &["other", "three"]);
    assert_eq!(first.json()["outcomes"][1], again.json()["outcomes"][0]);
    assert_eq!(node.get("/v1/kv/k").body, b"three");
    assert_eq!(node.solo.the_chain().height().0, 3);
    // What has to be asked again is asked again as a whole, and what was done before is answered as then.
    node.solo.set_mood(Mood::Forgets);
    assert_eq!(many(3, &["three", "four"]).code(), "unknown_outcome");
    node.solo.set_mood(Mood::Leads);
    assert_eq!(many(3, &["three", "four"]).json()["outcomes"][1]["height"], 4);
    let no_numbers = many(u64::MAX, &["x", "y"]);
    assert_eq!((no_numbers.status, no_numbers.code()), (400, "invalid_request".to_owned()));
}

#[test]
fn a_write_with_the_number_of_another_is_answered_and_not_applied() {
    let node = Node::start();
    let session = node.ask("POST", "/v1/session", "", b"").json()["client_id"].as_str().unwrap().to_owned();
    let put = |client: &str, number: &str, value: &[u8]| {
        let headers = format!("x-client-id: {client}\r\nx-sequence: {number}\r\n");
        node.ask("PUT", "/v1/kv/k", &headers, value)
    };
    let first = put(&session, "1", b"first");
    let again = put(&session, "1", b"second");
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(node.get("/v1/kv/k").body, b"first");
    let unknown = put("999", "1", b"x");
    assert_eq!((unknown.status, unknown.code()), (410, "session_expired".to_owned()));
    for headers in ["x-client-id: 1\r\n", "x-sequence: 1\r\n", "x-client-id: -1\r\nx-sequence: 1\r\n"] {
        let refused = node.ask("PUT", "/v1/kv/k", headers, b"");
        assert_eq!((refused.status, refused.code()), (400, "invalid_request".to_owned()), "{headers:?}");
    }
}

#[test]
fn keys_and_histories_come_in_pages() {
    let node = Node::start();
    for n in 0..5 {
        node.put(&format!("/v1/kv/k{n}"), b"v");
    }
    node.put("/v1/kv/other", b"v");
    let page = node.get("/v1/kv?prefix=k&limit=3").json();
    assert_eq!((&page["keys"], &page["more"]), (&json!(["k0", "k1", "k2"]), &json!(true)));
    let rest = node.get("/v1/kv?prefix=k&after=k2").json();
    assert_eq!((&rest["keys"], &rest["more"]), (&json!(["k3", "k4"]), &Value::Null));

    node.ask("DELETE", "/v1/kv/k0", "", b"");
    let history = node.get("/v1/history/k0").json();
    assert_eq!(
        history["changes"],
        json!([{"height": 1, "operation": "put", "value": {"text": "v"}}, {"height": 7, "operation": "delete"}])
    );
    assert_eq!(node.get("/v1/history/k0?from=2").json()["changes"].as_array().unwrap().len(), 1);
}

#[test]
fn blocks_proofs_and_searches_read_the_chain() {
    let node = Node::start();
    for value in ["a", "b", "c"] {
        node.put("/v1/kv/k", value.as_bytes());
    }
    let block = node.get("/v1/blocks/2").json();
    assert_eq!(block["operations"], json!([{"key": "k", "operation": "put", "value": {"text": "b"}}]));
    assert_eq!(block["prev_hash"], node.get("/v1/blocks/1").json()["hash"]);
    assert_eq!(node.get("/v1/blocks/4").code(), "no_block");
    assert_eq!(node.get("/v1/blocks/x").code(), "invalid_request");
    let proof = node.get("/v1/proof/k").json();
    assert_eq!(proof["block_hash"], node.solo.the_chain().tip_hash().to_string());
    let near = node.get("/v1/similar?block=1&k=1").json();
    assert!(near["blocks"].as_array().unwrap().len() == 1 && near["blocks"][0]["height"] != 1);
    let near = node.post("/v1/similar", &json!({"vector": vec![0.5; 128], "k": 2}).to_string());
    assert_eq!(near.json()["blocks"].as_array().unwrap().len(), 2);
    for refused in
        [r#"{"vector": [1, 2]}"#, r#"{"vector": [NaN]}"#, r#"{"vector": [1e999]}"#, r#"{"vector": [1e39]}"#]
    {
        assert_eq!(node.post("/v1/similar", refused).status, 400, "{refused}");
    }
    assert_eq!(node.get("/v1/drift?from=0&to=3").json()["codebook"], "of the chain");
    assert_eq!(node.get("/v1/drift?to=9").status, 404);
}

/// Whatever asks the chain something.
const READS: [&str; 8] = [
    "/v1/kv/k",
    "/v1/kv",
    "/v1/begin",
    "/v1/proof/k",
    "/v1/history/k",
    "/v1/blocks/1",
    "/v1/similar?block=1",
    "/v1/drift",
];

#[test]
fn every_read_is_linearizable_unless_asked_otherwise_and_says_what_it_saw() {
    let node = Node::start();
    node.put("/v1/kv/k", b"v");
    let vector = json!({"vector": vec![0.5; 128]}).to_string();
    let reads = |params: &str| {
        let mark = |target: &str| if target.contains('?') { '&' } else { '?' };
        let get = |target: &str| (target.to_owned(), node.get(&format!("{target}{}{params}", mark(target))));
        let posted = node.post(&format!("/v1/similar?{params}"), &vector);
        READS.iter().map(|target| get(target)).chain([("the vector".to_owned(), posted)]).collect::<Vec<_>>()
    };
    let seen = |params: &str| {
        for (what, answer) in reads(params) {
            assert_eq!(answer.status, 200, "{what}");
            let seen = (answer.header("x-height"), answer.header("x-applied-index"));
            assert_eq!(seen, (Some("1"), Some("1")), "{what}");
        }
    };
    seen("");
    for mood in [Mood::Leaderless, Mood::Follows(peer("127.0.0.1:9"))] {
        node.solo.set_mood(mood);
        for params in ["", "consistency=linearizable"] {
            for (what, answer) in reads(params) {
                assert!([307, 503].contains(&answer.status), "{what}: {answer:?}");
            }
        }
        seen("consistency=stale");
    }
    for (what, answer) in reads("consistency=fresh") {
        assert_eq!((answer.status, answer.code()), (400, "invalid_request".to_owned()), "{what}");
    }
}

#[test]
fn a_node_that_does_not_lead_says_who_does() {
    let node = Node::start();
    node.solo.set_mood(Mood::Follows(peer("127.0.0.1:9")));
    for answer in [node.put("/v1/kv/a%20b", b"v"), node.get("/v1/kv/a%20b")] {
        assert_eq!((answer.status, answer.code()), (307, "not_leader".to_owned()));
        assert_eq!(answer.header("location"), Some("http://127.0.0.1:9/v1/kv/a%20b"));
        assert_eq!(answer.json()["error"]["leader"]["http_address"], "127.0.0.1:9");
    }
    node.solo.set_mood(Mood::Follows(peer("not an address\n")));
    assert_eq!(node.put("/v1/kv/k", b"v").status, 421);
    assert_eq!(node.get("/v1/kv/k?consistency=stale").status, 404, "stale reads are served by everyone");
    for (mood, code, status) in [
        (Mood::Leaderless, "no_leader", 503),
        (Mood::Forgets, "unknown_outcome", 503),
        (Mood::Busy, "busy", 429),
    ] {
        node.solo.set_mood(mood);
        let answer = node.put("/v1/kv/k", b"v");
        assert_eq!((answer.status, &*answer.code()), (status, code));
    }
}

#[test]
fn probes_tell_a_node_without_a_leader_from_a_dead_one() {
    let node =
        Node::with_config(HttpConfig { kernels: Some(Kernels::scalar().unwrap()), ..HttpConfig::default() });
    let all = |node: &Node| {
        ["/livez", "/readyz", "/readyz?noleader", "/health", "/leader"].map(|path| node.get(path).status)
    };
    assert_eq!(all(&node), [200; 5]);
    node.solo.set_mood(Mood::Leaderless);
    assert_eq!(all(&node), [200, 503, 200, 503, 503]);
    let status = node.get("/status").json();
    assert_eq!(
        (&status["role"], &status["height"], &status["leader"]),
        (&json!("leader"), &json!(0), &Value::Null)
    );
    assert_eq!((&status["isa"], &status["handovers"]), (&json!("scalar"), &json!(2)));
}

#[test]
fn every_metric_listed_has_moved_or_names_a_state() {
    let node = Node::start();
    node.put("/v1/kv/k", b"v");
    let text = String::from_utf8(node.get("/metrics").body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "tensorchain_http_connections 1",
        "tensorchain_chain_height 1",
        "tensorchain_raft_term 3",
        "tensorchain_raft_applied_index 1",
        "tensorchain_raft_leadership_handovers_total 2",
        "tensorchain_raft_role{role=\"leader\"} 1",
        "tensorchain_raft_role{role=\"follower\"} 0",
        "tensorchain_http_requests_total{route=\"/v1/kv/{key}\",method=\"PUT\",status=\"200\"} 1",
        "tensorchain_block_commit_duration_seconds_count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_an_accelerator_did_not_do_is_counted_by_reason() {
    let text = |node: &Node| String::from_utf8(node.get("/metrics").body).unwrap();
    let samples = text(&Node::start()).lines().filter(|line| line.starts_with("tensorchain_kernel")).count();
    assert_eq!(samples, 0, "nothing to fall back from");

    let kernels = Kernels::detect().unwrap().with_accelerator(Arc::new(Moody::default()));
    let node = Node::with_config(HttpConfig { kernels: Some(kernels.clone()), ..HttpConfig::default() });
    let codes = [1; 9];
    for _ in 0..3 {
        let _ = kernels.cosine_conflicts(ByteView::new(&codes, 3, 3).unwrap(), &Thresholds::default());
    }
    kernels
        .kmeans_codes(
            &codes,
            3,
            &KMeansCodesOptions { k: 1, max_iterations: 1, seed: 1, exponent: 0, epoch: 0 },
        )
        .unwrap();
    let text = text(&node);
    for line in [
        "tensorchain_kernel_fallback_total{op=\"cosine_classes\",reason=\"timeout\"} 2",
        "tensorchain_kernel_fallback_total{op=\"kmeans\",reason=\"no_version\"} 1",
        "tensorchain_kernel_accelerated_total{op=\"cosine_classes\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn admin_requests_need_the_token() {
    let node = Node::start();
    let node_id = "07".repeat(32);
    let body = format!(r#"{{"node": "{node_id}"}}"#);
    let transfer = |token: &str| {
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {token}\r\n");
        node.ask("POST", "/v1/admin/transfer", &headers, body.as_bytes())
    };
    for wrong in ["", "another token, as long", &TOKEN[1..]] {
        assert_eq!(transfer(wrong).status, 401);
    }
    assert!(node.solo.admin.lock().unwrap().is_empty());
    assert_eq!(transfer(TOKEN).status, 204);
    assert_eq!(node.solo.admin.lock().unwrap()[..], [AdminRequest::TransferLeader(NodeId([7; 32]))]);
}

#[test]
fn a_learner_that_lags_is_refused_with_what_it_lacks_unless_by_force() {
    let node = Node::start();
    let promote = |body: Value| {
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {TOKEN}\r\n");
        node.ask("POST", "/v1/admin/promote", &headers, body.to_string().as_bytes())
    };
    let id = "07".repeat(32);
    let refused = promote(json!({"node": id}));
    let error = &refused.json()["error"];
    assert_eq!((refused.status, &error["code"]), (409, &json!("learner_lagging")));
    assert_eq!((&error["lag"], &error["limit"]), (&json!(250), &json!(100)));
    assert_eq!(promote(json!({"node": id, "force": true})).status, 204);
    assert_eq!(promote(json!({"node": id, "force": "yes"})).status, 400);
}

/// Calls every operation of the document with what the document says it takes.
#[test]
fn the_description_is_true() {
    let node = Node::start();
    node.put("/v1/kv/k", b"v");
    let document = node.get("/openapi.json").json();
    let mut called = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let target = path.replace("{key}", "k").replace("{height}", "0");
            let target = match path.as_str() {
                "/v1/similar" if method == "get" => format!("{target}?block=1"),
                // A stream has no end to wait for.
                "/v1/watch" => format!("{target}?from=x"),
                _ => target,
            };
            let method = method.to_uppercase();
            let id = "07".repeat(32);
            let peer = json!({"node": id, "peer_address": "a:1", "http_address": "a:2"});
            let host = Peer {
                node: NodeId([1; 32]),
                peer_address: "a:1".to_owned(),
                http_address: "a:2".to_owned(),
            };
            let ticket = Ticket::issue(ChainId([2; 32]), vec![host], u64::MAX).unwrap().encode().unwrap();
            let body = match path.as_str() {
                "/v1/batch" => json!({"ops": [{"op": "put", "key": "b", "value": {"text": "v"}}]}),
                "/v1/batches" => json!({"batches": [{"ops": [{"op": "delete", "key": "b"}]}]}),
                "/v1/kv/{key}/cas" => json!({"new": {"text": "v"}}),
                "/v1/similar" => json!({"vector": vec![1.0; 128]}),
                "/v1/admin/initialize" => json!({"members": [peer]}),
                "/v1/admin/learners" => peer,
                "/v1/admin/tickets" => json!({"valid_for_s": 60}),
                "/v1/join" => json!({"ticket": ticket, "peer": peer}),
                _ => json!({"node": id}),
            };
            let headers = format!("content-type: application/json\r\nauthorization: Bearer {TOKEN}\r\n");
            let has_body = operation.get("requestBody").is_some();
            let body = if has_body { body.to_string() } else { String::new() };
            let answer = node.ask(&method, &target, &headers, body.as_bytes());
            let listed = operation["responses"].as_object().unwrap();
            let expected = ["/v1/watch", "/v1/kv/{key}/cas"].contains(&path.as_str());
            assert!(
                listed.contains_key(&answer.status.to_string())
                    || expected && (400..500).contains(&answer.status),
                "{method} {target}: {answer:?}"
            );
            let described =
                listed.get(&answer.status.to_string()).and_then(|listed| listed["headers"].as_object());
            for header in described.into_iter().flat_map(|headers| headers.keys()) {
                assert!(answer.header(header).is_some(), "{method} {target}: {header} is not in {answer:?}");
            }
            called.insert((method, path.clone()));
        }
    }
    assert_eq!(called.len(), 32);
}
