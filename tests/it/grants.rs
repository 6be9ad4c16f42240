//! The rights that docs/OPERATIONS.md lists for the ClickHouse user are enough for everything that the server does.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use crate::harness::files::{HEADER, csv, line};
use crate::harness::part::Part;
use crate::harness::repository;
use crate::harness::server::Server;
use crate::repair::repair;

/// What follows each statement of the list.
const GRANTEE: &str = " TO roundhouse;";

/// Returns the listed statements, without their grantee.
fn statements() -> Vec<String> {
    let operations = fs::read_to_string(repository().join("docs/OPERATIONS.md")).expect("docs/OPERATIONS.md");
    operations.lines().filter_map(|line| line.strip_suffix(GRANTEE)).map(str::to_owned).collect()
}

/// What the embedded ClickHouse does as its only user, unlike a server: it creates views of the running statements, and reads them.
const OF_THE_EMBEDDED_ENGINE: [&str; 2] = ["GRANT CREATE VIEW ON system.*", "GRANT SELECT ON system.*"];

/// Returns a configuration of ClickHouse that gives its user the listed rights and no others.
fn configuration() -> String {
    let listed = statements();
    let all = listed.iter().map(String::as_str).chain(OF_THE_EMBEDDED_ENGINE);
    let grants: String = all.map(|statement| format!("<query>{statement}</query>")).collect();
    assert!(grants.contains("GRANT SELECT, INSERT"), "{grants}");
    format!(
        "<clickhouse><users><default><grants replace=\"replace\">{grants}</grants></default></users></clickhouse>"
    )
}

/// Starts a server whose ClickHouse user has the listed rights.
async fn server(directory: &TempDir) -> (Part, Server) {
    let extra = directory.path().join("config.d");
    fs::create_dir(&extra).unwrap();
    fs::write(extra.join("grants.xml"), configuration()).unwrap();
    let clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let server = Server::start(&["--clickhouse-url", &clickhouse.url()]).await;
    server.until_ready().await;
    (clickhouse, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_of_the_clickhouse_user_are_enough_to_load_reconcile_and_repair() {
    let directory = TempDir::new().unwrap();
    let (_clickhouse, server) = server(&directory).await;
    let upload = server.upload(csv(0..10), "wait=visible").await.ok();
    let invalid = server.upload(csv(12..14) + "16,x\n", "wait=visible").await.ok();
    let path = |upload: &serde_json::Value, what| {
        format!("/uploads/{}/{what}", upload["upload_id"].as_str().unwrap())
    };
    assert_eq!(
        server.send(|http| http.post(server.url(&path(&invalid, "replay")))).await.ok()["still_rejected"],
        1
    );
    server.get("/aggregates?format=csv").await;
    server.get(&path(&upload, "conflicts")).await;

    // One round with another bet, one more, and none of player-2, whose hour is then empty.
    let rows: String = [0, 3, 4, 6, 7, 9, 21].map(|id| line(id, "0.25")).concat();
    let body = format!("{HEADER}\n{}{rows}", line(1, "0.75"));
    let query = format!("upload_id={}", upload["upload_id"].as_str().unwrap());
    let job = server.reconcile_body(body, &query).await;
    let job = repair(&server, job["id"].as_str().unwrap(), "prefer=file&remove=unexpected").await;
    assert_eq!((&job["repair"]["state"], &job["verdict"]), (&"done".into(), &"match".into()), "{job:#}");
    let emptied = "SELECT count() FROM hourly_aggregates FINAL WHERE user_id = 'player-2'";
    assert_eq!(server.clickhouse(emptied).await, "0", "{}", server.log());
}

/// The embedded engine does not check these rights, unlike a server: so the statements of `queries` are compared with the list.
#[test]
fn the_documented_rights_name_every_system_table_and_table_engine_of_the_queries() {
    let mut used = BTreeSet::new();
    let folders = [
        "engine/loader",
        "engine/lost_parts",
        "engine/reconcile",
        "engine/repair",
        "engine/schema",
        "engine/start",
        "engine/statements",
        "engine/status",
        "engine/uploads",
        "bets/aggregates",
        "bets/tables",
    ];
    for folder in folders {
        for entry in fs::read_dir(repository().join("queries").join(folder)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            used.extend(names_after(&text, "system.").map(|name| format!("GRANT SELECT ON system.{name}")));
            used.extend(names_after(&text, "ENGINE = ").map(|name| format!("GRANT TABLE ENGINE ON {name}")));
        }
    }
    let listed = statements();
    let listed = listed.into_iter().filter(|statement| !statement.contains("game_data"));
    assert_eq!(listed.collect::<BTreeSet<_>>(), used);
}

/// Returns each name that follows `before`.
fn names_after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(before).skip(1).filter_map(move |rest| rest.split(|c| !is_of_name(c)).next())
}
