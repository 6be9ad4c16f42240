//! Describes endpoints for `/openapi.json`.

use serde_json::{Map, Value, json};
use utoipa::IntoResponses;

use super::format::Wanted;
use super::{example, schema};
use crate::dataset::endpoint::parameter::Parameter;
use crate::dataset::endpoint::path::Alias;
use crate::dataset::endpoint::{Answer, Endpoint, Expectation};
use crate::endpoints::Prepared;
use crate::http::openapi::problems;
use crate::plot::{SIDES, Size};

/// The group of the operations.
const TAG: &str = "endpoints";
const CHECKS: &str = "checks";

/// Describes the operations of one path. `alias`: it is a further path.
pub(super) fn path(prepared: &Prepared, alias: Option<&Alias>) -> Value {
    let endpoint = &prepared.endpoint;
    let in_path = |parameter: &&Parameter| alias.is_some_and(|alias| alias.has(&parameter.name));
    let of_path = endpoint.parameters.iter().filter(in_path).map(path_parameter);
    let of_query = endpoint.parameters.iter().filter(|one| !in_path(one)).map(query_parameter);
    let of_path: Vec<Value> = of_path.collect();
    let of_get = of_path.iter().cloned().chain(of_query).chain(controls(endpoint)).chain([if_none_match()]);
    let members = endpoint.parameters.iter().filter(|one| !in_path(one));
    let id = operation_id(prepared, alias);
    let get = operation(prepared, &format!("get_{id}"), &endpoint.title, of_get.collect(), None);
    if endpoint.check.is_some() {
        return json!({ "get": get });
    }
    let summary = format!("{} (parameters in the body)", endpoint.title);
    let post = operation(prepared, &format!("post_{id}"), &summary, of_path, Some(body(prepared, members)));
    json!({ "get": get, "post": post })
}

fn operation_id(prepared: &Prepared, alias: Option<&Alias>) -> String {
    let path = alias.map_or_else(|| prepared.path(), Alias::path);
    path.trim_start_matches('/').replace(|letter: char| !letter.is_ascii_alphanumeric(), "_")
}

fn operation(
    prepared: &Prepared,
    id: &str,
    summary: &str,
    parameters: Vec<Value>,
    body: Option<Value>,
) -> Value {
    let mut responses = json!({ "200": answer(prepared) });
    let mut operation = json!({
        "tags": [if prepared.endpoint.check.is_some() { CHECKS } else { TAG }],
        "operationId": id,
        "summary": summary,
        "description": description(&prepared.endpoint),
        "parameters": parameters,
    });
    let problems = match body {
        Some(body) => {
            operation["requestBody"] = body;
            problems::EndpointBody::responses()
        }
        None => {
            responses["304"] =
                json!({ "description": "Nothing has changed since the response with that `ETag`" });
            problems::Endpoint::responses()
        }
    };
    for (status, response) in problems.into_iter().chain(problems::Unauthorized::responses()) {
        responses[status] = json!(response);
    }
    if prepared.endpoint.answer == Answer::One {
        for (status, response) in problems::NoRow::responses() {
            responses[status] = json!(response);
        }
    }
    operation["responses"] = responses;
    operation
}

fn description(endpoint: &Endpoint) -> String {
    let order = endpoint.page.as_ref().map(|_| "Follow `links.next`: pages never overlap or skip rows.");
    let expected = match endpoint.check {
        Some(Expectation::NoRows) => Some("It passes if there are no rows."),
        Some(Expectation::Rows) => Some("It passes if there are rows."),
        Some(Expectation::Any) | None => None,
    };
    let own = [endpoint.description.as_str()].into_iter().filter(|text| !text.is_empty());
    own.chain(order).chain(expected).collect::<Vec<_>>().join("\n\n")
}

fn path_parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": "path", "required": true, "description": parameter.about,
        "schema": schema::of_parameter(parameter, true),
    })
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = schema::of_parameter(parameter, true);
    let mut described = json!({
        "name": parameter.name, "in": "query", "required": parameter.is_required,
        "description": parameter.about,
    });
    if schema["type"] == "array" {
        described["style"] = "form".into();
        described["explode"] = true.into();
    }
    described["schema"] = schema;
    described
}

/// The parameters that every endpoint has, with their schemas.
fn control_schemas(endpoint: &Endpoint) -> Vec<(&'static str, &'static str, Value)> {
    let mut controls = vec![
        (
            "format",
            "Format of the answer. Without it, the `Accept` header decides; without both it is JSON",
            json!({ "type": "string", "enum": Wanted::names(endpoint.plot.is_some()).collect::<Vec<_>>() }),
        ),
        (
            "escape_formulas",
            "In CSV: put an apostrophe before each cell that a spreadsheet would read as a formula",
            json!({ "type": "boolean", "default": false }),
        ),
    ];
    if endpoint.plot.is_some() {
        let side = |default: u32| json!({ "type": "integer", "minimum": SIDES.start(), "maximum": SIDES.end(), "default": default });
        let Size { width, height } = Size::default();
        controls.extend([
            ("width", "Width of a figure in pixels", side(width)),
            ("height", "Height of a figure in pixels", side(height)),
            (
                "theme",
                "Colours of a PNG. An SVG is light or dark as the browser is",
                json!({ "type": "string", "enum": ["light", "dark"], "default": "light" }),
            ),
        ]);
    }
    if endpoint.page.is_some() {
        let about = "The `next_cursor` of the page before; empty for the first page";
        controls.push(("cursor", about, json!({ "type": "string", "pattern": "^$" })));
    }
    controls
}

