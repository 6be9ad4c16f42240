//! `roundhouse dlq replay`: has a running server send rejected rows again.

use indicatif::HumanCount;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::CommandError;
use super::client::{Api, answered, file};
use super::table;
use super::upload::summary::{push_reject, push_stored};
use crate::counted::counted;
use crate::settings::{DlqCommand, ReplayOptions};

/// Rejected rows that are shown.
const SHOWN_REJECTS: usize = 20;

pub(super) async fn run(command: DlqCommand) -> Result<(), CommandError> {
    match command {
        DlqCommand::Replay(options) => replay(&options).await,
    }
}

async fn replay(options: &ReplayOptions) -> Result<(), CommandError> {
    options.check().map_err(CommandError::usage)?;
    let api = Api::new(&options.server)?;
    let mut request = api.request(Method::POST, address(&api, options));
    let mut progress = None;
    if let Some(path) = &options.file {
        let source = file::open(path).await;
        let path = file::label(path);
        let source = source.map_err(|error| {
            CommandError::of_client(format!("{}: cannot be read: {error}", path.display()))
        })?;
        let sent = source.progress(&path);
        request = source.send(request, &sent);
        progress = Some(sent);
    }
    let answer = api.answer_to_file(request, "still_rejected").await;
    if let Some(progress) = progress {
        progress.clear();
    }
    let (text, answer) = answered(answer, options.json)?;
    if options.json {
        table::print(format_args!("{text}\n"))?;
    } else {
        table::print(outcome(options, &answer))?;
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
    for (name, value) in [("encoding", &options.encoding), ("timezone", &options.timezone)] {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url.query_pairs_mut().append_pair("wait", options.wait.parameter());
    url
}

/// Returns the result in words: how many rows were sent, and the first that are still rejected.
fn outcome(options: &ReplayOptions, answer: &Value) -> String {
    let number = |member: &str| answer[member].as_u64().unwrap_or_default();
    let (sent, rejected) = (counted(number("replayed"), "row"), HumanCount(number("still_rejected")));
    let mut lines = match (answer["upload_id"].as_str(), &options.code) {
        (None, None) => format!("upload {} has no open rejected rows; nothing was sent\n", options.upload),
        (None, Some(code)) => {
            format!(
                "upload {} has no open rejected rows with the fault {code}; nothing was sent\n",
                options.upload
            )
        }
        (Some(upload), _) => format!("{sent} sent again as upload {upload}, {rejected} still rejected\n"),
    };
    if number("replayed") > 0 {
        push_stored(&mut lines, answer);
    }
    for reject in answer["rejects"].as_array().into_iter().flatten().take(SHOWN_REJECTS) {
        push_reject(&mut lines, reject);
    }
    lines
}
