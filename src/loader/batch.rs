//! Turns messages into a batch: a chunk for each partition, and the rows for each table. A pure function: the same messages always give the
//! same rows.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::Headers;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};

use super::chunk::{Chunk, Repeat, partition_of};
use super::content::{Content, Projection, Stored};
use super::inbox::Inbox;
use crate::domain::columns::Columns;
use crate::domain::value::Value;
use crate::warehouse::native::Block;
use crate::warehouse::row_binary::{value_length, write_text, write_value};
use crate::wire::{avro, headers as names};

/// The columns of `game_rounds` that say where a round comes from, and the generation, with their ClickHouse types.
const ORIGIN_COLUMNS: [(&str, &str); 5] = [
    ("kafka_epoch", "UInt32"),
    ("kafka_partition", "UInt16"),
    ("kafka_offset", "UInt64"),
    ("recounted", "Bool"),
    ("generation", "UInt32"),
];

/// The inbox of `game_rounds`.
pub(super) fn rounds_inbox(columns: &Columns) -> Inbox {
    let others = columns.iter().filter(|column| !column.is_field());
    let names: Vec<&str> = columns.fields().chain(others).map(|column| column.name.as_str()).collect();
    let columns = format!("{}, kafka_epoch, kafka_partition, kafka_offset, recounted", names.join(", "));
    Inbox::new("game_rounds", columns)
}

/// Where a batch's messages come from, and under which lease it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub topic: &'a str,
    pub epoch: u32,
    /// Generation of the lease: see [`super::inbox`].
    pub generation: u32,
}

/// What happened to a pushed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Added,
    /// Not added: its round is new in the chunk of another partition.
    IsNewElsewhere,
}

/// Messages that are loaded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Ordered by partition.
    pub(super) chunks: Vec<Chunk>,
    /// Rows of `game_rounds`.
    pub(super) rounds: Block,
    /// Rows of `rejects`, in RowBinary, each followed by the generation.
    pub(super) rejects: Bytes,
    /// Ids of the new rounds.
    pub(super) new_ids: RoaringTreemap,
}

impl Batch {
    /// Returns the token with which its rows are inserted. It names the topic, the epoch, and the partitions and offsets of all chunks.
    pub(super) fn token(&self, origin: &Origin<'_>) -> String {
        let Origin { topic, epoch, .. } = origin;
        let ranges = self.chunks.iter().map(|chunk| {
            let Chunk { partition, first_offset, last_offset, .. } = chunk;
            format!("{partition}:{first_offset}-{last_offset}")
        });
        let ranges = ranges.collect::<Vec<_>>().join(",");
        if self.chunks.len() == 1 {
            return format!("{topic}:{epoch}:{ranges}");
        }
        // The token is part of a URL: hundreds of ranges would make it too long.
        let digest = Sha256::digest(ranges.as_bytes());
        let digest = digest.iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        format!("{topic}:{epoch}:{} chunks:{digest}", self.chunks.len())
    }

    /// Returns the next offset of each of its partitions.
    pub(super) fn next_offsets(&self) -> impl Iterator<Item = (u16, i64)> {
        self.chunks.iter().map(|chunk| (chunk.partition, chunk.last_offset + 1))
    }

    /// Returns the ids of the repeats whose round was stored before this batch.
    pub(super) fn known_ids(&self) -> RoaringTreemap {
        let repeats = self.chunks.iter().flat_map(|chunk| &chunk.repeats);
        repeats.map(|repeat| repeat.id).filter(|id| !self.new_ids.contains(*id)).collect()
    }

