//! A server waits for services that are not up yet, needs few permissions, and stops at once at an error that waiting cannot fix.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::http::{Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::harness::files::csv;
use crate::harness::part::Part;
use crate::harness::process::until;
use crate::harness::proxy::Proxy;
use crate::harness::server::{Refusal, Server, refusal};

const SECRET: &str = "a-secret-of-the-tests";

/// What ClickHouse answers to a statement that the user may not run.
const ACCESS_DENIED: &str = "Code: 497. DB::Exception: ann: Not enough privileges. To execute this query, it's necessary to have \
                             the grant CREATE TABLE ON game_data.*. (ACCESS_DENIED) (version 25.8.1.1)";

/// Tries to start a server, and asserts that it names the error in one line. A server that waits would log more.
async fn refused(options: &[&str], text: &str) -> Refusal {
    let directory = TempDir::new().unwrap();
    let refusal = refusal(&directory.path().join("data"), options).await;
    refusal.assert(1, text);
    assert!(!refusal.stderr.contains(SECRET), "{}", refusal.stderr);
    refusal
}

/// A registry with the schema of `staging-bets`.
async fn registry_with_schema() -> (Part, TempDir) {
    let directory = TempDir::new().unwrap();
    let registry = Part::start("registry", directory.path(), &[]);
    let schema = include_str!("../../schemas/bets.avsc");
    let url = format!("{}/subjects/staging-bets-value/versions", registry.url());
    let request = reqwest::Client::new().post(url).json(&serde_json::json!({ "schema": schema }));
    assert!(request.send().await.unwrap().status().is_success());
    (registry, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_may_refuse_writes_once_the_schema_is_registered() {
    let (registry, _directory) = registry_with_schema().await;
    // A registry with users, and a registry whose proxy allows only GET.
    let no_writes = Proxy::with_rule(&registry.url(), |parts, _| {
        let writes = parts.method != Method::GET && parts.uri.path().ends_with("/versions");
        writes.then(|| (403, r#"{"error_code":40301,"message":"User is denied operation Write"}"#.to_owned()))
    })
    .await;
    let only_get = Proxy::with_rule(&registry.url(), |parts, _| {
        (parts.method != Method::GET).then(|| (405, "<html>405 Not Allowed</html>".to_owned()))
    })
    .await;
    let mut server = Server::start(&["--schema-registry-url", &no_writes.url]).await;
    let receipt = server.upload(csv(0..10), "wait=visible").await.ok();
    assert_eq!((&receipt["accepted"], &receipt["schema_id"]), (&10.into(), &1.into()), "{receipt:#}");
    server.restart_with(&["--schema-registry-url", &only_get.url]).await;
    let receipt = server.upload(csv(10..20), "wait=visible").await.ok();
    assert_eq!((&receipt["accepted"], &receipt["schema_id"]), (&10.into(), &1.into()), "{receipt:#}");
    // A topic without a registered schema.
    for registry in [&no_writes, &only_get] {
        let options = ["--schema-registry-url", &registry.url, "--kafka-topic", "other"];
        refused(&options, "the schema of other-value is not registered").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_end_the_start_at_once_and_say_what_to_correct() {
    let (registry, _directory) = registry_with_schema().await;
    let locked = Proxy::with_rule(&registry.url(), |_, _| {
        Some((401, r#"{"error_code":40101,"message":"User cannot be authenticated"}"#.to_owned()))
    })
    .await;
    let url = locked.url.replace("http://", &format!("http://ann:{SECRET}@"));
    let refusal = refused(&["--schema-registry-url", &url], "check the user and password in its URL").await;
    assert!(refusal.stderr.contains(&format!("the schema registry at {}", locked.url)), "{}", refusal.stderr);

    let directory = TempDir::new().unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let url = clickhouse.url().replace("http://", &format!("http://ann:{SECRET}@"));
    let text = "rejected the user name or password; check --clickhouse-user and --clickhouse-password";
    let refusal = refused(&["--clickhouse-url", &url], text).await;
    assert!(refusal.stderr.contains(&format!("ClickHouse at {}", clickhouse.url())), "{}", refusal.stderr);
    let proxied = Proxy::with_rule(&clickhouse.url(), |_, _| {
        Some((401, "<html><head><title>401 Authorization Required</title>".to_owned()))
    })
    .await;
    refused(&["--clickhouse-url", &proxied.url], text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_a_registry_or_without_tls_is_reported_at_once() {
    let (registry, _directory) = registry_with_schema().await;
    let wrong_path = format!("{}/api/v1", registry.url());
    refused(&["--schema-registry-url", &wrong_path], "not from a schema registry").await;
    let tls = registry.url().replace("http://", &format!("https://ann:{SECRET}@"));
    refused(&["--schema-registry-url", &tls], "no TLS connection to the schema registry").await;
    refused(&["--clickhouse-url", &tls], "no TLS connection to ClickHouse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_waits_for_a_registry_that_comes_up_late() {
    let (registry, _directory) = registry_with_schema().await;
    let refusals = Arc::new(AtomicU32::new(0));
    let counted = refusals.clone();
    let late = Proxy::with_rule(&registry.url(), move |_, _| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Some((502, "<html>502 Bad Gateway</html>".to_owned())),
        1 => {
            Some((500, r#"{"error_code":50003,"message":"Error while forwarding to the leader"}"#.to_owned()))
        }
        2 => Some((503, String::new())),
        _ => None,
    })
    .await;
    let server = Server::start(&["--schema-registry-url", &late.url]).await;
    assert!(refusals.load(Ordering::SeqCst) > 3);
    assert!(server.output().contains("waiting for the schema registry"), "{}", server.output());
    server.until_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_user_without_create_is_enough_once_the_tables_exist() {
    let owner = Server::start(&[]).await;
    let reader = Proxy::with_rule(&owner.addresses.clickhouse_url, |_, body| {
        let statement = String::from_utf8_lossy(body);
        let first = statement.lines().find(|line| !line.starts_with("--")).unwrap_or_default();
        let changes = ["CREATE ", "ALTER "].iter().any(|start| first.starts_with(start));
        changes.then(|| (403, ACCESS_DENIED.to_owned()))
    })
    .await;
    // It loads its own topics into tables that the other server has created.
    owner.upload(csv(0..10), "wait=visible").await.ok();
    let server = Server::start(&["--kafka-topic", "others", "--clickhouse-url", &reader.url]).await;
    let mixed = csv(10..15) + "16,x\n";
    assert_eq!(server.upload(mixed, "wait=visible").await.ok()["state"], "visible");
    assert_eq!(owner.clickhouse("SELECT count() FROM game_rounds").await.trim(), "15");
    assert_eq!(owner.clickhouse("SELECT count() FROM rejects").await.trim(), "1");
    drop(server);
    // This server's topics have the same names in its own broker, so it must not load them into the same tables.
    let options = ["--loader", "none", "--clickhouse-url", &reader.url];
    let server = Server::start(&options).await;
    server.get("/aggregates").await.ok();
    drop(server);
    for (change, named) in [
        ("ALTER TABLE game_rounds DROP COLUMN recounted", "lacks game_rounds.recounted"),
        ("DROP TABLE upload_counts", "upload_counts"),
    ] {
        let view = "ALTER TABLE hourly_aggregates_view MODIFY QUERY SELECT toStartOfHour(created_timestamp) AS created_hour, \
                    user_id, game_id, count() AS rounds_played FROM game_rounds GROUP BY created_hour, user_id, game_id";
        owner.clickhouse(view).await;
        owner.clickhouse(change).await;
        let refusal = refused(&options, "this ClickHouse user may not create tables").await;
        for missing in [
            named,
            "the query of hourly_aggregates_view",
            "start the server once as a user who may create them",
        ] {
            assert!(refusal.stderr.contains(missing), "{}", refusal.stderr);
        }
    }
    // The server does not change incomplete tables, even if it has the right to.
    for change in [
        "ALTER TABLE reconcile_jobs MODIFY COLUMN state Enum8('queued' = 1, 'running' = 2, 'done' = 3)",
        "ALTER TABLE hourly_aggregates DROP PROJECTION by_game SETTINGS mutations_sync = 1",
    ] {
        owner.clickhouse(change).await;
    }
    let options = ["--loader", "none", "--clickhouse-url", &owner.addresses.clickhouse_url];
    let refusal = refused(&options, "of another version of roundhouse and lack").await;
    for missing in
        ["game_rounds.recounted", "the type of reconcile_jobs.state", "by_game of hourly_aggregates"]
    {
        assert!(refusal.stderr.contains(missing), "{}", refusal.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_url_is_used_and_appears_nowhere() {
    let (registry, _directory) = registry_with_schema().await;
    let directory = TempDir::new().unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let is_away = Arc::new(AtomicBool::new(false));
    let away = |is_away: &Arc<AtomicBool>| {
        let is_away = is_away.clone();
        move || is_away.load(Ordering::SeqCst).then(|| (503, "down".to_owned()))
    };
    let (registry_away, clickhouse_away) = (away(&is_away), away(&is_away));
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("ann:{SECRET}")));
    let registry = Proxy::with_rule(&registry.url(), move |parts, _| {
        let known = parts.headers.get(header::AUTHORIZATION).is_some_and(|value| *value == basic);
        if known { registry_away() } else { Some((401, "who?".to_owned())) }
    })
    .await;
    let clickhouse = Proxy::with_rule(&clickhouse.url(), move |parts, _| {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let known = (header("x-clickhouse-user"), header("x-clickhouse-key")) == (Some("ann"), Some(SECRET));
        if known { clickhouse_away() } else { Some((403, "Code: 516. DB::Exception: who?".to_owned())) }
    })
    .await;
    let with_secret = |url: &str| url.replace("http://", &format!("http://ann:{SECRET}@"));
    let (registry_url, clickhouse_url) = (with_secret(&registry.url), with_secret(&clickhouse.url));
    let options = ["--schema-registry-url", &registry_url, "--clickhouse-url", &clickhouse_url];
    let server = Server::start(&[&options[..], &["--log", "debug"]].concat()).await;
    assert_eq!(server.addresses.schema_registry_url, registry.url);
    assert_eq!(server.addresses.clickhouse_url, clickhouse.url);
    let mut said = vec![format!("{:?}", server.upload(csv(0..10), "wait=visible").await.ok())];

    is_away.store(true, Ordering::SeqCst);
    for path in ["/readyz", "/metrics", "/aggregates", "/uploads", "/openapi.json"] {
        said.push(format!("{:?}", server.get(path).await));
    }
    until("the registry's answer is old", async || {
        let answer = server.upload(csv(10..20), "").await;
        said.push(format!("{answer:?}"));
        (answer.body["code"] == "registry_unavailable").then_some(())
    })
    .await;
    said.push(server.output());
    let revealing: Vec<&String> = said.iter().filter(|text| text.contains(SECRET)).collect();
    assert!(revealing.is_empty(), "{revealing:#?}");
    assert!(said.iter().any(|text| text.contains(&registry.url)), "the log has the URL without the password");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_and_embedded_parts_that_others_can_use_are_one_warning_each() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    // No machine has this address (RFC 5737), so the start fails after the warnings.
    let parts = [
        ("--embedded-kafka-listen", "192.0.2.1:9092", "broker"),
        ("--embedded-registry-listen", "192.0.2.1:8081", "registry"),
        ("--embedded-clickhouse-listen", "192.0.2.1:8123", "clickhouse"),
    ];
    let options: Vec<&str> = parts.iter().flat_map(|(option, address, _)| [*option, *address]).collect();
    let refused = refusal(&data, &options).await;
    assert_eq!(refused.exit_code, Some(1), "{}", refused.stderr);
    let lines_with = |text: &str| refused.stderr.lines().filter(|line| line.contains(text)).count();
    for (option, address, part) in parts {
        assert_eq!(
            lines_with(&format!("{option} {address} is not a loopback address")),
            1,
            "{}",
            refused.stderr
        );
        assert_eq!(lines_with(&format!("embedded {part}, which asks for no key")), 1, "{}", refused.stderr);
    }
    let open = format!("other users of this machine can change the data directory {}", data.display());
    assert_eq!(lines_with(&open), 1, "{}", refused.stderr);
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o777);

    // A directory that Roundhouse creates, and loopback addresses, give no warning.
    let server = Server::start(&[]).await;
    assert!(
        !server.output().contains("other users") && !server.output().contains("loopback"),
        "{}",
        server.output()
    );
    let documentation = format!("  Documentation    {}/docs\n", server.addresses.api);
    assert!(server.output().contains(&documentation), "{}", server.output());
}
