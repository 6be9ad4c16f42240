//! The result of a reconciliation, as `GET /reconcile/{id}` returns it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dataset::BETS;

/// How many differences a report shows.
pub const SAMPLE: usize = 20;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Done,
    Failed,
    /// `DELETE /reconcile/{id}` cancelled it.
    Cancelled,
}

impl JobState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What a running job does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobPhase)]
pub enum Phase {
    /// It reads the file and loads it into a temporary table.
    Reading,
    /// It waits for rows that were acknowledged before the job began and are still being loaded.
    Waiting,
    ComparingRows,
    /// Of bets.
    ComparingHours,
    /// Of other datasets.
    ComparingAggregates,
}

/// Links from a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobLinks)]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    /// Present once the job is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<String>,
}

/// A job as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    pub id: Uuid,
    pub state: JobState,
    /// Present while the job runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub submitted_at: String,
    pub file_name: String,
    pub bytes: u64,
    /// SHA-256 of the decompressed file, in hexadecimal.
    pub sha256: String,
    /// The zone of times without one, if the sender named it; otherwise they are UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// From 0 to 1. It is 1 once the job is done, and 0 if the job failed or was cancelled.
    pub progress: f64,
    /// Why the job failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Present once the job is done.
    #[serde(flatten)]
    pub report: Option<Report>,
    pub links: Links,
}

/// Whether everything from the file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every valid row is stored with the same values, and every aggregate is the sum of its rows.
    Match,
    /// A row, a stored row or an aggregate differs.
    Mismatch,
    /// The file has rows, but none of them is valid: nothing was compared.
    NoValidRows,
}

/// The result of a job. Every row is counted in exactly one of `matched`, `missing`, `different`, `duplicate_in_file`,
/// `contradictory_in_file` and `rejected`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    pub verdict: Verdict,
    pub rows: u64,
    /// Invalid rows. An upload rejects them, too.
    pub rejected: u64,
    /// Rows that are stored with the same values.
    pub matched: u64,
    /// Rows that are not stored.
    pub missing: u64,
    /// Rows that are stored with other values.
    pub different: u64,
    /// Rows that repeat an earlier row of the file with the same values. Only the first one is compared.
    pub duplicate_in_file: u64,
    /// Rows whose key also has other values in the file. The file does not say which values are right. So none of these rows is compared, and
    /// a repair leaves what is stored of them unchanged.
    #[serde(default)]
    pub contradictory_in_file: u64,
    /// Rows that one of the uploads stored and that are not in the file.
    #[serde(default)]
    pub unexpected: u64,
    /// The uploads considered: uploads of the same bytes, or those that the request named.
    #[serde(default)]
    pub uploads: Vec<Uuid>,
    /// Replays that have sent rejected rows of these uploads again, newest first. In the file these rows stay invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<ReplayedRows>,
    /// Of bets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// Of other datasets: each aggregate table with sums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<AggregateCompared>,
    /// False if acknowledged rows were not loaded in time, or if rows were being loaded all the time. What is reported as missing or
    /// different may then only not be loaded yet.
    pub settled: bool,
    /// The first differences: first rows, by line; then rows that are not in the file; then hours, or keys of aggregate tables.
    pub sample: Vec<Difference>,
    /// How long the job ran.
    pub seconds: f64,
}

impl Report {
    /// Whether every row is counted exactly once.
    pub fn adds_up(&self) -> bool {
        let in_file = [self.duplicate_in_file, self.contradictory_in_file];
        let compared = [self.matched, self.missing, self.different, self.rejected];
        let parts = [&in_file[..], &compared[..]].concat();
        parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part)) == Some(self.rows)
    }

    /// The number of listed differences.
    pub fn differences(&self) -> u64 {
        self.mismatches() + self.duplicate_in_file
    }

    /// The number of differences without duplicate rows of the file.
    pub fn mismatches(&self) -> u64 {
        self.missing + self.different + self.contradictory_in_file + self.unexpected + self.different_sums()
    }

    /// The number of hours, or keys of aggregate tables, that differ.
    pub fn different_sums(&self) -> u64 {
        let of_tables = self.aggregates.iter().map(|table| table.compared.different);
        self.hours.map_or(0, |hours| hours.different) + of_tables.sum::<u64>()
    }

    /// Says how many keys of an aggregate table differ.
    pub fn set_different_sums(&mut self, table: &str, different: u64) {
        match self.aggregates.iter_mut().find(|compared| compared.table == table) {
            Some(found) => found.compared.different = different,
            None => {
                if let Some(hours) = &mut self.hours {
                    hours.different = different;
                }
            }
        }
    }

    /// The verdict that follows from the counts.
    pub fn verdict_of_counts(&self) -> Verdict {
        if self.rows > 0 && self.rejected == self.rows {
            Verdict::NoValidRows
        } else if self.mismatches() == 0 {
            Verdict::Match
        } else {
            Verdict::Mismatch
        }
    }
}

/// Rejected rows of an upload that a replay has sent again, as they were or corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedRows {
    /// The upload that rejected the rows.
    pub upload_id: Uuid,
    /// The upload that the replay made.
    pub replay_id: Uuid,
    pub rows: u64,
}

