//! Acknowledged changes survive SIGKILL, incomplete lines and a full disk.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roundhouse_part::lifecycle::Announcement;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{accepted, answer, record, refused};
use crate::harness::part::Part;
use crate::harness::{ROUNDHOUSE, seed};

const LOG: &str = "schemas.jsonl";

/// Returns a client that opens a connection for each request, because connections to a killed registry are useless.
fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap()
}

async fn register(client: &reqwest::Client, url: &str, subject: &str, schema: &str) -> Option<u64> {
    let request = client.post(format!("{url}/subjects/{subject}/versions"));
    let response = request.json(&json!({ "schema": schema })).send().await.ok()?;
    let answer: Value = response.json().await.ok()?;
    Some(answer["id"].as_u64().unwrap_or_else(|| panic!("refused: {answer}")))
}

/// The returned ids, by schema.
type Answered = Arc<Mutex<HashMap<String, u64>>>;

/// Registers over many connections, kills the registry after `deadly` answers, and records every answer.
async fn register_until_killed(part: &mut Part, round: u32, deadly: usize, answered: &Answered) {
    let count = Arc::new(AtomicUsize::new(0));
    let enough = Arc::new(Notify::new());
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (url, answered, count, enough) = (part.url(), answered.clone(), count.clone(), enough.clone());
        clients.spawn(async move {
            let client = client();
            for step in 0..10_000 {
                let schema = record(&[(&format!("f_{round}_{number}_{step}"), "int")]);
                let subject = format!("s-{round}-{number}-{step}");
                let Some(id) = register(&client, &url, &subject, &schema).await else { return };
                answered.lock().unwrap().insert(schema, id);
                if count.fetch_add(1, Ordering::Relaxed) + 1 == deadly {
                    enough.notify_one();
                }
            }
        });
    }
    let notified = tokio::time::timeout(Duration::from_secs(60), enough.notified()).await;
    part.kill();
    clients.join_all().await;
    notified.expect("enough answers");
}

#[tokio::test]
async fn every_returned_id_survives_sigkill_and_belongs_to_one_schema() {
    let mut random = StdRng::seed_from_u64(seed());
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("registry", directory.path(), &[]);
    let answered = Answered::default();
    for round in 0..5 {
        register_until_killed(&mut part, round, random.random_range(1..80), &answered).await;
        part.restart();
    }
    let client = client();
    let answered = answered.lock().unwrap().clone();
    let mut owners: HashMap<u64, &str> = HashMap::new();
    for (schema, &id) in &answered {
        let found = accepted(answer(client.get(format!("{}/schemas/ids/{id}", part.url()))).await);
        let (found, sent): (Value, Value) = (
            serde_json::from_str(found["schema"].as_str().unwrap()).unwrap(),
            serde_json::from_str(schema).unwrap(),
        );
        assert_eq!(found, sent);
        assert_eq!(owners.insert(id, schema), None, "id {id} was assigned twice");
        assert_eq!(register(&client, &part.url(), "again", schema).await, Some(id));
        // Keep one version of this subject, so that only one is compared.
        accepted(answer(client.delete(format!("{}/subjects/again", part.url()))).await);
    }
}

