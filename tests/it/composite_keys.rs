//! Keys of several columns: in the dataset of payments, in `tests/datasets`, a row is identified by merchant and number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::Consumer;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use roundhouse::domain::columns::Columns;
use roundhouse::domain::value::Value;
use roundhouse::wire::avro;

use crate::conflicts::register_as;
use crate::harness::process::until_within;
use crate::harness::repository;
use crate::harness::seed;
use crate::harness::server::Server;
use crate::harness::topic::reader;

const SCHEMA: &str = include_str!("../datasets/schemas/payments.avsc");

const TOPIC: &str = "test-payments";

const PARTITIONS: i32 = 4;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the tests' files begin with.
const HEADER: &str = "merchant,payment_id,paid_at,due_on,method,payer,amount,refunded\n";

async fn start() -> Server {
    let directory = repository().join("tests/datasets").display().to_string();
    Server::start(&["--dataset", "payments", "--datasets", &directory, "--delivery-timeout-seconds", "20"])
        .await
}

/// Asserts that each row is stored once, and that both aggregate tables have the sums of the rows.
async fn assert_exact(server: &Server, rows: usize) {
    let counts = server.clickhouse("SELECT count(), uniqExact(merchant, payment_id) FROM payments").await;
    assert_eq!(counts, format!("{rows}\t{rows}"));
    for (table, rows) in [
        (
            "SELECT merchant, due_on, sum(payments), sum(amount), max(last) FROM merchant_days GROUP BY ALL",
            "SELECT merchant, due_on, count(), sum(amount), max(paid_at) FROM payments GROUP BY ALL",
        ),
        (
            "SELECT hour, method, sum(payments), sum(refunds), sum(amount) FROM method_hours GROUP BY ALL",
            "SELECT toStartOfHour(paid_at), method, count(), countIf(ifNull(refunded, false)), sum(amount) FROM payments GROUP BY ALL",
        ),
    ] {
        for (one, other) in [(table, rows), (rows, table)] {
            assert_eq!(
                server.clickhouse(format!("SELECT * FROM (({one}) EXCEPT ({other})) LIMIT 5")).await,
                "",
                "{one}"
            );
        }
    }
}

/// Returns new rows, duplicates and conflicts of all messages, once so many are loaded.
async fn counts(server: &Server, messages: usize) -> Vec<usize> {
    let sql = format!(
        "SELECT sum(messages), sum(new), sum(duplicate), sum(conflict) FROM \
         (SELECT DISTINCT * EXCEPT written_at FROM loader_chunks WHERE topic = '{TOPIC}' AND state = 'done')"
    );
    until_within(PATIENCE, &format!("{messages} messages are loaded"), async || {
        let counts = server.clickhouse(&sql).await;
        let counts: Vec<usize> = counts.split('\t').map(|count| count.parse().unwrap()).collect();
        (counts[0] == messages).then(|| counts[1..].to_vec())
    })
    .await
}

/// Produces payments to chosen partitions, as another program may.
struct Sender {
    columns: Columns,
    schema_id: u32,
    sent: usize,
}

impl Sender {
    async fn new(server: &Server) -> Self {
        let schema = serde_json::from_str(SCHEMA).unwrap();
        let schema_id = register_as(server, "test-payments-value", &schema).await;
        Self { columns: Columns::parse(SCHEMA).unwrap(), schema_id, sent: 0 }
    }

    /// Sends payments: merchant, number and amount of each. Row `n` goes to the partition `first + n`.
    async fn send(&mut self, server: &Server, first: usize, payments: &[(String, i64, i128)]) {
        let producer: FutureProducer =
            ClientConfig::new().set("bootstrap.servers", &server.addresses.kafka_brokers).create().unwrap();
        for (at, (merchant, id, amount)) in payments.iter().enumerate() {
            let values = [
                Value::Text { start: 0, end: merchant.len() },
                Value::Long(*id),
                Value::Timestamp(1_580_702_706_000 + id % 10_000_000),
                Value::Date(18_000 + (id % 3) as i32),
                Value::Enum((id % 3) as u32),
                Value::Text { start: 0, end: 0 },
                Value::Decimal(*amount),
                if id % 2 == 0 { Value::Null } else { Value::Boolean(true) },
                Value::Timestamp(1_600_000_000_000 + at as i64),
                Value::Null,
                Value::Null,
            ];
            let mut message = Vec::new();
            avro::encode(self.schema_id, &self.columns, &values, merchant.as_bytes(), &mut message);
            let partition = ((first + at) % PARTITIONS as usize) as i32;
            let record = FutureRecord::<(), _>::to(TOPIC).partition(partition).payload(&message);
            producer.send(record, PATIENCE).await.unwrap();
        }
        self.sent += payments.len();
    }
}

