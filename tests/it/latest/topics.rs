//! Servers that share a topic, which changes.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use super::{answers_from_memory, ask, ask_clickhouse, send_events};
use crate::harness::process::until;
use crate::harness::server::Server;
use crate::harness::services::Services;

const TOPIC: &str = "price-events";
const LATEST: &str = "/datasets/prices/latest";

/// The last events by the rows themselves: neither by memory nor by the table of the last prices.
const COMPUTED: &str = "SELECT base, quote, exchange,
        argMax(price, (timestamp, kafka_epoch, kafka_offset, kafka_partition)) AS last
    FROM prices GROUP BY ALL ORDER BY ALL FORMAT TSV";

fn event(pair: usize, second: usize, price: usize) -> Value {
    json!({
        "base": format!("B{pair}"), "quote": "Q", "exchange": "x", "price": price, "base_volume_24h": 1,
        "quote_volume_24h": 1, "timestamp": format!("2026-11-28T00:00:{second:02}Z"),
    })
}

/// Parameters with all pairs.
fn question() -> Value {
    json!({ "pairs": (0..50).map(|pair| [format!("B{pair}"), "Q".to_owned(), "x".to_owned()]).collect::<Vec<_>>() })
}

fn prices(answer: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let items = answer["items"].as_array().unwrap().iter();
    items
        .map(|item| format!("{}\t{}", item["base"].as_str().unwrap(), item["price"].as_str().unwrap()))
        .collect()
}

/// Waits until the servers, the table of the last prices and the rows say the same, of this many events.
async fn assert_all_agree(servers: &[&Server], events: usize) {
    let stored = format!("{events}");
    until("all events are stored", async || {
        (servers[0].clickhouse("SELECT count() FROM prices").await == stored).then_some(())
    })
    .await;
    let computed: Vec<String> = servers[0]
        .clickhouse(COMPUTED)
        .await
        .lines()
        .map(|line| {
            let values: Vec<&str> = line.split('\t').collect();
            format!("{}\t{}", values[0], values[3])
        })
        .collect();
    for server in servers {
        until("answers come from memory", async || answers_from_memory(server, "prices").await).await;
        until("memory has the rows", async || {
            (prices(&ask(server, LATEST, &question()).await) == computed).then_some(())
        })
        .await;
        let answer = ask(server, LATEST, &question()).await;
        assert_eq!(answer, ask_clickhouse(server, LATEST, &question()).await);
    }
}

fn admin(services: &Services) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", services.broker.address.to_string()).create().unwrap()
}

fn patient() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(Duration::from_secs(30)))
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_agree_when_partitions_are_added_and_when_the_topic_is_recreated() {
    let services = Services::start().await;
    let options = ["--dataset", "prices", "--kafka-partitions", "2"];
    let one = services.server(&options).await;
    let other = services.server(&options).await;
    let mut events: Vec<Value> = (0..50).map(|pair| event(pair, 30, pair)).collect();
    send_events(&one, "prices", &events).await;
    // Late, and at the same time.
    let more: Vec<Value> = (0..50).map(|pair| event(pair, 29 + pair % 2, 100 + pair)).collect();
    send_events(&other, "prices", &more).await;
    events.extend(more);
    assert_all_agree(&[&one, &other], events.len()).await;

    let admin = admin(&services);
    let added = admin.create_partitions(&[NewPartitions::new(TOPIC, 5)], &patient()).await.unwrap();
    assert_eq!(added, [Ok(TOPIC.to_owned())]);
    // Pairs are in other partitions now. Those at the same time as an earlier event have lower offsets.
    let moved: Vec<Value> = (0..50).map(|pair| event(pair, 30 + pair % 3, 200 + pair)).collect();
    for server in [&one, &other] {
        send_events(server, "prices", &moved).await;
        events.extend(moved.clone());
    }
    assert_all_agree(&[&one, &other], events.len()).await;

    assert_eq!(admin.delete_topics(&[TOPIC], &patient()).await.unwrap(), [Ok(TOPIC.to_owned())]);
    let new = NewTopic::new(TOPIC, 5, TopicReplication::Fixed(1));
    assert_eq!(admin.create_topics([&new], &patient()).await.unwrap(), [Ok(TOPIC.to_owned())]);
    until("the topic begins a new epoch", async || {
        let epochs = format!("SELECT uniqExact(epoch) FROM loader_topics WHERE topic = '{TOPIC}'");
        (one.clickhouse(epochs).await == "2").then_some(())
    })
    .await;
    // An event of the new epoch is later than one with the same time, but not than one with a later time.
    let again: Vec<Value> = (0..50).map(|pair| event(pair, 31, 300 + pair)).collect();
    send_events(&other, "prices", &again).await;
    events.extend(again);
    let third = services.server(&options).await;
    assert_all_agree(&[&one, &other, &third], events.len()).await;
}
