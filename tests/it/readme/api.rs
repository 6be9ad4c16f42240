//! docs/API.md and the addresses in commands, against the description that a running server gives.

use std::collections::BTreeSet;

use serde_json::Value;

use super::commands::commands;
use super::{Document, documents};
use crate::harness::repository;
use crate::harness::server::Server;

/// Where the documents assume the API to be.
const API: &str = "http://127.0.0.1:8000/";

/// An operation, and the names of its query parameters.
struct Operation {
    method: String,
    path: String,
    parameters: BTreeSet<String>,
}

fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().expect("methods").iter().map(move |(method, operation)| {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let in_query = parameters.filter(|parameter| parameter["in"] == "query");
            let names = in_query.map(|parameter| parameter["name"].as_str().expect("a name").to_owned());
            Operation { method: method.to_uppercase(), path: path.clone(), parameters: names.collect() }
        })
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_and_parameter_is_in_the_api_document_and_every_address_in_a_command_exists() {
    let server = Server::start(&[]).await;
    let operations = operations(&server.get("/openapi.json").await.ok());
    let api = Document::read(repository().join("docs/API.md"));
    let (endpoints, names) = (endpoints(&api), api.quoted().collect::<BTreeSet<_>>());
    let mut faults = BTreeSet::new();
    // The files of the page /docs are of no use without it.
    for operation in operations.iter().filter(|operation| !operation.path.starts_with("/docs/")) {
        let endpoint = format!("{} {}", operation.method, operation.path);
        for parameter in operation.parameters.iter().filter(|name| !names.contains(name.as_str())) {
            faults.insert(format!("docs/API.md lacks the parameter {parameter} of {endpoint}"));
        }
        let is_check = is_at("/datasets/{name}/checks/{check}", &operation.path)
            && endpoints.contains("GET /datasets/{name}/checks/{check}");
        if !is_check && !endpoints.contains(&endpoint) {
            faults.insert(format!("docs/API.md lacks {endpoint}"));
        }
    }
    for document in documents() {
        for command in commands(&document) {
            let wrong = addresses(&command).filter_map(|address| fault(&operations, address));
            faults.extend(wrong.map(|fault| format!("{}: {command}: {fault}", document.name)));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Returns what is quoted as `METHOD /path`.
fn endpoints(document: &Document) -> BTreeSet<String> {
    let quoted = document.quoted().flat_map(|text| text.split(", "));
    quoted.filter(|text| text.contains(" /")).map(str::to_owned).collect()
}

/// Returns the path and the query of each address of the API in a command.
fn addresses(command: &str) -> impl Iterator<Item = &str> {
    command.split(API).skip(1).map(|rest| rest.split([' ', '\'', '"']).next().unwrap_or_default())
}

fn fault(operations: &[Operation], address: &str) -> Option<String> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let here: Vec<&Operation> =
        operations.iter().filter(|operation| is_at(&operation.path, &format!("/{path}"))).collect();
    if here.is_empty() {
        return Some("no such endpoint".to_owned());
    }
    let names = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    let unknown = names.filter(|name| !here.iter().any(|operation| operation.parameters.contains(*name)));
    let unknown: Vec<&str> = unknown.collect();
    (!unknown.is_empty()).then(|| format!("no such parameter: {}", unknown.join(", ")))
}

/// Whether a path is one that a template with `{…}` describes.
fn is_at(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(wanted, found)| wanted == found || wanted.starts_with('{'))
}
