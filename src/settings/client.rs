//! Options of the commands that are clients of a running server.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use super::parse::{encoding, rows_or_percent, server_url, upload_id, whole};
use super::{Secret, exit_codes};
use crate::dataset::BETS;

/// How to reach a running server.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = server_url, env = "ROUNDHOUSE_SERVER")]
    pub server: Url,
    /// API key, if the server requires one
    #[arg(long, value_name = "KEY", env = "ROUNDHOUSE_API_KEY", hide_env_values = true)]
    pub api_key: Option<Secret>,
}

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// Send an upload's rejected rows again, as they are or corrected in a file
    #[command(after_help = exit_codes::REPLAY)]
    Replay(ReplayOptions),
}

#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Upload that has the rejected rows
    #[arg(long, value_name = "ID", value_parser = upload_id)]
    pub upload: uuid::Uuid,
    /// Only rows that have a fault with this code, such as not_a_decimal
    #[arg(long)]
    pub code: Option<String>,
    /// Corrected rows: the file that `roundhouse rejects ID -o FILE` wrote, with its column reject_line; `-` is standard input
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// With --file: its encoding, a label of the WHATWG Encoding Standard [default: from the byte order mark, else detected]
    #[arg(long, value_name = "LABEL", value_parser = encoding)]
    pub encoding: Option<String>,
    /// Decimal mark of the amounts [default: that of the upload]
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// Time zone of times without one [default: that of the upload]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// When to return: rows acknowledged by Kafka, or visible in the aggregates
    #[arg(long, value_enum, default_value_t = WaitFor::Visible)]
    pub wait: WaitFor,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answer unchanged, in JSON
    #[arg(long)]
    pub json: bool,
}

impl ReplayOptions {
    /// # Errors
    /// The encoding of a file is given, and no file.
    pub fn check(&self) -> Result<(), &'static str> {
        match (&self.encoding, &self.file) {
            (Some(_), None) => Err(
                "--encoding is that of a file of corrected rows; add --file, or leave --encoding out (see --help)",
            ),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
pub struct UploadOptions {
    /// CSV files, uploaded one after the other; `-` is standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Print the server's answers unchanged, one JSON object per file and line
    #[arg(long)]
    pub json: bool,
    /// Name of the file in the list of uploads [default: its own name; of standard input: stdin]
    #[arg(long)]
    pub name: Option<String>,
    /// When to return: rows acknowledged by Kafka, or visible in the aggregates
    #[arg(long, value_enum, default_value_t = WaitFor::Visible)]
    pub wait: WaitFor,
    /// Encoding of the files, a label of the WHATWG Encoding Standard [default: from the byte order mark, else detected]
    #[arg(long, value_name = "LABEL", value_parser = encoding)]
    pub encoding: Option<String>,
    /// Decimal mark of the amounts: with `comma`, 1.234,5 is 1234.5 and 1.000 is 1000 [default: point; a file with decimal commas is
    /// refused]
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// Columns that the files call by other names, such as user_id:PlayerID,provider:"Vendor, Inc."
    #[arg(long, value_name = "COLUMN:NAME,…")]
    pub columns: Option<String>,
    /// Time zone of times without one, such as Europe/Malta (IANA database) or +02:00 [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Upload a file even if it was uploaded before
    #[arg(long)]
    pub force: bool,
    /// Only check which rows would be accepted and rejected; nothing is sent to Kafka
    #[arg(long)]
    pub validate_only: bool,
    /// Stop at more rejected rows than this number, or than this percentage of the rows (`5%`)
    #[arg(long, value_name = "N", value_parser = rows_or_percent)]
    pub max_rejects: Option<String>,
    /// What happens to the rest of a file after a rejected row [default: continue]
    #[arg(long, value_enum)]
    pub on_error: Option<OnError>,
}

#[derive(Debug, Args)]
pub struct ReconcileOptions {
    /// The file: CSV, and for datasets other than bets also NDJSON or a JSON array; `-` is standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub server: ServerOptions,
    /// Dataset of the rows
    #[arg(long, value_name = "NAME", default_value = BETS)]
    pub dataset: String,
    /// Print the server's answer unchanged, in JSON
    #[arg(long)]
    pub json: bool,
    /// Name of the file in the list of reconciliations [default: its own name; of standard input: stdin]
    #[arg(long)]
    pub name: Option<String>,
    /// Encoding of the file, a label of the WHATWG Encoding Standard [default: from the byte order mark, else detected]
    #[arg(long, value_name = "LABEL", value_parser = encoding)]
    pub encoding: Option<String>,
    /// Decimal mark of the amounts, as for an upload
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// Columns that the file calls by other names, as for an upload
    #[arg(long, value_name = "COLUMN:NAME,…")]
    pub columns: Option<String>,
    /// Time zone of times without one, as for an upload
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// Upload that this file corresponds to, if its bytes differ; repeatable. Rows stored by that upload but absent from the file
    /// are reported as unexpected
    #[arg(long = "upload-id", value_name = "ID", value_parser = upload_id)]
    pub upload_ids: Vec<uuid::Uuid>,
    /// Produce missing rows, rebuild aggregates that differ, and check again
    #[arg(long)]
    pub repair: bool,
    /// With --repair: only show what the repair would change; nothing is changed
    #[arg(long)]
    pub dry_run: bool,
    /// With --repair: which values win when a stored row differs from the file [default: stored]
    #[arg(long, value_enum)]
    pub prefer: Option<Prefer>,
    /// With --repair: remove rows that uploads of this file stored, but that are not in it
    #[arg(long)]
    pub remove_unexpected: bool,
    /// Number of differences to show, or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    pub differences: Count,
}

impl ReconcileOptions {
    /// # Errors
    /// An option says how to repair, and --repair is not given.
    pub fn check(&self) -> Result<(), String> {
        let of_repair = [
            ("--dry-run", self.dry_run),
            ("--prefer", self.prefer.is_some()),
            ("--remove-unexpected", self.remove_unexpected),
        ];
        match of_repair.iter().find(|(_, is_given)| *is_given && !self.repair) {
            Some((option, _)) => Err(format!(
                "{option} only says how to repair; add --repair, or leave {option} out (see --help)"
            )),
            None => Ok(()),
        }
    }

    /// Returns the parameters of the request.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let encoding = self.encoding.iter().map(|encoding| ("encoding", encoding.clone()));
        let decimal = self.decimal.map(|decimal| ("decimal", decimal.parameter().to_owned()));
        let columns = self.columns.iter().map(|columns| ("columns", columns.clone()));
        let timezone = self.timezone.iter().map(|zone| ("timezone", zone.clone()));
        encoding
            .chain(decimal)
            .chain(columns)
            .chain(timezone)
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
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Comma => "comma",
        }
    }
}

