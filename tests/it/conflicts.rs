//! Rounds that come again are counted once per upload, as duplicates or conflicts. Stored rounds keep their origin.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::harness::aggregates::by_hour;
use crate::harness::files::{HEADER, line, lines};
use crate::harness::server::Server;

const COUNTS: &str = "SELECT toString(upload_id), sum(new), sum(duplicate), sum(conflict) \
    FROM upload_counts FINAL GROUP BY 1 ORDER BY 1";

const CONFLICTS: &str = "SELECT toString(upload_id), line, game_instance_id, real_amount_bet \
    FROM conflicts FINAL ORDER BY upload_id, line";

async fn upload(server: &Server, rows: &str) -> String {
    let answer = server.upload(format!("{HEADER}\n{rows}"), "wait=visible&force=true").await.ok();
    assert_eq!(answer["state"], "visible", "{answer:#}");
    answer["upload_id"].as_str().unwrap().to_owned()
}

/// Returns the new rounds, duplicates and conflicts of an upload.
async fn counts(server: &Server, upload: &str) -> [u64; 3] {
    let rows = server.clickhouse(COUNTS).await;
    let row = rows.lines().find(|row| row.starts_with(upload)).unwrap_or_else(|| panic!("{upload}: {rows}"));
    let counts: Vec<u64> = row.split('\t').skip(1).map(|count| count.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

/// Returns an upload's conflicts, as the API lists them.
async fn listed(server: &Server, upload: &str) -> Vec<Value> {
    let answer = server.get(&format!("/uploads/{upload}/conflicts?format=ndjson")).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    // One object alone was read as JSON already.
    match &answer.body {
        Value::String(text) => {
            text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
        }
        object => vec![object.clone()],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_comes_again_is_a_duplicate_or_a_conflict_and_changes_nothing() {
    let mut server = Server::start(&[]).await;
    let largest = i64::MAX.unsigned_abs();
    let first = upload(&server, &[lines(0..100), line(largest, "0.25")].concat()).await;
    assert_eq!(counts(&server, &first).await, [101, 0, 0]);

    // Ten with other values, fifty equal ones, twenty new ones; then a new one again, equal and with another value; then the largest id.
    let changed: String = (10..20).map(|id| line(id, "0.5")).collect();
    let again = [line(110, "0.25"), line(110, "3"), line(largest, ""), line(largest - 1, "1")].concat();
    let second = upload(&server, &[changed, lines(50..120), again].concat()).await;
    assert_eq!(counts(&server, &first).await, [101, 0, 0]);
    assert_eq!(counts(&server, &second).await, [21, 51, 12]);

    let conflicts = listed(&server, &second).await;
    let found: Vec<[&Value; 4]> = conflicts
        .iter()
        .map(|row| {
            ["line", "game_instance_id", "real_amount_bet", "stored_real_amount_bet"].map(|name| &row[name])
        })
        .collect();
    let mut expected: Vec<[Value; 4]> =
        (10..20_u64).map(|id| [json!(id - 8), json!(id), json!(0.5), json!(0.25)]).collect();
    expected.push([json!(83), json!(110), json!(3), json!(0.25)]);
    expected.push([json!(84), json!(largest), Value::Null, json!(0.25)]);
    assert_eq!(found.len(), expected.len(), "{conflicts:#?}");
    for (found, expected) in found.into_iter().zip(&expected) {
        for (found, expected) in found.into_iter().zip(expected) {
            let same = match (found, expected) {
                // 64-bit numbers may be in quotes.
                (Value::String(text), Value::Number(number)) => *text == number.to_string(),
                (found, Value::Number(number)) => found.as_f64() == number.as_f64(),
                (found, expected) => found == expected,
            };
            assert!(same, "{found} instead of {expected}: {conflicts:#?}");
        }
    }
    assert_eq!(conflicts[0]["stored_upload_id"], first);
    assert!(listed(&server, &first).await.is_empty());

    let stored =
        "SELECT count(), uniqExact(game_instance_id), toString(sum(real_amount_bet)) FROM game_rounds";
    assert_eq!(server.clickhouse(stored).await, "122\t122\t31.25");
    assert_eq!(by_hour(&server).await.values().map(|hour| hour.real_bet).sum::<i128>(), 3_125_000_000);
    let ledger = "SELECT sum(messages), sum(new), sum(duplicate), sum(conflict) FROM loader_chunks \
                  WHERE topic = 'staging-bets' AND state = 'done'";
    assert_eq!(server.clickhouse(ledger).await, "185\t122\t51\t12");

    // Every stored round has its origin.
    let origin = "SELECT toString(upload_id), line FROM game_rounds WHERE game_instance_id IN (0, 99, 100, 119) \
                  ORDER BY game_instance_id";
    let expected = format!("{first}\t2\n{first}\t101\n{second}\t62\n{second}\t81");
    assert_eq!(server.clickhouse(origin).await, expected);

    // Load the chunks again, as after a crash: nothing changes.
    let before = [COUNTS, CONFLICTS].map(str::to_owned);
    let mut seen = Vec::new();
    for sql in &before {
        seen.push(server.clickhouse(sql.as_str()).await);
    }
    server
        .clickhouse("ALTER TABLE loader_chunks DELETE WHERE state = 'done' SETTINGS mutations_sync = 1")
        .await;
    server.restart().await;
    server.until_ready().await;
    for (sql, seen) in before.into_iter().zip(seen) {
        assert_eq!(server.clickhouse(sql).await, seen);
    }
    assert_eq!(server.clickhouse(stored).await, "122\t122\t31.25");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_was_deleted_is_stored_again_when_it_comes_again() {
    let server = Server::start(&[]).await;
    upload(&server, &lines(0..1000)).await;
    let delete = "ALTER TABLE game_rounds DELETE WHERE game_instance_id BETWEEN 100 AND 199 SETTINGS mutations_sync = 1";
    server.clickhouse(delete).await;
    let second = upload(&server, &lines(0..1100)).await;
    assert_eq!(counts(&server, &second).await, [200, 900, 0]);
    let stored = server.clickhouse("SELECT count(), uniqExact(game_instance_id) FROM game_rounds").await;
    assert_eq!(stored, "1100\t1100");
    assert_eq!(by_hour(&server).await.values().map(|hour| hour.rounds).sum::<u64>(), 1100);
}

/// Returns the schema of the last release, without the upload and the line.
pub fn earlier_schema() -> Value {
    let mut schema: Value = serde_json::from_str(include_str!("../../schemas/bets.avsc")).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| field.get("source").is_none());
    assert_eq!(fields.len(), 10);
    schema
}

/// Registers a schema like another producer would. Returns its id.
pub async fn register(server: &Server, schema: &Value) -> u32 {
    register_as(server, "operators-value", schema).await
}

/// Registers a schema under another subject, where it need not be compatible with others.
pub async fn register_as(server: &Server, subject: &str, schema: &Value) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", server.addresses.schema_registry_url);
    let body = json!({ "schema": schema.to_string() });
    let answer = server.send(|http| http.post(url).json(&body)).await.ok();
    u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
}

/// Returns a round in Avro, encoded by Apache's own library.
pub fn message(schema_id: u32, schema: &Schema, id: i64, bet: i64) -> Vec<u8> {
    let amount = |units: i64| Avro::Union(1, Box::new(Avro::Decimal(Decimal::from(units.to_be_bytes()))));
    let record = Avro::Record(vec![
        ("created_timestamp".into(), Avro::TimestampMillis(1_580_702_706_000)),
        ("game_instance_id".into(), Avro::Long(id)),
        ("user_id".into(), Avro::String(format!("player-{}", id % 3))),
        ("game_id".into(), Avro::Long(7)),
        ("real_amount_bet".into(), amount(bet)),
        ("bonus_amount_bet".into(), amount(0)),
        ("real_amount_win".into(), amount(10_000_000)),
        ("bonus_amount_win".into(), Avro::Union(0, Box::new(Avro::Null))),
        ("game_name".into(), Avro::String("Café 日本".into())),
        ("provider".into(), Avro::String("Play'n GO".into())),
    ]);
    let mut message = vec![0];
    message.extend(schema_id.to_be_bytes());
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    message.extend(writer.write_value_to_vec(record).unwrap());
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_an_earlier_schema_are_loaded_together_with_current_ones() {
    let server = Server::start(&[]).await;
    let schema = earlier_schema();
    let schema_id = register(&server, &schema).await;
    let schema = Schema::parse(&schema).unwrap();
    let first = upload(&server, &lines(0..50)).await;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &server.addresses.kafka_brokers)
        .set("partitioner", "murmur2")
        .create()
        .unwrap();
    // Twenty rounds of the upload, one of them with another bet, and thirty new ones.
    for id in 30..80_i64 {
        let bet = if id == 40 { 50_000_000 } else { 25_000_000 };
        let (key, payload) = (id.to_string(), message(schema_id, &schema, id, bet));
        let record = FutureRecord::to("staging-bets").key(&key).payload(&payload);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    let second = upload(&server, &[lines(60..100), line(70, "4")].concat()).await;
    assert_eq!(counts(&server, &first).await, [50, 0, 0]);
    assert_eq!(counts(&server, &second).await, [20, 20, 1]);
    let stored = "SELECT isNull(upload_id), count(), uniqExact(game_instance_id), toString(sum(real_amount_bet)) \
                  FROM game_rounds GROUP BY 1 ORDER BY 1";
    assert_eq!(server.clickhouse(stored).await, "0\t70\t70\t17.5\n1\t30\t30\t7.5");
    let nobody = "00000000-0000-0000-0000-000000000000";
    let conflicts = format!("{nobody}\t\\N\t40\t0.5\n{second}\t42\t70\t4");
    assert_eq!(server.clickhouse(CONFLICTS).await, conflicts);
    let ledger = "SELECT sum(undecodable), sum(new), sum(duplicate), sum(conflict) FROM loader_chunks \
                  WHERE topic = 'staging-bets' AND state = 'done'";
    assert_eq!(server.clickhouse(ledger).await, "0\t100\t39\t2");
    let by_upload: BTreeMap<String, u64> =
        by_hour(&server).await.into_iter().map(|((_, player, _), hour)| (player, hour.rounds)).collect();
    assert_eq!(by_upload.values().sum::<u64>(), 100);
}
