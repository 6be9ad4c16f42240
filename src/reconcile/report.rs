//! What a reconciliation found, in the form of `GET /reconcile/{id}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Differences that a report shows.
pub const SAMPLE: usize = 20;

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Done,
    Failed,
}

/// A job as its sender sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobView {
    pub id: Uuid,
    pub state: JobState,
    pub file_name: String,
    /// From 0 to 1.
    pub progress: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Once it is done.
    #[serde(flatten)]
    pub report: Option<Report>,
}

/// Whether everything from the file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Match,
    Mismatch,
}

/// What a job found. Every row is one of matched, missing, different, duplicate_in_file and rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub rows: u64,
    /// Not valid: uploads reject them too.
    pub rejected: u64,
    /// Stored with the same values.
    pub matched: u64,
    /// Not stored.
    pub missing: u64,
    /// Stored with other values.
    pub different: u64,
    /// Of a round that an earlier line of the file has: only that one is compared.
    pub duplicate_in_file: u64,
    pub hours: Hours,
    /// False: rows that were acknowledged were still not loaded after a while, or rows were loaded all the time, so
    /// that what is missing or different may only be on its way.
    pub settled: bool,
    /// The first differences and duplicates, by line.
    pub sample: Vec<Difference>,
    /// From the beginning of the work to its end.
    pub seconds: f64,
}

impl Report {
    /// Whether every row is counted once.
    pub fn adds_up(&self) -> bool {
        let parts = [self.matched, self.missing, self.different, self.duplicate_in_file, self.rejected];
        parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part)) == Some(self.rows)
    }
}

/// The file's rounds by hour, player and game, against the hourly aggregates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Hours of a player and a game that the file has rounds of.
    pub checked: u64,
    /// Those where the aggregates are not the sum of the rounds.
    pub different: u64,
    /// Those that also hold rounds of other files, which are then part of the sum.
    pub shared: u64,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Different,
    Missing,
    DuplicateInFile,
}

/// A row that is not stored as it is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub kind: Kind,
    pub line: u64,
    pub game_instance_id: u64,
    /// The fields that differ, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldDifference>,
}

/// A field's value here and there: money as a decimal, a time as RFC 3339 in UTC; none is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDifference {
    pub file: Option<String>,
    pub stored: Option<String>,
}
