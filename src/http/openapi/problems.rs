//! The errors of each operation: which codes, with which status.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AllOfBuilder, Type};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, Ref, RefOr, Response, Schema};
use utoipa::{IntoResponses, ToSchema};

use crate::http::problem::{CONTENT_TYPE, Problem, ProblemBody};

/// Every error: its code, its status, and when it happens. docs/ERRORS.md says what to do about each.
pub const CODES: &[(&str, u16, &str)] = &[
    ("invalid_parameter", 400, "A parameter is unknown, or its value is invalid"),
    ("query_too_large", 400, "The query would read too many rows"),
    ("bad_request", 400, "The request cannot be parsed"),
    ("bad_json", 400, "The body is not a JSON object"),
    ("bad_form", 400, "The multipart body is malformed or truncated, or its Content-Type is wrong"),
    ("form_too_large", 400, "The form is too large besides its files"),
    ("no_file", 400, "The form has no file, or none was chosen"),
    ("broken_off", 400, "The body ended early, or paused for too long, or cannot be decompressed"),
    ("not_csv", 400, "The first line is not a header"),
    ("not_json", 400, "The file is sent as JSON and is not JSON"),
    (
        "not_decodable",
        400,
        "The first line is not text in the detected or given encoding, or a byte order mark or `encoding` names another encoding",
    ),
    ("encoding_changed", 400, "A part of the file is in another encoding, without a byte order mark"),
    ("line_too_long", 400, "A line is too long; often a quote is not closed"),
    ("values_refused", 400, "A function of an endpoint's query refuses these values of the parameters"),
    ("unauthorized", 401, "No API key, or an unknown one"),
    ("cross_origin", 403, "A web page of another origin sends a change without an API key"),
    ("no_such_path", 404, "No such path"),
    ("no_such_dataset", 404, "No such dataset"),
    ("no_row", 404, "No row matches the parameters of an endpoint that returns one"),
    ("no_such_upload", 404, "No such upload"),
    ("no_such_job", 404, "No such reconciliation"),
    ("method_not_allowed", 405, "Method not allowed for this path"),
    ("too_slow", 408, "The client sends too slowly"),
    ("upload_under_way", 409, "The upload is still running"),
    ("job_ended", 409, "The reconciliation has already ended"),
    ("job_elsewhere", 409, "The reconciliation belongs to another server"),
    ("not_loading", 409, "Another server loads the topic; only that server can repair"),
    ("repair_under_way", 409, "A repair of this reconciliation is queued or running"),
    ("not_done", 409, "The reconciliation is running, failed or cancelled, so it has no differences"),
    (
        "no_valid_rows",
        409,
        "No row of the file is valid, so nothing was compared and nothing can be repaired",
    ),
    ("differences_expired", 410, "The list of differences has expired"),
    ("file_too_large", 413, "The file is too large (decompressed)"),
    ("json_too_large", 413, "The JSON body is too large"),
    ("too_many_rows", 413, "The file has too many rows"),
    ("too_many_files", 413, "The form has too many files; the files before are uploaded"),
    ("not_text", 415, "The file is not text: a zip, an xlsx, …"),
    ("json_required", 415, "The Content-Type of the body is not application/json"),
    ("unsupported_content_encoding", 415, "Content-Encoding is not supported; gzip and zstd are"),
    ("compressed_form", 415, "A form cannot be compressed"),
    ("wrong_host", 421, "The Host header names another server"),
    ("empty_file", 422, "The file is empty, even without a header"),
    ("too_many_columns", 422, "The header has too many columns"),
    ("missing_columns", 422, "The header lacks columns, or has none of the expected names"),
    ("duplicate_column", 422, "The header names a column twice"),
    (
        "header_changed",
        422,
        "A later header of the file lacks columns or has unknown names, or the file has too many different headers",
    ),
    ("decimal_comma", 422, "Amounts have decimal commas, but `decimal=comma` was not given"),
    ("row_rejected", 422, "With `on_error=abort`: the first invalid row"),
    ("row_too_large", 422, "A row is larger than the topic accepts"),
    ("too_many_rejects", 422, "Too many rows are rejected"),
    ("too_many_uploads", 429, "Too many uploads are running"),
    ("spool_full", 429, "The files that wait for reconciliation use too much space"),
    ("queue_full", 429, "Too many reconciliations are queued"),
    ("headers_too_large", 431, "The request has too many or too large headers"),
    ("clickhouse_access_denied", 502, "ClickHouse denied access to this server's user"),
    ("clickhouse_failed", 502, "A ClickHouse query failed, or its result cannot be read"),
    ("aggregates_incomplete", 503, "Rows were lost with broken table parts and are not restored yet"),
    ("broker_unavailable", 503, "Kafka does not accept the rows"),
    ("limit_lowered", 503, "The topic's max.message.bytes was lowered during the upload"),
    ("registry_unavailable", 503, "The schema registry did not respond when the upload began"),
    ("clickhouse_overloaded", 503, "ClickHouse has too many queries or too little memory"),
    ("clickhouse_unavailable", 503, "ClickHouse does not respond"),
    ("rejects_not_loaded", 503, "The rejects of this upload are not loaded yet"),
    ("timed_out", 503, "The response took too long"),
    ("not_ready", 503, "A part of the server is not ready"),
    ("overloaded", 503, "All connections are in use"),
    ("stopping", 503, "The server is stopping"),
    ("internal", 503, "Internal error; see the server log"),
    ("disk_full", 507, "The free disk space is below the reserve, or a service's disk is full"),
];

