//! `dataset.toml`: what the schema cannot say about a dataset.

use serde::Deserialize;
use toml::Spanned;

use super::fault::FileFault;
use super::files::TextFile;
use super::latest;

/// The file, with the place of each value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub title: Spanned<String>,
    pub topic: Spanned<String>,
    /// Default: the topic with `-dlq` at its end.
    pub dead_letters: Option<Spanned<String>>,
    /// The table of the rows.
    pub table: Spanned<String>,
    /// The table of conflicts. Default: the table of the rows with `_conflicts` at its end.
    pub conflicts: Option<Spanned<String>>,
    /// The table of the differences that reconciliations find. Default: the table of the rows with `_differences` at its end.
    pub differences: Option<Spanned<String>>,
    /// Default: the key.
    pub partition_by: Option<Vec<Spanned<String>>>,
    /// The rows that are kept in memory. Default: none.
    pub latest: Option<Spanned<latest::Section>>,
}

impl Description {
    /// # Errors
    /// The file is not TOML, lacks a value, or has an unknown one.
    pub(super) fn parse(file: &TextFile) -> Result<Self, FileFault> {
        toml::from_str(&file.text).map_err(|error| {
            let byte = error.span().map_or(0, |span| span.start);
            let message = error.message().trim_end().replace('\n', ", ");
            FileFault::at(&file.path, &file.text, byte, format!("{message}; see docs/DATASETS.md"))
        })
    }
}
