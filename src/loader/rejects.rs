//! Rows of the table `rejects`: rejected lines, messages that are not rounds, and gaps.

use super::chunk::Origin;
use super::inbox::Inbox;
use crate::warehouse::row_binary::write_text;

const COLUMNS: &str = "upload_id, line, byte_offset, column, code, reason, faults, raw, kafka_topic, kafka_epoch, \
     kafka_partition, kafka_offset";

/// The inbox of `rejects`.
pub(super) fn inbox() -> Inbox {
    Inbox::new("rejects", COLUMNS)
}

/// What a row says, apart from its position. What is unknown is empty or 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reject<'a> {
    pub(super) upload_id: &'a [u8],
    pub(super) line: u64,
    pub(super) byte_offset: u64,
    pub(super) column: &'a [u8],
    pub(super) code: &'a [u8],
    pub(super) reason: &'a [u8],
    pub(super) faults: &'a [u8],
    pub(super) raw: &'a [u8],
}

impl Reject<'_> {
    /// Appends the row in RowBinary, with the generation at its end.
    pub(super) fn write(&self, origin: &Origin<'_>, partition: u16, offset: i64, out: &mut Vec<u8>) {
        write_text(self.upload_id, out);
        out.extend(self.line.to_le_bytes());
        out.extend(self.byte_offset.to_le_bytes());
        for text in [self.column, self.code, self.reason, self.faults, self.raw, origin.topic.as_bytes()] {
            write_text(text, out);
        }
        out.extend(origin.epoch.to_le_bytes());
        out.extend(partition.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(origin.generation.to_le_bytes());
    }
}
