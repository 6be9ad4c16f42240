//! `roundhouse dlq replay`: has a running server send rejected rows again.

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::CommandError;
use super::client::progress::Progress;
use super::client::{Api, answered, failed, file, parsed};
use super::upload::summary::push_reject;
use crate::settings::{DlqCommand, ReplayOptions};

/// Rejected rows that are shown.
const SHOWN_REJECTS: usize = 20;

pub(super) async fn run(command: DlqCommand) -> Result<(), CommandError> {
    match command {
        DlqCommand::Replay(options) => replay(&options).await,
    }
}

async fn replay(options: &ReplayOptions) -> Result<(), CommandError> {
    let api = Api::new(&options.server)?;
    let mut request = api.request(Method::POST, address(&api, options));
    let mut progress = None;
    if let Some(path) = &options.file {
        let source = file::open(path).await;
        let source =
            source.map_err(|error| failed(format!("{}: cannot be read: {error}", path.display())))?;
        let sent = Progress::new(path, &source);
        request = source.send(request, &sent);
        progress = Some(sent);
    }
    let answer = api.text(request).await.and_then(parsed);
    if let Some(progress) = progress {
        progress.clear();
    }
    let (text, answer) = answered(answer, options.json)?;
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
    if let Some(timezone) = &options.timezone {
        url.query_pairs_mut().append_pair("timezone", timezone);
    }
    url
}

fn print_outcome(answer: &Value) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    println!(
        "{} rows sent again as upload {}, {} still rejected",
        text(&answer["replayed"]),
        text(&answer["upload_id"]),
        text(&answer["still_rejected"])
    );
    let mut rejects = String::new();
    for reject in answer["rejects"].as_array().into_iter().flatten().take(SHOWN_REJECTS) {
        push_reject(&mut rejects, reject);
    }
    print!("{rejects}");
}
