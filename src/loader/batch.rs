//! Turns messages into a batch: a chunk for each partition, and the rows for each table. A pure function: the same messages always give the
//! same rows.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::Headers;
use sha2::{Digest, Sha256};

use super::chunk::{Chunk, Origin, Repeat, RepeatedRow, partition_of};
use super::content::{Content, Projection, RowValues, Stored};
use super::inbox::Inbox;
use super::key_set::{Key, KeySet, LazyKeySet};
use super::rejects::Reject;
use crate::dataset::Dataset;
use crate::domain::columns::{Column, Source};
use crate::domain::value::Value;
use crate::warehouse::native::{Block, Other};
use crate::warehouse::origin::origin_columns;
use crate::warehouse::row_binary::{value_length, write_known_value, write_value};
use crate::wire::headers as names;

/// The last column of every inbox.
const GENERATION: Other = Other { name: "generation", kind: "UInt32", width: 4, repeats: true };

/// The inbox of a row table.
pub(super) fn rows_inbox(dataset: &Dataset) -> Inbox {
    let columns = &dataset.columns;
    let others = columns.iter().filter(|column| !column.is_field());
    let names = columns.fields().chain(others).map(|column| column.name.as_str());
    let names: Vec<&str> = names.chain(origin_columns(dataset).map(|column| column.name)).collect();
    Inbox::new(&dataset.table, &names.join(", "))
}

/// What happened to a pushed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Added,
    /// Not added: its row is new in the chunk of another partition.
    IsNewElsewhere,
}

