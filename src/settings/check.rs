//! Options of `roundhouse check`.

use clap::Args;

use super::{Count, ServerOptions};

#[derive(Debug, Args)]
pub struct CheckOptions {
    /// Dataset, such as bets
    #[arg(value_name = "DATASET")]
    pub dataset: String,
    /// Run only this check; may be repeated
    #[arg(long = "check", value_name = "NAME")]
    pub checks: Vec<String>,
    /// Number of rows that are shown of each check, or `all`
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: Count,
    /// Print the server's answers unchanged, in JSON, one for each check
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerOptions,
}
