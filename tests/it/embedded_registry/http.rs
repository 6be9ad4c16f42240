//! Every endpoint and every error code of the Confluent API.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST};
use serde_json::json;

use super::{Registry, accepted, answer, record, refused};

const LONG: &str = r#""long""#;
const ONE: &str =
    "{\"type\" : \"record\",\n \"name\":\"R\", \"fields\":[ {\"type\":\"int\",\"name\":\"a\"} ]}";

#[tokio::test]
async fn a_schema_has_one_id_however_it_is_written_and_wherever_it_is_registered() {
    let registry = Registry::start();
    let id = accepted(registry.register("one", ONE).await)["id"].clone();
    for (subject, schema) in [("one", ONE), ("one", &*record(&[("a", "int")])), ("two", ONE)] {
        assert_eq!(accepted(registry.register(subject, schema).await)["id"], id);
    }
    assert_eq!(accepted(registry.get("/subjects/one/versions").await), json!([1]));
    let documented = ONE.replace("\"name\":\"R\"", "\"name\":\"R\",\"doc\":\"another one\"");
    let other = accepted(registry.register("one", &documented).await)["id"].clone();
    assert_ne!(other, id);
    assert_eq!(accepted(registry.get("/subjects/one/versions").await), json!([1, 2]));
    let path = format!("/schemas/ids/{id}/versions");
    let uses = json!([{ "subject": "one", "version": 1 }, { "subject": "two", "version": 1 }]);
    assert_eq!(accepted(registry.get(&path).await), uses);
    assert_eq!(accepted(registry.get(&format!("/schemas/ids/{id}/subjects")).await), json!(["one", "two"]));
}

#[tokio::test]
async fn registered_schemas_can_be_looked_up() {
    let registry = Registry::start();
    let id = accepted(registry.register("s", ONE).await)["id"].clone();
    let text = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let version = json!({ "subject": "s", "version": 1, "id": id, "schema": text });
    for path in ["/subjects/s/versions/1", "/subjects/s/versions/latest", "/subjects/s/versions/-1"] {
        assert_eq!(accepted(registry.get(path).await), version, "{path}");
    }
    assert_eq!(accepted(registry.post_schema("/subjects/s", ONE).await), version);
    assert_eq!(accepted(registry.get(&format!("/schemas/ids/{id}")).await), json!({ "schema": text }));
    let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
    for path in [format!("/schemas/ids/{id}/schema"), "/subjects/s/versions/latest/schema".to_owned()] {
        assert_eq!(accepted(registry.get(&path).await), parsed, "{path}");
    }
    assert_eq!(accepted(registry.get("/schemas/types").await), json!(["AVRO"]));
    assert_eq!(accepted(registry.get("/contexts").await), json!(["."]));
    assert_eq!(accepted(registry.get("/").await), json!({}));
    assert_eq!(accepted(registry.get("/mode").await), json!({ "mode": "READWRITE" }));
    assert_eq!(accepted(registry.get("/mode/s?defaultToGlobal=true").await), json!({ "mode": "READWRITE" }));

    refused(registry.get("/mode/s").await, 40409);
    refused(registry.get("/subjects/nothing/versions").await, 40401);
    refused(registry.get("/subjects/nothing/versions/1").await, 40401);
    refused(registry.post_schema("/subjects/nothing", LONG).await, 40401);
    refused(registry.get("/subjects/s/versions/2").await, 40402);
    refused(registry.post_schema("/subjects/s", LONG).await, 40403);
    refused(registry.get("/schemas/ids/77").await, 40403);
    refused(registry.get("/schemas/ids/77/versions").await, 40403);
    refused(registry.get("/schemas/ids/seven").await, 404);
    for version in ["0", "-2", "2147483648", "newest"] {
        refused(registry.get(&format!("/subjects/s/versions/{version}")).await, 42202);
    }
}

#[tokio::test]
async fn subjects_can_be_listed_by_prefix_state_and_page() {
    let registry = Registry::start();
    for subject in ["b-1", "a-1", "a-2"] {
        accepted(registry.register(subject, LONG).await);
    }
    accepted(registry.delete("/subjects/a-1").await);
    for (query, expected) in [
        ("", json!(["a-2", "b-1"])),
        ("?deleted=true", json!(["a-1", "a-2", "b-1"])),
        ("?deleted=True&subjectPrefix=a", json!(["a-1", "a-2"])),
        ("?deletedOnly=true", json!(["a-1"])),
        ("?deleted=true&offset=1&limit=1", json!(["a-2"])),
        ("?limit=-1&offset=0", json!(["a-2", "b-1"])),
        ("?subjectPrefix=c", json!([])),
        ("?subjectPrefix=:*:", json!(["a-2", "b-1"])),
        ("?subjectPrefix=:.:b", json!(["b-1"])),
        ("?subjectPrefix=:.other:", json!([])),
    ] {
        assert_eq!(accepted(registry.get(&format!("/subjects{query}")).await), expected, "{query}");
    }
    refused(registry.get("/subjects?deleted=perhaps").await, 400);
    refused(registry.get("/subjects?offset=-1").await, 400);
}

