//! Options of the commands that list what a running server knows.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::parse::{upload_id, whole};
use super::{Count, ServerOptions};
use crate::dataset::BETS;

#[derive(Debug, Args)]
pub struct UploadsOptions {
    /// Largest number of uploads
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole::<u64>(1..=u64::MAX), conflicts_with = "all")]
    pub limit: u64,
    /// Every upload, page by page
    #[arg(long)]
    pub all: bool,
    /// Print the server's answers unchanged, in JSON, one per page
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

#[derive(Debug, Args)]
pub struct RejectsOptions {
    /// Id of the upload
    #[arg(value_name = "UPLOAD", value_parser = upload_id)]
    pub upload: Uuid,
    /// Only rows that have a fault with this code, such as not_a_decimal
    #[arg(long)]
    pub code: Option<String>,
    /// Rows that a replay has sent, instead of rows that are still rejected
    #[arg(long)]
    pub replayed: bool,
    #[command(flatten)]
    pub list: ListOptions,
}

#[derive(Debug, Args)]
pub struct ConflictsOptions {
    /// Id of the upload
    #[arg(value_name = "UPLOAD", value_parser = upload_id)]
    pub upload: Uuid,
    /// Dataset of the upload
    #[arg(long, value_name = "NAME", default_value = BETS)]
    pub dataset: String,
    #[command(flatten)]
    pub list: ListOptions,
}

#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Print the server's answer unchanged, in JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

/// How the rows of an upload are listed.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// Number of rows in the table, or `all`; the other formats always have all rows
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: Count,
    /// Write all rows to this file instead, as CSV unless --format says otherwise; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Output format [default: table; with --output csv]
    #[arg(long, value_enum)]
    format: Option<ListFormat>,
    /// The same as --format ndjson
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}

impl ListOptions {
    /// Returns the format that the options ask for.
    ///
    /// # Errors
    /// A table was asked for in a file.
    pub fn format(&self) -> Result<ListFormat, &'static str> {
        match (self.format, &self.output) {
            (Some(ListFormat::Table), Some(_)) => {
                Err("--output writes CSV or NDJSON; leave out --format table, or use --format csv")
            }
            (Some(format), _) => Ok(format),
            (None, _) if self.json => Ok(ListFormat::Ndjson),
            (None, Some(_)) => Ok(ListFormat::Csv),
            (None, None) => Ok(ListFormat::Table),
        }
    }

    /// Returns the file to write. None: standard output.
    pub fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// A table on the terminal
    Table,
    /// CSV with a header line
    Csv,
    /// A JSON object per line
    Ndjson,
}

impl ListFormat {
    /// Returns the value of the API's parameter.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Table | Self::Ndjson => "ndjson",
        }
    }
}
