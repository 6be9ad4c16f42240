//! Turns messages into a batch: a chunk for each partition, and the rows for each table. A pure function: the same messages always give the
//! same rows.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::Headers;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};

use super::chunk::{Chunk, Origin, Repeat, partition_of};
use super::content::{Content, Projection, RowValues, Stored};
use super::inbox::Inbox;
use super::rejects::Reject;
use crate::dataset::Dataset;
use crate::domain::value::Value;
use crate::warehouse::native::{Block, Other};
use crate::warehouse::origin::origin_columns;
use crate::warehouse::row_binary::{value_length, write_value};
use crate::wire::headers as names;

/// The last column of every inbox.
const GENERATION: Other = Other { name: "generation", kind: "UInt32", width: 4, repeats: true };

/// The inbox of a row table.
pub(super) fn rows_inbox(dataset: &Dataset) -> Inbox {
    let columns = &dataset.columns;
    let others = columns.iter().filter(|column| !column.is_field());
    let names = columns.fields().chain(others).map(|column| column.name.as_str());
    let names: Vec<&str> = names.chain(origin_columns(dataset).map(|column| column.name)).collect();
    Inbox::new(&dataset.table, names.join(", "))
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
    /// Rows of the row table.
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
                let row = chunk.row(&repeat).unwrap_or_default();
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
    /// One message's values.
    row: RowValues,
}

/// A chunk, and the ids of its new rounds.
#[derive(Debug, Default)]
struct Building {
    chunk: Chunk,
    new_ids: Ids,
}

/// A set of ids that is seldom asked: adding to it costs little.
#[derive(Debug, Default)]
struct Ids {
    found: RoaringTreemap,
    /// Those that are not in `found` yet.
    added: Vec<u64>,
}

impl Ids {
    fn insert(&mut self, id: u64) {
        self.added.push(id);
    }

    fn contains(&mut self, id: u64) -> bool {
        self.found.extend(self.added.drain(..));
        self.found.contains(id)
    }
}

/// A decoded message.
struct Round<'m> {
    payload: &'m [u8],
    /// None if the dataset has no key: each message counts.
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
            new_ids: RoaringTreemap::new(),
            messages: 0,
            repeats: 0,
            is_recounting: false,
            is_retrying: false,
            row: RowValues::default(),
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
            Content::Rows { stored, projections } => match self.read_round(message, stored, projections) {
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
            new_ids: self.new_ids,
        }
    }

    fn building(&mut self, partition: u16) -> &mut Building {
        let new = || Building { chunk: Chunk { partition, ..Chunk::default() }, ..Building::default() };
        self.chunks.entry(partition).or_insert_with(new)
    }

    fn push_round(
        &mut self,
        message: &impl Message,
        round: &Round<'_>,
        stored: &Stored,
        known: &RoaringTreemap,
    ) -> Pushed {
        let partition = partition_of(message);
        let is_known = round.id.is_some_and(|id| known.contains(id));
        if !is_known && round.id.is_none_or(|id| self.new_ids.insert(id)) {
            let is_recounted = round.id.is_some() && (self.is_recounting || is_repair(message));
            let Building { chunk, new_ids } = self.building(partition);
            if let Some(id) = round.id {
                new_ids.insert(id);
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
        let Some(id) = round.id else { return Pushed::Added };
        let chunk = self.chunks.get_mut(&partition);
        let is_in_chunk = || chunk.is_some_and(|chunk| chunk.new_ids.contains(id));
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
        // The chunk is borrowed together with the values.
        let values = std::mem::take(&mut self.row.values);
        let chunk = &mut self.building(partition_of(message)).chunk;
        let start = chunk.repeated_rows.len();
        for (column, value) in stored.columns().iter().zip(&values) {
            if column.is_field() {
                write_value(column, *value, round.payload, &mut chunk.repeated_rows);
            }
        }
        let row = start..chunk.repeated_rows.len();
        let bytes = row.len() + size_of::<Repeat>();
        let upload_id = round.upload_id;
        chunk.repeats.push(Repeat { id, offset: message.offset(), upload_id, line, row, is_conflict: false });
        chunk.duplicate += 1;
        self.repeats += bytes;
        self.row.values = values;
    }

    /// Decodes a message into `self.row`. Returns why it is not a round otherwise.
    fn read_round<'m>(
        &mut self,
        message: &'m impl Message,
        stored: &Stored,
        projections: &BTreeMap<u32, Result<Projection, String>>,
    ) -> Result<Round<'m>, String> {
        let payload = self.row.read(message.payload(), projections)?;
        let id = match stored.key.map(|at| self.row.values.get(at)) {
            None => None,
            Some(Some(Value::Long(id))) => {
                Some(u64::try_from(*id).map_err(|_| "the id of the round is negative")?)
            }
            Some(_) => return Err("the message has no round id".to_owned()),
        };
        self.row.check(stored.columns())?;
        let upload_id = match stored.upload_id.and_then(|at| self.row.values.get(at)) {
            Some(Value::Uuid(upload_id)) => Some(*upload_id),
            _ => None,
        };
        Ok(Round { payload, id, upload_id })
    }

    fn push_undecodable(&mut self, message: &impl Message, reason: &str) {
        self.building(partition_of(message)).chunk.undecodable += 1;
        let code = b"undecodable_message";
        let reject = Reject { code, reason: reason.as_bytes(), ..Reject::default() };
        self.write_reject(message, reject);
    }

    fn push_reject(&mut self, message: &impl Message) {
        self.building(partition_of(message)).chunk.new += 1;
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

fn is_repair(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| headers.iter().any(|header| header.key == names::REPAIR))
}

/// Writes the columns of the schema for a round that was a repeat. `row`: its fields in RowBinary.
fn write_repeat(rounds: &mut Block, stored: &Stored, repeat: &Repeat, mut row: &[u8]) {
    for (at, column) in stored.columns().iter().enumerate() {
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
