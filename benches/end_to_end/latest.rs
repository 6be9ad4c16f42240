//! Price events at a fixed rate, while others read the last values: how long both take, and when events are visible.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::time::Instant;

use crate::harness::server::Server;
use crate::machine::{self, Stopwatch, Usage};

/// Of 100 keys that are read or written, how many are read.
const READ_PERCENT: u64 = 70;

/// Keys of a request for last values.
const KEYS_PER_READ: u64 = 1000;

/// Events of a request: at random between these.
const EVENTS_PER_REQUEST: std::ops::RangeInclusive<u64> = 1000..=10_000;

/// Requests that are under way at a time. More would wait in the server.
const WRITERS: usize = 12;
const READERS: usize = 24;

/// Different requests for last values.
const QUESTIONS: usize = 100;

/// How often last values are asked for events that are not visible yet.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Time limit for events to become visible after the last request.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much to send and to ask.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub pairs: u64,
    pub events_per_second: u64,
    pub seconds: u64,
}

/// What happened.
#[derive(Debug, Default)]
struct Record {
    events: AtomicU64,
    keys: AtomicU64,
    failures: AtomicU64,
    writes: Mutex<Vec<Duration>>,
    reads: Mutex<Vec<Duration>>,
    visible: Mutex<Vec<Duration>>,
    /// By price of the event that marks a request: when the request was sent.
    probes: Mutex<HashMap<u64, Instant>>,
}

/// Sends requests at a fixed rate.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    /// Per second.
    rate: f64,
    end: Duration,
    sent: Mutex<u64>,
}

impl Pace {
    fn new(rate: u64, end: Duration) -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), rate: rate as f64, end, sent: Mutex::new(0) })
    }

    /// Waits until it is time for a request with this many events or keys. Returns its number, counted in these. None at the end.
    async fn wait(&self, size: u64) -> Option<u64> {
        let number = {
            let mut sent = self.sent.lock().unwrap();
            *sent += size;
            *sent - size
        };
        let due = Duration::from_secs_f64(number as f64 / self.rate);
        if due >= self.end || self.begun.elapsed() >= self.end {
            return None;
        }
        tokio::time::sleep_until(self.begun + due).await;
        Some(number)
    }
}

/// Prints one table.
pub async fn measure(load: Load) {
    let Load { pairs, events_per_second, seconds } = load;
    println!("## Last values, {pairs} pairs, {events_per_second} events/s for {seconds} s\n");
    let server = Arc::new(Server::start(&["--dataset", "prices"]).await);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    fill(&server, &client, pairs).await;
    machine::forget_peaks(&server);

    let record = Arc::new(Record::default());
    let end = Duration::from_secs(seconds);
    let (writes, reads) = (
        Pace::new(events_per_second, end),
        Pace::new(events_per_second * READ_PERCENT / (100 - READ_PERCENT), end),
    );
    let stopwatch = Stopwatch::start(&server);
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (server, client, record, pace) = (server.clone(), client.clone(), record.clone(), writes.clone());
        tasks.push(tokio::spawn(async move {
            write(&server, &client, &record, &pace, (writer as u64, pairs)).await;
        }));
    }
    let questions = Arc::new(questions(pairs));
    for reader in 0..READERS {
        let (server, client, record, pace) = (server.clone(), client.clone(), record.clone(), reads.clone());
        let questions = questions.clone();
        tasks.push(tokio::spawn(async move {
            read(&server, &client, &record, &pace, (reader, &questions)).await;
        }));
    }
    let probing = {
        let (server, client, record) = (server.clone(), client.clone(), record.clone());
        tokio::spawn(async move { probe(&server, &client, &record, end).await })
    };
    for task in tasks {
        task.await.expect("a task");
    }
    let used = stopwatch.read(&server);
    let behind = behind(&server, pairs + record.events.load(Ordering::Relaxed)).await;
    probing.await.expect("the probe");
    report(&record, &used, behind, &server);
    until_loaded(&server, &client, &questions).await;
}

