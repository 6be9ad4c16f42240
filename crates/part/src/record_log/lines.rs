//! The lines of a log: how they are written, and what a file contains.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::mark::Known;

/// The first line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Header {
    Format {
        format: u32,
        /// The log's own id, which is also in its mark.
        id: Uuid,
        /// The log that this one replaced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced: Option<Replaced>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replaced {
    id: Uuid,
    /// Bytes that followed the first line when this log took the place of the other. All of them were on disk.
    bytes: u64,
}

impl Header {
    /// Returns the first line of a new log.
    pub(super) fn new(format: u32) -> Self {
        Self::Format { format, id: Uuid::new_v4(), replaced: None }
    }

    /// Returns the first line of a log that takes the place of another, with `bytes` of records.
    pub(super) fn replacing(format: u32, id: Uuid, bytes: u64) -> Self {
        Self::Format { format, id: Uuid::new_v4(), replaced: Some(Replaced { id, bytes }) }
    }

    pub(super) fn id(&self) -> Uuid {
        let Self::Format { id, .. } = self;
        *id
    }

    /// Returns how much of the file was acknowledged. `size`: the bytes of this line.
    fn durable(&self, size: u64, known: &Known) -> Result<u64, String> {
        let Self::Format { id, replaced, .. } = self;
        let at_least = size + replaced.map_or(0, |replaced| replaced.bytes);
        match known {
            Known::Nothing | Known::Damaged => Ok(at_least),
            Known::Marked(mark) if mark.owner() == *id => Ok(mark.end()),
            // A crash came between the new file and its mark.
            Known::Marked(mark) if replaced.is_some_and(|replaced| replaced.id == mark.owner()) => {
                Ok(at_least)
            }
            Known::Marked(_) => Err("the mark next to it belongs to another log".to_owned()),
        }
    }
}

/// What a file contains.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Bytes of the file, how many of them are in complete lines, and how many were acknowledged.
    pub(super) bytes: u64,
    pub(super) whole: u64,
    pub(super) durable: u64,
    pub(super) header: Option<Header>,
    /// The number of the first incomplete line.
    pub(super) torn: Option<usize>,
}

#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Damaged(String),
}

/// Reads a file and passes its records to `apply`.
pub(super) fn read<R: DeserializeOwned>(
    file: &File,
    format: u32,
    known: &Known,
    mut apply: impl FnMut(R) -> Result<(), &'static str>,
) -> Result<Contents, ReadError> {
    let mut reader = BufReader::new(file);
    let durable = match known {
        Known::Marked(mark) => mark.end(),
        Known::Nothing | Known::Damaged => 0,
    };
    let mut contents = Contents { durable, ..Contents::default() };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let size = reader.read_until(b'\n', &mut line).map_err(ReadError::Io)? as u64;
        if size == 0 {
            break;
        }
        let start = contents.bytes;
        contents.bytes += size;
        let at_line = |number: usize, reason: &str| ReadError::Damaged(format!("line {number}: {reason}"));
        match from_line(&line) {
            Some(_) if contents.torn.is_some() => {
                return Err(at_line(contents.torn.unwrap_or(number), "complete lines follow it"));
            }
            Some(entry) => {
                match contents.header {
                    None => {
                        let header = read_header(entry, format).map_err(|reason| at_line(number, reason))?;
                        contents.durable = header.durable(size, known).map_err(ReadError::Damaged)?;
                        contents.header = Some(header);
                    }
                    Some(_) => {
                        let record = serde_json::from_slice(entry);
                        let record = record.map_err(|_| at_line(number, "it is not a record of this log"))?;
                        apply(record).map_err(|reason| at_line(number, reason))?;
                    }
                }
                contents.whole = contents.bytes;
            }
            None if start >= contents.durable && is_torn(&line) => {
                contents.torn = contents.torn.or(Some(number));
            }
            None => return Err(at_line(number, "wrong checksum")),
        }
    }
    Ok(contents)
}

fn read_header(entry: &[u8], wanted: u32) -> Result<Header, &'static str> {
    match serde_json::from_slice(entry) {
        Ok(header @ Header::Format { format, .. }) if format == wanted => Ok(header),
        Ok(_) => Err("it was written by another version of roundhouse"),
        Err(_) => Err("its beginning is missing"),
    }
}

/// Returns the lines of records.
pub(super) fn join<'a, R: Serialize + 'a>(records: impl IntoIterator<Item = &'a R>) -> io::Result<String> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&to_line(record)?);
    }
    Ok(lines)
}

/// Returns a line: `{"sum":"<16 hex digits>","entry":<record>}`. The checksum covers the bytes of the record.
pub(super) fn to_line(record: &impl Serialize) -> io::Result<String> {
    let record = serde_json::to_string(record)?;
    Ok(format!("{{\"sum\":\"{}\",\"entry\":{record}}}\n", checksum(record.as_bytes())))
}

/// Returns the record's bytes of a complete line.
fn from_line(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"{\"sum\":\"")?.strip_suffix(b"}\n")?;
    let (sum, line) = line.split_at_checked(16)?;
    let record = line.strip_prefix(b"\",\"entry\":")?;
    (checksum(record).as_bytes() == sum).then_some(record)
}

/// Whether a line was written incompletely: its end is missing, or it has zeros where blocks were not written.
fn is_torn(line: &[u8]) -> bool {
    line.last() != Some(&b'\n') || line.contains(&0)
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
