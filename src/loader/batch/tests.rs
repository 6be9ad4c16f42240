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

fn content() -> Content {
    let schema = r#"{"type":"record","name":"R","key":"id","fields":[
        {"name":"id","type":"long","minimum":0},
        {"name":"game","type":["null","string"]},
        {"name":"upload","type":["null",{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}],"source":"upload_id"}]}"#;
    let dataset = Dataset::read(BETS, &[]).unwrap();
    let dataset = dataset.with_schema(schema.to_owned(), Columns::parse(schema).unwrap());
    let projection = Projection::new(Arc::clone(&dataset.columns), &dataset.columns);
    let projections = BTreeMap::from([(SCHEMA_ID, projection)]);
    Content::Rows { stored: Stored::new(dataset.into()), projections }
}

fn message(content: &Content, partition: i32, offset: i64, id: i64) -> OwnedMessage {
    let values = [Value::Long(id), Value::Text { start: 0, end: 2 }, Value::Uuid(UPLOAD)];
    let mut payload = Vec::new();
    let columns = content.stored().unwrap().columns();
    avro::encode(SCHEMA_ID, columns, &values, b"ab", &mut payload);
    OwnedMessage::new(Some(payload), None, "t".to_owned(), Timestamp::NotAvailable, partition, offset, None)
}

/// Builds a batch of as many of the messages as fit into one: of each its partition, offset and id.
fn batch(messages: &[(i32, i64, i64)], known: &RoaringTreemap) -> (Batch, usize) {
    let content = content();
    let mut builder = BatchBuilder::new(&content, ORIGIN);
    let pushed = messages.iter().take_while(|(partition, offset, id)| {
        let message = message(&content, *partition, *offset, *id);
        builder.push(&message, &content, known) == Pushed::Added
    });
    let pushed = pushed.count();
    (builder.finish(u64::from), pushed)
}

/// Builds the batch of the same messages as after a crash: chunk after chunk.
fn gathered_again(messages: &[(i32, i64, i64)], known: &RoaringTreemap) -> Batch {
    let content = content();
    let mut builder = BatchBuilder::new(&content, ORIGIN).retrying();
    let mut messages = messages.to_vec();
    messages.sort_unstable_by_key(|(partition, offset, _)| (*partition, *offset));
    for (partition, offset, id) in messages {
        builder.push(&message(&content, partition, offset, id), &content, known);
    }
    builder.finish(u64::from)
}

/// Returns partition, offset and id of the rows of `game_rounds`, sorted.
fn rows(batch: &Batch) -> Vec<(u16, u64, u64)> {
    let columns = native::tests::decode(batch.rounds.clone().into_pieces());
    if columns.is_empty() {
        return Vec::new();
    }
    let numbers = |name: &str| {
        let (_, _, values) = columns.iter().find(|(column, ..)| column == name).unwrap();
        let number =
            |bytes: &Vec<u8>| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        values.iter().flatten().map(number).collect::<Vec<_>>()
    };
    let (ids, partitions, offsets) = (numbers("id"), numbers("kafka_partition"), numbers("kafka_offset"));
    let mut rows: Vec<_> = (0..ids.len()).map(|n| (partitions[n] as u16, offsets[n], ids[n])).collect();
    rows.sort_unstable();
    rows
}

fn ids(ids: &[u64]) -> RoaringTreemap {
    ids.iter().copied().collect()
}

proptest! {
    #[test]
    fn a_batch_that_is_read_again_has_the_same_rows_counts_and_token(
        messages in prop::collection::vec((0..4_i32, 0..40_i64), 1..60),
        known in prop::collection::vec(0..40_u64, 0..20),
    ) {
        let known = ids(&known);
        let messages: Vec<_> = (100..).zip(messages).map(|(offset, (partition, id))| (partition, offset, id)).collect();
        let (first, pushed) = batch(&messages, &known);
        let again = gathered_again(&messages[..pushed], &known);
        prop_assert_eq!(rows(&first), rows(&again));
        prop_assert_eq!(format!("{:?}", first.chunks), format!("{:?}", again.chunks));
        prop_assert_eq!(first.token(&ORIGIN), again.token(&ORIGIN));
        prop_assert_eq!(&first.new_ids, &again.new_ids);
        prop_assert_eq!(rows(&again).len() as u64, again.chunks.iter().map(|chunk| chunk.new).sum::<u64>());
    }
}