    /// Turns repeats of deleted rounds back into new rounds: the first one of each id in `gone`. Returns how many rounds that were.
    pub(super) fn bring_back(
        &mut self,
        mut gone: RoaringTreemap,
        stored: &Stored,
        origin: &Origin<'_>,
    ) -> u64 {
        let mut brought_back = 0;
        for chunk in &mut self.chunks {
            for repeat in std::mem::take(&mut chunk.repeats) {
                if !gone.remove(repeat.id) {
                    chunk.repeats.push(repeat);
                    continue;
                }
                self.new_ids.insert(repeat.id);
                let row = chunk.repeated_rows.get(repeat.row.clone()).unwrap_or_default();
                write_repeat(&mut self.rounds, stored, &repeat, row);
                // Whoever deleted the round may not have corrected its hour.
                write_origin(&mut self.rounds, stored, origin, chunk.partition, repeat.offset, true);
                chunk.new += 1;
                chunk.recounted += 1;
                chunk.duplicate -= 1;
                if let Some(upload_id) = repeat.upload_id {
                    chunk.uploads.entry(upload_id).or_default().new += 1;
                }
                brought_back += 1;
            }
            if chunk.repeats.is_empty() {
                chunk.repeated_rows = Vec::new();
            }
        }
        brought_back
    }
}

/// Builds a batch, message by message.
#[derive(Debug)]
pub struct BatchBuilder<'a> {
    origin: Origin<'a>,
    chunks: BTreeMap<u16, Building>,
    rounds: Block,
    rejects: Vec<u8>,
    new_ids: RoaringTreemap,
    messages: u64,
    /// Size of the repeats in bytes.
    repeats: usize,
    /// Whether the view leaves all new rounds out of their hours.
    is_recounting: bool,
    /// Whether the messages are read again, chunk after chunk.
    is_retrying: bool,
    /// One message's values, in the writer's column order and in the stored order. Reused, to avoid allocations.
    decoded: Vec<Value>,
    values: Vec<Value>,
}

/// A chunk, and the ids of its new rounds.
#[derive(Debug, Default)]
struct Building {
    chunk: Chunk,
    new_ids: RoaringTreemap,
}

/// A decoded message.
struct Round<'m> {
    payload: &'m [u8],
    id: u64,
    upload_id: Option<u128>,
}

