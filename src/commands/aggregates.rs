//! `roundhouse aggregates`: prints the hourly aggregates of a running server.

use serde_json::Value;
use url::Url;

use super::CommandError;
use super::client::pages::{Ended, lines, set};
use super::client::{Api, Failure};
use super::table;
use crate::settings::{AggregatesOptions, AnswerFormat};

/// The most rows that the server returns in one page.
const MAX_PAGE: u64 = 10_000;

/// Columns of a summary's hours, with the members of the answer.
const HOURS: [(&str, &str); 9] = [
    ("hour", "created_hour"),
    ("rounds", "rounds_played"),
    ("players", "players"),
    ("games", "games"),
    ("real bet", "real_amount_bet"),
    ("bonus bet", "bonus_amount_bet"),
    ("real win", "real_amount_win"),
    ("bonus win", "bonus_amount_win"),
    ("net", "net"),
];

pub(super) async fn run(options: AggregatesOptions) -> Result<(), CommandError> {
    options.check().map_err(CommandError::usage)?;
    let api = Api::new(&options.server)?;
    let format = if options.json { AnswerFormat::Json } else { options.format };
    let outcome = if options.summary {
        summary(&api, &options, format).await
    } else {
        rows(&api, &options, format).await
    };
    if let (AnswerFormat::Json, Err(Ended::Failed(Failure::Refused(problem)))) = (format, &outcome) {
        table::print(format_args!("{problem}\n"))?;
    }
    outcome.map_err(CommandError::from)
}

/// Prints page after page until the wanted number of rows is reached, or there are no more.
async fn rows(api: &Api, options: &AggregatesOptions, format: AnswerFormat) -> Result<(), Ended> {
    let mut left = options.most();
    let mut url = address(api, options, "/aggregates");
    if let Some(sort) = &options.sort {
        url.query_pairs_mut().append_pair("sort", sort);
    }
    let mut is_first = true;
    while left > 0 {
        set(&mut url, "limit", &left.min(MAX_PAGE).to_string());
        let (count, next) = match format {
            AnswerFormat::Table | AnswerFormat::Json => objects(api, &url, format, is_first).await?,
            AnswerFormat::Csv | AnswerFormat::Ndjson => lines(api, &mut url, format, is_first).await?,
        };
        is_first = false;
        left = left.saturating_sub(count);
        match next {
            Some(next) => url = api.url(&next),
            None => return Ok(()),
        }
    }
    if format == AnswerFormat::Table {
        table::print("More rows exist: use --all for every row, or raise --limit\n")?;
    }
    Ok(())
}

/// Prints one page, as a table or unchanged in JSON. Returns the number of its rows, and the link to the next page.
async fn objects(
    api: &Api,
    url: &Url,
    format: AnswerFormat,
    is_first: bool,
) -> Result<(u64, Option<String>), Ended> {
    let (text, page) = api.get(url.clone(), "items").await?;
    let count = page["items"].as_array().map_or(0, Vec::len) as u64;
    match format {
        AnswerFormat::Json => table::print(format_args!("{text}\n"))?,
        _ if count == 0 && is_first => table::print("no aggregates\n")?,
        // A later page may be empty if a repair has just removed its hours.
        _ if count == 0 => {}
        _ => table::print(format_args!("{}\n", table::of_aggregates(&page["items"])))?,
    }
    Ok((count, page["links"]["next"].as_str().map(str::to_owned)))
}

/// Prints the totals, overall and per hour.
async fn summary(api: &Api, options: &AggregatesOptions, format: AnswerFormat) -> Result<(), Ended> {
    let (text, answer) = api.get(address(api, options, "/aggregates/summary"), "hours").await?;
    match format {
        AnswerFormat::Json => table::print(format_args!("{text}\n"))?,
        _ => {
            let mut rows: Vec<Value> = answer["hours"].as_array().cloned().unwrap_or_default();
            let mut total = answer;
            total["created_hour"] = Value::from("all");
            rows.push(total);
            table::print(format_args!("{}\n", table::of_items(&Value::from(rows), &HOURS, 1)))?;
        }
    }
    Ok(())
}

/// Returns the URL of a path with the filters as its query.
fn address(api: &Api, options: &AggregatesOptions, path: &str) -> Url {
    let mut url = api.url(path);
    let mut query = url.query_pairs_mut();
    for player in &options.players {
        query.append_pair("player_id", player);
    }
    for game in &options.games {
        query.append_pair("game_id", &game.to_string());
    }
    for (name, value) in [("date_from", &options.from), ("date_to", &options.to)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    drop(query);
    url
}
