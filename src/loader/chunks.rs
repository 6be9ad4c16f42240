//! Turns the messages of a partition into a block of rows. A pure function: the same messages always give the same block.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::Headers;
use roaring::RoaringTreemap;
use sha2::{Digest, Sha256};

use crate::domain::columns::{Columns, ColumnsError, Kind, Source};
use crate::domain::value::Value;
use crate::ingest::avro;
use crate::ingest::upload::REPAIR_HEADER;
use crate::warehouse::row_binary::{write_text, write_value};
use crate::warehouse::upload_counts::UploadCounts;

/// The rows of one chunk, in RowBinary, for each table that they go into. Each row ends with the lease's generation.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    pub partition: u16,
    pub first_offset: i64,
    pub last_offset: i64,
    pub messages: u64,
    pub new: u64,
    /// Repeats: rounds that were stored before. Until [`super::repeats::judge`] has run, conflicts are counted here too.
    pub duplicate: u64,
    /// Repeats whose stored round has other values.
    pub conflict: u64,
    pub undecodable: u64,
    /// The new rounds that the view does not add to their hours. The loader recomputes those hours from their rounds.
    pub recounted: u64,
    /// Fingerprint of the last message.
    pub fingerprint: u64,
    /// Rows of `game_rounds`: the file's fields, then the other columns, then topic position and generation.
    pub rounds: Bytes,
    /// Rows of `rejects`.
    pub rejects: Bytes,
    /// Ids of the new rounds.
    pub new_ids: RoaringTreemap,
    /// Messages whose round was stored before, ordered by offset.
    pub repeats: Vec<Repeat>,
    /// The bytes that the ranges in `repeats` point into.
    pub repeated_rows: Vec<u8>,
    /// New, duplicate and conflicting rows of each upload.
    pub uploads: BTreeMap<u128, UploadCounts>,
}

impl Chunk {
    /// Returns the ids of the repeats whose round was stored before this chunk.
    pub fn known_ids(&self) -> impl Iterator<Item = u64> {
        self.repeats.iter().map(|repeat| repeat.id).filter(|id| !self.new_ids.contains(*id))
    }

    /// Turns repeats of deleted rounds back into new rounds, the first one per id, and removes their ids from `gone`. Returns how
    /// many rounds that were.
    pub fn bring_back(&mut self, gone: &mut RoaringTreemap, stored: &Stored, origin: &Origin<'_>) -> u64 {
        let mut rounds = Vec::from(std::mem::take(&mut self.rounds));
        let (repeats, before) = (std::mem::take(&mut self.repeats), self.new);
        for repeat in repeats {
            if !gone.remove(repeat.id) {
                self.repeats.push(repeat);
                continue;
            }
            self.new_ids.insert(repeat.id);
            rounds.extend_from_slice(self.repeated_rows.get(repeat.row.clone()).unwrap_or_default());
            for column in stored.columns.iter().filter(|column| !column.is_field()) {
                write_value(column, repeat.value(column.source), &[], &mut rounds);
            }
            // Whoever deleted the round may not have corrected its hour.
            write_origin(origin, repeat.offset, true, &mut rounds);
            self.new += 1;
            self.recounted += 1;
            self.duplicate -= 1;
            if let Some(upload_id) = repeat.upload_id {
                self.uploads.entry(upload_id).or_default().new += 1;
            }
        }
        if self.repeats.is_empty() {
            self.repeated_rows = Vec::new();
        }
        self.rounds = Bytes::from(rounds);
        self.new - before
    }
}

impl Repeat {
    /// Returns the value of a column that is not a field of a file.
    fn value(&self, source: Source) -> Value {
        match source {
            Source::UploadId => self.upload_id.map_or(Value::Null, Value::Uuid),
            Source::Line => self.line.map_or(Value::Null, |line| Value::Long(line.cast_signed())),
            Source::Field => Value::Null,
        }
    }
}

