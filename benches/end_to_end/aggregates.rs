//! Measures `GET /aggregates` on a small and on a large table, over one connection, with new values in each request. For comparison, a
//! hand-written statement is measured in the same run.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::files::csv;
use crate::harness::server::Server;

/// Rows per hour in the filled tables. Some players play far more than others.
const ROWS_PER_HOUR: u64 = 2_283;
const PLAYERS: u64 = 5_000;
const GAMES: u64 = 200;

/// The requested page by cursor comes after this many pages of a hundred rows, if the table has that many.
const DEEP_PAGES: u64 = 10_000;

/// If no merge has run for this many seconds, no more merges are expected.
const QUIET_SECONDS: u32 = 5;

/// Small files that are uploaded before, for the list of uploads.
const UPLOADS: u64 = 200;

/// Rows inserted by one statement that fills a table.
const BATCH: u64 = 1_000_000;

/// After every so many requests, the statement that a person would type into ClickHouse is run for comparison.
const BY_HAND_EVERY: u64 = 5;

/// A request, and a statement that shows the same rows as they are stored, without adding them up.
struct Question<'a> {
    name: &'static str,
    path: Box<dyn Fn(u64) -> String + 'a>,
    by_hand: Box<dyn Fn(u64) -> String + 'a>,
}

/// Durations in milliseconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn share(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

struct Answered {
    question: &'static str,
    ours: Times,
    by_hand: Times,
}

/// Fills tables with these numbers of rows, and sends each request `requests` times.
pub async fn measure(server: &Server, rows: [u64; 2], requests: u64) {
    println!("## Aggregates: {requests} requests each, one after the other\n");
    for file in 0..UPLOADS {
        server.upload(csv(file * 10..file * 10 + 10), "").await.ok();
    }
    let mut measured: Vec<Vec<Answered>> = Vec::new();
    for rows in rows {
        fill(server, rows).await;
        measured.push(ask_all(server, rows, requests).await);
    }
    println!(
        "| question | p50, {} rows | p99 | p50, {} rows | p99 | p99, ratio | by hand, p50 | p99 |",
        rows[0], rows[1]
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (small, large) in measured[0].iter().zip(&measured[1]) {
        println!(
            "| {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms | {:.2} | {:.1} ms | {:.1} ms |",
            large.question,
            small.ours.share(50),
            small.ours.share(99),
            large.ours.share(50),
            large.ours.share(99),
            large.ours.share(99) / small.ours.share(99),
            large.by_hand.share(50),
            large.by_hand.share(99),
        );
    }
    println!();
}

async fn fill(server: &Server, rows: u64) {
    server.clickhouse("TRUNCATE TABLE hourly_aggregates").await;
    for first in (0..rows).step_by(usize::try_from(BATCH).expect("a number")) {
        let count = BATCH.min(rows - first);
        // The product of two random numbers, so that the first players and games have most of the rows.
        server
            .clickhouse(format!(
                "INSERT INTO hourly_aggregates SELECT toDateTime('2019-01-01 00:00:00', 'UTC') + 3600 * intDiv(number, {ROWS_PER_HOUR}), \
                 lower(hex(MD5(toString(intDiv(cityHash64(number, 1) % 1000 * (cityHash64(number, 2) % 1000) * {PLAYERS}, 1000000))))), \
                 20000 + intDiv(cityHash64(number, 3) % 1000 * (cityHash64(number, 4) % 1000) * {GAMES}, 1000000) AS game, \
                 concat('Game ', toString(game)), 'provider', 1 + number % 40, number % 1000 / 10, 0, number % 777 / 10, 0 \
                 FROM numbers({first}, {count})"
            ))
            .await;
    }
    until_merged(server).await;
}

/// Waits until ClickHouse has finished its automatic merges. Otherwise they would slow down the first requests.
async fn until_merged(server: &Server) {
    let mut quiet = 0;
    while quiet < QUIET_SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let merges =
            server.clickhouse("SELECT count() FROM system.merges WHERE table = 'hourly_aggregates'").await;
        quiet = if merges.trim() == "0" { quiet + 1 } else { 0 };
    }
    let parts = "SELECT count() FROM system.parts WHERE active AND table = 'hourly_aggregates'";
    eprintln!("{} parts", server.clickhouse(parts).await.trim());
}

