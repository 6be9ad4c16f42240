//! Lists that the server streams: a table of the first rows, or all rows as the server writes them.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio_util::io::StreamReader;
use url::Url;

use super::{Api, EXIT_INTERRUPTED, INTERRUPT, answered};
use crate::commands::CommandError;
use crate::commands::table;
use crate::settings::{ListFormat, ListOptions};

/// Rows of one table. More rows are several tables, so that memory does not grow with them.
const TABLE_ROWS: usize = 1000;

/// The columns of a table, and what a row shows in them.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub names: &'static [&'static str],
    pub cells: fn(&Value) -> Vec<String>,
}

/// How many rows were shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub rows: u64,
    /// There are more.
    pub is_more: bool,
}

/// Shows a list as the options say. `what`: what it has, for people.
pub async fn show(
    api: &Api,
    mut url: Url,
    options: &ListOptions,
    columns: Columns,
    what: &str,
) -> Result<(), CommandError> {
    let format = options.format().map_err(CommandError::usage)?;
    url.query_pairs_mut().append_pair("format", format.parameter());
    let answer = tokio::select! {
        answer = api.send(api.request(Method::GET, url)) => answered(answer, options.json)?,
        () = INTERRUPT.cancelled() => return Err(interrupted()),
    };
    if format != ListFormat::Table {
        return match options.file() {
            None => print(api, answer).await,
            Some(path) => {
                save(api, answer, path).await?;
                table::print(format_args!("{what} written to {}\n", path.display()))
            }
        };
    }
    let shown = print_table(answer, options.limit.most(), columns).await?;
    match shown {
        Shown { rows: 0, is_more: false } => table::print(format_args!("no {what}\n")),
        Shown { is_more: true, .. } => {
            table::print("More rows exist: use --limit all, or -o FILE to write all of them to a file\n")
        }
        _ => Ok(()),
    }
}

/// Prints a table of the first rows of an answer in NDJSON.
pub async fn print_table(answer: Response, most: u64, columns: Columns) -> Result<Shown, CommandError> {
    let pieces = answer.bytes_stream().map_err(std::io::Error::other);
    let mut lines = StreamReader::new(pieces).lines();
    let mut shown = Shown { rows: 0, is_more: false };
    let mut rows = Vec::new();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.map_err(CommandError::of_client)?,
            () = INTERRUPT.cancelled() => return Err(interrupted()),
        };
        let Some(line) = line else { break };
        if shown.rows == most {
            shown.is_more = true;
            break;
        }
        shown.rows += 1;
        rows.push(serde_json::from_str(&line).map_err(CommandError::of_client)?);
        if rows.len() == TABLE_ROWS {
            print_rows(&std::mem::take(&mut rows), columns)?;
        }
    }
    if !rows.is_empty() {
        print_rows(&rows, columns)?;
    }
    Ok(shown)
}

fn print_rows(rows: &[Value], columns: Columns) -> Result<(), CommandError> {
    let mut table = table::new(columns.names.iter().copied());
    for row in rows {
        table.add_row((columns.cells)(row));
    }
    table::print(format_args!("{table}\n"))
}

async fn print(api: &Api, answer: Response) -> Result<(), CommandError> {
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = next(api, &mut pieces).await? {
        table::write(&piece)?;
    }
    Ok(())
}

/// Writes an answer to a file, which has its name only once it is complete.
async fn save(api: &Api, answer: Response, path: &Path) -> Result<(), CommandError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let saved = save_as(api, answer, &partial).await;
    let saved = match saved {
        Ok(()) => tokio::fs::rename(&partial, path).await.map_err(|error| not_written(path, &error)),
        Err(error) => Err(error),
    };
    if saved.is_err() {
        // It may not exist.
        let _ = tokio::fs::remove_file(&partial).await;
    }
    saved
}

async fn save_as(api: &Api, answer: Response, path: &Path) -> Result<(), CommandError> {
    let mut file = File::create(path).await.map_err(|error| not_written(path, &error))?;
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = next(api, &mut pieces).await? {
        file.write_all(&piece).await.map_err(|error| not_written(path, &error))?;
    }
    file.flush().await.map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::of_client(format!("{}: cannot be written: {error}", path.display()))
}

/// Returns the next piece of an answer.
async fn next<S>(api: &Api, pieces: &mut S) -> Result<Option<bytes::Bytes>, CommandError>
where
    S: futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin,
{
    tokio::select! {
        piece = pieces.next() => {
            piece.transpose().map_err(|error| CommandError::from(api.failure(&error)))
        }
        () = INTERRUPT.cancelled() => Err(interrupted()),
    }
}

fn interrupted() -> CommandError {
    CommandError { message: Some("interrupted".to_owned()), exit_code: EXIT_INTERRUPTED }
}
