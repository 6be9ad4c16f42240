//! Every option of every subcommand: its flag, environment variable, default and unit.
//!
//! One line of help is the option's manual. [`Cli`] is what clap reads; what needs more than one option to
//! decide (a broker given or embedded, keys on a public address) is decided in `commands`.

mod client;
mod embedded;
mod hosts;
mod secret;
mod serve;
mod service_url;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::client::{
    AggregatesOptions, AnswerFormat, Count, Decimal, DlqCommand, OnError, Prefer, ReconcileOptions,
    ReplayOptions, ServerOptions, UploadOptions, WaitFor,
};
pub use self::embedded::{
    BrokerOptions, ClickHouseOptions, EmbeddedCommand, EngineOptions, Peer, RegistryOptions, SupervisedOption,
};
pub use self::hosts::HostOptions;
pub use self::secret::{ApiKey, Secret, without_password};
pub use self::serve::{EmbeddedListenOptions, Limits, LoaderKind, ServeOptions, ServiceOptions};
pub use self::service_url::ServiceUrl;

/// Takes CSV exports of game rounds over HTTP, brings them through Kafka into ClickHouse exactly once, and
/// proves that every row is there.
#[derive(Debug, Parser)]
#[command(name = "roundhouse", version, max_term_width = 110)]
pub struct Cli {
    /// How log lines look on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto, env = "ROUNDHOUSE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or tracing directives (info,roundhouse::loader=debug)
    #[arg(long, global = true, default_value = "info", env = "ROUNDHOUSE_LOG")]
    pub log: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise
    Auto,
    Human,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves the API; starts an embedded broker, registry and ClickHouse for each URL that is not given
    Serve(Box<ServeOptions>),
    /// Does the whole job on a file in a temporary data directory, prints what came of it, and exits
    Demo(DemoOptions),
    /// Runs one embedded part alone
    #[command(subcommand)]
    Embedded(EmbeddedCommand),
    /// Works on rejected rows of a running server
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Writes a CSV file of invented game rounds, the same for the same options
    Generate(GenerateOptions),
    /// Sends CSV files to a running server. Exit code 0: every row was accepted, 1: some were rejected, 2: a file failed
    Upload(UploadOptions),
    /// Has a running server compare a file with what is stored. Exit code 0: it matches, 1: it does not, 2: it could not be done
    Reconcile(ReconcileOptions),
    /// Asks a running server what happened each hour, by player and game
    Aggregates(AggregatesOptions),
}

#[derive(Debug, Args)]
pub struct DemoOptions {
    /// The CSV file to bring through
    #[arg(default_value = "data/gamerounds.csv")]
    pub file: PathBuf,
    #[command(flatten)]
    pub engine: EngineOptions,
}

#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// Rows
    #[arg(long, default_value_t = 10_000)]
    pub rows: u64,
    /// Seed: the same seed and options make the same bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Players, the first of them playing far more than the last
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub players: u32,
    /// Games
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    pub games: u32,
    /// Days over which the rounds are spread
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// game_instance_id of the first round
    #[arg(long, default_value_t = 20_000)]
    pub first_id: u64,
    /// Of 100 amounts of money, how many are missing (written as NaN, NULL or nothing)
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub null_percent: u8,
    /// Encoding, with a byte order mark
    #[arg(long, value_enum, default_value_t = FileEncoding::Utf16le)]
    pub encoding: FileEncoding,
    /// The file to write; `-` is standard output
    #[arg(short, long)]
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
