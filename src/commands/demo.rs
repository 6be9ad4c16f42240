//! `roundhouse demo`: upload, aggregates and reconcile on one file, with embedded parts in a temporary directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::HumanCount;
use reqwest::multipart::{Form, Part};
use roundhouse_part::lifecycle::stop_on_signals;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::CommandError;
use super::client;
use super::generate;
use super::reconcile::report::{self, speed};
use super::serve::{Server, WHOLE_STOP_PATIENCE};
use super::table;
use super::temporary::{parse, serve_options};
use crate::counted::counted;
use crate::settings::{Command, DemoOptions};

/// Rows of aggregates that are shown.
const SHOWN_ROWS: usize = 10;

/// How long the reconciliation may take, and how often its state is requested.
const RECONCILE_PATIENCE: Duration = Duration::from_secs(600);
const RECONCILE_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(options: DemoOptions, log: &[OsString]) -> Result<(), CommandError> {
    if let Some(file) = options.file.as_ref().filter(|file| !file.is_file()) {
        return Err(CommandError::usage(format!("the file {} does not exist", file.display())));
    }
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone(), WHOLE_STOP_PATIENCE);
    let directory = tempfile::Builder::new().prefix("roundhouse-demo-").tempdir().map_err(failed)?;
    let file = match &options.file {
        Some(file) => file.clone(),
        None => generate_sample(directory.path())?,
    };
    let started = Instant::now();
    table::print(format_args!(
        "Starting broker, registry, ClickHouse and API in {} …\n",
        directory.path().display()
    ))?;
    let options = serve_options(&options.engine, directory.path())?;
    let Some(server) = Server::start(options, log, &stop).await? else { return Err(interrupted()) };
    let ready = started.elapsed();
    let shown = tokio::select! {
        shown = show(&server.addresses.api, &file, ready) => shown,
        () = stop.cancelled() => Err(interrupted()),
    };
    server.stop().await;
    shown
}

fn interrupted() -> CommandError {
    CommandError { message: Some("interrupted".to_owned()), exit_code: client::EXIT_INTERRUPTED }
}

/// Writes the file that `roundhouse generate` writes by default. Returns its path.
fn generate_sample(directory: &Path) -> Result<PathBuf, CommandError> {
    let path = directory.join("gamerounds.csv");
    let arguments = ["roundhouse", "generate", "--output"].map(OsString::from).into_iter();
    let Command::Generate(arguments) = parse(arguments.chain([path.clone().into()]))? else {
        return Err(CommandError::failed("the demo cannot build its options"));
    };
    generate::write(&generate::command(arguments)?)?;
    Ok(path)
}

async fn show(api: &str, file: &Path, ready: Duration) -> Result<(), CommandError> {
    table::print(format_args!("Ready after {:.1} s\n\n", ready.as_secs_f64()))?;
    let client = client::http_client().map_err(failed)?;
    show_upload(&client, api, file).await?;
    show_aggregates(&client, api).await?;
    show_reconciliation(&client, api, file).await
}

async fn show_upload(client: &reqwest::Client, api: &str, file: &Path) -> Result<(), CommandError> {
    table::print(format_args!("POST /uploadcsv?wait=visible with {}\n", file.display()))?;
    let started = Instant::now();
    let request = client.post(format!("{api}/uploadcsv?wait=visible")).multipart(form(file).await?);
    let receipt = answer(request).await?;
    let visible = started.elapsed().as_secs_f64();
    let (rows, seconds) = (number(&receipt, "rows"), receipt["seconds"].as_f64().unwrap_or_default());
    table::print(format_args!(
        "  {} in {}: {}, {} accepted, {} rejected\n  acknowledged by Kafka after {seconds:.2} s ({})\n  \
         in the hourly aggregates after {visible:.2} s ({})\n\n",
        text(&receipt, "state"),
        text(&receipt, "encoding"),
        counted(rows, "row"),
        HumanCount(number(&receipt, "accepted")),
        HumanCount(number(&receipt, "rejected")),
        speed(rows, seconds),
        speed(rows, visible),
    ))?;
    if text(&receipt, "state") == "visible" {
        return Ok(());
    }
    Err(CommandError::failed("the rows did not become visible in the aggregates"))
}

async fn show_aggregates(client: &reqwest::Client, api: &str) -> Result<(), CommandError> {
    table::print(format_args!("GET /aggregates?limit={SHOWN_ROWS}\n"))?;
    let page = answer(client.get(format!("{api}/aggregates?limit={SHOWN_ROWS}"))).await?;
    table::print(format_args!("{}\n\n", table::of_aggregates(&page["items"])))
}

async fn show_reconciliation(client: &reqwest::Client, api: &str, file: &Path) -> Result<(), CommandError> {
    table::print("POST /reconcile with the same file\n")?;
    let job = answer(client.post(format!("{api}/reconcile")).multipart(form(file).await?)).await?;
    let url = format!("{api}/reconcile/{}", text(&job, "id"));
    let started = Instant::now();
    let report = loop {
        let report = answer(client.get(&url)).await?;
        match text(&report, "state") {
            "done" => break report,
            "failed" => {
                return Err(CommandError::failed(format!(
                    "the reconciliation failed: {}",
                    text(&report, "reason")
                )));
            }
            _ if started.elapsed() > RECONCILE_PATIENCE => {
                return Err(CommandError::failed("the reconciliation takes too long"));
            }
            _ => tokio::time::sleep(RECONCILE_INTERVAL).await,
        }
    };
    table::print(report::findings(&report))?;
    if text(&report, "verdict") == "match" {
        return Ok(());
    }
    Err(CommandError::failed("the file and the stored rounds do not match"))
}

/// Returns a form with the file, which is read while it is sent.
async fn form(file: &Path) -> Result<Form, CommandError> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| CommandError::failed(format!("cannot read {}: {error}", file.display())))?;
    Ok(Form::new().part("file", Part::stream(opened).file_name(name)))
}

/// Returns the JSON of an answer. A problem becomes an error with its detail.
async fn answer(request: reqwest::RequestBuilder) -> Result<Value, CommandError> {
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body: Value = response.json().await.map_err(failed)?;
    if status.is_success() {
        return Ok(body);
    }
    Err(CommandError::failed(format!("{status}: {}", text(&body, "detail"))))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_default()
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(error.to_string())
}
