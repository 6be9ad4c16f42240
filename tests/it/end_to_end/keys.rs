//! API keys.

use tempfile::TempDir;

use crate::harness::files::csv;
use crate::harness::server::{Server, refusal};

const KEYS: [&str; 2] = ["first-key-0123456789", "second-key-0123456789"];

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_without_keys_is_refused() {
    let directory = TempDir::new().unwrap();
    let refusal = refusal(&directory.path().join("data"), &["--listen", "0.0.0.0:0"]).await;
    refusal.assert(2, "--api-key");
    assert!(!directory.path().join("data").exists(), "it was begun all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_is_not_printed() {
    let directory = TempDir::new().unwrap();
    let refusal = refusal(&directory.path().join("data"), &["--api-key", "t00-short"]).await;
    refusal.assert(
        2,
        "invalid value '***' for '--api-key <KEY>': a key must have 16 to 256 visible ASCII characters",
    );
    let mut from_variable = std::process::Command::new(crate::harness::ROUNDHOUSE);
    let output = from_variable.arg("serve").env("ROUNDHOUSE_API_KEYS", "t00-short").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("--api-key <KEY>"), "{said}");
    assert!(!said.contains("t00-short"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_but_health_needs_a_key() {
    let server = Server::start(&["--api-key", KEYS[0], "--api-key", KEYS[1]]).await;
    server.until_ready().await;
    for path in ["/healthz", "/readyz"] {
        server.get(path).await.ok();
    }
    for path in ["/aggregates", "/uploadcsv", "/reconcile", "/reconcile/x", "/aggregates/"] {
        let answer = server.get(path).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        answer.problem(401, "unauthorized");
    }
    server.upload(csv(0..3), "").await.problem(401, "unauthorized");

    let aggregates = server.url("/aggregates");
    for key in KEYS {
        server.send(|http| http.get(&aggregates).bearer_auth(key)).await.ok();
        server.send(|http| http.get(&aggregates).header("X-API-Key", key)).await.ok();
    }
    for wrong in ["first-key-012345678", "first-key-01234567890", "", "Bearer"] {
        server.send(|http| http.get(&aggregates).bearer_auth(wrong)).await.problem(401, "unauthorized");
        server
            .send(|http| http.get(&aggregates).header("X-API-Key", wrong))
            .await
            .problem(401, "unauthorized");
    }
    server
        .send(|http| http.get(&aggregates).basic_auth("key", Some(KEYS[0])))
        .await
        .problem(401, "unauthorized");
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "0");
}
