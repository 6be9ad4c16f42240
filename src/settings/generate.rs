//! The options of `roundhouse generate`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::exit_codes;
use super::parse::{time, whole};

/// The largest whole number of a row: Avro's `long` is signed.
const MAX_LONG: u64 = i64::MAX.unsigned_abs();

/// The start numbers of the reference are below this.
const RANDOM_BELOW: u64 = 100_000_000_000_000;

/// `roundhouse generate`, with or without the name of a dataset.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct GenerateArguments {
    #[command(subcommand)]
    dataset: Option<GenerateCommand>,
    /// Without a dataset: game rounds.
    #[command(flatten)]
    bets: Option<GenerateOptions>,
}

impl GenerateArguments {
    /// Returns what is generated. None if nothing was given, which the command line does not allow.
    pub fn command(self) -> Option<GenerateCommand> {
        self.dataset.or_else(|| self.bets.map(GenerateCommand::Bets))
    }
}

/// Which rows are generated.
#[derive(Clone, Debug, Subcommand)]
pub enum GenerateCommand {
    /// Write a CSV file of invented game rounds; the same options always give the same file. The default without a dataset
    #[command(after_help = exit_codes::GENERATE)]
    Bets(GenerateOptions),
    /// Write the steps of Collatz chains: of a range of numbers, or of random ones
    #[command(after_help = exit_codes::GENERATE)]
    Steps(StepsOptions),
    /// Write invented price events of many pairs and exchanges, some of them late, repeated, or with the timestamp of another one
    #[command(after_help = exit_codes::GENERATE)]
    Prices(PricesOptions),
}

impl GenerateCommand {
    /// Returns the file to write; `-` is standard output.
    pub fn output(&self) -> &Path {
        match self {
            Self::Bets(options) => &options.output,
            Self::Steps(options) => &options.output.file,
            Self::Prices(options) => &options.output.file,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// Number of rows
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = whole::<u64>(0..=u64::MAX))]
    pub rows: u64,
    /// Seed of the random numbers: the same seed and options give the same bytes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Number of players; the first ones play far more than the last
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub players: u32,
    /// Number of games
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = whole::<u32>(1..=u32::MAX.into()))]
    pub games: u32,
    /// Number of days over which the rounds are spread
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u32>(1..=3650))]
    pub days: u32,
    /// game_instance_id of the first round
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = whole::<u64>(0..=u64::MAX))]
    pub first_id: u64,
    /// Percentage of amounts left empty (written as NaN, NULL or nothing)
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u8>(0..=100))]
    pub null_percent: u8,
    /// Encoding of the file, which begins with a byte order mark
    #[arg(long, value_enum, default_value_t = FileEncoding::Utf16le)]
    pub encoding: FileEncoding,
    /// The file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileEncoding {
    #[value(name = "utf-16le")]
    Utf16le,
    #[value(name = "utf-16be")]
    Utf16be,
    #[value(name = "utf-8")]
    Utf8,
}

/// How rows are written, whatever they are.
#[derive(Clone, Debug, Args)]
pub struct RowOutput {
    /// Rows per second [default: as fast as possible]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=u32::MAX.into()))]
    pub rate: Option<u64>,
    /// The file to write; `-` is standard output
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Comma-separated values with a header
    Csv,
    /// One JSON object on each line
    Ndjson,
}

#[derive(Clone, Debug, Args)]
pub struct StepsOptions {
    /// The first number whose chain is written
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>(1..=MAX_LONG), conflicts_with = "random")]
    pub from: u64,
    /// The last number whose chain is written
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=MAX_LONG), required_unless_present = "random", conflicts_with = "random")]
    pub to: Option<u64>,
    /// Instead of a range: how many random numbers
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub random: Option<u64>,
    /// Random numbers are below this one
    #[arg(long, value_name = "N", default_value_t = RANDOM_BELOW, value_parser = whole::<u64>(2..=MAX_LONG), conflicts_with = "to")]
    pub below: u64,
    /// Seed of the random numbers [default: another one each time, so that several generators write different numbers]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX), conflicts_with = "to")]
    pub seed: Option<u64>,
    /// produced_at of all rows, such as 2026-11-28T08:00:00Z [default: the time at which the chain is written]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub produced_at: Option<DateTime<Utc>>,
    /// Format of the rows
    #[arg(long, value_enum, default_value_t = RowFormat::Csv)]
    pub format: RowFormat,
    #[command(flatten)]
    pub output: RowOutput,
}

#[derive(Clone, Debug, Args)]
pub struct PricesOptions {
    /// Number of pairs of a base and a quote currency on an exchange
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = whole::<u32>(1..=10_000_000))]
    pub pairs: u32,
    /// Number of events
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole::<u64>(0..=u64::MAX))]
    pub events: u64,
    /// Seed of the random numbers: the same seed, start and options give the same bytes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Time of the first event, such as 2026-11-28T08:00:00Z [default: so that the last event is now]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "rate")]
    pub start: Option<DateTime<Utc>>,
    /// Seconds over which the events are spread. With --rate, events have the time at which they are written
    #[arg(long, value_name = "N", default_value_t = 3_600, value_parser = whole::<u64>(1..=3_153_600_000), conflicts_with = "rate")]
    pub seconds: u64,
    /// Percentage of events that are up to a minute older than the one before
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u8>(0..=100))]
    pub late_percent: u8,
    /// Percentage of events that have the timestamp of their pair's last event, and another price
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u8>(0..=100))]
    pub tie_percent: u8,
    /// Percentage of events that are the last one of their pair again
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u8>(0..=100))]
    pub repeat_percent: u8,
    /// Format of the rows
    #[arg(long, value_enum, default_value_t = RowFormat::Ndjson)]
    pub format: RowFormat,
    #[command(flatten)]
    pub output: RowOutput,
}