/// Messages that are loaded together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Ordered by partition.
    pub(super) chunks: Vec<Chunk>,
    /// Rows of the row table.
    pub(super) rounds: Block,
    /// Rows of `rejects`, in RowBinary, each followed by the generation.
    pub(super) rejects: Bytes,
    /// Keys of the new rows.
    pub(super) new_keys: KeySet,
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

    /// Returns the keys of the repeats whose row was stored before this batch: the prefix in RowBinary, and the last column. Some may
    /// come twice.
    pub(super) fn known_keys(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let repeats =
            self.chunks.iter().flat_map(|chunk| chunk.repeats.iter().map(move |repeat| (chunk, repeat)));
        let keys = repeats.map(|(chunk, repeat)| (chunk.row(repeat).prefix, repeat.id));
        keys.filter(|(prefix, id)| !self.new_keys.contains(Key::new(prefix, *id, &mut [0; 32])))
    }

    /// Turns repeats of deleted rows back into new rows: the first one of each key that is neither new nor in `found`. Returns how many rows
    /// that were.
    pub(super) fn bring_back(&mut self, found: &KeySet, stored: &Stored, origin: &Origin<'_>) -> u64 {
        let mut brought_back = 0;
        for chunk in &mut self.chunks {
            for repeat in std::mem::take(&mut chunk.repeats) {
                let row = chunk.row(&repeat);
                let mut digest = [0; 32];
                let key = Key::new(row.prefix, repeat.id, &mut digest);
                if found.contains(key) || !self.new_keys.insert(key) {
                    chunk.repeats.push(repeat);
                    continue;
                }
                write_repeat(&mut self.rounds, stored, &repeat, row);
                // Whoever deleted the row may not have corrected its aggregates.
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
    new_keys: KeySet,
    messages: u64,
    /// Size of the repeats in bytes.
    repeats: usize,
    /// Whether the view leaves all new rounds out of their hours.
    is_recounting: bool,
    /// Whether the messages are read again, chunk after chunk.
    is_retrying: bool,
    /// One message's values.
    row: RowValues,
    /// The columns of its key before the last one, in RowBinary. Reused.
    prefix: Vec<u8>,
}

/// A chunk, and the keys of its new rows.
#[derive(Debug, Default)]
struct Building {
    chunk: Chunk,
    new_keys: LazyKeySet,
}

/// A decoded message.
struct Round<'m> {
    payload: &'m [u8],
    /// The last column of its key. None if the dataset has no key: each message counts.
    id: Option<u64>,
    upload_id: Option<u128>,
}

impl<'a> BatchBuilder<'a> {
    pub fn new(content: &Content, origin: Origin<'a>) -> Self {
        let rounds = match content.stored() {
            Some(stored) => {
                let others: Vec<_> = origin_columns(&stored.dataset).chain([GENERATION]).collect();
                Block::new(stored.columns().iter(), &others)
            }
            None => Block::default(),
        };
        Self {
            origin,
            chunks: BTreeMap::new(),
            rounds,
            rejects: Vec::new(),
            new_keys: KeySet::default(),
            messages: 0,
            repeats: 0,
            is_recounting: false,
            is_retrying: false,
            row: RowValues::default(),
            prefix: Vec::new(),
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

    /// Adds the next message: as a new round, as a repeat of one in `known` or in its chunk, or as a reject. A message whose key is new in
    /// the chunk of another partition is not added ([`Pushed::IsNewElsewhere`]): after a crash the chunks are read again one after the
    /// other, and another one might then get the round.
    pub fn push(&mut self, message: &impl Message, content: &Content, known: &KeySet) -> Pushed {
        match content {
            Content::Rejects => self.push_reject(message),
            Content::Rows { stored, projections } => match self.read_round(message, stored, projections) {
                Err(reason) => self.push_undecodable(message, &reason),
                Ok(round) => {
                    if self.push_round(message, &round, stored, known) == Pushed::IsNewElsewhere {
                        return Pushed::IsNewElsewhere;
                    }
                }
            },
        }
        let chunk = &mut building(&mut self.chunks, partition_of(message)).chunk;
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
        let chunk = &mut building(&mut self.chunks, partition).chunk;
        (chunk.first_offset, chunk.last_offset) = offsets.into_inner();
    }

    /// Adds a message that ClickHouse's own consumer stored in no table, as a reject.
    pub(super) fn push_passed_over(&mut self, message: &impl Message, content: &Content) {
        match content {
            Content::Rejects => self.push_reject(message),
            Content::Rows { stored, projections } => {
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
            new_keys: self.new_keys,
        }
    }

    fn push_round(
        &mut self,
        message: &impl Message,
        round: &Round<'_>,
        stored: &Stored,
        known: &KeySet,
    ) -> Pushed {
        let partition = partition_of(message);
        let mut digest = [0; 32];
        let key = round.id.map(|id| Key::new(&self.prefix, id, &mut digest));
        let is_known = key.is_some_and(|key| known.contains(key));
        if !is_known && key.is_none_or(|key| self.new_keys.insert(key)) {
            let is_recounted = key.is_some() && (self.is_recounting || is_repair(message));
            let Building { chunk, new_keys } = building(&mut self.chunks, partition);
            if let Some(key) = key {
                new_keys.insert(key);
            }
            chunk.new += 1;
            chunk.recounted += u64::from(is_recounted);
            if let Some(upload_id) = round.upload_id {
                chunk.uploads.entry(upload_id).or_default().new += 1;
            }
            for (at, (column, value)) in stored.columns().iter().zip(&self.row.values).enumerate() {
                self.rounds.push(at, column, *value, round.payload);
            }
            write_origin(&mut self.rounds, stored, &self.origin, partition, message.offset(), is_recounted);
            return Pushed::Added;
        }
        let (Some(key), Some(id)) = (key, round.id) else { return Pushed::Added };
        let chunk = self.chunks.get_mut(&partition);
        let is_in_chunk = || chunk.is_some_and(|chunk| chunk.new_keys.contains(key));
        if !is_known && !self.is_retrying && !is_in_chunk() {
            return Pushed::IsNewElsewhere;
        }
        self.push_repeat(message, id, round, stored);
        Pushed::Added
    }

    fn push_repeat(&mut self, message: &impl Message, id: u64, round: &Round<'_>, stored: &Stored) {
        let line = match stored.line.and_then(|at| self.row.values.get(at)) {
            Some(Value::Long(line)) => u64::try_from(*line).ok(),
            _ => None,
        };
        let chunk = &mut building(&mut self.chunks, partition_of(message)).chunk;
        let rows = &mut chunk.repeated_rows;
        rows.extend_from_slice(&self.prefix);
        let mut write = |is_wanted: fn(&Column) -> bool| {
            let start = rows.len();
            for (column, value) in stored.columns().iter().zip(&self.row.values) {
                if is_wanted(column) {
                    write_value(column, *value, round.payload, rows);
                }
            }
            start..rows.len()
        };
        let (fields, others) = (write(Column::is_field), write(Column::is_other));
        let start = fields.start - self.prefix.len();
        self.repeats += others.end - start + size_of::<Repeat>();
        chunk.repeats.push(Repeat {
            id,
            offset: message.offset(),
            upload_id: round.upload_id,
            line,
            row: start..others.end,
            prefix_bytes: self.prefix.len() as u32,
            field_bytes: fields.len() as u32,
            is_conflict: false,
        });
        chunk.duplicate += 1;
    }

    /// Decodes a message into `self.row`. Returns why it is not a round otherwise.
    fn read_round<'m>(
        &mut self,
        message: &'m impl Message,
        stored: &Stored,
        projections: &BTreeMap<u32, Result<Projection, String>>,
    ) -> Result<Round<'m>, String> {
        let payload = self.row.read(message.payload(), projections)?;
        let id = self.read_key(payload, stored)?;
        self.row.check(stored.columns())?;
        let upload_id = match stored.upload_id.and_then(|at| self.row.values.get(at)) {
            Some(Value::Uuid(upload_id)) => Some(*upload_id),
            _ => None,
        };
        Ok(Round { payload, id, upload_id })
    }

    /// Reads the key of the decoded row: its prefix into `self.prefix`. Returns its last column.
    fn read_key(&mut self, payload: &[u8], stored: &Stored) -> Result<Option<u64>, String> {
        let Some(key) = &stored.key else { return Ok(None) };
        let id = self
            .row
            .values
            .get(key.last)
            .and_then(|value| value.integer())
            .ok_or("the message has no key")?;
        let id = u64::try_from(id).map_err(|_| "the id of the round is negative")?;
        self.prefix.clear();
        for at in &key.prefix {
            if let (Some(column), Some(value)) = (stored.columns().get(*at), self.row.values.get(*at)) {
                write_known_value(column, *value, payload, &mut self.prefix);
            }
        }
        Ok(Some(id))
    }

    fn push_undecodable(&mut self, message: &impl Message, reason: &str) {
        building(&mut self.chunks, partition_of(message)).chunk.undecodable += 1;
        let code = b"undecodable_message";
        let reject = Reject { code, reason: reason.as_bytes(), ..Reject::default() };
        self.write_reject(message, reject);
    }

    fn push_reject(&mut self, message: &impl Message) {
        building(&mut self.chunks, partition_of(message)).chunk.new += 1;
        let header = |name: &str| {
            let headers = message.headers()?;
            headers.iter().find(|header| header.key == name).and_then(|header| header.value)
        };
        let text = |name| header(name).unwrap_or_default();
        let number =
            |name| std::str::from_utf8(text(name)).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.write_reject(
            message,
            Reject {
                upload_id: text(names::UPLOAD_ID),
                line: number(names::LINE),
                byte_offset: number(names::BYTE_OFFSET),
                column: text(names::COLUMN),
                code: text(names::CODE),
                reason: text(names::REASON),
                faults: text(names::FAULTS),
                raw: &[],
            },
        );
    }

    fn write_reject(&mut self, message: &impl Message, reject: Reject<'_>) {
        let reject = Reject { raw: message.payload().unwrap_or_default(), ..reject };
        reject.write(&self.origin, partition_of(message), message.offset(), &mut self.rejects);
    }
}

fn building(chunks: &mut BTreeMap<u16, Building>, partition: u16) -> &mut Building {
    let new = || Building { chunk: Chunk { partition, ..Chunk::default() }, ..Building::default() };
    chunks.entry(partition).or_insert_with(new)
}

fn is_repair(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| headers.iter().any(|header| header.key == names::REPAIR))
}

/// Writes the columns of the schema for a row that was a repeat.
fn write_repeat(rounds: &mut Block, stored: &Stored, repeat: &Repeat, row: RepeatedRow<'_>) {
    let RepeatedRow { mut fields, mut others, .. } = row;
    let line = repeat.line.map_or(Value::Null, |line| Value::Long(line.cast_signed()));
    for (at, column) in stored.columns().iter().enumerate() {
        let values = match column.source {
            Source::UploadId => {
                rounds.push(at, column, repeat.upload_id.map_or(Value::Null, Value::Uuid), &[]);
                continue;
            }
            Source::Line => {
                rounds.push(at, column, line, &[]);
                continue;
            }
            Source::Field => &mut fields,
            _ => &mut others,
        };
        let (value, rest) = values.split_at(value_length(column, values).unwrap_or(values.len()));
        rounds.push_row_binary(at, column, value);
        *values = rest;
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
    let mut at = stored.columns().len();
    let mut push = |bytes: &[u8]| {
        rounds.push_bytes(at, bytes);
        at += 1;
    };
    push(&origin.epoch.to_le_bytes());
    push(&partition.to_le_bytes());
    push(&offset.to_le_bytes());
    if stored.dataset.has_key() {
        push(&[u8::from(is_recounted)]);
    }
    push(&origin.generation.to_le_bytes());
    rounds.end_row();
}

#[cfg(test)]
mod tests;
