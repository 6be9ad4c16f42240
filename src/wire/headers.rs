//! The names of the headers of messages.

/// Marks a row that a repair produces. Its hour may count it already, or be wrong in another way. So the loader sets the hour to the sum of
/// its rounds, and does not add to it.
pub const REPAIR: &str = "roundhouse-repair";

// The headers of a dead letter, whose value is the rejected row unchanged.

/// The id of the upload that sent the row.
pub const UPLOAD_ID: &str = "upload_id";
/// The number of the row's line in its file, from 1.
pub const LINE: &str = "line";
/// Where the line begins in the file, in bytes.
pub const BYTE_OFFSET: &str = "byte_offset";
/// The column of the first fault; empty if the whole line is invalid.
pub const COLUMN: &str = "column";
/// The code of the first fault.
pub const CODE: &str = "code";
/// The first fault, in words.
pub const REASON: &str = "reason";
/// All faults, as a JSON array. It is left out if the message would be too large with it.
pub const FAULTS: &str = "faults";
