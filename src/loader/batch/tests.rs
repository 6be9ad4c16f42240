use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use rdkafka::Timestamp;
use rdkafka::message::OwnedMessage;

use super::*;
use crate::dataset::BETS;
use crate::domain::columns::Columns;
use crate::loader::chunk::Table;
use crate::warehouse::native;
use crate::wire::avro;

const SCHEMA_ID: u32 = 1;
const ORIGIN: Origin<'static> = Origin { topic: "t", epoch: 2, generation: 3 };
const UPLOAD: u128 = 9;

/// The keys of the tests' datasets: one column, or several.
const KEYS: [&str; 2] = [r#""id""#, r#"["game","id"]"#];

/// The texts of a game: a key of several columns begins with one.
const GAMES: [&str; 4] =
    ["", "a\0", "a text that is kept", "a longer text, of which only the digest is kept"];

fn content(key: &str) -> Content {
    let schema = r#"{"type":"record","name":"R","key":KEY,"fields":[
        {"name":"id","type":"long","minimum":0},
        {"name":"game","type":"string"},
        {"name":"received","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"source":"received_at"},
        {"name":"upload","type":["null",{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}],"source":"upload_id"},
        {"name":"place","type":"int","source":"source_partition"}]}"#;
    let schema = schema.replace("KEY", key);
    let dataset = Dataset::read(BETS, &[]).unwrap();
    let columns = Columns::parse(&schema).unwrap();
    let dataset = dataset.with_schema(schema, columns);
    let projection = Projection::new(Arc::clone(&dataset.columns), &dataset.columns);
    let projections = BTreeMap::from([(SCHEMA_ID, projection)]);
    Content::Rows { stored: Stored::new(dataset.into()), projections }
}

/// Returns the game and the id of a row. With a key of several columns, several rows have the same id.
fn key(content: &Content, number: i64) -> (&'static str, i64) {
    match content.stored().unwrap().prefix().next() {
        None => (GAMES[1], number),
        Some(_) => (GAMES[number as usize % GAMES.len()], number / GAMES.len() as i64),
    }
}

fn message(content: &Content, partition: i32, offset: i64, number: i64) -> OwnedMessage {
    let (game, id) = key(content, number);
    let received = if offset % 2 == 0 { Value::Timestamp(1000 + offset) } else { Value::Null };
    let text = Value::Text { start: 0, end: game.len() };
    let values = [Value::Long(id), text, received, Value::Uuid(UPLOAD), Value::Int(partition + 50)];
    let mut payload = Vec::new();
    let columns = content.stored().unwrap().columns();
    avro::encode(SCHEMA_ID, columns, &values, game.as_bytes(), &mut payload);
    OwnedMessage::new(Some(payload), None, "t".to_owned(), Timestamp::NotAvailable, partition, offset, None)
}

/// Returns the set of the keys of rows.
fn keys(content: &Content, numbers: &[i64]) -> KeySet {
    let mut keys = KeySet::default();
    for (game, id) in numbers.iter().map(|number| key(content, *number)) {
        let mut prefix = Vec::new();
        for column in content.stored().unwrap().prefix() {
            write_value(column, Value::Text { start: 0, end: game.len() }, game.as_bytes(), &mut prefix);
        }
        keys.insert(Key::new(&prefix, id as u64, &mut [0; 32]));
    }
    keys
}

/// Builds a batch of as many of the messages as fit into one: of each its partition, offset and row.
fn batch(content: &Content, messages: &[(i32, i64, i64)], known: &KeySet) -> (Batch, usize) {
    let mut builder = BatchBuilder::new(content, ORIGIN);
    let pushed = messages.iter().take_while(|(partition, offset, number)| {
        let message = message(content, *partition, *offset, *number);
        builder.push(&message, content, known) == Pushed::Added
    });
    let pushed = pushed.count();
    (builder.finish(u64::from), pushed)
}

/// Builds the batch of the same messages as after a crash: chunk after chunk.
fn gathered_again(content: &Content, messages: &[(i32, i64, i64)], known: &KeySet) -> Batch {
    let mut builder = BatchBuilder::new(content, ORIGIN).retrying();
    let mut messages = messages.to_vec();
    messages.sort_unstable_by_key(|(partition, offset, _)| (*partition, *offset));
    for (partition, offset, number) in messages {
        builder.push(&message(content, partition, offset, number), content, known);
    }
    builder.finish(u64::from)
}

/// Returns the numbers in a column of the rows, where missing ones are 0.
fn numbers(batch: &Batch, name: &str) -> Vec<u64> {
    let columns = native::tests::decode(batch.rounds.clone().into_pieces());
    let number = |bytes: &Vec<u8>| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let values = columns.iter().find(|(column, ..)| column == name).map(|(.., values)| values);
    values.into_iter().flatten().map(|value| value.as_ref().map_or(0, number)).collect()
}

/// Returns partition and offset of the rows, and the last column of their key, sorted.
fn rows(batch: &Batch) -> Vec<(u64, u64, u64)> {
    let (partitions, offsets) = (numbers(batch, "kafka_partition"), numbers(batch, "kafka_offset"));
    let rows = partitions.into_iter().zip(offsets).zip(numbers(batch, "id"));
    let mut rows: Vec<_> = rows.map(|((partition, offset), id)| (partition, offset, id)).collect();
    rows.sort_unstable();
    rows
}

/// Returns partition and offset of the rows, sorted.
fn places(batch: &Batch) -> Vec<(u64, u64)> {
    rows(batch).into_iter().map(|(partition, offset, _)| (partition, offset)).collect()
}

