//! Options of the commands that are clients of a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use super::Secret;

/// Where a running server is.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8000", env = "ROUNDHOUSE_SERVER")]
    pub server: Url,
    /// API key, for a server that asks for one
    #[arg(long, value_name = "KEY", env = "ROUNDHOUSE_API_KEY", hide_env_values = true)]
    pub api_key: Option<Secret>,
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Produces an upload's rejected rows that are valid now, or corrected ones. Exit code 0: none is still rejected, 1: some
    /// are, 2: it could not be done
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// The upload whose rejects they are
    #[arg(long, value_name = "ID")]
    pub upload: uuid::Uuid,
    /// Only rejects with this code, such as not_a_decimal
    #[arg(long)]
    pub code: Option<String>,
    /// Corrected rows: the CSV file of GET /uploads/{id}/rejects, with its column reject_line
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Decimal mark of the amounts [default: that of the upload]
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answer as it is
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct UploadOptions {
    /// The CSV files, which are uploaded one after the other
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answers as they are, a JSON object per file and line
    #[arg(long)]
    pub json: bool,
    /// What is waited for
    #[arg(long, value_enum, default_value_t = WaitFor::Visible)]
    pub wait: WaitFor,
    /// Encoding of the files, a label of the WHATWG Encoding Standard [default: a byte order mark's, else found]
    #[arg(long)]
    pub encoding: Option<String>,
    /// Decimal mark of the amounts: with `comma`, 1.234,5 is 1234.5 and 1.000 is 1000 [default: point; files that show a comma are
    /// refused]
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// Upload a file even if it was uploaded before
    #[arg(long)]
    pub force: bool,
    /// Only say what would be accepted and rejected
    #[arg(long)]
    pub validate_only: bool,
    /// Rejected rows, or percent of the rows (`5%`), after which a file is given up
    #[arg(long, value_name = "N")]
    pub max_rejects: Option<String>,
    /// What a rejected row does to the rest of its file [default: continue]
    #[arg(long, value_enum)]
    pub on_error: Option<OnError>,
}

#[derive(Debug, Args)]
pub struct ReconcileOptions {
    /// The CSV file
    pub file: PathBuf,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Encoding of the file, a label of the WHATWG Encoding Standard [default: a byte order mark's, else found]
    #[arg(long)]
    pub encoding: Option<String>,
    /// Decimal mark of the amounts, as for an upload
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// Upload that this file corresponds to, if its bytes differ; repeatable. Rounds stored by that upload but absent from the file
    /// are reported as unexpected
    #[arg(long = "upload-id", value_name = "ID")]
    pub upload_ids: Vec<uuid::Uuid>,
    /// Produce what is missing, rebuild hours that differ, and check again
    #[arg(long)]
    pub repair: bool,
    /// With --repair: whose values count where a round is stored with others than the file has [default: stored]
    #[arg(long, value_enum, requires = "repair")]
    pub prefer: Option<Prefer>,
    /// With --repair: remove rounds that are stored as from the file's upload, and are not in it
    #[arg(long, requires = "repair")]
    pub remove_unexpected: bool,
    /// Differences that are shown: a number, or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    pub differences: Count,
}

impl ReconcileOptions {
    /// What the API is told besides the file.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let encoding = self.encoding.iter().map(|encoding| ("encoding", encoding.clone()));
        let decimal = self.decimal.map(|decimal| ("decimal", decimal.parameter().to_owned()));
        encoding
            .chain(decimal)
            .chain(self.upload_ids.iter().map(|id| ("upload_id", id.to_string())))
            .collect()
    }
}

/// A decimal mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decimal {
    /// 1234.5
    Point,
    /// 1234,5 or 1.234,5
    Comma,
}

impl Decimal {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Comma => "comma",
        }
    }
}

/// Whose values count where a round is stored with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Prefer {
    /// What is stored stays
    Stored,
    /// Rounds get the values of the file
    File,
}

impl Prefer {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::File => "file",
        }
    }
}

/// A number of things, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Most(u64),
    All,
}

impl Count {
    pub fn most(self) -> u64 {
        match self {
            Self::Most(count) => count,
            Self::All => u64::MAX,
        }
    }
}

impl std::str::FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::Most).map_err(|_| "a whole number, or `all`"),
        }
    }
}

#[derive(Debug, Args)]
pub struct AggregatesOptions {
    /// Only this player; may be repeated
    #[arg(long = "player", value_name = "ID")]
    pub players: Vec<String>,
    /// Only this game; may be repeated
    #[arg(long = "game", value_name = "ID")]
    pub games: Vec<u64>,
    /// From this date or time on, such as 2019-10-22 or 2019-10-22T08:00:00Z
    #[arg(long)]
    pub from: Option<String>,
    /// To this date, which is meant whole, or to this time, which is excluded
    #[arg(long)]
    pub to: Option<String>,
    /// Order; a minus before it turns it round [default: created_hour]
    #[arg(
        long,
        allow_hyphen_values = true,
        value_parser = ["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"],
        conflicts_with = "summary"
    )]
    pub sort: Option<String>,
    /// Rows, at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..), conflicts_with_all = ["all", "summary"])]
    pub limit: u64,
    /// Every row, page by page
    #[arg(long, conflicts_with = "summary")]
    pub all: bool,
    /// Totals and those of each hour instead of the rows
    #[arg(long)]
    pub summary: bool,
    /// How they are written; `json` is the server's answer as it is, one per page
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    Table,
    Json,
    Csv,
    Ndjson,
}

impl AnswerFormat {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Table | Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// What an upload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The broker has every row
    Acknowledged,
    /// The rows are in the aggregates
    Visible,
}

impl WaitFor {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Visible => "visible",
        }
    }
}

/// What a rejected row does to the rest of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// Nothing
    Continue,
    /// It is not taken
    Abort,
}

impl OnError {
    /// As the API has it.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Abort => "abort",
        }
    }
}