/// A message whose round was stored before.
#[derive(Clone, Debug)]
pub struct Repeat {
    pub id: u64,
    pub offset: i64,
    /// None if the message was not produced by an upload.
    pub upload_id: Option<u128>,
    pub line: Option<u64>,
    /// Its fields in RowBinary, without origin: a range of [`Chunk::repeated_rows`].
    pub row: Range<usize>,
    /// Whether the stored round has other values. Set by [`super::repeats::judge`].
    pub is_conflict: bool,
}

/// The stored columns, and the positions of those with a special meaning.
#[derive(Clone, Debug)]
pub struct Stored {
    pub columns: Arc<Columns>,
    /// Index of the column that identifies a round.
    pub key: usize,
    upload_id: Option<usize>,
    line: Option<usize>,
}

impl Stored {
    /// # Errors
    /// No column identifies a round.
    pub fn new(columns: Arc<Columns>) -> Result<Self, ColumnsError> {
        let with = |source| columns.iter().position(|column| column.source == source);
        let (key, upload_id, line) = (columns.key()?, with(Source::UploadId), with(Source::Line));
        Ok(Self { columns, key, upload_id, line })
    }
}

/// Maps the columns of the schema that the messages were written with to the stored columns.
#[derive(Clone, Debug)]
pub struct Projection {
    writer: Arc<Columns>,
    /// For each stored column, the position of the writer's column. None if the writer's schema lacks it; it is nullable then.
    sources: Vec<Option<usize>>,
}

impl Projection {
    /// Matches columns by name.
    ///
    /// # Errors
    /// A column has another type, or is missing and not nullable. The text names the column.
    pub fn new(writer: Arc<Columns>, stored: &Columns) -> Result<Self, String> {
        let sources = stored
            .iter()
            .map(|column| match writer.position(&column.name) {
                None if column.is_nullable() => Ok(None),
                None => Err(format!("column {} is missing in the writer's schema", column.name)),
                Some(at) => match writer.iter().nth(at) {
                    Some(found)
                        if same_wire_type(found.kind, column.kind)
                            && (column.is_nullable() || !found.is_nullable()) =>
                    {
                        Ok(Some(at))
                    }
                    _ => Err(format!("column {} has another type in the writer's schema", column.name)),
                },
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { writer, sources })
    }
}

fn same_wire_type(one: Kind, other: Kind) -> bool {
    match (one, other) {
        (
            Kind::Decimal { scale, precision },
            Kind::Decimal { scale: other_scale, precision: other_precision },
        ) => scale == other_scale && precision <= other_precision,
        (one, other) => std::mem::discriminant(&one) == std::mem::discriminant(&other),
    }
}

/// What the messages of a topic contain.
#[derive(Debug)]
pub enum Content {
    /// Rounds in Avro. For each schema id, how to read it, or why it cannot be read.
    Rounds { stored: Stored, projections: HashMap<u32, Result<Projection, String>> },
    /// Rejected lines. The headers say what is wrong with them.
    Rejects,
}

/// Where a chunk's messages come from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub topic: &'a str,
    pub epoch: u32,
    pub partition: u16,
    /// Generation of the lease under which the rows are inserted: see [`super::inbox`].
    pub generation: u32,
}

/// What happened to a pushed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Added,
    /// Not added: its round is new in another chunk of the same batch.
    IsNewElsewhere,
}

/// Builds a chunk, message by message.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    chunk: Chunk,
    rounds: Vec<u8>,
    rejects: Vec<u8>,
    /// Whether the view leaves all new rounds out of their hours.
    is_recounting: bool,
    /// One message's values, in the writer's column order and in the stored order. Reused, to avoid allocations.
    decoded: Vec<Value>,
    values: Vec<Value>,
}

impl ChunkBuilder {
    pub fn new(partition: u16) -> Self {
        Self { chunk: Chunk { partition, ..Chunk::default() }, ..Self::default() }
    }

    /// Marks all new rounds as recounted: the view does not add them to their hours, which may already include them.
    pub(super) fn recounting(self) -> Self {
        Self { is_recounting: true, ..self }
    }

    pub fn is_empty(&self) -> bool {
        self.chunk.messages == 0
    }

