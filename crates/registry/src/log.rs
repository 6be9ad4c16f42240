//! What the registry's durable log contains.

use serde::{Deserialize, Serialize};

use super::compatibility::Level;
use super::{MAX_LOG_BYTES, PART};
use roundhouse_part::record_log::{LogFile, RecordLog};

/// The registry's log.
pub(super) type Log = RecordLog<Entry>;

/// Files and limits of the log. If it is damaged, the registry does not start, because it could assign an id twice.
pub(super) const FILE: LogFile = LogFile {
    part: PART,
    name: "schemas.jsonl",
    mark: "schemas.durable",
    format: 2,
    max_bytes: MAX_LOG_BYTES,
    without_backup: "register the schemas again in the order of their ids",
};

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    /// A new version of a subject. `schema` is set if the id is new.
    Register {
        subject: String,
        version: u32,
        id: u32,
        schema: Option<String>,
    },
    DeleteVersion {
        subject: String,
        version: u32,
        permanent: bool,
    },
    /// Deletes all versions of a subject and its compatibility level.
    DeleteSubject {
        subject: String,
        permanent: bool,
    },
    /// Without a `subject`, sets the global level. Without a `level`, resets it to the default.
    SetCompatibility {
        subject: Option<String>,
        level: Option<Level>,
    },
}