proptest! {
    #[test]
    fn a_batch_that_is_read_again_has_the_same_rows_counts_and_token(
        messages in prop::collection::vec((0..4_i32, 0..40_i64), 1..60),
        known in prop::collection::vec(0..40_i64, 0..20),
    ) {
        let messages: Vec<_> = (100..).zip(messages).map(|(offset, (partition, row))| (partition, offset, row)).collect();
        for content in KEYS.map(content) {
            let set = keys(&content, &known);
            let (first, pushed) = batch(&content, &messages, &set);
            let again = gathered_again(&content, &messages[..pushed], &set);
            prop_assert_eq!(rows(&first), rows(&again));
            prop_assert_eq!(format!("{:?}", first.chunks), format!("{:?}", again.chunks));
            prop_assert_eq!(first.token(&ORIGIN), again.token(&ORIGIN));
            prop_assert_eq!(rows(&again).len() as u64, again.chunks.iter().map(|chunk| chunk.new).sum::<u64>());
            // Each row that is not known is new where it comes first.
            let mut seen: BTreeSet<i64> = known.iter().copied().collect();
            let new = messages[..pushed].iter().filter(|(.., row)| seen.insert(*row));
            let mut new: Vec<_> = new.map(|(partition, offset, _)| (*partition as u64, *offset as u64)).collect();
            new.sort_unstable();
            prop_assert_eq!(places(&first), new);
        }
    }
}

#[test]
fn a_row_is_new_once_and_ends_the_batch_where_another_partition_has_it_too() {
    let messages = [(0, 5, 70), (1, 8, 71), (0, 6, 70), (0, 7, 72), (1, 9, 70), (0, 8, 73)];
    for content in KEYS.map(content) {
        let (batch, pushed) = batch(&content, &messages, &keys(&content, &[72]));
        assert_eq!(pushed, 4);
        assert_eq!(places(&batch), [(0, 5), (1, 8)]);
        let counts: Vec<_> = batch.chunks.iter().map(|chunk| (chunk.new, chunk.duplicate)).collect();
        assert_eq!(counts, [(1, 2), (1, 0)]);
        assert_eq!(batch.next_offsets().collect::<Vec<_>>(), [(0, 8), (1, 9)]);
        // 70 became known with this batch, so only 72 was stored before.
        let stored: Vec<_> = batch.known_keys().map(|(_, id)| id).collect();
        assert_eq!(stored, [key(&content, 72).1 as u64]);
    }
}

#[test]
fn a_token_names_the_offsets_of_every_chunk() {
    let content = content(KEYS[0]);
    let of = |messages: &[(i32, i64, i64)]| batch(&content, messages, &KeySet::default()).0.token(&ORIGIN);
    assert_eq!(of(&[(4, 5, 70), (4, 6, 71)]), "t:2:4:5-6");
    let two = of(&[(0, 5, 70), (1, 8, 71)]);
    assert!(two.starts_with("t:2:2 chunks:"), "{two}");
    assert_ne!(two, of(&[(0, 5, 70), (1, 8, 71), (1, 9, 72)]));
    assert_ne!(two, of(&[(0, 5, 70), (2, 8, 71)]));
}

#[test]
fn the_first_repeat_of_a_deleted_row_becomes_new_and_recounted_with_all_its_values() {
    let messages = [(0, 5, 70), (0, 6, 71), (1, 8, 72), (1, 9, 71), (1, 10, 71)];
    for content in KEYS.map(content) {
        let (mut batch, _) = batch(&content, &messages, &keys(&content, &[70, 71]));
        let stored = content.stored().unwrap().clone();
        assert_eq!(batch.bring_back(&keys(&content, &[70]), &stored, &ORIGIN), 1);
        assert_eq!(places(&batch), [(0, 6), (1, 8)]);
        let counts = |chunk: &Chunk| (chunk.new, chunk.recounted, chunk.duplicate, chunk.repeats.len());
        assert_eq!(batch.chunks.iter().map(counts).collect::<Vec<_>>(), [(1, 1, 1, 1), (1, 0, 2, 2)]);
        assert_eq!(batch.chunks[0].uploads[&UPLOAD].new, 1);
        // After a crash the row is no longer known, and the lowest partition gets it again: with the same values.
        let again = gathered_again(&content, &messages, &keys(&content, &[70]));
        assert_eq!(rows(&again), rows(&batch));
        for (column, values) in [("received", [1006, 1008]), ("place", [50, 51])] {
            for batch in [&batch, &again] {
                let mut found = numbers(batch, column);
                found.sort_unstable();
                assert_eq!(found, values, "{column}");
            }
        }
    }
}

#[test]
fn a_message_that_is_not_a_round_is_a_reject_of_its_chunk() {
    let content = content(KEYS[0]);
    let mut builder = BatchBuilder::new(&content, ORIGIN);
    let broken =
        OwnedMessage::new(Some(b"text".to_vec()), None, "t".to_owned(), Timestamp::NotAvailable, 1, 4, None);
    assert_eq!(builder.push(&broken, &content, &KeySet::default()), Pushed::Added);
    let batch = builder.finish(|_| 0);
    assert_eq!((batch.rounds.rows(), batch.chunks[0].undecodable, batch.chunks[0].messages), (0, 1, 1));
    assert_eq!(batch.chunks[0].rows(Table::Rejects, false), 1);
    assert!(batch.rejects.windows(19).any(|text| text == b"undecodable_message"));
}