#[test]
fn a_round_is_new_once_and_ends_the_batch_where_another_partition_has_it_too() {
    let messages = [(0, 5, 70), (1, 8, 71), (0, 6, 70), (0, 7, 72), (1, 9, 70), (0, 8, 73)];
    let (batch, pushed) = batch(&messages, &ids(&[72]));
    assert_eq!(pushed, 4);
    assert_eq!(rows(&batch), [(0, 5, 70), (1, 8, 71)]);
    let counts: Vec<_> = batch.chunks.iter().map(|chunk| (chunk.new, chunk.duplicate)).collect();
    assert_eq!(counts, [(1, 2), (1, 0)]);
    assert_eq!(batch.next_offsets().collect::<Vec<_>>(), [(0, 8), (1, 9)]);
    // 70 became known with this batch, so only 72 was stored before.
    assert_eq!(batch.known_ids(), ids(&[72]));
}

#[test]
fn a_token_names_the_offsets_of_every_chunk() {
    let of = |messages: &[(i32, i64, i64)]| batch(messages, &ids(&[])).0.token(&ORIGIN);
    assert_eq!(of(&[(4, 5, 70), (4, 6, 71)]), "t:2:4:5-6");
    let two = of(&[(0, 5, 70), (1, 8, 71)]);
    assert!(two.starts_with("t:2:2 chunks:"), "{two}");
    assert_ne!(two, of(&[(0, 5, 70), (1, 8, 71), (1, 9, 72)]));
    assert_ne!(two, of(&[(0, 5, 70), (2, 8, 71)]));
}

#[test]
fn the_first_repeat_of_a_deleted_round_becomes_new_and_recounted() {
    let messages = [(0, 5, 70), (0, 6, 71), (1, 8, 72), (1, 9, 71), (1, 10, 71)];
    let (mut batch, _) = batch(&messages, &ids(&[70, 71]));
    let stored = content().stored().unwrap().clone();
    assert_eq!(batch.bring_back(ids(&[71]), &stored, &ORIGIN), 1);
    assert_eq!(rows(&batch), [(0, 6, 71), (1, 8, 72)]);
    let counts = |chunk: &Chunk| (chunk.new, chunk.recounted, chunk.duplicate, chunk.repeats.len());
    assert_eq!(batch.chunks.iter().map(counts).collect::<Vec<_>>(), [(1, 1, 1, 1), (1, 0, 2, 2)]);
    assert_eq!(batch.chunks[0].uploads[&UPLOAD].new, 1);
    // After a crash the round is no longer known, and the lowest partition gets it again.
    assert_eq!(rows(&gathered_again(&messages, &ids(&[70]))), rows(&batch));
}

#[test]
fn a_message_that_is_not_a_round_is_a_reject_of_its_chunk() {
    let content = content();
    let mut builder = BatchBuilder::new(&content, ORIGIN);
    let broken =
        OwnedMessage::new(Some(b"text".to_vec()), None, "t".to_owned(), Timestamp::NotAvailable, 1, 4, None);
    assert_eq!(builder.push(&broken, &content, &ids(&[])), Pushed::Added);
    let batch = builder.finish(|_| 0);
    assert_eq!((batch.rounds.rows(), batch.chunks[0].undecodable, batch.chunks[0].messages), (0, 1, 1));
    assert_eq!(batch.chunks[0].rows(Table::Rejects, false), 1);
    assert!(batch.rejects.windows(19).any(|text| text == b"undecodable_message"));
}
