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

/// What can go wrong: a code, its status, and when. What to do about each is in docs/ERRORS.md.
pub const CODES: &[(&str, u16, &str)] = &[
    ("invalid_parameter", 400, "A parameter is unknown, or its value cannot be used"),
    ("query_too_large", 400, "More rows would have to be read than a query may"),
    ("bad_request", 400, "The request cannot be taken apart"),
    ("bad_form", 400, "The form is no form, or not complete"),
    ("form_too_large", 400, "The form has too much besides its files"),
    ("no_file", 400, "The form has no file"),
    ("broken_off", 400, "The file broke off, or nothing came for a while, or it does not decompress"),
    ("not_csv", 400, "The first line names none of the columns"),
    ("not_decodable", 400, "The first line is no text in the encoding that was found or given"),
    ("line_too_long", 400, "A line is too long: perhaps a quote is not closed"),
    ("unauthorized", 401, "No API key, or not one of ours"),
    ("cross_origin", 403, "A web page of another origin asks for a change, without an API key"),
    ("no_such_path", 404, "There is nothing at this path"),
    ("no_such_upload", 404, "No upload has this id"),
    ("no_such_job", 404, "No reconciliation has this id"),
    ("method_not_allowed", 405, "The path has another method"),
    ("too_slow", 408, "The sender is too slow"),
    ("upload_under_way", 409, "The upload has not ended"),
    ("job_ended", 409, "The reconciliation has ended already"),
    ("job_elsewhere", 409, "Another server works on it"),
    ("not_loading", 409, "Another server loads the topic; only that one can repair"),
    ("repair_under_way", 409, "A repair of this reconciliation waits or runs"),
    ("not_done", 409, "The reconciliation is under way, failed or was cancelled: there are no differences"),
    ("differences_expired", 410, "The list of differences is no longer kept"),
    ("file_too_large", 413, "The file (decompressed) has too many bytes"),
    ("too_many_rows", 413, "The file has too many rows"),
    ("too_many_files", 413, "The form has too many files; those before are taken"),
    ("not_text", 415, "A zip, an xlsx, another file that is no text"),
    ("unsupported_content_encoding", 415, "Content-Encoding is neither gzip nor zstd"),
    ("compressed_form", 415, "A form cannot be compressed"),
    ("wrong_host", 421, "The Host header names another server"),
    ("empty_file", 422, "There is not even a header"),
    ("too_many_columns", 422, "The header has more columns than are read"),
    ("missing_columns", 422, "The header lacks columns"),
    ("duplicate_column", 422, "The header names a column twice"),
    (
        "header_changed",
        422,
        "A later header of the file lacks columns, or the file has too many different headers",
    ),
    ("decimal_comma", 422, "Amounts have decimal commas, and the request does not say so"),
    ("row_rejected", 422, "With `on_error=abort`: the first row that is not valid"),
    ("row_too_large", 422, "A row is larger than the topic accepts"),
    ("too_many_rejects", 422, "More rows are rejected than allowed"),
    ("too_many_uploads", 429, "Too many uploads are under way"),
    ("spool_full", 429, "Too many bytes of files wait for their reconciliation"),
    ("queue_full", 429, "Too many reconciliations wait"),
    ("headers_too_large", 431, "The request has too many headers, or too large ones"),
    ("clickhouse_access_denied", 502, "ClickHouse refused the user of this server"),
    ("clickhouse_failed", 502, "ClickHouse failed to run a query, or its answer cannot be read"),
    ("aggregates_incomplete", 503, "Rows went with broken parts of the tables, and are not there again yet"),
    ("broker_unavailable", 503, "The broker does not take the rows"),
    ("limit_lowered", 503, "The topic accepts smaller batches than when the upload began"),
    ("registry_unavailable", 503, "The schema registry was not there when the upload began"),
    ("clickhouse_overloaded", 503, "ClickHouse has too many queries or too little memory"),
    ("clickhouse_unavailable", 503, "ClickHouse does not answer"),
    ("rejects_not_loaded", 503, "Rejects of this upload are still on their way into their table"),
    ("timed_out", 503, "The answer took too long"),
    ("not_ready", 503, "A part is not ready"),
    ("overloaded", 503, "All connections are in use"),
    ("stopping", 503, "The server is stopping"),
    ("internal", 503, "Something failed that should not"),
    ("disk_full", 507, "Less space is free than is kept in reserve, or a service's disk is full"),
];

/// Wherever ClickHouse may not answer, it may also answer with one of these: `clickhouse_unavailable` stands for all of them.
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
    /// Of every operation behind the key.
    Unauthorized: "unauthorized"
);

problems!(
    /// Of a list that is made in memory.
    NoUpload: "invalid_parameter", "no_such_upload", "clickhouse_unavailable"
);

problems!(
    /// Of a query.
    Query: "invalid_parameter", "clickhouse_unavailable"
);

problems!(
    /// Of an operation that only reads what the server itself knows.
    Parameters: "invalid_parameter", "internal"
);

problems!(
    /// Of the rejects of an upload.
    Rejects: "invalid_parameter", "no_such_upload", "clickhouse_unavailable", "rejects_not_loaded"
);

problems!(
    /// Of an upload.
    Upload:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_decodable", "line_too_long", "too_slow",
    "file_too_large", "too_many_rows", "too_many_files", "not_text", "unsupported_content_encoding", "compressed_form",
    "empty_file", "too_many_columns", "missing_columns", "duplicate_column", "header_changed", "decimal_comma",
    "row_rejected", "row_too_large", "too_many_rejects", "too_many_uploads", "broker_unavailable", "limit_lowered",
    "registry_unavailable", "clickhouse_unavailable", "stopping", "internal", "disk_full",
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
    /// Of a file that is to be reconciled.
    Reconcile:
    "invalid_parameter", "bad_form", "form_too_large", "no_file", "broken_off", "not_csv", "not_decodable", "line_too_long", "too_slow",
    "file_too_large", "not_text", "unsupported_content_encoding", "compressed_form", "empty_file", "too_many_columns",
    "missing_columns", "duplicate_column", "spool_full", "queue_full", "clickhouse_unavailable", "internal", "stopping",
    "disk_full",
);

problems!(
    /// Of a look at a reconciliation.
    Job: "invalid_parameter", "no_such_job", "clickhouse_unavailable"
);

problems!(
    /// Of the end of a reconciliation.
    Cancel: "invalid_parameter", "no_such_job", "job_ended", "job_elsewhere", "clickhouse_unavailable"
);

problems!(
    /// Of a repair.
    Repair:
    "invalid_parameter", "no_such_job", "not_done", "job_elsewhere", "not_loading", "repair_under_way", "queue_full",
    "clickhouse_unavailable", "stopping",
);

problems!(
    /// Of what a reconciliation found.
    Differences: "invalid_parameter", "no_such_job", "not_done", "differences_expired", "clickhouse_unavailable"
);

problems!(
    /// Of a file that is not there.
    NoFile: "no_such_path"
);

problems!(
    /// Of a look at the parts.
    Readiness: "not_ready"
);

/// Describes an answer for each status that these codes come with.
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
            .schema(seconds)
            .description(Some("Seconds after which it may be tried again"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

/// An error as it is answered; what was at fault is only known when it comes.
fn example(status: u16, code: &'static str, when: &str) -> Example {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    ExampleBuilder::new()
        .value(serde_json::to_value(Problem::new(status, code, when).body("/…")).ok())
        .build()
}
