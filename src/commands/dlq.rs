//! `roundhouse dlq replay`: has a running server produce rejected rows after all.

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::CommandError;
use super::client::{Api, Failure, failed, parsed};
use crate::settings::{DlqCommand, ReplayOptions};

/// Rejects that are shown.
const SHOWN_REJECTS: usize = 20;

pub(super) async fn run(command: DlqCommand) -> Result<(), CommandError> {
    match command {
        DlqCommand::Replay(options) => replay(&options).await,
    }
}

async fn replay(options: &ReplayOptions) -> Result<(), CommandError> {
    let api = Api::new(&options.server)?;
    let mut request = api.request(Method::POST, address(&api, options));
    if let Some(file) = &options.file {
        let missing = |error| failed(format!("{}: {error}", file.display()));
        let corrected = tokio::fs::File::open(file).await.map_err(missing)?;
        request = request.header("Content-Type", "text/csv").body(corrected);
    }
    let answered = api.text(request).await.and_then(parsed);
    if let (true, Err(Failure::Refused(problem))) = (options.json, &answered) {
        println!("{problem}");
    }
    let (text, answer) = answered?;
    if options.json {
        println!("{text}");
    } else {
        print_outcome(&answer);
    }
    match answer["still_rejected"].as_u64() {
        Some(0) => Ok(()),
        _ => Err(CommandError::announced()),
    }
}

fn address(api: &Api, options: &ReplayOptions) -> Url {
    let mut url = api.url(&format!("/uploads/{}/replay", options.upload));
    if let Some(code) = &options.code {
        url.query_pairs_mut().append_pair("code", code);
    }
    if let Some(decimal) = options.decimal {
        url.query_pairs_mut().append_pair("decimal", decimal.parameter());
    }
    url
}

fn print_outcome(answer: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    println!(
        "{} replayed as upload {}, {} still rejected",
        text(&answer["replayed"]),
        text(&answer["upload_id"]),
        text(&answer["still_rejected"])
    );
    for reject in answer["rejects"].as_array().into_iter().flatten().take(SHOWN_REJECTS) {
        println!("  line {}: {} {}", text(&reject["line"]), text(&reject["code"]), text(&reject["reason"]));
    }
}