impl<'a> BatchBuilder<'a> {
    pub fn new(content: &Content, origin: Origin<'a>) -> Self {
        let rounds = match content.stored() {
            Some(stored) => Block::new(stored.columns.iter(), &ORIGIN_COLUMNS),
            None => Block::default(),
        };
        Self {
            origin,
            chunks: BTreeMap::new(),
            rounds,
            rejects: Vec::new(),
            new_ids: RoaringTreemap::new(),
            messages: 0,
            repeats: 0,
            is_recounting: false,
            is_retrying: false,
            decoded: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Marks all new rounds as recounted: the view does not add them to their hours, which may already include them.
    pub(super) fn recounting(self) -> Self {
        Self { is_recounting: true, ..self }
    }

    /// Builds a noted batch again, of which every chunk is read whole, in the order of the partitions. Only a deleted round that came back
    /// in several chunks is new in more than one of them: the lowest partition gets it.
    pub(super) fn retrying(self) -> Self {
        Self { is_retrying: true, ..self }
    }

    /// Returns the size of the rows so far in bytes, repeats included.
    pub fn bytes(&self) -> usize {
        self.rounds.bytes() + self.rejects.len() + self.repeats
    }

    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Adds the next message: as a new round, as a repeat of one in `known` or in its chunk, or as a reject. A message whose id is new in
    /// the chunk of another partition is not added ([`Pushed::IsNewElsewhere`]): after a crash the chunks are read again one after the
    /// other, and another one might then get the round.
    pub fn push(&mut self, message: &impl Message, content: &Content, known: &RoaringTreemap) -> Pushed {
        match content {
            Content::Rejects => self.push_reject(message),
            Content::Rounds { stored, projections } => match self.read_round(message, stored, projections) {
                Err(reason) => self.push_undecodable(message, &reason),
                Ok(round) => {
                    if self.push_round(message, &round, stored, known) == Pushed::IsNewElsewhere {
                        return Pushed::IsNewElsewhere;
                    }
                }
            },
        }
        let chunk = &mut self.building(partition_of(message)).chunk;
        if chunk.messages == 0 {
            chunk.first_offset = message.offset();
        }
        chunk.last_offset = message.offset();
        chunk.messages += 1;
        self.messages += 1;
        Pushed::Added
    }

    /// Makes the chunk of a partition cover these offsets, even if some of their messages are deleted by now.
    pub(super) fn cover(&mut self, partition: u16, offsets: RangeInclusive<i64>) {
        let chunk = &mut self.building(partition).chunk;
        (chunk.first_offset, chunk.last_offset) = offsets.into_inner();
    }

    /// Adds a message that ClickHouse's own consumer stored in no table, as a reject.
    pub(super) fn push_passed_over(&mut self, message: &impl Message, content: &Content) {
        match content {
            Content::Rejects => self.push_reject(message),
            Content::Rounds { stored, projections } => {
                let reason = match self.read_round(message, stored, projections) {
                    Err(reason) => reason,
                    Ok(_) => "ClickHouse did not store the message and reported no reason".to_owned(),
                };
                self.push_undecodable(message, &reason);
            }
        }
    }

    /// Ends the batch. `fingerprint` returns the fingerprint of the last message of a partition.
    pub fn finish(self, fingerprint: impl Fn(u16) -> u64) -> Batch {
        let chunks = self
            .chunks
            .into_iter()
            .map(|(partition, building)| Chunk { fingerprint: fingerprint(partition), ..building.chunk });
        Batch {
            chunks: chunks.collect(),
            rounds: self.rounds,
            rejects: Bytes::from(self.rejects),
            new_ids: self.new_ids,
        }
    }

    fn building(&mut self, partition: u16) -> &mut Building {
        let chunk = || Chunk { partition, ..Chunk::default() };
        self.chunks
            .entry(partition)
            .or_insert_with(|| Building { chunk: chunk(), new_ids: RoaringTreemap::new() })
    }

    fn push_round(
        &mut self,
        message: &impl Message,
        round: &Round<'_>,
        stored: &Stored,
        known: &RoaringTreemap,
    ) -> Pushed {
        let partition = partition_of(message);
        let is_known = known.contains(round.id);
        if !is_known && self.new_ids.insert(round.id) {
            let is_recounted = self.is_recounting || is_repair(message);
            let Building { chunk, new_ids } = self.building(partition);
            new_ids.insert(round.id);
            chunk.new += 1;
            chunk.recounted += u64::from(is_recounted);
            if let Some(upload_id) = round.upload_id {
                chunk.uploads.entry(upload_id).or_default().new += 1;
            }
            for (at, (column, value)) in stored.columns.iter().zip(&self.values).enumerate() {
                self.rounds.push(at, column, *value, round.payload);
            }
            write_origin(&mut self.rounds, stored, &self.origin, partition, message.offset(), is_recounted);
            return Pushed::Added;
        }
        let is_in_chunk =
            || self.chunks.get(&partition).is_some_and(|chunk| chunk.new_ids.contains(round.id));
        if !is_known && !self.is_retrying && !is_in_chunk() {
            return Pushed::IsNewElsewhere;
        }
        self.push_repeat(message, round, stored);
        Pushed::Added
    }

    fn push_repeat(&mut self, message: &impl Message, round: &Round<'_>, stored: &Stored) {
        let line = match stored.line.and_then(|at| self.values.get(at)) {
            Some(Value::Long(line)) => u64::try_from(*line).ok(),
            _ => None,
        };
        // The chunk is borrowed together with the values.
        let values = std::mem::take(&mut self.values);
        let chunk = &mut self.building(partition_of(message)).chunk;
        let start = chunk.repeated_rows.len();
        for (column, value) in stored.columns.iter().zip(&values) {
            if column.is_field() {
                write_value(column, *value, round.payload, &mut chunk.repeated_rows);
            }
        }
        let row = start..chunk.repeated_rows.len();
        let bytes = row.len() + size_of::<Repeat>();
        let Round { id, upload_id, .. } = *round;
        chunk.repeats.push(Repeat { id, offset: message.offset(), upload_id, line, row, is_conflict: false });
        chunk.duplicate += 1;
        self.repeats += bytes;
        self.values = values;
    }

    /// Decodes a message into `self.values`. Returns why it is not a round otherwise.
    fn read_round<'m>(
        &mut self,
        message: &'m impl Message,
        stored: &Stored,
        projections: &HashMap<u32, Result<Projection, String>>,
    ) -> Result<Round<'m>, String> {
        let payload = message.payload().ok_or("the message has no value")?;
        let schema_id = avro::schema_id(payload).map_err(|error| error.to_string())?;
        let projection = projections
            .get(&schema_id)
            .ok_or_else(|| format!("schema {schema_id} is unknown"))?
            .as_ref()
            .map_err(|reason| format!("schema {schema_id}: {reason}"))?;
        avro::decode(&projection.writer, payload, &mut self.decoded).map_err(|error| error.to_string())?;
        let value = |source: &Option<usize>| {
            source.and_then(|at| self.decoded.get(at)).copied().unwrap_or(Value::Null)
        };
        self.values.clear();
        self.values.extend(projection.sources.iter().map(value));
        let id = match self.values.get(stored.key) {
            Some(Value::Long(id)) => u64::try_from(*id).map_err(|_| "the id of the round is negative")?,
            _ => return Err("the message has no round id".to_owned()),
        };
        for (column, value) in stored.columns.iter().zip(&self.values) {
            if !column.admits(*value) {
                return Err(format!("{} is out of range", column.name));
            }
        }
        let upload_id = match stored.upload_id.and_then(|at| self.values.get(at)) {
            Some(Value::Uuid(upload_id)) => Some(*upload_id),
            _ => None,
        };
        Ok(Round { payload, id, upload_id })
    }