#[tokio::test]
async fn an_incomplete_last_line_is_cut_off_and_the_next_schema_gets_its_id() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("registry", directory.path(), &[]);
    let client = client();
    let first = register(&client, &part.url(), "s", r#""long""#).await;
    part.kill();
    let line = fs::read_to_string(directory.path().join(LOG)).unwrap().lines().last().unwrap().to_owned();
    let mut file = OpenOptions::new().append(true).open(directory.path().join(LOG)).unwrap();
    file.write_all(&line.as_bytes()[..line.len() / 2]).unwrap();
    part.restart();
    assert_eq!(register(&client, &part.url(), "s", r#""long""#).await, first);
    let next = register(&client, &part.url(), "t", r#""int""#).await;
    part.restart();
    assert_eq!(register(&client, &part.url(), "t", r#""int""#).await, next);
}

#[tokio::test]
async fn a_damaged_file_prevents_the_start_and_the_error_names_file_and_line() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("registry", directory.path(), &[]);
    register(&client(), &part.url(), "s", r#""long""#).await;
    part.kill();
    let path = directory.path().join(LOG);
    let text = fs::read_to_string(&path).unwrap().replace("long", "lung");
    fs::write(&path, text).unwrap();
    let reason = Part::refusal("registry", directory.path(), ([127, 0, 0, 1], 0).into(), &[]);
    assert!(reason.contains("schemas.jsonl is damaged (line 2: wrong checksum)"), "{reason}");
}

#[tokio::test]
async fn a_registry_that_lost_its_file_does_not_start_empty() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("registry", directory.path(), &[]);
    for (subject, schema) in [("s", r#""long""#), ("t", r#""int""#)] {
        register(&client(), &part.url(), subject, schema).await;
        part.restart();
    }
    part.kill();
    let path = directory.path().join(LOG);
    let whole = fs::read(&path).unwrap();
    let lines = whole.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len).collect::<Vec<_>>();
    let last = whole.len() - lines.last().unwrap();
    for left in [Vec::new(), vec![0; whole.len()], whole[..last].to_vec()] {
        fs::write(&path, &left).unwrap();
        let reason = Part::refusal("registry", directory.path(), ([127, 0, 0, 1], 0).into(), &[]);
        assert!(reason.contains("schemas.jsonl is damaged") && reason.contains("restore it"), "{reason}");
        assert_eq!(fs::read(&path).unwrap(), left);
    }
    fs::remove_file(&path).unwrap();
    let reason = Part::refusal("registry", directory.path(), ([127, 0, 0, 1], 0).into(), &[]);
    assert!(reason.contains("it is missing"), "{reason}");
    fs::write(&path, &whole).unwrap();
    part.restart();
    assert_eq!(register(&client(), &part.url(), "t", r#""int""#).await, Some(2));
}

/// A limit on the size of files simulates a full disk: the write fails half-way.
#[tokio::test]
async fn a_failed_write_returns_50001_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    // The shell uses units of 512 or 1024 bytes.
    let script = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", ROUNDHOUSE, "embedded", "registry", "--supervised"])
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Ok(Announcement::Ready { address }) = serde_json::from_str(&line) else { panic!("{line}") };
    let (client, url) = (client(), format!("http://{address}"));
    let before = register(&client, &url, "before", r#""long""#).await.unwrap();
    let size = fs::metadata(directory.path().join(LOG)).unwrap().len();

    let large = json!({ "type": "record", "name": "R", "doc": "d".repeat(60_000), "fields": [] }).to_string();
    for _ in 0..3 {
        let request = client.post(format!("{url}/subjects/large/versions"));
        refused(answer(request.json(&json!({ "schema": large }))).await, 50001);
        assert_eq!(fs::metadata(directory.path().join(LOG)).unwrap().len(), size);
    }
    let after = register(&client, &url, "after", r#""int""#).await.unwrap();
    assert_eq!(after, before + 1);
    let subjects = accepted(answer(client.get(format!("{url}/subjects"))).await);
    assert_eq!(subjects, json!(["after", "before"]));
    child.kill().unwrap();
    child.wait().unwrap();

    let part = Part::start("registry", directory.path(), &[]);
    assert_eq!(register(&client, &part.url(), "after", r#""int""#).await, Some(after));
    assert_eq!(accepted(answer(client.get(format!("{}/subjects", part.url()))).await), subjects);
}

#[tokio::test]
async fn a_directory_is_used_by_one_registry_only_and_closing_its_standard_input_ends_it() {
    let directory = TempDir::new().unwrap();
    let mut part = Part::start("registry", directory.path(), &[]);
    let reason = Part::refusal("registry", directory.path(), ([127, 0, 0, 1], 0).into(), &[]);
    assert!(reason.contains("is used by another roundhouse"), "{reason}");
    assert!(part.stop().success());
}