#[tokio::test]
async fn invalid_avro_schemas_are_refused() {
    let registry = Registry::start();
    for schema in ["", " ", "{", "long", r#""longish""#, "[]", r#"{"type":"record","name":"R"}"#] {
        refused(registry.register("s", schema).await, 42201);
    }
    let long = json!(LONG);
    for (body, about) in [
        (json!({}), "empty"),
        (json!({ "schema": long, "schemaType": "PROTOBUF" }), "only the schemaType AVRO"),
        (
            json!({ "schema": long, "references": [{ "name": "A", "subject": "a", "version": 1 }] }),
            "references",
        ),
        (json!({ "schema": long, "metadata": {} }), "data contracts"),
        (json!({ "schema": long, "ruleSet": {} }), "data contracts"),
    ] {
        for path in ["/subjects/s/versions", "/subjects/s", "/compatibility/subjects/s/versions/latest"] {
            let message = refused(registry.send(Method::POST, path, Some(&body)).await, 42201);
            assert!(message.contains(about), "{message}");
        }
    }
    let body = json!({ "schema": long, "schemaType": "AVRO", "references": [], "version": -1, "id": -1 });
    accepted(registry.send(Method::POST, "/subjects/s/versions?normalize=true", Some(&body)).await);
}

#[tokio::test]
async fn the_registry_assigns_ids_itself() {
    let registry = Registry::start();
    let register = async |schema: &str, id: i64| {
        let body = json!({ "schema": schema, "version": 1, "id": id });
        registry.send(Method::POST, "/subjects/s/versions", Some(&body)).await
    };
    let message = refused(register(LONG, 7).await, 42205);
    assert!(message.contains("not in import mode") && message.contains("leave out the id"), "{message}");
    refused(registry.get("/subjects/s/versions").await, 40401);
    assert_eq!(accepted(register(LONG, -1).await), json!({ "id": 1 }));
    // A client may repeat what is registered, but not with another id.
    assert_eq!(accepted(register(LONG, 1).await), json!({ "id": 1 }));
    refused(register(LONG, 2).await, 42205);
    refused(register(r#""int""#, 2).await, 42205);
}

#[tokio::test]
async fn subjects_of_contexts_are_refused() {
    let registry = Registry::start();
    accepted(registry.register("s", LONG).await);
    for subject in [":.ctx:s", ":.:s", ":.ctx:", ":*:s"] {
        let message = refused(registry.register(subject, LONG).await, 42208);
        assert!(message.contains("Contexts are not supported"), "{message}");
        refused(registry.get(&format!("/subjects/{subject}/versions")).await, 42208);
        refused(registry.set_level(&format!("/config/{subject}"), "FULL").await, 42208);
    }
    accepted(registry.register("a:.b", LONG).await);
}

#[tokio::test]
async fn every_path_may_end_in_a_slash() {
    let registry = Registry::start();
    accepted(registry.register("s", LONG).await);
    for path in [
        "/",
        "/subjects",
        "/subjects/s/versions",
        "/subjects/s/versions/1",
        "/subjects/s/versions/1/schema",
        "/subjects/s/versions/1/referencedby",
        "/contexts",
        "/schemas/types",
        "/schemas/ids/1",
        "/schemas/ids/1/schema",
        "/schemas/ids/1/subjects",
        "/schemas/ids/1/versions",
        "/config",
        "/mode",
    ] {
        let expected = accepted(registry.get(path).await);
        assert_eq!(
            accepted(registry.get(&format!("{}/", path.trim_end_matches('/'))).await),
            expected,
            "{path}"
        );
        let query = format!("{}/?deleted=false", path.trim_end_matches('/'));
        assert_eq!(accepted(registry.get(&query).await), expected, "{query}");
    }
    assert_eq!(accepted(registry.post_schema("/subjects/s/versions/", LONG).await), json!({ "id": 1 }));
    accepted(registry.post_schema("/subjects/s/", LONG).await);
    accepted(registry.post_schema("/compatibility/subjects/s/versions/latest/", LONG).await);
    accepted(registry.set_level("/config/s/", "FULL").await);
    accepted(registry.get("/config/s/").await);
    accepted(registry.delete("/config/s/").await);
    accepted(registry.delete("/subjects/s/").await);
    refused(registry.get("/subjects/s/versions/").await, 40401);
    refused(registry.get("/nothing/").await, 404);
}

#[tokio::test]
async fn the_level_decides_which_schemas_are_compatible() {
    let registry = Registry::start();
    let (a, ab) = (record(&[("a", "int")]), record(&[("a", "int"), ("b", "int")]));
    for (level, adding, removing) in [
        ("BACKWARD", false, true),
        ("forward", true, false),
        ("FULL", false, false),
        ("BACKWARD_TRANSITIVE", false, true),
        ("FORWARD_TRANSITIVE", true, false),
        ("FULL_TRANSITIVE", false, false),
        ("NONE", true, true),
    ] {
        accepted(registry.set_level("/config", level).await);
        for (name, first, second, expected) in [("add", &a, &ab, adding), ("remove", &ab, &a, removing)] {
            let subject = format!("{level}-{name}");
            accepted(registry.register(&subject, first).await);
            let check = format!("/compatibility/subjects/{subject}/versions/latest?verbose=true");
            let checked = accepted(registry.post_schema(&check, second).await);
            assert_eq!(checked["is_compatible"], expected, "{subject}: {checked}");
            assert_eq!(checked["messages"].as_array().unwrap().is_empty(), expected);
            let outcome = registry.register(&subject, second).await;
            if expected {
                accepted(outcome);
            } else {
                let message = refused(outcome, 409);
                assert!(message.contains("the field 'b'") && message.contains("/fields/b"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_transitive_level_checks_all_versions() {
    let registry = Registry::start();
    let with = |default: &str| {
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":"int"{default}}}]}}"#)
    };
    let none = record(&[]);
    // Each schema can read the previous one, but the last cannot read the first.
    let chain = [none.clone(), with(r#","default":0"#), with("")];
    for (subject, level, last) in [("s", "BACKWARD", true), ("t", "BACKWARD_TRANSITIVE", false)] {
        accepted(registry.set_level(&format!("/config/{subject}"), level).await);
        accepted(registry.register(subject, &chain[0]).await);
        accepted(registry.register(subject, &chain[1]).await);
        let check = format!("/compatibility/subjects/{subject}/versions");
        assert_eq!(accepted(registry.post_schema(&check, &chain[2]).await), json!({ "is_compatible": last }));
        let first = registry.post_schema(&format!("{check}/1"), &chain[2]).await;
        assert_eq!(accepted(first), json!({ "is_compatible": false }));
        let outcome = registry.register(subject, &chain[2]).await;
        if last { drop(accepted(outcome)) } else { drop(refused(outcome, 409)) }
    }
    refused(registry.post_schema("/compatibility/subjects/s/versions/9", LONG).await, 40402);
    let unknown = registry.post_schema("/compatibility/subjects/new/versions/latest", LONG).await;
    assert_eq!(accepted(unknown), json!({ "is_compatible": true }));
}

#[tokio::test]
async fn levels_can_be_set_and_reset() {
    let registry = Registry::start();
    let level = |level: &str| json!({ "compatibilityLevel": level });
    assert_eq!(accepted(registry.get("/config").await), level("BACKWARD"));
    assert_eq!(accepted(registry.set_level("/config", "FULL").await), json!({ "compatibility": "FULL" }));
    assert_eq!(accepted(registry.get("/config").await), level("FULL"));
    refused(registry.get("/config/s").await, 40408);
    assert_eq!(accepted(registry.get("/config/s?defaultToGlobal=true").await), level("FULL"));
    accepted(registry.set_level("/config/s", "none").await);
    assert_eq!(accepted(registry.get("/config/s").await), level("NONE"));
    assert_eq!(accepted(registry.delete("/config/s").await), level("NONE"));
    refused(registry.delete("/config/s").await, 40401);
    assert_eq!(accepted(registry.delete("/config").await), level("FULL"));
    assert_eq!(accepted(registry.get("/config").await), level("BACKWARD"));
    refused(registry.set_level("/config", "SIDEWAYS").await, 42203);
    refused(registry.send(Method::PUT, "/config/s", Some(&json!({}))).await, 42203);
    let alias = json!({ "compatibility": "FULL", "alias": "t" });
    assert!(refused(registry.send(Method::PUT, "/config/s", Some(&alias)).await, 422).contains("alias"));
}

#[tokio::test]
async fn a_subject_must_be_soft_deleted_before_it_is_deleted_permanently() {
    let registry = Registry::start();
    accepted(registry.set_level("/config/s", "NONE").await);
    let first = accepted(registry.register("s", LONG).await)["id"].clone();
    let second = accepted(registry.register("s", r#""int""#).await)["id"].clone();

    refused(registry.delete("/subjects/s?permanent=true").await, 40405);
    refused(registry.delete("/subjects/s/versions/1?permanent=true").await, 40407);
    assert_eq!(accepted(registry.delete("/subjects/s/versions/1").await), json!(1));
    refused(registry.delete("/subjects/s/versions/1").await, 40406);
    refused(registry.get("/subjects/s/versions/1").await, 40402);
    assert_eq!(accepted(registry.get("/subjects/s/versions/1?deleted=true").await)["id"], first);
    assert_eq!(accepted(registry.get("/subjects/s/versions?deleted=true").await), json!([1, 2]));
    // Data with its id can still be read.
    accepted(registry.get(&format!("/schemas/ids/{first}")).await);
    refused(registry.post_schema("/subjects/s", LONG).await, 40403);
    accepted(registry.post_schema("/subjects/s?deleted=true", LONG).await);
    // Registered again, it is a new version with the same schema.
    assert_eq!(accepted(registry.register("s", LONG).await)["id"], first);
    assert_eq!(accepted(registry.get("/subjects/s/versions").await), json!([2, 3]));

    assert_eq!(accepted(registry.delete("/subjects/s/versions/1?permanent=true").await), json!(1));
    assert_eq!(accepted(registry.delete("/subjects/s/versions/latest").await), json!(3));
    assert_eq!(accepted(registry.delete("/subjects/s").await), json!([2]));
    refused(registry.delete("/subjects/s").await, 40404);
    refused(registry.get("/subjects/s/versions").await, 40401);
    refused(registry.get("/config/s").await, 40408);
    assert_eq!(accepted(registry.delete("/subjects/s?permanent=true").await), json!([2, 3]));
    refused(registry.delete("/subjects/s").await, 40401);
    refused(registry.delete("/subjects/s/versions/1").await, 40401);
    refused(registry.get(&format!("/schemas/ids/{second}")).await, 40403);

    // An id is never reused.
    let third = accepted(registry.register("t", r#""string""#).await)["id"].clone();
    assert!(third != first && third != second);
    assert_eq!(accepted(registry.register("t2", LONG).await)["id"], first);
}

#[tokio::test]
async fn answers_have_the_media_type_that_the_client_accepts() {
    let registry = Registry::start();
    let own = "application/vnd.schemaregistry.v1+json";
    for (accept, expected) in [
        ("*/*", own),
        ("application/json", "application/json"),
        ("application/vnd.schemaregistry.v1+json, application/json", own),
        ("application/vnd.schemaregistry.v1+json;q=0.5, application/json", "application/json"),
        ("text/html", own),
    ] {
        for path in ["/subjects", "/schemas/ids/77"] {
            let response = registry.request(Method::GET, path).header(ACCEPT, accept).send().await.unwrap();
            assert_eq!(response.headers()[CONTENT_TYPE], expected, "{accept} {path}");
        }
    }
    for sent in [own, "application/vnd.schemaregistry+json", "application/json; charset=utf-8"] {
        let request = registry.request(Method::POST, "/subjects/s/versions").header(CONTENT_TYPE, sent);
        accepted(answer(request.body(r#"{"schema":"\"long\""}"#)).await);
    }
}

#[tokio::test]
async fn requests_that_a_foreign_page_could_send_are_refused() {
    let registry = Registry::start();
    let body = r#"{"schema":"\"long\""}"#;
    for sent in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = registry.request(Method::POST, "/subjects/s/versions").header(CONTENT_TYPE, sent);
        refused(answer(request.body(body)).await, 415);
    }
    refused(answer(registry.request(Method::POST, "/subjects/s/versions").body(body)).await, 415);
    for host in ["evil.example", "evil.example:8081", "localhost.evil.example"] {
        refused(answer(registry.request(Method::GET, "/subjects").header(HOST, host)).await, 421);
    }
    let port = registry.part.address.port();
    for host in ["localhost".to_owned(), format!("localhost:{port}"), format!("[::1]:{port}")] {
        accepted(answer(registry.request(Method::GET, "/subjects").header(HOST, host)).await);
    }
    assert_eq!(accepted(registry.get("/subjects").await), json!([]));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_the_same_format() {
    let registry = Registry::start();
    refused(registry.get("/nothing").await, 404);
    refused(registry.get("/subjects//versions").await, 42208);
    refused(registry.send(Method::PUT, "/subjects/s/versions", None).await, 405);
    refused(registry.send(Method::PUT, "/mode", Some(&json!({ "mode": "READONLY" }))).await, 405);
}