async fn ask_all(server: &Server, rows: u64, requests: u64) -> Vec<Answered> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let hours = rows / ROWS_PER_HOUR;
    let deep = (DEEP_PAGES * 100).min(rows / 2);
    let deep = page(&client, server, &format!("/aggregates?limit=1&skip={}", deep - 1)).await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let cursor = text(&deep["page"]["next_cursor"]);
    let last = &deep["items"][0];
    let players: Vec<String> = page(&client, server, "/aggregates?limit=1000").await["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| text(&item["player_id"]))
        .collect();
    let date = |day: u64| {
        (chrono::NaiveDate::from_ymd_opt(2019, 1, 1).expect("a day") + chrono::Days::new(day)).to_string()
    };
    let days = (hours / 24).max(1);
    let player = |n: u64| players[n as usize % players.len()].as_str();
    let game = |n: u64| 20_000 + n * 7 % GAMES;
    let day = |n: u64| date(n % days);
    let month = |n: u64| {
        let first = n % days.saturating_sub(30).max(1);
        [date(first), date(first + 29)]
    };
    let rows = |condition: &str| {
        format!(
            "SELECT * FROM hourly_aggregates WHERE {condition} ORDER BY created_hour, user_id, game_id LIMIT 100 FORMAT JSONEachRow"
        )
    };
    let behind = format!(
        "(created_hour, user_id, game_id) > (parseDateTimeBestEffort('{}'), '{}', {})",
        text(&last["created_hour"]),
        text(&last["player_id"]),
        last["game_id"]
    );
    let questions = [
        Question {
            name: "one player",
            path: Box::new(|n| format!("/aggregates?player_id={}", player(n))),
            by_hand: Box::new(|n| rows(&format!("user_id = '{}'", player(n)))),
        },
        Question {
            name: "one game and a day",
            path: Box::new(|n| format!("/aggregates?game_id={}&date_from={1}&date_to={1}", game(n), day(n))),
            by_hand: Box::new(|n| {
                rows(&format!("game_id = {} AND toDate(created_hour) = '{}'", game(n), day(n)))
            }),
        },
        Question {
            name: "first page",
            path: Box::new(|_| "/aggregates".to_owned()),
            by_hand: Box::new(|_| rows("true")),
        },
        Question {
            name: "page 10,000 by cursor",
            path: Box::new(|_| format!("/aggregates?cursor={cursor}")),
            by_hand: Box::new(|_| rows(&behind)),
        },
        Question {
            name: "summary of 30 days",
            path: Box::new(|n| {
                let [first, last] = month(n);
                format!("/aggregates/summary?date_from={first}&date_to={last}")
            }),
            by_hand: Box::new(|n| {
                let [first, last] = month(n);
                format!(
                    "SELECT created_hour, sum(rounds_played), uniqExact(user_id), uniqExact(game_id), sum(real_amount_bet), \
                     sum(bonus_amount_bet), sum(real_amount_win), sum(bonus_amount_win) FROM hourly_aggregates \
                     WHERE toDate(created_hour) BETWEEN '{first}' AND '{last}' GROUP BY created_hour WITH ROLLUP FORMAT JSONEachRow"
                )
            }),
        },
        Question {
            name: "the last 50 uploads",
            path: Box::new(|_| "/uploads".to_owned()),
            by_hand: Box::new(|_| {
                "SELECT * FROM upload_ledger FINAL ORDER BY upload_id DESC LIMIT 50 FORMAT JSONEachRow"
                    .to_owned()
            }),
        },
        Question {
            name: "nothing: `/healthz`, and `SELECT 1`",
            path: Box::new(|_| "/healthz".to_owned()),
            by_hand: Box::new(|_| "SELECT 1 FORMAT JSONEachRow".to_owned()),
        },
    ];
    let mut answered = Vec::new();
    for question in &questions {
        answered.push(ask(&client, server, requests, question).await);
    }
    answered
}

async fn page(client: &reqwest::Client, server: &Server, path: &str) -> Value {
    let answer = client.get(server.url(path)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

async fn ask(client: &reqwest::Client, server: &Server, requests: u64, question: &Question<'_>) -> Answered {
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    let clickhouse = format!("{}/?database=game_data", server.addresses.clickhouse_url);
    for n in 0..requests {
        ours.push(took(client.get(server.url(&(question.path)(n)))).await);
        if n % BY_HAND_EVERY == 0 {
            by_hand.push(took(client.post(&clickhouse).body((question.by_hand)(n))).await);
        }
    }
    let (ours, by_hand) = (Times::of(ours), Times::of(by_hand));
    // The benchmark takes minutes, so show its progress.
    eprintln!("{}: {:.1} ms, by hand {:.1} ms", question.name, ours.share(50), by_hand.share(50));
    Answered { question: question.name, ours, by_hand }
}

/// Sends a request and reads the whole answer. Returns the duration in milliseconds.
async fn took(request: reqwest::RequestBuilder) -> f64 {
    let started = Instant::now();
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.bytes().await.expect("the whole answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&text));
    started.elapsed().as_secs_f64() * 1000.0
}