/// Which values win when a stored round differs from the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Prefer {
    /// Keep the stored values
    Stored,
    /// Overwrite them with the values of the file
    File,
}

impl Prefer {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::File => "file",
        }
    }
}

/// A number of rows, or all of them.
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
            number => number.parse().map(Self::Most).map_err(|_| "not a whole number or `all`"),
        }
    }
}

#[derive(Debug, Args)]
pub struct AggregatesOptions {
    /// Only this player (its id); repeatable
    #[arg(long = "player", value_name = "ID")]
    pub players: Vec<String>,
    /// Only this game (its id); repeatable
    #[arg(long = "game", value_name = "ID", value_parser = whole::<u64>(0..=u64::MAX))]
    pub games: Vec<u64>,
    /// From this date or time (inclusive), such as 2019-10-22 or 2019-10-22T08:00:00Z
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// Until this date (inclusive) or this time (exclusive)
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// Sort column; prefix with - for descending [default: created_hour]
    #[arg(
        long,
        allow_hyphen_values = true,
        value_parser = ["created_hour", "player_id", "game_id", "-created_hour", "-player_id", "-game_id"]
    )]
    pub sort: Option<String>,
    /// Largest number of rows [default: 100]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u64::MAX), conflicts_with = "all")]
    pub limit: Option<u64>,
    /// Every row, page by page
    #[arg(long)]
    pub all: bool,
    /// Show totals, overall and per hour, instead of rows
    #[arg(long)]
    pub summary: bool,
    /// Output format; `json` prints the server's answers unchanged, one per page
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    pub format: AnswerFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// Rows of aggregates that are shown unless the user says how many.
const SHOWN_ROWS: u64 = 100;

impl AggregatesOptions {
    /// # Errors
    /// An option of rows or a format of rows is given, and --summary too.
    pub fn check(&self) -> Result<(), String> {
        if !self.summary {
            return Ok(());
        }
        let of_rows =
            [("--limit", self.limit.is_some()), ("--sort", self.sort.is_some()), ("--all", self.all)];
        match of_rows.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(format!(
                "--summary shows every hour in order; leave out {option}, and select fewer hours with --from and --to"
            )),
            None if matches!(self.format, AnswerFormat::Csv | AnswerFormat::Ndjson) => {
                Err("--summary has no such format; use --format table or --format json".to_owned())
            }
            None => Ok(()),
        }
    }

    /// Returns the largest number of rows.
    pub fn most(&self) -> u64 {
        if self.all { u64::MAX } else { self.limit.unwrap_or(SHOWN_ROWS) }
    }
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    Table,
    Json,
    Csv,
    Ndjson,
}

impl AnswerFormat {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Table | Self::Json => "json",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// When an upload returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Kafka has acknowledged every row
    Acknowledged,
    /// The rows are in the aggregates
    Visible,
}

impl WaitFor {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Visible => "visible",
        }
    }
}

/// What happens to the rest of a file after a rejected row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// It is uploaded
    Continue,
    /// The upload stops; rows already sent stay
    Abort,
}

impl OnError {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Abort => "abort",
        }
    }
}
