//! `roundhouse uploads`: lists the uploads of a running server.

use serde_json::Value;

use super::CommandError;
use super::client::{Api, answered};
use super::table::{self, shortened, shown};
use crate::settings::UploadsOptions;

/// The most uploads that the server returns in one page.
const MAX_PAGE: u64 = 1000;

/// Characters of a file name that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// The rows are the accepted and the rejected ones together.
const COLUMNS: [&str; 7] = ["started", "upload", "file", "state", "rows", "accepted", "rejected"];

/// Where the columns with numbers begin.
const NUMBERS: usize = 4;

pub(super) async fn run(options: UploadsOptions) -> Result<(), CommandError> {
    let api = Api::new(&options.server)?;
    let mut left = if options.all { u64::MAX } else { options.limit };
    let mut link = format!("/uploads?limit={}", left.min(MAX_PAGE));
    loop {
        let answer = api.get(api.url(&link), "items").await;
        let (text, page) = answered(answer, options.json)?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if options.json {
            table::print(format_args!("{text}\n"))?;
        } else if items.is_empty() {
            table::print("no uploads\n")?;
        } else {
            print_table(items)?;
        }
        left = left.saturating_sub(items.len() as u64);
        match page["page"]["next_cursor"].as_str() {
            Some(cursor) if left > 0 => {
                link = format!("/uploads?limit={}&cursor={cursor}", left.min(MAX_PAGE))
            }
            Some(_) if !options.json => {
                return table::print("More uploads exist: use --all for every upload, or raise --limit\n");
            }
            _ => return Ok(()),
        }
    }
}

fn print_table(uploads: &[Value]) -> Result<(), CommandError> {
    let mut table = table::new(COLUMNS.into_iter());
    for upload in uploads {
        let file = shortened(&shown(&upload["file_name"]), SHOWN_CHARACTERS);
        let start = [shown(&upload["started_at"]), shown(&upload["upload_id"]), file, state(upload)];
        let counts = ["rows", "accepted", "rejected"].map(|member| shown(&upload[member]));
        table.add_row(start.into_iter().chain(counts));
    }
    table::align_numbers(&mut table, NUMBERS);
    table::print(format_args!("{table}\n"))
}

/// Returns the state of an upload, with the cause if it failed.
fn state(upload: &Value) -> String {
    match upload["failure"]["code"].as_str() {
        Some(code) => format!("{} ({code})", shown(&upload["state"])),
        None => shown(&upload["state"]),
    }
}
