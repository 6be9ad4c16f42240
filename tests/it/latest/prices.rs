//! Price events of one server: late, repeated, with equal times, and before and after a kill.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{answers_from_memory, ask, ask_clickhouse, send_events};
use crate::harness::process::{signal, until};
use crate::harness::seed;
use crate::harness::server::Server;

const LATEST: &str = "/datasets/prices/latest";

/// Currencies, some of which would break out of a text or a key that is not encoded with care.
const NAMES: [&str; 8] =
    ["BTC", "a/b", "a", "b/a", "it's \"quoted\" \\ ", "日本\u{2028}\u{e9}", "</script>{x:String}", "%?"];

type Pair = (usize, usize, usize);

/// Random events, and the last one of each pair.
struct Market {
    random: StdRng,
    last: BTreeMap<Pair, Value>,
}

impl Market {
    fn new() -> Self {
        Self { random: StdRng::seed_from_u64(seed()), last: BTreeMap::new() }
    }

    /// Returns events in the order in which they are sent.
    fn events(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.event()).collect()
    }

    fn event(&mut self) -> Value {
        let mut name = || self.random.random_range(0..NAMES.len());
        let pair = (name(), name(), name());
        // Few times: many events are late or have the time of another one.
        let second = self.random.random_range(0..20);
        let price =
            format!("{}.{:018}", self.random.random_range(0..3), self.random.random_range(0..1000_u64));
        let event = json!({
            "base": NAMES[pair.0], "quote": NAMES[pair.1], "exchange": NAMES[pair.2],
            "price": price, "base_volume_24h": "0.50", "quote_volume_24h": self.random.random_range(0..5),
            "timestamp": format!("2026-11-28T00:00:{second:02}.{:03}Z", self.random.random_range(0..2) * 500),
        });
        let last = self.last.entry(pair).or_insert_with(|| event.clone());
        // Of events with the same time, the one that was sent last.
        if time(&event) >= time(last) {
            *last = event.clone();
        }
        event
    }

    /// Parameters with some pairs, known and unknown ones, some of them twice; and the rows that they have.
    fn question(&mut self, pairs: usize) -> (Value, Vec<Value>) {
        let mut name = || self.random.random_range(0..NAMES.len());
        let pairs: Vec<Pair> = (0..pairs).map(|_| (name(), name(), name())).collect();
        let mut known: Vec<[&str; 3]> = pairs
            .iter()
            .filter(|pair| self.last.contains_key(pair))
            .map(|pair| [NAMES[pair.0], NAMES[pair.1], NAMES[pair.2]])
            .collect();
        known.sort_unstable();
        known.dedup();
        let find = |names: &[&str; 3]| {
            let at = names.map(|name| NAMES.iter().position(|known| *known == name).unwrap());
            shown(&self.last[&(at[0], at[1], at[2])])
        };
        let named: Vec<[&str; 3]> =
            pairs.iter().map(|pair| [NAMES[pair.0], NAMES[pair.1], NAMES[pair.2]]).collect();
        (json!({ "pairs": named }), known.iter().map(find).collect())
    }
}

fn time(event: &Value) -> &str {
    event["timestamp"].as_str().unwrap()
}

/// An event as the endpoint shows it.
fn shown(event: &Value) -> Value {
    let price = event["price"].as_str().unwrap().trim_end_matches('0').trim_end_matches('.');
    json!({
        "base": event["base"], "quote": event["quote"], "exchange": event["exchange"], "price": price,
        "timestamp": event["timestamp"], "base_volume_24h": "0.5",
        "quote_volume_24h": event["quote_volume_24h"].to_string(),
    })
}

/// Waits until memory has all events.
async fn until_known(server: &Server, market: &mut Market) {
    let (question, expected) = market.question(2000);
    until("memory has all events", async || {
        let answer: Value = serde_json::from_str(&ask(server, LATEST, &question).await).unwrap();
        (answer["items"] == json!(expected)).then_some(())
    })
    .await;
    until("answers come from memory", async || answers_from_memory(server, "prices").await).await;
    let answer: Value = serde_json::from_str(&ask(server, LATEST, &question).await).unwrap();
    assert_eq!(answer["items"], json!(expected));
}

