//! Uploads the samples of datasets to a server, and runs their checks.

use reqwest::Method;
use serde_json::Value;

use crate::commands::CommandError;
use crate::commands::check::{Rows, Tally, run_all as run_checks};
use crate::commands::client::{Api, Failure};
use crate::commands::table::{self, shown};
use crate::counted::counted;
use crate::dataset::Dataset;
use crate::dataset::files::{Origin, Sample};
use crate::settings::ServerOptions;

/// Uploads the sample of each dataset, if it has one, and runs its checks. Prints what happens, and returns the faults.
///
/// # Errors
/// The server does not answer.
pub(super) async fn run_all(
    server: &str,
    datasets: &[Dataset],
    origin: &Origin,
) -> Result<Vec<String>, CommandError> {
    let server = server.parse().map_err(client_error)?;
    let api = Api::new(&ServerOptions { server, api_key: None })?;
    let mut faults = Vec::new();
    for dataset in datasets {
        let sample = origin.sample(&dataset.name).map_err(|error| CommandError::failed(error.to_string()))?;
        table::print(format_args!("{}: {}\n", dataset.name, parts(dataset)))?;
        match sample {
            Some(sample) => faults.extend(upload(&api, &dataset.name, &sample).await?),
            None => table::print(format_args!("  no sample in data/{}.*\n", dataset.name))?,
        }
        let (_, described) = api.get(api.url(&format!("/datasets/{}", dataset.name)), "checks").await?;
        let checks: Vec<&Value> = described["checks"].as_array().into_iter().flatten().collect();
        let Tally { failed, not_run, .. } = run_checks(&api, &checks, Rows::OfFailed).await?;
        if failed + not_run > 0 {
            let checks = counted(failed + not_run, "check");
            faults.push(format!(
                "{checks} of {} failed with its sample; correct the check, or the tables",
                dataset.name
            ));
        }
    }
    Ok(faults)
}

fn client_error(error: impl std::fmt::Display) -> CommandError {
    CommandError::of_client(error)
}

/// Says what a dataset has.
fn parts(dataset: &Dataset) -> String {
    let views = dataset.tables.iter().filter(|statement| statement.view().is_some()).count();
    let counts = [
        (dataset.tables.len() - views, "table"),
        (views, "view"),
        (dataset.endpoints.len(), "endpoint"),
        (dataset.checks.len(), "check"),
    ];
    counts.map(|(count, what)| counted(count as u64, what)).join(", ")
}

/// Uploads a sample. Returns what is wrong with it.
async fn upload(api: &Api, dataset: &str, sample: &Sample) -> Result<Vec<String>, CommandError> {
    let mut mark = "";
    let answer = match send(api, dataset, sample, "").await {
        Err(Failure::Refused(problem)) if problem["code"] == "decimal_comma" => {
            mark = " with decimal=comma";
            send(api, dataset, sample, "&decimal=comma").await
        }
        answer => answer,
    };
    let receipt = match answer {
        Ok(receipt) => receipt,
        Err(failure @ Failure::Refused(_)) => return Ok(vec![format!("{}: {failure}", sample.path)]),
        Err(failure) => return Err(failure.into()),
    };
    let (accepted, rejected) = (receipt["accepted"].as_u64().unwrap_or_default(), &receipt["rejected"]);
    table::print(format_args!(
        "  {}{mark}: {} accepted, {} rejected\n",
        sample.path,
        counted(accepted, "row"),
        shown(rejected)
    ))?;
    let rejects = receipt["rejects"].as_array().into_iter().flatten();
    let mut faults: Vec<String> = rejects
        .map(|reject| {
            let [line, column, reason] = ["line", "column", "reason"].map(|member| shown(&reject[member]));
            format!("{}:{line}: {column}: {reason}", sample.path)
        })
        .collect();
    if receipt["state"] != "visible" {
        faults.push(format!("{}: the rows did not become visible; see the log of the server", sample.path));
    }
    Ok(faults)
}

async fn send(api: &Api, dataset: &str, sample: &Sample, more: &str) -> Result<Value, Failure> {
    let link = format!("/datasets/{dataset}/rows?wait=visible&name=sample{more}");
    let request = api.request(Method::POST, api.url(&link)).body(sample.bytes.clone());
    Ok(api.answer_to_file(request, "accepted").await?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_dataset_has_a_sample() {
        for name in Origin::Shipped.names().unwrap() {
            let sample = Origin::Shipped.sample(&name).unwrap();
            assert!(sample.is_some_and(|sample| !sample.bytes.is_empty()), "{name}");
        }
        // A sample of a directory is found by its name, whatever its ending.
        let directory = tempfile::tempdir().unwrap();
        let origin = Origin::Directory(directory.path().to_owned());
        assert!(origin.sample("a").unwrap().is_none());
        std::fs::create_dir(directory.path().join("data")).unwrap();
        for name in ["ab.csv", "a.ndjson", "a"] {
            std::fs::write(directory.path().join("data").join(name), name).unwrap();
        }
        assert_eq!(origin.sample("a").unwrap().unwrap().bytes, b"a.ndjson");
    }
}
