//! Every option of every command: its flag, environment variable, default and unit.
//!
//! The help text is an option's manual. clap reads the command line into [`Cli`]. Decisions that need several options (which services
//! are embedded, whether API keys are required) are made in `commands`.

mod check;
mod client;
mod datasets;
mod embedded;
mod exit_codes;
mod generate;
mod hosts;
mod listing;
mod parse;
mod query;
mod secret;
mod serve;
mod service_url;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::check::CheckOptions;
pub use self::client::{
    AggregatesOptions, AnswerFormat, Count, Decimal, DlqCommand, OnError, Prefer, ReconcileOptions,
    ReplayOptions, ServerOptions, UploadOptions, WaitFor,
};
pub use self::datasets::{DatasetsCheckOptions, DatasetsCommand, DatasetsListOptions, DatasetsNewOptions};
pub use self::embedded::{
    BrokerOptions, ClickHouseOptions, EmbeddedCommand, EngineOptions, RegistryOptions, SupervisedOption,
};
pub use self::generate::{
    FileEncoding, GenerateArguments, GenerateCommand, GenerateOptions, PricesOptions, RowFormat, RowOutput,
    StepsOptions,
};
pub use self::hosts::HostOptions;
pub use self::listing::{
    ConflictsOptions, ListFormat, ListOptions, RejectsOptions, StatusOptions, UploadsOptions,
};
pub use self::query::{QueryFormat, QueryOptions, query_arguments};
pub use self::secret::{ApiKey, Secret, without_password};
pub use self::serve::{EmbeddedListenOptions, Limits, LoaderKind, ServeOptions, ServiceOptions};
pub use self::service_url::ServiceUrl;

/// Loads CSV exports of game rounds through Kafka into ClickHouse, each round exactly once, and proves that every valid row is stored.
#[derive(Debug, Parser)]
#[command(name = "roundhouse", version, max_term_width = 110, after_help = exit_codes::GENERAL)]
pub struct Cli {
    /// What is logged: a level (error, warn, info, debug, trace) or tracing directives (info,roundhouse::loader=debug) [default: info for
    /// `serve` and `embedded`, warn for the other commands]
    #[arg(long, global = true, env = "ROUNDHOUSE_LOG", help_heading = "Log")]
    pub log: Option<String>,
    /// Format of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto, env = "ROUNDHOUSE_LOG_FORMAT", help_heading = "Log")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal. Otherwise JSON for `serve` and `embedded`, and text for the other commands
    Auto,
    /// Text
    Human,
    /// A JSON object per line
    Json,
}

impl Cli {
    /// Returns what is logged, and in which format. A person reads what the commands print that are not servers, so they log only
    /// warnings unless told otherwise, and always as text.
    pub fn log(&self) -> (&str, LogFormat) {
        let is_server = matches!(self.command, Command::Serve(_) | Command::Embedded(_));
        let level = self.log.as_deref().unwrap_or(if is_server { "info" } else { "warn" });
        let format = match self.log_format {
            LogFormat::Auto if !is_server => LogFormat::Human,
            format => format,
        };
        (level, format)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server; a broker, registry or ClickHouse without a URL is started as an embedded part
    #[command(after_help = exit_codes::SERVE)]
    Serve(Box<ServeOptions>),
    /// Run upload, aggregates and reconcile on one file in a temporary directory, print the results, and exit
    #[command(after_help = exit_codes::DEMO)]
    Demo(DemoOptions),
    /// Run one embedded part alone
    #[command(subcommand)]
    Embedded(EmbeddedCommand),
    /// Retry rejected rows on a running server
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Write a file of invented rows: of game rounds, or of another dataset
    #[command(after_help = exit_codes::GENERATE)]
    Generate(GenerateArguments),
    /// Upload CSV files to a running server
    #[command(after_help = exit_codes::UPLOAD)]
    Upload(UploadOptions),
    /// Check on a running server that every valid row of a file is stored
    #[command(after_help = exit_codes::RECONCILE)]
    Reconcile(ReconcileOptions),
    /// Show the hourly aggregates of a running server, by player and game
    #[command(after_help = exit_codes::QUERY)]
    Aggregates(AggregatesOptions),
    /// Ask an endpoint of a dataset on a running server
    #[command(after_help = exit_codes::QUERY)]
    Query(QueryOptions),
    /// Work on the files of datasets: list them, check them, or guess new ones from a file
    #[command(subcommand)]
    Datasets(DatasetsCommand),
    /// Run the checks of a dataset on a running server: queries that verify what is stored
    #[command(after_help = exit_codes::CHECK)]
    Check(CheckOptions),
    /// List the uploads of a running server, newest first
    #[command(after_help = exit_codes::QUERY)]
    Uploads(UploadsOptions),
    /// List the rejected rows of an upload, or write them to a file to correct them
    #[command(after_help = exit_codes::REJECTS)]
    Rejects(RejectsOptions),
    /// List the rows of an upload that are stored with different values
    #[command(after_help = exit_codes::QUERY)]
    Conflicts(ConflictsOptions),
    /// Show whether every part of a running server is ready
    #[command(after_help = exit_codes::STATUS)]
    Status(StatusOptions),
}

#[derive(Debug, Args)]
pub struct DemoOptions {
    /// The CSV file [default: 10,000 generated rounds]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineOptions,
}