/// Where ClickHouse may not respond, it may also fail in these ways. `clickhouse_unavailable` stands for all of them.
const CLICKHOUSE_ERRORS: [&str; 4] =
    ["clickhouse_access_denied", "clickhouse_failed", "clickhouse_overloaded", "disk_full"];

/// The errors of an operation, by their codes.
macro_rules! problems {
    ($(#[$about:meta])* $name:ident: $($code:literal),+ $(,)?) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                responses(&[$($code),+])
            }
        }
    };
}

problems!(
    /// Of every operation that needs an API key.
    Unauthorized: "unauthorized"
);

problems!(
    /// Of the data of one upload.
    NoUpload: "invalid_parameter", "no_such_upload", "clickhouse_unavailable"
);

problems!(
    /// Of a query.
    Query: "invalid_parameter", "clickhouse_unavailable"
);

problems!(
    /// Of an operation that reads no table.
    Parameters: "invalid_parameter", "internal"
);

problems!(
    /// Of the rejects of an upload.
    Rejects: "invalid_parameter", "no_such_upload", "clickhouse_unavailable", "rejects_not_loaded"
);

problems!(
    /// Of an upload.
    Upload:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_decodable", "encoding_changed",
    "line_too_long", "too_slow", "file_too_large", "too_many_rows", "too_many_files", "not_text", "unsupported_content_encoding", "compressed_form",
    "empty_file", "too_many_columns", "missing_columns", "duplicate_column", "header_changed", "decimal_comma",
    "row_rejected", "row_too_large", "too_many_rejects", "too_many_uploads", "broker_unavailable", "limit_lowered",
    "registry_unavailable", "clickhouse_unavailable", "stopping", "internal", "disk_full",
);

problems!(
    /// Of an upload to a dataset: of CSV or JSON.
    Rows:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_json", "not_decodable", "encoding_changed",
    "line_too_long", "too_slow", "file_too_large", "too_many_rows", "too_many_files", "not_text", "unsupported_content_encoding", "compressed_form",
    "empty_file", "too_many_columns", "missing_columns", "duplicate_column", "header_changed", "decimal_comma",
    "row_rejected", "row_too_large", "too_many_rejects", "too_many_uploads", "broker_unavailable", "limit_lowered",
    "registry_unavailable", "clickhouse_unavailable", "stopping", "internal", "disk_full",
);

problems!(
    /// Of a request with events.
    Events:
    "broken_off", "not_json", "not_decodable", "line_too_long", "too_slow", "file_too_large", "too_many_rows", "not_text",
    "unsupported_content_encoding", "row_too_large", "too_many_uploads", "broker_unavailable", "limit_lowered", "registry_unavailable",
    "stopping", "internal", "disk_full",
);

problems!(
    /// Of a replay.
    Replay:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_decodable", "line_too_long", "no_such_upload",
    "too_slow", "upload_under_way", "file_too_large", "too_many_rows", "not_text", "unsupported_content_encoding",
    "compressed_form", "empty_file", "too_many_columns", "missing_columns", "duplicate_column", "row_too_large",
    "too_many_rejects", "too_many_uploads", "broker_unavailable", "limit_lowered", "registry_unavailable", "clickhouse_unavailable", "rejects_not_loaded", "stopping", "internal", "disk_full",
);

