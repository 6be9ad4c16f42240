//! Arbitrary messages in the topic: both loaders must accept and refuse the same ones.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::conflicts::{register, register_as};
use crate::harness::process::until;
use crate::harness::server::Server;

const SCHEMA: &str = include_str!("../../schemas/bets.avsc");

const PARTITIONS: usize = 4;

/// The last millisecond of 2105.
const LAST_TIME: i64 = 4_291_747_199_999;

/// The fields of a message, each encoded in Avro.
#[derive(Clone)]
struct Fields(BTreeMap<&'static str, Vec<u8>>);

/// The names of the fields, in the order of the schema.
const NAMES: [&str; 12] = [
    "created_timestamp",
    "game_instance_id",
    "user_id",
    "game_id",
    "real_amount_bet",
    "bonus_amount_bet",
    "real_amount_win",
    "bonus_amount_win",
    "game_name",
    "provider",
    "upload_id",
    "line",
];

fn long(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [long(i64::try_from(bytes.len()).unwrap()), bytes.to_vec()].concat()
}

/// Encodes the second branch of a union.
fn some(value: Vec<u8>) -> Vec<u8> {
    [long(1), value].concat()
}

fn amount(unscaled: i128) -> Vec<u8> {
    some(bytes(&unscaled.to_be_bytes()))
}

impl Fields {
    fn of(id: i64) -> Self {
        Self(BTreeMap::from([
            ("created_timestamp", long(1_580_702_706_000 + id)),
            ("game_instance_id", long(id)),
            ("user_id", bytes(format!("player-{}", id % 3).as_bytes())),
            ("game_id", long(7)),
            ("real_amount_bet", amount(25_000_000)),
            ("bonus_amount_bet", amount(0)),
            ("real_amount_win", amount(-10_000_000)),
            ("bonus_amount_win", long(0)),
            ("game_name", bytes("Café 日本".as_bytes())),
            ("provider", bytes(b"Play'n GO")),
            ("upload_id", some(vec![0x5a; 16])),
            ("line", some(long(id + 2))),
        ]))
    }

    fn with(mut self, name: &'static str, value: Vec<u8>) -> Self {
        self.0.insert(name, value).unwrap();
        self
    }

    fn message(&self, schema_id: u32) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(schema_id.to_be_bytes());
        message.extend(NAMES.iter().filter_map(|name| self.0.get(name)).flatten());
        message
    }
}

/// Returns values of fields, valid and invalid ones.
fn changed_fields() -> Vec<(&'static str, Vec<u8>)> {
    let ten_28 = 10_i128.pow(28);
    let decimal = |bytes_: &[u8]| some(bytes(bytes_));
    let mut changed = vec![
        ("user_id", bytes(b"\xff")),
        ("user_id", bytes(b"a\xc3")),
        ("user_id", bytes(b"\xed\xa0\x80")),
        ("user_id", bytes(b"")),
        ("user_id", bytes("\u{10ffff}\0\t\n".as_bytes())),
        ("user_id", bytes(&[b'x'; 3000])),
        ("user_id", long(-1)),
        ("user_id", long(i64::MAX)),
        ("game_name", bytes(b"\xf0\x9f\x92")),
        ("game_name", bytes(b"")),
        ("provider", bytes(b"\xc0\x80")),
        ("real_amount_bet", decimal(&[])),
        ("real_amount_bet", decimal(&[0x80])),
        ("real_amount_bet", decimal(&[0; 17])),
        ("real_amount_win", long(-1)),
        ("upload_id", long(0)),
        ("line", long(0)),
        // More bytes than the number needs; more bits than allowed.
        ("game_id", vec![0x8e, 0x80, 0x00]),
        ("game_id", [vec![0xff; 10], vec![0x01]].concat()),
    ];
    for id in [-1, -5, i64::MIN] {
        changed.extend([("game_instance_id", long(id)), ("game_id", long(id)), ("line", some(long(id)))]);
    }
    changed.extend([("game_id", long(0)), ("game_id", long(i64::MAX)), ("line", some(long(0)))]);
    for time in [-1, 0, LAST_TIME, LAST_TIME + 1, i64::MIN, i64::MAX, -62_135_596_800_000] {
        changed.push(("created_timestamp", long(time)));
    }
    for unscaled in [ten_28 - 1, ten_28, -ten_28, 1 - ten_28, i128::MAX, i128::MIN] {
        changed.extend([("bonus_amount_bet", amount(unscaled)), ("bonus_amount_win", amount(unscaled))]);
    }
    changed
}