/// Returns payments with each merchant and number.
fn payments(merchants: &[String], ids: &[i64]) -> Vec<(String, i64, i128)> {
    merchants.iter().flat_map(|merchant| ids.iter().map(move |id| (merchant.clone(), *id, 12_500))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_may_be_part_of_a_key_whatever_the_partition() {
    let long = "x".repeat(200_000);
    let texts = [
        "",
        "\0",
        "a\0b",
        "'",
        "\\",
        "\\'",
        "\"",
        "a/b",
        "😀",
        "\u{10ffff}\n",
        "{x:String}",
        "%00",
        "')) --",
    ];
    let edges = [30, 31, 32, 33].map(|length| "e".repeat(length));
    let mut merchants: Vec<String> = texts.map(str::to_owned).into_iter().chain(edges).collect();
    merchants.extend([format!("{long}1"), format!("{long}2")]);
    let rows = payments(&merchants, &[7, 8, 1 << 40, i64::MAX]);
    let mut server = start().await;
    let mut sender = Sender::new(&server).await;
    sender.send(&server, 0, &rows).await;
    assert_eq!(counts(&server, sender.sent).await, [rows.len(), 0, 0]);
    assert_exact(&server, rows.len()).await;

    // Again in other partitions, every third with another amount. After a restart the known keys come from the table.
    let mut again = rows.clone();
    again.iter_mut().step_by(3).for_each(|(.., amount)| *amount += 1);
    let conflicts = rows.len().div_ceil(3);
    for round in 1..=2 {
        sender.send(&server, round, &again).await;
        let expected = [rows.len(), round * (rows.len() - conflicts), round * conflicts];
        assert_eq!(counts(&server, sender.sent).await, expected);
        server.restart().await;
        server.until_ready().await;
    }
    assert_exact(&server, rows.len()).await;
    let kept = "SELECT count(), countIf(received_at >= '2020-01-01'), uniqExact(merchant, payment_id), countIf(amount = 1.2501) FROM payments_conflicts FINAL";
    assert_eq!(server.clickhouse(kept).await, format!("{0}\t{0}\t{conflicts}\t{0}", 2 * conflicts));

    // Deleted rows come back with all their values, and their sums are right again.
    server.clickhouse("DELETE FROM payments WHERE payment_id IN (7, 9223372036854775807)").await;
    sender.send(&server, 3, &rows).await;
    let brought_back = 2 * merchants.len();
    let found = counts(&server, sender.sent).await;
    assert_eq!(found[0], rows.len() + brought_back);
    assert_exact(&server, rows.len()).await;
    let kept = "SELECT count(), countIf(received_at >= '2020-01-01') FROM payments WHERE recounted";
    assert_eq!(server.clickhouse(kept).await, format!("{brought_back}\t{brought_back}"));
}

/// Passes of kills, kills at random moments in each, and time before each.
const PASSES: usize = 2;
const RANDOM_KILLS: usize = 2;
const PAUSE_MILLIS: Range<u64> = 0..1_500;

/// Returns a file of payments. Some have another amount than in other files.
fn file(dice: &mut ChaCha8Rng) -> String {
    let merchants = [
        "",
        "Müller & Söhne",
        "\"a\"\"b,c\"",
        "\\'",
        "a/1",
        "a",
        "a very long name, of which only a digest is known",
    ];
    let first = dice.random_range(0..20_000);
    let mut file = HEADER.to_owned();
    for id in first..first + 6_000 {
        let merchant = merchants[dice.random_range(0..merchants.len())];
        let amount = if dice.random_range(0..50) == 0 { dice.random_range(0..1000) } else { id % 100 };
        let (hour, method) = (id % 24, ["card", "transfer", "wallet"][id % 3]);
        let refunded = ["", "true", "false"][id / 7 % 3];
        file += &format!(
            "{merchant},{id},2026-01-{:02}T{hour:02}:00:00Z,2026-02-{:02},{method},p{},{amount}.5,{refunded}\n",
            1 + id % 5,
            1 + id % 28,
            id % 40
        );
    }
    file
}

/// Sends a file until it is acknowledged.
async fn upload(server: &Server, file: &str) {
    let post = async || {
        let url = server.url("/datasets/payments/rows?force=true");
        let sent =
            reqwest::Client::new().post(url).header("content-type", "text/csv").body(file.to_owned()).send();
        let answer = sent.await.ok()?;
        (answer.status() == 200).then_some(())
    };
    until_within(PATIENCE, "the file is acknowledged", post).await;
}

/// What the messages of the topic must lead to. The first message of a key counts.
#[derive(Default)]
struct Outcome {
    rows: HashMap<(String, i64), Vec<Avro>>,
    messages: usize,
    duplicates: usize,
    /// Partition and offset.
    conflicts: BTreeSet<(i32, i64)>,
}

impl Outcome {
    /// Reads a topic with the rows of each key in one partition. Blocks.
    fn read(brokers: &str) -> Self {
        let (consumer, schema) = (reader(brokers), Schema::parse_str(SCHEMA).unwrap());
        let datum = GenericDatumReader::builder(&schema).build().unwrap();
        let mut outcome = Self::default();
        let mut partitions: BTreeMap<(String, i64), i32> = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(TOPIC, partition, PATIENCE).unwrap();
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(TOPIC, partition, Offset::Offset(low)).unwrap();
            consumer.assign(&assignment).unwrap();
            for offset in low..high {
                let message = consumer.poll(PATIENCE).expect("a message in time").unwrap();
                let value = datum.read_value(&mut &message.payload().unwrap()[5..]).unwrap();
                let Avro::Record(fields) = value else { panic!("{value:?}") };
                // Without what the server fills in.
                let values: Vec<Avro> = fields.into_iter().take(8).map(|(_, value)| value).collect();
                let (Avro::String(merchant), Avro::Long(id)) = (&values[0], &values[1]) else {
                    panic!("{values:?}")
                };
                let key = (merchant.clone(), *id);
                assert_eq!(*partitions.entry(key.clone()).or_insert(partition), partition, "{key:?}");
                outcome.messages += 1;
                match outcome.rows.get(&key) {
                    None => drop(outcome.rows.insert(key, values)),
                    Some(stored) if *stored == values => outcome.duplicates += 1,
                    Some(_) => drop(outcome.conflicts.insert((partition, offset))),
                }
            }
        }
        outcome
    }

    /// Returns the number of rows and the sum of their amounts for each merchant and number.
    fn amounts(&self) -> BTreeSet<(String, i64, i128)> {
        let amount = |values: &[Avro]| {
            let Avro::Decimal(amount) = &values[6] else { panic!("{values:?}") };
            let bytes: Vec<u8> = amount.try_into().unwrap();
            bytes.iter().fold(0, |units, byte| (units << 8) | i128::from(*byte))
        };
        self.rows.iter().map(|((merchant, id), values)| (hex(merchant), *id, amount(values))).collect()
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_sums_and_conflicts_are_exact_after_every_kill() {
    let mut dice = ChaCha8Rng::seed_from_u64(seed());
    let mut server = start().await;
    let open = format!(
        "SELECT count() FROM (SELECT 1 FROM loader_chunks WHERE topic = '{TOPIC}' \
         GROUP BY epoch, partition, first_offset HAVING countIf(state = 'done') = 0)"
    );
    for pass in 0..PASSES {
        for kill in 0..=RANDOM_KILLS {
            for _ in 0..2 {
                upload(&server, &file(&mut dice)).await;
            }
            if kill < RANDOM_KILLS {
                tokio::time::sleep(Duration::from_millis(dice.random_range(PAUSE_MILLIS))).await;
            } else {
                // At a chunk that is noted and not done, if there is one in time.
                upload(&server, &file(&mut dice)).await;
                for _ in 0..50 {
                    if server.clickhouse(&open).await != "0" {
                        break;
                    }
                }
            }
            match (kill + pass) % 3 {
                0 => drop(server.kill_part("clickhouse").await),
                1 => drop(server.kill_part("broker").await),
                _ => server.restart().await,
            }
            server.until_ready().await;
        }
        let brokers = server.addresses.kafka_brokers.clone();
        let outcome = tokio::task::spawn_blocking(move || Outcome::read(&brokers)).await.unwrap();
        let expected = [outcome.rows.len(), outcome.duplicates, outcome.conflicts.len()];
        assert!(expected.iter().all(|count| *count > 0), "{expected:?}");
        assert_eq!(counts(&server, outcome.messages).await, expected);
        assert_exact(&server, outcome.rows.len()).await;
        let stored = server
            .clickhouse("SELECT hex(merchant), payment_id, toInt64(amount * 10000) FROM payments")
            .await;
        let stored: BTreeSet<(String, i64, i128)> = stored
            .lines()
            .map(|line| {
                let [merchant, id, amount] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
                (merchant.to_owned(), id.parse().unwrap(), amount.parse().unwrap())
            })
            .collect();
        assert!(stored == outcome.amounts(), "the stored rows differ from the topic");
        let conflicts =
            server.clickhouse("SELECT kafka_partition, kafka_offset FROM payments_conflicts FINAL").await;
        let conflicts: BTreeSet<(i32, i64)> = conflicts
            .lines()
            .map(|line| {
                let (partition, offset) = line.split_once('\t').unwrap();
                (partition.parse().unwrap(), offset.parse().unwrap())
            })
            .collect();
        assert_eq!(conflicts, outcome.conflicts);
        let counted = "SELECT sum(new), sum(duplicate), sum(conflict) FROM upload_counts FINAL";
        assert_eq!(server.clickhouse(counted).await, expected.map(|count| count.to_string()).join("\t"));
    }
}