/// The text of a pair in JSON, without its brackets.
fn pair(number: u64) -> String {
    format!("\"B{}\",\"Q{}\",\"exchange-{}\"", number / 40, number % 8, number / 8 % 5)
}

fn push_event(body: &mut String, number: u64, price: u64, millis: i64) {
    let pair = pair(number);
    let names: Vec<&str> = pair.split(',').collect();
    let _ = writeln!(
        body,
        "{{\"baseCurrency\":{},\"quoteCurrency\":{},\"exchange\":{},\"price\":{price}.25,\"baseVolumeLast24h\":{price}.5,\
         \"quoteVolumeLast24h\":1234567.125,\"timestampInMs\":{millis}}}",
        names[0], names[1], names[2]
    );
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

async fn send(server: &Server, client: &reqwest::Client, body: String) -> Option<Value> {
    let request = client.post(server.url("/datasets/prices/events")).body(body);
    let answer = request.header("content-type", "application/x-ndjson").send().await.ok()?;
    let is_taken = answer.status().is_success();
    let body: Value = answer.json().await.ok()?;
    is_taken.then_some(body)
}

/// Sends an event of each pair, and waits until memory has them.
async fn fill(server: &Server, client: &reqwest::Client, pairs: u64) {
    for first in (0..pairs).step_by(10_000) {
        let mut body = String::new();
        for number in first..(first + 10_000).min(pairs) {
            push_event(&mut body, number, 1, now());
        }
        send(server, client, body).await.expect("the pairs");
    }
    let rows = "roundhouse_latest_rows{dataset=\"prices\"}";
    while server.metric(rows).await < pairs as f64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn write(
    server: &Server,
    client: &reqwest::Client,
    record: &Record,
    pace: &Pace,
    (seed, pairs): (u64, u64),
) {
    let mut random = StdRng::seed_from_u64(seed);
    loop {
        let size = random.random_range(EVENTS_PER_REQUEST);
        // The body is written before it is due.
        let mut body = String::new();
        let millis = now();
        for _ in 1..size {
            push_event(&mut body, random.random_range(0..pairs), random.random_range(1..100_000), millis);
        }
        let Some(number) = pace.wait(size).await else { return };
        // A pair of its own marks the request.
        push_event(&mut body, pairs + number, number + 1, now());
        let sent = Instant::now();
        record.probes.lock().unwrap().insert(pairs + number, sent);
        match send(server, client, body).await {
            Some(taken) if taken["accepted"] == size => {
                record.events.fetch_add(size, Ordering::Relaxed);
                record.writes.lock().unwrap().push(sent.elapsed());
            }
            other => {
                eprintln!("events were not accepted: {other:?}");
                record.failures.fetch_add(1, Ordering::Relaxed);
                record.probes.lock().unwrap().remove(&(pairs + number));
            }
        }
    }
}

fn questions(pairs: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(7);
    let mut question = || {
        let keys: Vec<String> =
            (0..KEYS_PER_READ).map(|_| format!("[{}]", pair(random.random_range(0..pairs)))).collect();
        format!("{{\"pairs\":[{}]}}", keys.join(","))
    };
    (0..QUESTIONS).map(|_| question()).collect()
}

async fn ask(server: &Server, client: &reqwest::Client, question: &str) -> Option<bytes::Bytes> {
    let request = client.post(server.url("/datasets/prices/latest")).body(question.to_owned());
    let answer = request.header("content-type", "application/json").send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.bytes().await.ok()
}

async fn read(
    server: &Server,
    client: &reqwest::Client,
    record: &Record,
    pace: &Pace,
    (reader, questions): (usize, &[String]),
) {
    let mut at = reader;
    while pace.wait(KEYS_PER_READ).await.is_some() {
        at = (at + READERS) % questions.len();
        let sent = Instant::now();
        match ask(server, client, &questions[at]).await {
            Some(_) => {
                record.keys.fetch_add(KEYS_PER_READ, Ordering::Relaxed);
                record.reads.lock().unwrap().push(sent.elapsed());
            }
            None => drop(record.failures.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Asks for the events that mark requests until they are visible.
async fn probe(server: &Server, client: &reqwest::Client, record: &Record, end: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < end + PATIENCE {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let marks: Vec<u64> = record.probes.lock().unwrap().keys().copied().collect();
        if marks.is_empty() {
            if begun.elapsed() > end {
                return;
            }
            continue;
        }
        let keys: Vec<String> = marks.iter().map(|mark| format!("[{}]", pair(*mark))).collect();
        let Some(answer) = ask(server, client, &format!("{{\"pairs\":[{}]}}", keys.join(","))).await else {
            continue;
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let mut probes = record.probes.lock().unwrap();
        for mark in marks {
            let names = pair(mark);
            let names: Vec<&str> = names.split(',').collect();
            let shown = format!("\"base\":{},\"quote\":{},\"exchange\":{}", names[0], names[1], names[2]);
            if answer.contains(&shown)
                && let Some(sent) = probes.remove(&mark)
            {
                record.visible.lock().unwrap().push(sent.elapsed());
            }
        }
    }
}

/// Returns how many events are not in ClickHouse yet.
async fn behind(server: &Server, events: u64) -> u64 {
    let loaded =
        "SELECT sum(messages) FROM loader_chunks WHERE topic = 'price-events' AND state = 'done'".to_owned();
    let loaded: u64 = server.clickhouse(loaded).await.parse().expect("a number");
    events.saturating_sub(loaded)
}

/// Waits until ClickHouse has all events, and asserts that memory has the same rows.
async fn until_loaded(server: &Server, client: &reqwest::Client, questions: &[String]) {
    let question = &questions[0];
    let as_lines = question.replace("{\"pairs\"", "{\"format\":\"ndjson\",\"pairs\"");
    let begun = Instant::now();
    loop {
        let memory = ask(server, client, question).await.expect("an answer");
        let stored = ask(server, client, &as_lines).await.expect("an answer");
        let stored = String::from_utf8_lossy(&stored).lines().collect::<Vec<_>>().join(",");
        if String::from_utf8_lossy(&memory).starts_with(&format!("{{\"items\":[{stored}],")) {
            break;
        }
        assert!(begun.elapsed() < 10 * PATIENCE, "ClickHouse does not load all events");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("ClickHouse had the same rows {:.1} s after the last request.\n", begun.elapsed().as_secs_f64());
}

fn report(record: &Record, used: &Usage, behind: u64, server: &Server) {
    let seconds = used.wall.as_secs_f64();
    let times = |times: &Mutex<Vec<Duration>>| {
        let mut times = std::mem::take(&mut *times.lock().unwrap());
        times.sort_unstable();
        let at = |share: f64| {
            let at = (times.len() as f64 * share) as usize;
            times.get(at.min(times.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        format!("{} | {:.1} | {:.1} | {:.1}", times.len(), at(0.5), at(0.99), at(1.0))
    };
    println!("| | requests | p50, ms | p99, ms | highest, ms |\n|---|---|---|---|---|");
    println!("| events acknowledged | {} |", times(&record.writes));
    println!("| `latest` of {KEYS_PER_READ} pairs | {} |", times(&record.reads));
    println!("| from request to visible in `latest` | {} |", times(&record.visible));
    let (events, keys) = (record.events.load(Ordering::Relaxed), record.keys.load(Ordering::Relaxed));
    let lost = record.probes.lock().unwrap().len();
    println!(
        "\nAcknowledged: {:.0} events/s. Read: {:.0} keys/s. Failed requests: {}. Never visible: {lost}. Not in ClickHouse yet at the end: \
         {behind} events. Processors in use (client, server, broker, ClickHouse): {}. Peak memory: {}.",
        events as f64 / seconds,
        keys as f64 / seconds,
        record.failures.load(Ordering::Relaxed),
        used.cores(),
        machine::peaks(server)
    );
}