/// Returns messages that are not rows at all.
fn broken(schema_id: u32) -> Vec<Option<Vec<u8>>> {
    let whole = Fields::of(900).message(schema_id);
    let mut broken = vec![
        None,
        Some(Vec::new()),
        Some(b"x".to_vec()),
        Some(b"\0".to_vec()),
        Some(b"\0\0\0\0".to_vec()),
        Some(b"{\"game_instance_id\": 1}".to_vec()),
        Some(Fields::of(901).message(999_999)),
        Some([whole.clone(), b"more".to_vec()].concat()),
        Some([whole.clone(), vec![0]].concat()),
        // Two rows in one message.
        Some([whole.clone(), Fields::of(902).message(schema_id)].concat()),
        Some(whole[5..].to_vec()),
        Some([vec![1], whole[1..].to_vec()].concat()),
    ];
    broken.extend((5..whole.len()).step_by(7).map(|end| Some(whole[..end].to_vec())));
    broken
}

/// Returns messages in which one byte is changed, at any position. The same in each run.
fn scrambled(schema_id: u32) -> Vec<Option<Vec<u8>>> {
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let one = |at| {
        let mut message = Fields::of(1_000_000 + 7919 * at).message(schema_id);
        let place = 5 + random(message.len() - 5);
        message[place] ^= 1 << random(8);
        Some(message)
    };
    (0..400_i64).map(one).collect()
}

/// Returns a changed copy of the schema of game rounds.
fn schema(change: impl FnOnce(&mut Vec<Value>)) -> Value {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema
}

fn without(fields: &mut Vec<Value>, name: &str) {
    fields.retain(|field| field["name"] != name);
}

/// Returns all messages. Those that are rounds have different ids, since one of the loaders counts repeated rounds.
async fn messages(server: &Server) -> Vec<Option<Vec<u8>>> {
    let id = register(server, &schema(|_| {})).await;
    let mut messages = vec![Some(Fields::of(0).message(id))];
    for (at, (name, value)) in changed_fields().into_iter().enumerate() {
        messages.push(Some(Fields::of(1000 + at as i64).with(name, value).message(id)));
    }
    messages.extend(broken(id));
    // Other schemas: one without a nullable column, two without a required column, one with an unknown field.
    for (at, name) in ["line", "user_id", "created_timestamp"].into_iter().enumerate() {
        let other = register_as(server, name, &schema(|fields| without(fields, name))).await;
        let mut fields = Fields::of(2000 + at as i64);
        fields.0.remove(name);
        messages.push(Some(fields.message(other)));
    }
    let more = json!({ "name": "currency", "type": "string" });
    let other = register_as(server, "more", &schema(|fields| fields.push(more))).await;
    messages.push(Some([Fields::of(2010).message(other), bytes(b"EUR")].concat()));
    messages.extend(scrambled(id));
    messages
}

/// Sends the same messages to the same partitions. The last message of each partition is a round, so that the end of loading is known.
async fn produce(server: &Server, messages: &[Option<Vec<u8>>]) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &server.addresses.kafka_brokers).create().unwrap();
    let id = register(server, &schema(|_| {})).await;
    let last = (0..PARTITIONS as i64).map(|partition| Some(Fields::of(10 + partition).message(id)));
    let all = messages.iter().cloned().enumerate().map(|(at, message)| (at % PARTITIONS, message));
    for (partition, message) in all.chain(last.enumerate()) {
        let mut record = FutureRecord::to("staging-bets").partition(partition as i32).key("key");
        if let Some(message) = &message {
            record = record.payload(message);
        }
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
}