fn controls(endpoint: &Endpoint) -> impl Iterator<Item = Value> {
    control_schemas(endpoint).into_iter().map(|(name, about, schema)| {
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    })
}

fn if_none_match() -> Value {
    json!({
        "name": "If-None-Match", "in": "header", "required": false, "schema": { "type": "string" },
        "description": "The `ETag` of an earlier response: 304 if nothing has changed since",
    })
}

/// The JSON object of a POST.
fn body<'a>(prepared: &Prepared, parameters: impl Iterator<Item = &'a Parameter>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for parameter in parameters {
        let mut schema = schema::of_parameter(parameter, false);
        schema["description"] = parameter.about.as_str().into();
        properties.insert(parameter.name.clone(), schema);
        if parameter.is_required {
            required.push(parameter.name.as_str());
        }
    }
    for (name, about, mut schema) in control_schemas(&prepared.endpoint) {
        schema["description"] = about.into();
        properties.insert(name.to_owned(), schema);
    }
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    json!({
        "required": !required.is_empty(),
        "content": { "application/json": { "schema": schema, "example": example::body(prepared) } },
    })
}

fn answer(prepared: &Prepared) -> Value {
    let row = schema::object(
        prepared.columns.iter().map(|column| (column.name.as_str(), schema::of_result(&column.kind))),
    );
    let example = example::row(prepared);
    let (schema, example, about) = match (prepared.endpoint.answer, prepared.endpoint.check) {
        (_, Some(expectation)) => (
            check(row),
            json!({
                "items": [example],
                "check": {
                    "name": prepared.endpoint.name, "title": prepared.endpoint.title, "expect": expectation.name(),
                    "passed": expectation.is_met(true),
                    "columns": prepared.columns.iter().map(|column| &column.name).collect::<Vec<_>>(),
                },
            }),
            "The rows, and whether the check passes",
        ),
        (Answer::One, None) => (row, example, "The row"),
        (Answer::List, None) => (
            list(row),
            json!({
                "items": [example], "page": { "limit": limit(prepared), "next_cursor": null },
                "links": { "next": null },
            }),
            "The rows",
        ),
    };
    let text = |example: String| json!({ "schema": { "type": "string" }, "example": example });
    let binary = || json!({ "schema": { "type": "string", "format": "binary" } });
    let header = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    let mut content = json!({
        "application/json": { "schema": schema, "example": example },
        "text/csv": text(example::csv(prepared)),
        "application/x-ndjson": text(format!("{}\n", example::row(prepared))),
        "application/vnd.apache.arrow.stream": binary(),
        "application/vnd.apache.parquet": binary(),
    });
    if prepared.endpoint.plot.is_some() {
        content["image/svg+xml"] = text("<svg xmlns=\"http://www.w3.org/2000/svg\">…</svg>".to_owned());
        content["image/png"] = binary();
    }
    json!({
        "description": about,
        "headers": {
            "Cache-Control": header("For how long the client may keep the answer"),
            "ETag": header("Of answers in JSON: changes with the answer"),
            "Link": header("The next page, `rel=\"next\"`, if there is one"),
        },
        "content": content,
    })
}

fn list(row: Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "page", "links"],
        "properties": {
            "items": { "type": "array", "items": row },
            "page": {
                "type": "object",
                "required": ["limit", "next_cursor"],
                "properties": {
                    "limit": { "type": ["integer", "null"], "description": "Null if the endpoint has no pages" },
                    "next_cursor": { "type": ["string", "null"], "description": "Null on the last page" },
                },
            },
            "links": {
                "type": "object",
                "required": ["next"],
                "properties": {
                    "next": {
                        "type": ["string", "null"],
                        "description": "Null on the last page, and after a POST, whose next page needs its body and `cursor`",
                    },
                },
            },
        },
    })
}

/// The answer of a check.
fn check(row: Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "check"],
        "properties": {
            "items": { "type": "array", "items": row },
            "check": {
                "type": "object",
                "required": ["name", "title", "expect", "passed", "columns"],
                "properties": {
                    "name": { "type": "string" },
                    "title": { "type": "string", "description": "What the rows are" },
                    "expect": {
                        "enum": ["no rows", "rows", null],
                        "description": "When the check passes. Null: its rows are only shown",
                    },
                    "passed": { "type": ["boolean", "null"], "description": "Null if it expects nothing" },
                    "columns": {
                        "type": "array", "items": { "type": "string" },
                        "description": "The columns of the rows, in their order",
                    },
                },
            },
        },
    })
}

fn limit(prepared: &Prepared) -> Option<u64> {
    let limit = prepared.endpoint.parameters.iter().find(|parameter| !parameter.is_bound)?;
    limit.default.as_ref()?.parse().ok()
}