    fn push_undecodable(&mut self, message: &impl Message, reason: &str) {
        self.building(partition_of(message)).chunk.undecodable += 1;
        let rejects = &mut self.rejects;
        write_text(b"", rejects);
        // Line and byte offset: unknown.
        rejects.extend([0; 16]);
        write_text(b"", rejects);
        write_text(b"undecodable_message", rejects);
        write_text(reason.as_bytes(), rejects);
        write_text(b"", rejects);
        self.push_reject_tail(message);
    }

    fn push_reject(&mut self, message: &impl Message) {
        self.building(partition_of(message)).chunk.new += 1;
        let header = |name: &str| {
            let headers = message.headers()?;
            headers.iter().find(|header| header.key == name).and_then(|header| header.value)
        };
        let number = |name| {
            let text = header(name).and_then(|text| std::str::from_utf8(text).ok());
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        write_text(header(names::UPLOAD_ID).unwrap_or_default(), &mut self.rejects);
        self.rejects.extend(number(names::LINE).to_le_bytes());
        self.rejects.extend(number(names::BYTE_OFFSET).to_le_bytes());
        for name in [names::COLUMN, names::CODE, names::REASON, names::FAULTS] {
            write_text(header(name).unwrap_or_default(), &mut self.rejects);
        }
        self.push_reject_tail(message);
    }

    fn push_reject_tail(&mut self, message: &impl Message) {
        let rejects = &mut self.rejects;
        write_text(message.payload().unwrap_or_default(), rejects);
        write_text(self.origin.topic.as_bytes(), rejects);
        rejects.extend(self.origin.epoch.to_le_bytes());
        rejects.extend(partition_of(message).to_le_bytes());
        rejects.extend(message.offset().to_le_bytes());
        rejects.extend(self.origin.generation.to_le_bytes());
    }
}

fn is_repair(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| headers.iter().any(|header| header.key == names::REPAIR))
}

