//! `GET /aggregates` on a small and on a large table, over one connection, each question with other values each time.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::server::Server;

/// Of the filled tables: an hour has so many rows, of players some of whom play far more than others.
const ROWS_PER_HOUR: u64 = 2_283;
const PLAYERS: u64 = 5_000;
const GAMES: u64 = 200;

/// Rows before the page that is asked for by cursor: it is the ten-thousandth of a hundred rows, where there are as many.
const DEEP_PAGES: u64 = 10_000;

/// Seconds without a merge, after which none is expected.
const QUIET_SECONDS: u32 = 5;

/// Rows of a statement that fills a table.
const BATCH: u64 = 1_000_000;

/// How long each of the questions took, in milliseconds, sorted.
type Times = Vec<(&'static str, Vec<f64>)>;

/// Fills tables of so many rows, and asks each question so many times.
pub async fn measure(server: &Server, rows: [u64; 2], requests: u64) {
    println!("## Aggregates: {requests} requests each, one after the other\n");
    let mut measured: Vec<Times> = Vec::new();
    for rows in rows {
        fill(server, rows).await;
        measured.push(ask_all(server, rows, requests).await);
    }
    println!("| question | p50, {} rows | p99 | p50, {} rows | p99 | p99, ratio |", rows[0], rows[1]);
    println!("|---|---|---|---|---|---|");
    let share = |times: &[f64], percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    for ((question, small), (_, large)) in measured[0].iter().zip(&measured[1]) {
        let [small_p50, small_p99, large_p50, large_p99] =
            [share(small, 50), share(small, 99), share(large, 50), share(large, 99)];
        println!(
            "| {question} | {small_p50:.1} ms | {small_p99:.1} ms | {large_p50:.1} ms | {large_p99:.1} ms | {:.2} |",
            large_p99 / small_p99
        );
    }
    println!();
}

async fn fill(server: &Server, rows: u64) {
    server.clickhouse("TRUNCATE TABLE hourly_aggregates").await;
    for first in (0..rows).step_by(usize::try_from(BATCH).expect("a number")) {
        let count = BATCH.min(rows - first);
        // Products of two dice: the first players and games have most of the rows.
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

/// Waits until ClickHouse has merged the parts as far as it does by itself: what goes on would be measured with the first questions.
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

async fn ask_all(server: &Server, rows: u64, requests: u64) -> Times {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let hours = rows / ROWS_PER_HOUR;
    let deep = (DEEP_PAGES * 100).min(rows / 2);
    let deep = page(&client, server, &format!("/aggregates?limit=1&skip={}", deep - 1)).await;
    let cursor = deep["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    let players: Vec<String> = page(&client, server, "/aggregates?limit=1000").await["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["player_id"].as_str().expect("a player").to_owned())
        .collect();
    let date = |day: u64| {
        (chrono::NaiveDate::from_ymd_opt(2019, 1, 1).expect("a day") + chrono::Days::new(day)).to_string()
    };
    let (players, cursor, date) = (&players, &cursor, &date);
    let days = (hours / 24).max(1);
    let player = move |n: u64| format!("/aggregates?player_id={}", players[n as usize % players.len()]);
    let game_and_day = move |n: u64| {
        let day = date(n % days);
        format!("/aggregates?game_id={}&date_from={day}&date_to={day}", 20_000 + n * 7 % GAMES)
    };
    let month = move |n: u64| {
        let first = n % days.saturating_sub(30).max(1);
        format!("/aggregates/summary?date_from={}&date_to={}", date(first), date(first + 29))
    };
    vec![
        ("one player", ask(&client, server, requests, player).await),
        ("one game and a day", ask(&client, server, requests, game_and_day).await),
        ("first page", ask(&client, server, requests, |_| "/aggregates".to_owned()).await),
        (
            "page 10,000 by cursor",
            ask(&client, server, requests, |_| format!("/aggregates?cursor={cursor}")).await,
        ),
        ("summary of 30 days", ask(&client, server, requests, month).await),
    ]
}

async fn page(client: &reqwest::Client, server: &Server, path: &str) -> Value {
    let answer = client.get(server.url(path)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

async fn ask(
    client: &reqwest::Client,
    server: &Server,
    requests: u64,
    question: impl Fn(u64) -> String,
) -> Vec<f64> {
    let mut times = Vec::new();
    for n in 0..requests {
        let url = server.url(&question(n));
        let started = Instant::now();
        let answer = client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("the whole answer");
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    // It takes minutes: whoever waits sees that it goes on.
    eprintln!("{}: {:.1} ms", question(0), times[times.len() / 2]);
    times
}