    /// Returns the size of the rows so far in bytes, repeats included.
    pub fn bytes(&self) -> usize {
        let repeats = self.chunk.repeated_rows.len() + self.chunk.repeats.len() * size_of::<Repeat>();
        self.rounds.len() + self.rejects.len() + repeats
    }

    pub fn messages(&self) -> u64 {
        self.chunk.messages
    }

    /// Adds the next message: as a new round, as a repeat of one in `known` or in this chunk, or as a reject. `batch` has the ids that
    /// are new in the chunks of this batch. A message whose id is new in another chunk is not added ([`Pushed::IsNewElsewhere`]),
    /// because one block would then depend on another.
    pub fn push(
        &mut self,
        message: &impl Message,
        content: &Content,
        origin: &Origin<'_>,
        known: &RoaringTreemap,
        batch: &mut RoaringTreemap,
    ) -> Pushed {
        match content {
            Content::Rejects => self.push_reject(message, origin),
            Content::Rounds { stored, projections } => {
                match self.push_round(message, stored, projections, origin, known, batch) {
                    Ok(Pushed::IsNewElsewhere) => return Pushed::IsNewElsewhere,
                    Ok(Pushed::Added) => {}
                    Err(reason) => self.push_undecodable(message, &reason, origin),
                }
            }
        }
        if self.is_empty() {
            self.chunk.first_offset = message.offset();
        }
        self.chunk.last_offset = message.offset();
        self.chunk.messages += 1;
        Pushed::Added
    }

    /// Adds a message that ClickHouse's own consumer stored in no table, as a reject.
    pub(super) fn push_passed_over(
        &mut self,
        message: &impl Message,
        content: &Content,
        origin: &Origin<'_>,
    ) {
        match content {
            Content::Rejects => self.push_reject(message, origin),
            Content::Rounds { stored, projections } => {
                let reason = match self.read_round(message, stored, projections) {
                    Err(reason) => reason,
                    Ok(_) => "ClickHouse did not store the message and reported no reason".to_owned(),
                };
                self.push_undecodable(message, &reason, origin);
            }
        }
    }

    /// Ends the chunk with the fingerprint of its last message.
    pub fn finish(mut self, fingerprint: u64) -> Chunk {
        self.chunk.fingerprint = fingerprint;
        self.chunk.rounds = Bytes::from(self.rounds);
        self.chunk.rejects = Bytes::from(self.rejects);
        self.chunk
    }

    fn push_round(
        &mut self,
        message: &impl Message,
        stored: &Stored,
        projections: &HashMap<u32, Result<Projection, String>>,
        origin: &Origin<'_>,
        known: &RoaringTreemap,
        batch: &mut RoaringTreemap,
    ) -> Result<Pushed, String> {
        let (payload, id) = self.read_round(message, stored, projections)?;
        let is_known = known.contains(id) || self.chunk.new_ids.contains(id);
        if !is_known && batch.contains(id) {
            return Ok(Pushed::IsNewElsewhere);
        }
        let upload_id = match stored.upload_id.and_then(|at| self.values.get(at)) {
            Some(Value::Uuid(upload_id)) => Some(*upload_id),
            _ => None,
        };
        if !is_known {
            self.chunk.new_ids.insert(id);
            batch.insert(id);
            self.chunk.new += 1;
            if let Some(upload_id) = upload_id {
                self.chunk.uploads.entry(upload_id).or_default().new += 1;
            }
            let is_recounted = self.is_recounting || is_repair(message);
            self.chunk.recounted += u64::from(is_recounted);
            self.write_round(stored, payload, origin, message.offset(), is_recounted);
        } else {
            self.chunk.duplicate += 1;
            self.write_repeat(
                stored,
                payload,
                Repeat { id, offset: message.offset(), upload_id, line: None, row: 0..0, is_conflict: false },
            );
        }
        Ok(Pushed::Added)
    }

