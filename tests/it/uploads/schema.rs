//! `--schema`: a schema file with other columns.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::files::csv;
use crate::harness::process::{processes, until};
use crate::harness::repository;
use crate::harness::server::{Server, refusal};
use crate::repair::repair;

/// Kills a server, and waits until its parts have ended.
async fn kill(server: &mut Server) {
    server.kill();
    until("its parts have ended", async || processes(&server.data_dir()).is_empty().then_some(())).await;
}

/// Adds the column `channel` to the tables of bets.
async fn add_channel(server: &Server) {
    for (table, column) in [
        ("game_rounds", "channel"),
        ("conflicts", "channel"),
        ("reconcile_differences", "file_channel"),
        ("reconcile_differences", "stored_channel"),
    ] {
        server.clickhouse(format!("ALTER TABLE {table} ADD COLUMN {column} Nullable(String)")).await;
    }
}

/// Writes the built-in schema with its fields changed.
fn schema(path: &Path, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let text = fs::read_to_string(repository().join("schemas/bets.avsc")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    fs::write(path, schema.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_becomes_a_new_schema_version_once_the_tables_have_it() {
    let directory = TempDir::new().unwrap();
    let channel = serde_json::json!({ "name": "channel", "type": ["null", "string"], "default": null });
    let wider = schema(&directory.path().join("wider.avsc"), |fields| fields.push(channel));
    let mut server = Server::start(&[]).await;
    server.upload(csv(0..10), "").await.ok();
    kill(&mut server).await;
    let refused = refusal(&server.data_dir(), &["--schema", &wider]).await;
    refused.assert(1, "ALTER TABLE game_data.game_rounds ADD COLUMN channel Nullable(String)");
    assert!(refused.stderr.contains("ALTER TABLE game_data.conflicts"), "{}", refused.stderr);
    let differences = "ALTER TABLE game_data.reconcile_differences ADD COLUMN file_channel Nullable(String); \
                       ALTER TABLE game_data.reconcile_differences ADD COLUMN stored_channel Nullable(String)";
    assert!(refused.stderr.contains(differences), "{}", refused.stderr);

    server.restart().await;
    add_channel(&server).await;
    server.restart_with(&["--schema", &wider]).await;
    let text =
        csv(10..20).replace(",provider\n", ",provider,channel\n").replace("Play'n GO\n", "Play'n GO,web\n");
    let receipt = server.upload(text.clone(), "wait=visible").await.ok();
    assert_eq!(
        (&receipt["accepted"], &receipt["state"]),
        (&Value::from(10), &Value::from("visible")),
        "{receipt:#}"
    );
    assert_eq!(receipt["schema_id"], 2);
    let stored = "SELECT count(), countIf(channel = 'web') FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "20\t10");
    // The new column is compared like all others.
    let set = async |channel: &str| {
        let sql = format!(
            "ALTER TABLE game_rounds UPDATE channel = '{channel}' WHERE game_instance_id = 16 SETTINGS mutations_sync = 1"
        );
        server.clickhouse(sql).await;
    };
    set("app").await;
    let job = server.reconcile_body(text.clone(), "").await;
    let fields = serde_json::json!({ "channel": { "file": "web", "stored": "app" } });
    assert_eq!((&job["different"], &job["sample"][0]["fields"]), (&Value::from(1), &fields), "{job:#}");
    set("web").await;
    // A repair loads the missing rows with it.
    server
        .clickhouse("ALTER TABLE game_rounds DELETE WHERE game_instance_id = 15 SETTINGS mutations_sync = 1")
        .await;
    let job = server.reconcile_body(text, "").await;
    assert_eq!(job["missing"], 1, "{job:#}");
    let job = repair(&server, job["id"].as_str().unwrap(), "").await;
    assert_eq!(job["verdict"], "match", "{job:#}");
    assert_eq!(server.clickhouse(stored).await, "20\t10");
    // The old schema can read messages of the new one.
    server.restart_with(&[]).await;
    let receipt = server.upload(csv(20..30), "wait=visible").await.ok();
    assert_eq!(
        (&receipt["schema_id"], &receipt["state"]),
        (&Value::from(1), &Value::from("visible")),
        "{receipt:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_schema_stops_the_start_with_the_reason() {
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().join("data");
    let path = directory.path().join("schema.avsc");
    let narrower = schema(&path, |fields| fields.retain(|field| field["name"] != "provider"));
    refusal(&data_dir, &["--schema", &narrower]).await.assert(2, "lacks the built-in column provider");
    fs::write(&path, "{").unwrap();
    refusal(&data_dir, &["--schema", &narrower]).await.assert(2, "not an Avro schema");
    refusal(&data_dir, &["--schema", "/nowhere.avsc"]).await.assert(2, "--schema /nowhere.avsc: ");
    // Nullable but without a default: a reader of old messages would have no value for it.
    let channel = serde_json::json!({ "name": "channel", "type": ["null", "string"] });
    let incompatible = schema(&path, |fields| fields.push(channel));
    let mut server = Server::start(&[]).await;
    add_channel(&server).await;
    kill(&mut server).await;
    refusal(&server.data_dir(), &["--schema", &incompatible])
        .await
        .assert(1, "incompatible with an earlier schema");
}
