//! `roundhouse query`: asks an endpoint of a dataset.

use std::io::IsTerminal;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::client::pages::{Ended, lines, next_link};
use super::client::{Api, Failure};
use super::{CommandError, table};
use crate::settings::{AnswerFormat, QueryFormat, QueryOptions};

pub(super) async fn run(options: QueryOptions) -> Result<(), CommandError> {
    let pairs = options.pairs().map_err(CommandError::usage)?;
    let format = if options.json { QueryFormat::Json } else { options.format };
    let is_binary = matches!(format, QueryFormat::Arrow | QueryFormat::Parquet);
    if is_binary && std::io::stdout().is_terminal() {
        return Err(CommandError::usage("this format is binary; write it to a file with > FILE"));
    }
    let api = Api::new(&options.server)?;
    let outcome = pages(&api, address(&api, &options, &pairs, format), format, options.all).await;
    if let (QueryFormat::Json, Err(Ended::Failed(Failure::Refused(problem)))) = (format, &outcome) {
        table::print(format_args!("{problem}\n"))?;
    }
    outcome.map_err(CommandError::from)
}

fn address(api: &Api, options: &QueryOptions, pairs: &[(String, String)], format: QueryFormat) -> Url {
    let mut url = api.url("/");
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["datasets", &options.dataset, &options.endpoint]);
    }
    url.query_pairs_mut().extend_pairs(pairs).append_pair("format", format.parameter());
    url
}

/// Prints the first page, or page after page.
async fn pages(api: &Api, mut url: Url, format: QueryFormat, all: bool) -> Result<(), Ended> {
    let mut is_first = true;
    loop {
        let next = match format {
            QueryFormat::Json => json(api, &url).await?,
            QueryFormat::Csv => lines(api, &mut url, AnswerFormat::Csv, is_first).await?.1,
            QueryFormat::Ndjson => lines(api, &mut url, AnswerFormat::Ndjson, is_first).await?.1,
            QueryFormat::Table => rows(api, &url, is_first).await?,
            QueryFormat::Arrow | QueryFormat::Parquet => bytes(api, &url).await?,
        };
        is_first = false;
        match next {
            None => return Ok(()),
            Some(next) if all => url = api.url(&next),
            Some(_) => {
                table::print_note("more rows exist; use --all for every row, or raise --limit");
                return Ok(());
            }
        }
    }
}

/// Prints an answer in JSON unchanged.
async fn json(api: &Api, url: &Url) -> Result<Option<String>, Ended> {
    let (text, next) = text(api, url).await?;
    table::print(format_args!("{text}\n"))?;
    // One row has no pages.
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(next.or_else(|| answer["links"]["next"].as_str().map(str::to_owned)))
}

/// Prints a page as a table. It is read as CSV, whose columns have an order.
async fn rows(api: &Api, url: &Url, is_first: bool) -> Result<Option<String>, Ended> {
    let (text, next) = text(api, url).await?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().map_err(CommandError::of_client)?.clone();
    let mut page = table::new(names.iter());
    let mut count = 0;
    for record in reader.records() {
        let record = record.map_err(CommandError::of_client)?;
        let shown = |field: &str| if field == "\\N" { String::new() } else { table::shown(&field.into()) };
        page.add_row(record.iter().map(shown));
        count += 1;
    }
    match (count, is_first) {
        (0, true) => table::print("no rows\n")?,
        (0, false) => {}
        _ => table::print(format_args!("{page}\n"))?,
    }
    Ok(next)
}

async fn text(api: &Api, url: &Url) -> Result<(String, Option<String>), Ended> {
    let response = api.send(api.request(Method::GET, url.clone())).await?;
    let next = next_link(response.headers());
    Ok((response.text().await.map_err(|error| api.failure(&error))?, next))
}

/// Writes an answer in binary. A second page could not follow in the same file.
async fn bytes(api: &Api, url: &Url) -> Result<Option<String>, Ended> {
    let mut response = api.send(api.request(Method::GET, url.clone())).await?;
    let next = next_link(response.headers());
    while let Some(piece) = response.chunk().await.map_err(|error| api.failure(&error))? {
        table::write(&piece)?;
    }
    if next.is_some() {
        table::print_note("more rows exist; raise --limit, or use --format ndjson --all");
    }
    Ok(None)
}