    /// Decodes a message. Returns its payload and the round's id, or why it is not a round.
    fn read_round<'m>(
        &mut self,
        message: &'m impl Message,
        stored: &Stored,
        projections: &HashMap<u32, Result<Projection, String>>,
    ) -> Result<(&'m [u8], u64), String> {
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
        Ok((payload, id))
    }

    fn write_round(
        &mut self,
        stored: &Stored,
        payload: &[u8],
        origin: &Origin<'_>,
        offset: i64,
        is_recounted: bool,
    ) {
        for is_field in [true, false] {
            for (column, value) in stored.columns.iter().zip(&self.values) {
                if column.is_field() == is_field {
                    write_value(column, *value, payload, &mut self.rounds);
                }
            }
        }
        write_origin(origin, offset, is_recounted, &mut self.rounds);
    }

    fn write_repeat(&mut self, stored: &Stored, payload: &[u8], repeat: Repeat) {
        let line = match stored.line.and_then(|at| self.values.get(at)) {
            Some(Value::Long(line)) => u64::try_from(*line).ok(),
            _ => None,
        };
        let rows = &mut self.chunk.repeated_rows;
        let start = rows.len();
        for (column, value) in stored.columns.iter().zip(&self.values) {
            if column.is_field() {
                write_value(column, *value, payload, rows);
            }
        }
        self.chunk.repeats.push(Repeat { line, row: start..rows.len(), ..repeat });
    }

    fn push_undecodable(&mut self, message: &impl Message, reason: &str, origin: &Origin<'_>) {
        self.chunk.undecodable += 1;
        write_text(b"", &mut self.rejects);
        // Line and byte offset: unknown.
        self.rejects.extend([0; 16]);
        write_text(b"", &mut self.rejects);
        write_text(b"undecodable_message", &mut self.rejects);
        write_text(reason.as_bytes(), &mut self.rejects);
        write_text(b"", &mut self.rejects);
        self.push_reject_tail(message, origin);
    }

    fn push_reject(&mut self, message: &impl Message, origin: &Origin<'_>) {
        self.chunk.new += 1;
        let header = |name: &str| {
            let headers = message.headers()?;
            headers.iter().find(|header| header.key == name).and_then(|header| header.value)
        };
        let number = |name| {
            let text = header(name).and_then(|text| std::str::from_utf8(text).ok());
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        write_text(header("upload_id").unwrap_or_default(), &mut self.rejects);
        self.rejects.extend(number("line").to_le_bytes());
        self.rejects.extend(number("byte_offset").to_le_bytes());
        for name in ["column", "code", "reason", "faults"] {
            write_text(header(name).unwrap_or_default(), &mut self.rejects);
        }
        self.push_reject_tail(message, origin);
    }

    fn push_reject_tail(&mut self, message: &impl Message, origin: &Origin<'_>) {
        write_text(message.payload().unwrap_or_default(), &mut self.rejects);
        write_text(origin.topic.as_bytes(), &mut self.rejects);
        self.rejects.extend(origin.epoch.to_le_bytes());
        self.rejects.extend(origin.partition.to_le_bytes());
        self.rejects.extend(message.offset().to_le_bytes());
        self.rejects.extend(origin.generation.to_le_bytes());
    }
}

fn is_repair(message: &impl Message) -> bool {
    message.headers().is_some_and(|headers| headers.iter().any(|header| header.key == REPAIR_HEADER))
}

fn write_origin(origin: &Origin<'_>, offset: i64, is_recounted: bool, rounds: &mut Vec<u8>) {
    rounds.extend(origin.epoch.to_le_bytes());
    rounds.extend(origin.partition.to_le_bytes());
    rounds.extend(offset.to_le_bytes());
    rounds.push(u8::from(is_recounted));
    rounds.extend(origin.generation.to_le_bytes());
}

/// Returns a hash of a message's time, key and value. If a topic was recreated, the same offset has another hash.
pub fn fingerprint(message: &impl Message) -> u64 {
    let mut hash = Sha256::new();
    hash.update(message.timestamp().to_millis().unwrap_or(-1).to_le_bytes());
    for part in [message.key(), message.payload()] {
        hash.update([u8::from(part.is_some())]);
        hash.update((part.unwrap_or_default().len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