/// Returns what happened to the message at each offset.
async fn outcome(server: &Server) -> BTreeMap<String, String> {
    let mut outcome = BTreeMap::new();
    for sql in [
        "SELECT kafka_partition, kafka_offset, 'round', * EXCEPT (kafka_epoch, kafka_partition, kafka_offset) \
         FROM game_rounds ORDER BY 1, 2",
        "SELECT kafka_partition, kafka_offset, 'reject', code, column, line, byte_offset, upload_id, kafka_topic, hex(raw) \
         FROM rejects ORDER BY 1, 2",
    ] {
        for row in server.clickhouse(sql).await.lines() {
            let (place, what) = row.match_indices('\t').nth(1).map(|(at, _)| row.split_at(at)).unwrap();
            if let Some(other) = outcome.insert(place.to_owned(), what.to_owned()) {
                panic!("{place} occurs twice: {other} {what}");
            }
        }
    }
    outcome
}

/// Returns why messages were refused, by offset.
async fn reasons(server: &Server) -> BTreeMap<String, String> {
    let sql = "SELECT concat(toString(kafka_partition), ' ', toString(kafka_offset)), reason FROM rejects";
    let rows = server.clickhouse(sql).await;
    rows.lines()
        .filter_map(|row| row.split_once('\t'))
        .map(|(place, why)| (place.into(), why.into()))
        .collect()
}

fn is_of_a_rule(reason: &str) -> bool {
    ["is out of range", "is not UTF-8", "the id of the round is negative", "no value"]
        .iter()
        .any(|words| reason.contains(words))
}

async fn until_all_is_loaded(server: &Server, messages: u64) {
    until("every message is loaded", async || {
        let counts = server
            .clickhouse(
                "SELECT sum(messages) FROM loader_chunks WHERE topic = 'staging-bets' AND state = 'done'",
            )
            .await;
        (counts.parse::<u64>().unwrap() >= messages).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_loaders_accept_and_refuse_the_same_messages() {
    let (ours, clickhouse) = tokio::join!(Server::start(&[]), Server::start(&["--loader", "clickhouse"]));
    tokio::join!(ours.until_ready(), clickhouse.until_ready());
    let sent = messages(&ours).await;
    assert_eq!(messages(&clickhouse).await, sent, "the schemas have the same ids");
    tokio::join!(produce(&ours, &sent), produce(&clickhouse, &sent));
    let count = (sent.len() + PARTITIONS) as u64;
    tokio::join!(until_all_is_loaded(&ours, count), until_all_is_loaded(&clickhouse, count));

    let (mut expected, mut found) = (outcome(&ours).await, outcome(&clickhouse).await);
    assert_eq!(expected.len() as u64, count, "Roundhouse's loader has stored each message");
    // Messages that ClickHouse's reader accepts but no Avro library writes: docs/LOADERS.md.
    let lenient = "SELECT kafka_partition, kafka_offset FROM rejects WHERE reason = 'a union branch that the schema does not have'";
    for place in ours.clickhouse(lenient).await.lines() {
        expected.remove(place).unwrap();
        found.remove(place).expect("ClickHouse has stored it too");
    }
    assert!(expected.len() > 400, "{} are left", expected.len());
    let differing: Vec<String> = expected
        .iter()
        .filter(|(place, what)| found.get(*place) != Some(*what))
        .map(|(place, what)| format!("{place}:\n  ours       {what}\n  clickhouse {:?}", found.get(place)))
        .chain(found.keys().filter(|place| !expected.contains_key(*place)).cloned())
        .collect();
    assert!(differing.is_empty(), "{} of {count} differ:\n{}", differing.len(), differing.join("\n"));

    // The reasons are the same if ClickHouse could decode the message. Otherwise ClickHouse has its own message.
    let (expected, found) = (reasons(&ours).await, reasons(&clickhouse).await);
    let of_rules: Vec<_> = found.iter().filter(|(_, reason)| is_of_a_rule(reason)).collect();
    assert!(of_rules.len() > 30, "{of_rules:#?}");
    for (place, reason) in of_rules {
        assert_eq!(expected.get(place), Some(reason), "{place}");
    }
    assert_eq!(clickhouse.metric("roundhouse_visible_lag_offsets").await, 0.0);
}
