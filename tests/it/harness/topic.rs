//! Computes what the messages of a topic must lead to, without the loader's code.
//!
//! A second, simpler loader: Apache's own Avro library, everything in memory, one message after the other. The first message of a round
//! counts. A later one is a duplicate if it has the same values, otherwise a conflict.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use chrono::DateTime;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::aggregates::Key;
use super::expected::Totals;

const SCHEMA: &str = include_str!("../../../schemas/bets.avsc");

/// Number of fields before those that say where a row came from.
const FIELDS: usize = 10;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a consumer for [`Consumer::assign`], which commits nothing.
pub fn reader(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap()
}

/// The result of the messages read so far.
#[derive(Debug, Default)]
pub struct TopicOutcome {
    /// The values of each round.
    rounds: HashMap<i64, Vec<Value>>,
    /// The next offsets.
    next: BTreeMap<i32, i64>,
    pub messages: u64,
    pub by_hour: BTreeMap<Key, Totals>,
    /// New rounds, duplicates and conflicts of each upload.
    pub uploads: BTreeMap<String, [u64; 3]>,
    /// Upload, line and id of each conflict.
    pub conflicts: BTreeSet<(String, i64, i64)>,
}

impl TopicOutcome {
    /// Returns the number of rounds that must be stored.
    pub fn rounds(&self) -> u64 {
        self.rounds.len() as u64
    }

    /// Reads the new messages of a topic with four partitions. Blocks.
    pub fn read(&mut self, brokers: &str, topic: &str) {
        let consumer = reader(brokers);
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        for partition in 0..4 {
            let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT).unwrap();
            let next = *self.next.entry(partition).or_insert(low);
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(topic, partition, Offset::Offset(next)).unwrap();
            consumer.assign(&assignment).unwrap();
            for offset in next..high {
                let message = consumer.poll(TIMEOUT).expect("a message in time").unwrap();
                assert_eq!((message.partition(), message.offset()), (partition, offset));
                let datum = reader.read_value(&mut &message.payload().unwrap()[5..]).unwrap();
                let Value::Record(fields) = datum else { panic!("{datum:?} is not a record") };
                self.take(fields.into_iter().map(|(_, value)| value).collect());
            }
            self.next.insert(partition, high);
        }
    }

    fn take(&mut self, mut values: Vec<Value>) {
        self.messages += 1;
        let [upload, line] = values.split_off(FIELDS).try_into().unwrap();
        let (Value::Union(_, upload), Value::Union(_, line)) = (upload, line) else { panic!("not unions") };
        let (Value::Uuid(upload), Value::Long(line)) = (*upload, *line) else { panic!("not from an upload") };
        let counts = self.uploads.entry(upload.to_string()).or_default();
        let Value::Long(id) = values[1] else { panic!("no id") };
        match self.rounds.get(&id) {
            None => {
                counts[0] += 1;
                add(&mut self.by_hour, &values);
                self.rounds.insert(id, values);
            }
            Some(stored) if *stored == values => counts[1] += 1,
            Some(_) => {
                counts[2] += 1;
                self.conflicts.insert((upload.to_string(), line, id));
            }
        }
    }
}

fn add(by_hour: &mut BTreeMap<Key, Totals>, values: &[Value]) {
    let (Value::TimestampMillis(created), Value::String(player), Value::Long(game)) =
        (&values[0], &values[2], &values[3])
    else {
        panic!("{values:?}")
    };
    let created = DateTime::from_timestamp_millis(*created).unwrap();
    let hour = created.format("%Y-%m-%dT%H:00:00Z").to_string();
    let totals = by_hour.entry((hour, player.clone(), game.unsigned_abs())).or_default();
    totals.rounds += 1;
    totals.real_bet += units(&values[4]);
    totals.bonus_bet += units(&values[5]);
    totals.real_win += units(&values[6]);
    totals.bonus_win += units(&values[7]);
}

fn units(amount: &Value) -> i128 {
    match amount {
        Value::Union(_, amount) => units(amount),
        Value::Null => 0,
        Value::Decimal(amount) => {
            let bytes: Vec<u8> = amount.try_into().unwrap();
            let start = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
            bytes.iter().fold(start, |units, byte| (units << 8) | i128::from(*byte))
        }
        other => panic!("{other:?} is not an amount"),
    }
}
