//! `roundhouse dlq replay`: has a running server produce rejected rows after all.

use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use url::Url;

use super::CommandError;
use crate::settings::{DlqCommand, ReplayOptions};

/// How long the server may take to accept a connection. An answer may take as long as the rows do.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Rejects that are shown.
const SHOWN_REJECTS: usize = 20;

/// The replay could not be done. Exit code 1 says that rows are still rejected.
const EXIT_FAILURE: u8 = 2;

pub(super) async fn run(command: DlqCommand) -> Result<(), CommandError> {
    match command {
        DlqCommand::Replay(options) => replay(&options).await,
    }
}

async fn replay(options: &ReplayOptions) -> Result<(), CommandError> {
    let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).build().map_err(failed)?;
    let mut request = client.post(address(options)?);
    if let Some(key) = &options.api_key {
        request = request.bearer_auth(key.expose());
    }
    if let Some(file) = &options.file {
        let missing = |error| failed(format!("{}: {error}", file.display()));
        let corrected = tokio::fs::File::open(file).await.map_err(missing)?;
        request = request.header("Content-Type", "text/csv").body(corrected);
    }
    let unreachable = |error: reqwest::Error| {
        failed(format!("the server at {} does not answer: {}", options.server, error.without_url()))
    };
    let response = request.send().await.map_err(unreachable)?;
    let is_success = response.status().is_success();
    let status = response.status();
    let answer: Value = response.json().await.map_err(unreachable)?;
    if options.json {
        println!("{answer}");
    }
    if !is_success {
        let detail = answer["detail"].as_str().unwrap_or("no reason given");
        return Err(failed(format!("{status}: {detail}")));
    }
    if !options.json {
        print_outcome(&answer);
    }
    match answer["still_rejected"].as_u64() {
        Some(0) => Ok(()),
        _ => Err(CommandError::announced()),
    }
}

fn address(options: &ReplayOptions) -> Result<Url, CommandError> {
    let mut url = options.server.clone();
    let upload = options.upload.to_string();
    url.path_segments_mut()
        .map_err(|()| failed(format!("--server {} is not an http:// or https:// URL", options.server)))?
        .pop_if_empty()
        .extend(["uploads", &upload, "replay"]);
    if let Some(code) = &options.code {
        url.query_pairs_mut().append_pair("code", code);
    }
    Ok(url)
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

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError { message: Some(error.to_string()), exit_code: EXIT_FAILURE }
}