/// Writes the columns of the schema for a round that was a repeat. `row`: its fields in RowBinary.
fn write_repeat(rounds: &mut Block, stored: &Stored, repeat: &Repeat, mut row: &[u8]) {
    for (at, column) in stored.columns.iter().enumerate() {
        if column.is_field() {
            let length = value_length(column, row).unwrap_or(row.len());
            let (value, rest) = row.split_at(length);
            rounds.push_row_binary(at, column, value);
            row = rest;
        } else {
            rounds.push(at, column, repeat.value(column.source), &[]);
        }
    }
}

/// Writes the other columns of a round, and ends its row.
fn write_origin(
    rounds: &mut Block,
    stored: &Stored,
    origin: &Origin<'_>,
    partition: u16,
    offset: i64,
    is_recounted: bool,
) {
    let first = stored.columns.len();
    rounds.push_bytes(first, &origin.epoch.to_le_bytes());
    rounds.push_bytes(first + 1, &partition.to_le_bytes());
    rounds.push_bytes(first + 2, &offset.to_le_bytes());
    rounds.push_bytes(first + 3, &[u8::from(is_recounted)]);
    rounds.push_bytes(first + 4, &origin.generation.to_le_bytes());
    rounds.end_row();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;
    use crate::domain::columns::Columns;
    use crate::loader::chunk::Table;

    const SCHEMA_ID: u32 = 1;
    const ORIGIN: Origin<'static> = Origin { topic: "t", epoch: 2, generation: 3 };
    const UPLOAD: u128 = 9;

    fn content() -> Content {
        let schema = r#"{"type":"record","name":"R","key":"id","fields":[
            {"name":"id","type":"long","minimum":0},
            {"name":"game","type":["null","string"]},
            {"name":"upload","type":["null",{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}],"source":"upload_id"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let projection = Projection::new(Arc::clone(&columns), &columns);
        let projections = HashMap::from([(SCHEMA_ID, projection)]);
        Content::Rounds { stored: Stored::new(columns).unwrap(), projections }
    }

    fn message(content: &Content, partition: i32, offset: i64, id: i64) -> OwnedMessage {
        let values = [Value::Long(id), Value::Text { start: 0, end: 2 }, Value::Uuid(UPLOAD)];
        let mut payload = Vec::new();
        let columns = &content.stored().unwrap().columns;
        avro::encode(SCHEMA_ID, columns, &values, b"ab", &mut payload);
        OwnedMessage::new(
            Some(payload),
            None,
            "t".to_owned(),
            Timestamp::NotAvailable,
            partition,
            offset,
            None,
        )
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
        if batch.rounds.rows() == 0 {
            return Vec::new();
        }
        let pieces = batch.rounds.clone().into_pieces();
        // Head and values of id, head, flags and values of game and upload, head and values of the columns of the origin.
        let numbers = |at: usize, width: usize| {
            let values = pieces[at].chunks(width);
            let values = values.map(|bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)));
            values.collect::<Vec<_>>()
        };
        let (ids, partitions, offsets) = (numbers(1, 8), numbers(11, 2), numbers(13, 8));
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
        let broken = OwnedMessage::new(
            Some(b"text".to_vec()),
            None,
            "t".to_owned(),
            Timestamp::NotAvailable,
            1,
            4,
            None,
        );
        assert_eq!(builder.push(&broken, &content, &ids(&[])), Pushed::Added);
        let batch = builder.finish(|_| 0);
        assert_eq!((batch.rounds.rows(), batch.chunks[0].undecodable, batch.chunks[0].messages), (0, 1, 1));
        assert_eq!(batch.chunks[0].rows(Table::Rejects, false), 1);
        assert!(batch.rejects.windows(19).any(|text| text == b"undecodable_message"));
    }
}
