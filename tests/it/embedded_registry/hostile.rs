//! Hostile input: it is refused, and the registry continues to work.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::{Registry, accepted, answer, refused};

#[tokio::test]
async fn deep_nesting_is_refused() {
    let registry = Registry::start();
    for depth in [100, 10_000, 200_000] {
        for (open, close) in [("[", "]"), (r#"{"type":"#, "}"), (r#"{"type":"array","items":"#, "}")] {
            let schema = format!("{}\"long\"{}", open.repeat(depth), close.repeat(depth));
            if schema.len() < 900_000 {
                let (status, _) = registry.post_schema("/compatibility/subjects/s/versions", &schema).await;
                assert!(status.is_success() || status == 422, "{status}");
                assert!(depth == 100 || status == 422, "{status}");
            }
        }
    }
    let body = format!(r#"{{"schema":"\"long\"","x":{}1{}}}"#, "[".repeat(400_000), "]".repeat(400_000));
    let request =
        registry.request(Method::POST, "/subjects/t/versions").header(CONTENT_TYPE, "application/json");
    let (status, answer) = answer(request.body(body)).await;
    assert!(status.is_success() || status == 400, "{answer}");
    accepted(registry.get("/subjects").await);
}

/// Each type refers to the previous one: deep, although the JSON is not nested.
#[tokio::test]
async fn long_chains_of_types_are_refused() {
    let registry = Registry::start();
    let chain = |length: u32, field: &str| {
        let mut types = vec![r#"{"type":"record","name":"R0","fields":[]}"#.to_owned()];
        for level in 1..length {
            let fields = field.replace("BELOW", &format!("R{}", level - 1));
            types.push(format!(r#"{{"type":"record","name":"R{level}","fields":[{fields}]}}"#));
        }
        format!("[{}]", types.join(","))
    };
    for field in [
        r#"{"name":"a","type":"BELOW"}"#,
        r#"{"name":"a","type":"BELOW","default":{}}"#,
        r#"{"name":"a","type":["BELOW","null"],"default":{}}"#,
        r#"{"name":"a","type":"BELOW","default":{}},{"name":"b","type":"BELOW","default":{}}"#,
    ] {
        refused(registry.register("s", &chain(4_000, field)).await, 42201);
    }
    // The parser's message about the last default contains the whole chain.
    let longest = chain(900, r#"{"name":"a","type":"BELOW"}"#);
    let wrong = r#"{"type":"record","name":"Last","fields":[{"name":"l","type":"R899","default":7}]}"#;
    let schema = format!("{},{wrong}]", longest.trim_end_matches(']'));
    assert!(refused(registry.register("s", &schema).await, 42201).contains("efault"));
    accepted(registry.register("s", r#""long""#).await);
}

/// The writer's fields lead through the chain from one end, the reader's from the other end.
#[tokio::test]
async fn a_chain_that_is_deep_only_for_readers_is_refused_when_compared() {
    let registry = Registry::start();
    let schema = |prefix: &str| {
        let mut fields = Vec::new();
        for level in 0..900_u32 {
            let below = level.checked_sub(1).map(|below| json!({ "name": "a", "type": format!("R{below}") }));
            let fields_of_type: Vec<_> = below.into_iter().collect();
            let kind = json!({ "type": "record", "name": format!("R{level}"), "fields": fields_of_type });
            fields
                .push(json!({ "name": format!("{prefix}{level}"), "type": ["null", kind], "default": null }));
        }
        fields.push(json!({ "name": "last", "type": "R899" }));
        json!({ "type": "record", "name": "Top", "fields": fields }).to_string()
    };
    accepted(registry.register("s", &schema("x")).await);
    assert!(refused(registry.register("s", &schema("y")).await, 42201).contains("deeply nested"));
    accepted(registry.get("/subjects").await);
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let registry = Registry::start();
    let schema = |size: usize| {
        json!({ "type": "record", "name": "R", "doc": "d".repeat(size), "fields": [] }).to_string()
    };
    refused(registry.register("s", &schema(1 << 20)).await, 413);
    accepted(registry.register("s", &schema(900_000)).await);
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
    let endless = reqwest::Body::wrap_stream(futures_util::StreamExt::take(chunks, 10_000));
    let request =
        registry.request(Method::POST, "/subjects/s/versions").header(CONTENT_TYPE, "application/json");
    // The server may stop reading before everything is sent.
    if let Ok(response) = request.body(endless).send().await {
        assert_eq!(response.status(), 413);
    }
    accepted(registry.get("/subjects").await);
}

#[tokio::test]
async fn bodies_that_are_not_json_or_not_utf8_are_refused() {
    let registry = Registry::start();
    for body in [&b"{"[..], b"", b"[1]", b"null", b"{\"schema\":\"\xff\"}", b"{\"schema\":7}", b"\x00"] {
        let request =
            registry.request(Method::POST, "/subjects/s/versions").header(CONTENT_TYPE, "application/json");
        refused(answer(request.body(body.to_vec())).await, 400);
    }
    refused(registry.get("/subjects/%ff%fe/versions").await, 400);
}

#[tokio::test]
async fn subject_names_may_contain_anything_except_control_characters() {
    let registry = Registry::start();
    for (path, name) in [
        ("a%2Fb%2F..%2Fc", "a/b/../c"),
        ("%F0%9F%8E%B0%20bets-%C3%A4", "🎰 bets-ä"),
        ("100%25+%3F%23", "100%+?#"),
        ("latest", "latest"),
        (&"n".repeat(1024), &"n".repeat(1024)),
    ] {
        accepted(registry.register(path, r#""long""#).await);
        let found = accepted(registry.get(&format!("/subjects/{path}/versions/latest")).await);
        assert_eq!(found["subject"], name);
        let all = accepted(registry.get("/subjects").await);
        assert!(all.as_array().unwrap().contains(&json!(name)), "{all}");
    }
    for path in ["a%00b", "a%0Ab", "%7F", "%C2%85", &"n".repeat(1025)] {
        refused(registry.register(path, r#""long""#).await, 42208);
        refused(registry.set_level(&format!("/config/{path}"), "FULL").await, 42208);
    }
}
