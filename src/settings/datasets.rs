//! Options of `roundhouse datasets`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{EngineOptions, exit_codes};

#[derive(Debug, Subcommand)]
pub enum DatasetsCommand {
    /// List the datasets that come with the program, and those of directories
    #[command(after_help = exit_codes::DATASETS_LIST)]
    List(DatasetsListOptions),
    /// Check the files of datasets as the start of a server does, and run their samples through; every fault is printed
    #[command(after_help = exit_codes::DATASETS_CHECK)]
    Check(DatasetsCheckOptions),
    /// Guess a dataset from the first 100,000 rows of a file, and write its files; it never overwrites one
    #[command(after_help = exit_codes::DATASETS_NEW)]
    New(DatasetsNewOptions),
}

#[derive(Debug, Args)]
pub struct DatasetsListOptions {
    /// Directory with datasets of your own; repeatable
    #[arg(long = "datasets", value_name = "DIR", env = "ROUNDHOUSE_DATASETS_DIR")]
    pub directories: Vec<PathBuf>,
    /// Print the list in JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DatasetsCheckOptions {
    /// Directory with datasets of your own [default: the datasets that come with the program]
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineOptions,
}

#[derive(Debug, Args)]
pub struct DatasetsNewOptions {
    /// Name of the dataset: 1 to 48 lower case letters, digits and _, first a letter
    #[arg(value_name = "NAME")]
    pub name: String,
    /// CSV file whose first line names the columns, or a file of JSON objects (NDJSON or an array)
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// Directory for the files, which is created if it does not exist
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    pub into: PathBuf,
}