/// The comparison of the file's rounds, by hour, player and game, with the hourly aggregates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HoursCompared)]
pub struct Hours {
    /// Hours of a player and a game that have rounds of the file.
    pub checked: u64,
    /// Hours whose aggregates are not the sum of the rounds.
    pub different: u64,
    /// Hours that also have rounds that are not in the file. These rounds are part of the sum.
    pub shared: u64,
}

/// The comparison of the file's rows with an aggregate table, by its key: with each of its sums, which its view's own query adds up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AggregateCompared {
    pub table: String,
    #[serde(flatten)]
    pub compared: Hours,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DifferenceKind)]
pub enum Kind {
    Different,
    Missing,
    DuplicateInFile,
    /// A stored row that is not in the file.
    Unexpected,
    /// An hour of a player and a game, of bets.
    Hour,
    /// A row whose key also has other values in the file.
    ContradictoryInFile,
    /// A key of an aggregate table, of another dataset.
    Aggregate,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Different,
        Self::Missing,
        Self::DuplicateInFile,
        Self::Unexpected,
        Self::Hour,
        Self::ContradictoryInFile,
        Self::Aggregate,
    ];

    /// Whether the difference is about a row of the file.
    pub fn is_of_file(self) -> bool {
        !matches!(self, Self::Unexpected | Self::Hour | Self::Aggregate)
    }

    /// Its name in the API and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::Missing => "missing",
            Self::DuplicateInFile => "duplicate_in_file",
            Self::Unexpected => "unexpected",
            Self::Hour => "hour",
            Self::ContradictoryInFile => "contradictory_in_file",
            Self::Aggregate => "aggregate",
        }
    }

    /// Returns the kind with a number in the table of a dataset.
    pub fn of_number(number: i8, dataset: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number && kind.is_of(dataset))
    }

    /// Whether a dataset has differences of this kind.
    pub fn is_of(self, dataset: &str) -> bool {
        match self {
            Self::Hour => dataset == BETS,
            Self::Aggregate => dataset != BETS,
            _ => true,
        }
    }

    /// Its number in the table.
    pub fn number(self) -> i8 {
        match self {
            Self::Different => 1,
            Self::Missing => 2,
            Self::DuplicateInFile => 3,
            Self::Unexpected => 4,
            Self::Hour | Self::Aggregate => 5,
            Self::ContradictoryInFile => 6,
        }
    }
}

/// Values by column. Money is a decimal, a time is RFC 3339 in UTC, and none is null.
pub type Values = BTreeMap<String, Option<String>>;

/// Values by column, as numbers and text.
pub type Keyed = BTreeMap<String, serde_json::Value>;

/// A row that is not stored as it is in the file, a stored row that is not in the file, or an aggregate that is not the sum of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    pub kind: Kind,
    /// The line in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The round, of bets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game_instance_id: Option<u64>,
    /// The key of a row of another dataset, by column: whole numbers of up to 64 bits are numbers, other values are text.
    #[serde(default, skip_serializing_if = "Keyed::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub key: Keyed,
    /// The differing fields of a `different` row, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldDifference>,
    /// The values of a row that is missing, a duplicate or contradictory.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub file: Values,
    /// The stored values of a row that is not in the file, or that has contradictory rows in the file.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub stored: Values,
    /// The upload that brought the stored row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_line: Option<u64>,
    #[serde(flatten)]
    pub hour: Option<HourDifference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<AggregateDifference>,
}

impl Difference {
    /// A difference without any values.
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            line: None,
            game_instance_id: None,
            key: Keyed::new(),
            fields: BTreeMap::new(),
            file: Values::new(),
            stored: Values::new(),
            upload_id: None,
            upload_line: None,
            hour: None,
            aggregate: None,
        }
    }
}

/// A field's value in the file and in the table, as in [`Values`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldDifference {
    #[schema(required)]
    pub file: Option<String>,
    #[schema(required)]
    pub stored: Option<String>,
}

/// An hour of a player and a game that is not the sum of its rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourDifference {
    /// RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub created_hour: String,
    pub player_id: String,
    pub game_id: u64,
    /// The sums of its rounds: those of the file, and stored rounds of other files.
    pub expected: Sums,
    /// The sums in the aggregates. Zero if they have no such hour.
    pub aggregated: Sums,
}

/// A key of an aggregate table whose sums are not those of its rows. Whole numbers of up to 64 bits are numbers, other values are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AggregateDifference {
    pub table: String,
    #[schema(value_type = BTreeMap<String, Object>)]
    pub key: Keyed,
    /// The sums of its rows: those of the file, and stored rows of other files.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub expected: Keyed,
    /// The sums in the table. Zero if it has no such key.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub aggregated: Keyed,
}

/// A number of rounds and their amounts. Amounts are decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HourSums)]
pub struct Sums {
    pub rounds_played: i64,
    pub real_amount_bet: String,
    pub bonus_amount_bet: String,
    pub real_amount_win: String,
    pub bonus_amount_win: String,
}
