//! What a reconciliation found, in the form of `GET /reconcile/{id}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Differences that a report shows.
pub const SAMPLE: usize = 20;

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Done,
    Failed,
    /// By `DELETE /reconcile/{id}`.
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

    /// Whether nothing more becomes of the job.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What a running job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobPhase)]
pub enum Phase {
    /// The file is read and loaded.
    Reading,
    /// Rows that were acknowledged before the job began are on their way into the tables.
    Waiting,
    ComparingRows,
    ComparingHours,
}

/// Where to go on from a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = JobLinks)]
pub struct Links {
    #[serde(rename = "self")]
    pub this: String,
    /// Once it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differences: Option<String>,
}

/// A job as its sender sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    pub id: Uuid,
    pub state: JobState,
    /// While it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// RFC 3339 in UTC.
    #[schema(format = DateTime)]
    pub submitted_at: String,
    pub file_name: String,
    pub bytes: u64,
    /// Of the file, decompressed, in hexadecimal.
    pub sha256: String,
    /// From 0 to 1, which is when it is done; 0 again where it failed or was cancelled, since nothing of it counts.
    pub progress: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Once it is done.
    #[serde(flatten)]
    pub report: Option<Report>,
    pub links: Links,
}

/// Whether everything from the file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every valid row is stored with the same values, and every hour is the sum of its rounds.
    Match,
    /// A row, a stored round or an hour differs.
    Mismatch,
    /// The file has rows, but none of them is valid: nothing was compared.
    NoValidRows,
}

/// What a job found. Every row is one of matched, missing, different, duplicate_in_file, contradictory_in_file and rejected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Rows that repeat an earlier row of the file, with the same values: only the first one is compared.
    pub duplicate_in_file: u64,
    /// Rows whose id other rows of the file have with other values: the file does not say which is right, so none of them is
    /// compared, and a repair leaves their rounds unchanged.
    #[serde(default)]
    pub contradictory_in_file: u64,
    /// Rounds that are stored as from one of the uploads, and are not in the file.
    #[serde(default)]
    pub unexpected: u64,
    /// The uploads considered: those of the same bytes, or those that were named.
    #[serde(default)]
    pub uploads: Vec<Uuid>,
    pub hours: Hours,
    /// False: rows that were acknowledged were still not loaded after a while, or rows were loaded all the time, so
    /// that what is missing or different may only be on its way.
    pub settled: bool,
    /// The first differences: rows by line, then, where they leave room, rounds that are not in the file, then hours.
    pub sample: Vec<Difference>,
    /// From the beginning of the work to its end.
    pub seconds: f64,
}

impl Report {
    /// Whether every row is counted once.
    pub fn adds_up(&self) -> bool {
        let in_file = [self.duplicate_in_file, self.contradictory_in_file];
        let compared = [self.matched, self.missing, self.different, self.rejected];
        let parts = [&in_file[..], &compared[..]].concat();
        parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part)) == Some(self.rows)
    }

    /// How many differences the list has.
    pub fn differences(&self) -> u64 {
        self.mismatches() + self.duplicate_in_file
    }

    /// How many of them are more than a row that is in the file twice.
    pub fn mismatches(&self) -> u64 {
        self.missing + self.different + self.contradictory_in_file + self.unexpected + self.hours.different
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

/// The file's rounds by hour, player and game, against the hourly aggregates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HoursCompared)]
pub struct Hours {
    /// Hours of a player and a game that the file has rounds of.
    pub checked: u64,
    /// Those where the aggregates are not the sum of the rounds.
    pub different: u64,
    /// Those that also hold rounds that are not in the file, which are then part of the sum.
    pub shared: u64,
}

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DifferenceKind)]
pub enum Kind {
    Different,
    Missing,
    DuplicateInFile,
    /// A round.
    Unexpected,
    /// An hour of a player and a game.
    Hour,
    /// A row whose id other rows of the file have with other values.
    ContradictoryInFile,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Different,
        Self::Missing,
        Self::DuplicateInFile,
        Self::Unexpected,
        Self::Hour,
        Self::ContradictoryInFile,
    ];

    /// Whether it is about a row of the file.
    pub fn is_of_file(self) -> bool {
        !matches!(self, Self::Unexpected | Self::Hour)
    }

    /// As the API and the table call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::Missing => "missing",
            Self::DuplicateInFile => "duplicate_in_file",
            Self::Unexpected => "unexpected",
            Self::Hour => "hour",
            Self::ContradictoryInFile => "contradictory_in_file",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As the table numbers it.
    pub fn number(self) -> i8 {
        match self {
            Self::Different => 1,
            Self::Missing => 2,
            Self::DuplicateInFile => 3,
            Self::Unexpected => 4,
            Self::Hour => 5,
            Self::ContradictoryInFile => 6,
        }
    }
}

/// Values by column: money as a decimal, a time as RFC 3339 in UTC; none is null.
pub type Values = BTreeMap<String, Option<String>>;

/// A row that is not stored as it is in the file, a round that is not in the file, or an hour whose sums are not those of its
/// rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    pub kind: Kind,
    /// In the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game_instance_id: Option<u64>,
    /// The fields of a different row that differ, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, FieldDifference>,
    /// What a row that is missing, repeated or contradictory has.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub file: Values,
    /// What is stored of a round that is not in the file, or of which the file has contradictory rows.
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    pub stored: Values,
    /// The upload that the stored round came with, and its line there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_line: Option<u64>,
    #[serde(flatten)]
    pub hour: Option<HourDifference>,
}

impl Difference {
    /// One of which nothing else is known.
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            line: None,
            game_instance_id: None,
            fields: BTreeMap::new(),
            file: Values::new(),
            stored: Values::new(),
            upload_id: None,
            upload_line: None,
            hour: None,
        }
    }
}

/// A field's value here and there, as [`Values`] have it.
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
    /// What its rounds add up to: the file's, and others that are stored.
    pub expected: Sums,
    /// What the aggregates hold; zero where they have no such hour.
    pub aggregated: Sums,
}

/// Sums of an hour; amounts are decimals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HourSums)]
pub struct Sums {
    pub rounds_played: i64,
    pub real_amount_bet: String,
    pub bonus_amount_bet: String,
    pub real_amount_win: String,
    pub bonus_amount_win: String,
}