problems!(
    /// Of a query of the aggregates.
    Aggregates: "invalid_parameter", "query_too_large", "aggregates_incomplete", "clickhouse_unavailable", "stopping"
);

problems!(
    /// Of the list of datasets.
    Datasets: "invalid_parameter", "query_too_large", "clickhouse_unavailable", "stopping"
);

problems!(
    /// Of a dataset.
    Dataset: "invalid_parameter", "query_too_large", "no_such_dataset", "clickhouse_unavailable", "stopping"
);

problems!(
    /// Of an endpoint of a dataset.
    Endpoint: "invalid_parameter", "query_too_large", "values_refused", "clickhouse_unavailable", "stopping", "internal"
);

problems!(
    /// Of an endpoint of a dataset, with the parameters in the body.
    EndpointBody: "invalid_parameter", "query_too_large", "values_refused", "bad_json", "broken_off", "json_too_large", "json_required", "clickhouse_unavailable",
    "stopping", "internal"
);

problems!(
    /// Of an endpoint that returns one row.
    NoRow: "no_row"
);

problems!(
    /// Of the submission of a reconciliation.
    Reconcile:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_decodable", "line_too_long", "too_slow",
    "file_too_large", "not_text", "unsupported_content_encoding", "compressed_form", "empty_file", "too_many_columns",
    "missing_columns", "duplicate_column", "spool_full", "queue_full", "clickhouse_unavailable", "internal", "stopping",
    "disk_full",
);

problems!(
    /// Of a reconciliation.
    Job: "invalid_parameter", "no_such_job", "clickhouse_unavailable"
);

problems!(
    /// Of the cancellation of a reconciliation.
    Cancel: "invalid_parameter", "no_such_job", "job_ended", "job_elsewhere", "clickhouse_unavailable"
);

problems!(
    /// Of a repair.
    Repair:
    "invalid_parameter", "no_such_job", "not_done", "no_valid_rows", "job_elsewhere", "not_loading", "repair_under_way", "queue_full",
    "differences_expired", "query_too_large", "clickhouse_unavailable", "stopping",
);

problems!(
    /// Of the differences of a reconciliation.
    Differences: "invalid_parameter", "no_such_job", "not_done", "differences_expired", "clickhouse_unavailable"
);

problems!(
    /// Of a file of the pages.
    NoFile: "no_such_path"
);

problems!(
    /// Of the readiness check.
    Readiness: "not_ready"
);

/// Describes a response for each status of these codes.
fn responses(codes: &[&str]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<(&'static str, &str)>> = BTreeMap::new();
    let applies = |code: &str| {
        codes.contains(&code)
            || CLICKHOUSE_ERRORS.contains(&code) && codes.contains(&"clickhouse_unavailable")
    };
    for (code, status, when) in CODES.iter().filter(|(code, ..)| applies(code)) {
        by_status.entry(*status).or_default().push((code, when));
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), response(status, &codes).into()))
        .collect()
}

fn response(status: u16, codes: &[(&'static str, &str)]) -> Response {
    let whens: Vec<String> = codes.iter().map(|(code, when)| format!("`{code}`: {when}")).collect();
    let these = ObjectBuilder::new()
        .property("status", ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status])))
        .property(
            "code",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(codes.iter().map(|(code, _)| *code))),
        );
    let schema = AllOfBuilder::new().item(Ref::from_schema_name(ProblemBody::name())).item(these);
    let examples = codes.iter().map(|(code, when)| (*code, example(status, code, when)));
    let content = ContentBuilder::new().schema(Some(Schema::from(schema))).examples_from_iter(examples);
    let mut response =
        ResponseBuilder::new().description(whens.join("\n\n")).content(CONTENT_TYPE, content.build());
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let header = HeaderBuilder::new()
            .schema(Some(seconds))
            .description(Some("Seconds to wait before trying again"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

/// An example of an error. Its members that name the fault are only known when it happens.
fn example(status: u16, code: &'static str, when: &str) -> Example {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    ExampleBuilder::new()
        .value(serde_json::to_value(Problem::new(status, code, when).body("/…")).ok())
        .build()
}