/// Asserts that ClickHouse, once it has all events, sends the same bytes.
async fn assert_same_bytes(server: &Server, market: &mut Market) {
    for pairs in [0, 1, 7, 500] {
        // Without pairs ClickHouse answers, with all of them.
        let (mut question, _) = market.question(pairs);
        if pairs == 1 {
            // A key in parameters of its own, and both.
            let pair = question["pairs"][0].clone();
            let single = json!({ "base": pair[0], "quote": pair[1], "exchange": pair[2] });
            until_same(server, &single).await;
            question["quote"] = pair[1].clone();
        }
        until_same(server, &question).await;
    }
}

async fn until_same(server: &Server, question: &Value) {
    until("ClickHouse has the same rows", async || {
        let memory = ask(server, LATEST, question).await;
        (memory == ask_clickhouse(server, LATEST, question).await).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_clickhouse_and_an_independent_computation_agree_before_and_after_a_kill() {
    let mut market = Market::new();
    let mut server = Server::start(&["--dataset", "prices"]).await;
    for count in [1, 50, 700] {
        let events = market.events(count);
        send_events(&server, "prices", &events).await;
        // The same events again, of which the last one of a pair and time is the same.
        send_events(&server, "prices", &events[count / 2..]).await;
    }
    until_known(&server, &mut market).await;
    assert_same_bytes(&server, &mut market).await;
    the_server_answers_while_clickhouse_does_not(&server, &mut market).await;
    pages_and_filters_are_left_to_clickhouse(&server).await;

    // Killed while events are on their way. What was not acknowledged is sent again.
    let events = market.events(3000);
    for (at, some) in events.chunks(500).enumerate() {
        if at % 2 == 1 {
            let request = json!(some);
            let sending = server.send(|http| http.post(server.url("/datasets/prices/events")).json(&request));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(15), sending).await;
            server.restart().await;
        }
        send_events(&server, "prices", some).await;
    }
    until_known(&server, &mut market).await;
    assert_same_bytes(&server, &mut market).await;
    server.restart().await;
    until_known(&server, &mut market).await;
    until("/readyz says nothing", async || {
        let ready = server.get("/readyz").await.body;
        (ready["parts"]["prices_latest"] == json!({ "ready": true })).then_some(())
    })
    .await;
}

async fn the_server_answers_while_clickhouse_does_not(server: &Server, market: &mut Market) {
    let clickhouse = server.part("clickhouse").unwrap();
    assert!(signal(clickhouse, "STOP"));
    let events = market.events(100);
    send_events(server, "prices", &events).await;
    until_known(server, market).await;
    assert!(signal(clickhouse, "CONT"));
}

async fn pages_and_filters_are_left_to_clickhouse(server: &Server) {
    let page = server.get("/prices/latest?limit=3").await.ok();
    let next = page["links"]["next"].as_str().unwrap();
    assert_eq!(server.get(next).await.ok()["items"].as_array().map(Vec::len), Some(3));
    let of_base = server.get("/prices/latest?base=BTC").await.ok();
    let items = of_base["items"].as_array().unwrap();
    assert!(items.len() > 10 && items.iter().all(|item| item["base"] == "BTC"), "{of_base}");
    // More keys than a page has: the pages are those of ClickHouse.
    let pairs: Vec<Value> =
        items.iter().map(|item| json!([item["base"], item["quote"], item["exchange"]])).collect();
    let mut question = json!({ "pairs": pairs, "limit": 4 });
    let mut found = Vec::new();
    loop {
        let page: Value = serde_json::from_str(&ask(server, LATEST, &question).await).unwrap();
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["page"]["next_cursor"].as_str() else { break };
        question["cursor"] = cursor.into();
    }
    assert_eq!(found.len(), items.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_beyond_the_limit_of_memory_are_answered_by_clickhouse() {
    let mut market = Market::new();
    let server = Server::start(&["--dataset", "prices", "--max-latest-bytes", "10000"]).await;
    send_events(&server, "prices", &market.events(2000)).await;
    until("answers come from memory", async || answers_from_memory(&server, "prices").await).await;
    until_known(&server, &mut market).await;
    let rows = server.metric("roundhouse_latest_rows{dataset=\"prices\"}").await;
    let bytes = server.metric("roundhouse_latest_bytes{dataset=\"prices\"}").await;
    assert!(rows > 10.0 && rows < 100.0 && bytes <= 10_000.0, "{rows} rows, {bytes} bytes");
    let ready = server.get("/readyz").await.body;
    let reason = ready["parts"]["prices_latest"]["reason"].as_str().unwrap();
    assert!(reason.contains("raise --max-latest-bytes"), "{ready}");
}
