//! Errors as `application/problem+json` (RFC 9457): the cause, the place, and what to do. Internal details only go to the log.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::upload_view::Links;
use crate::disk::{self, DiskFull};
use crate::ingest::FileError;
use crate::ingest::body::BodyError;
use crate::ingest::missing_columns::MissingColumns;
use crate::ingest::upload::{Progress, UploadError, UploadFailure};
use crate::reconcile::{CancelError, SubmitError};
use crate::warehouse::client::WarehouseError;

/// Seconds after which a client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Characters of a file's name that an error shows.
const MAX_FILE_NAME: usize = 255;

/// How the type of every error begins. Its code follows.
pub const TYPE: &str = "urn:roundhouse:problem:";

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The cause, the place, and what to do (RFC 9457). Further members name the parameter, file, line, column or limit, and say how much of
/// an upload was processed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:roundhouse:problem:` followed by the code.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// Stable: clients may rely on it.
    code: &'static str,
    detail: String,
    /// The path of the request.
    instance: String,
    #[serde(flatten)]
    members: BTreeMap<String, Value>,
}

/// An error response.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// Stable: clients may rely on it.
    code: &'static str,
    detail: String,
    members: BTreeMap<String, Value>,
    /// Only for the log.
    cause: Option<String>,
    /// Expected, in spite of its status: not logged as an error.
    is_expected: bool,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            members: BTreeMap::new(),
            cause: None,
            is_expected: false,
        }
    }

    /// A parameter with an error.
    pub fn parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", format!("parameter {name}: {detail}"))
            .with("parameter", name)
    }

    /// A parameter with a value that is not allowed. `what`: the values that are.
    pub fn must_be(name: &str, what: impl std::fmt::Display) -> Self {
        Self::parameter(name, format_args!("it must be {what}"))
    }

    /// A service does not respond. The client gets a fixed sentence, the log gets the cause.
    pub fn unavailable(code: &'static str, detail: &str, cause: impl ToString) -> Self {
        Self::caused(StatusCode::SERVICE_UNAVAILABLE, code, detail, cause)
    }

    /// An internal failure. The client gets a fixed sentence, the log gets the cause.
    pub fn caused(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        cause: impl ToString,
    ) -> Self {
        let mut problem = Self::new(status, code, detail);
        problem.cause = Some(cause.to_string());
        problem
    }

    /// A disk is full: 507 (<https://www.rfc-editor.org/rfc/rfc4918#section-11.5>). Without Retry-After, since somebody has to free
    /// space first.
    fn disk_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
    }

    /// What is wrong, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Replaces the text.
    pub fn saying(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// The server is shutting down.
    pub fn stopping() -> Self {
        let detail = "the server is stopping; try again when it is back (a file that is sent again is not counted twice)";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).expected()
    }

    /// Marks an error status that is a normal response, such as that of a readiness check.
    pub fn expected(mut self) -> Self {
        self.is_expected = true;
        self
    }

    /// The same members under another status, code and text.
    #[must_use]
    pub fn instead(mut self, status: StatusCode, code: &'static str, detail: &str) -> Self {
        (self.status, self.code) = (status, code);
        detail.clone_into(&mut self.detail);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable name of what went wrong.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Adds a member.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Names the file at fault, of several in a form.
    pub fn of_file(mut self, name: &str) -> Self {
        let shown: String = name.chars().take(MAX_FILE_NAME).collect();
        self.detail = format!("file {shown:?}: {}", self.detail);
        self.with("file_name", shown)
    }

    /// The response body. `instance`: the path of the request.
    pub fn body(&self, instance: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("{TYPE}{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            members: self.members.clone(),
        }
    }
}

impl IntoResponse for Problem {
    /// [`render`] writes the body, since it knows the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of every error, also of the framework's own (no such path, wrong method), and logs each cause once.
pub async fn render(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None => from_framework(status, &method, body).await,
    };
    if problem.is_expected {
        tracing::debug!(path = instance, %status, code = problem.code, "{}", problem.detail);
    } else if status.is_server_error() {
        tracing::error!(path = instance, %status, code = problem.code, cause = problem.cause, "{}", problem.detail);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if method == axum::http::Method::POST {
        // The request's body may not be read to its end, so that the connection cannot be used for another request.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Text and numbers are always JSON.
    let body = serde_json::to_vec(&problem.body(&instance)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

async fn from_framework(status: StatusCode, method: &axum::http::Method, body: Body) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(status, "no_such_path", "no such page; see /docs for the API"),
        // The framework adds the Allow header later.
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            status,
            "method_not_allowed",
            format!("{method} is not allowed here; use a method of the Allow header"),
        ),
        _ => {
            // The framework says what is wrong with a request that it cannot parse.
            let text = axum::body::to_bytes(body, 1024).await.unwrap_or_default();
            Problem::new(status, "bad_request", String::from_utf8_lossy(&text).into_owned())
        }
    }
}

impl From<WarehouseError> for Problem {
    fn from(error: WarehouseError) -> Self {
        Self::from(&error)
    }
}

impl From<&WarehouseError> for Problem {
    fn from(error: &WarehouseError) -> Self {
        let (code, what) = (error.code(), error.summary());
        let failed = |detail: String| Self::caused(StatusCode::BAD_GATEWAY, code, detail, error);
        match error {
            WarehouseError::TooMuch { rows } => {
                let detail = format!("{what}; narrow it by player_id, game_id, date_from or date_to");
                Self::new(StatusCode::BAD_REQUEST, code, detail).with("limit_rows", *rows)
            }
            WarehouseError::TimedOut | WarehouseError::Unreachable(_) => {
                Self::unavailable(code, &format!("{what}; try again soon"), error)
            }
            WarehouseError::Exception(exception) if exception.is_disk_full() => Self {
                cause: Some(error.to_string()),
                ..Self::disk_full(format!("{what}; free some space there, then try again"))
            },
            WarehouseError::Exception(exception) if exception.is_overload() => {
                Self::unavailable(code, &format!("{what}; try again soon"), error)
            }
            WarehouseError::Exception(exception) if exception.is_access_denied() => {
                failed(format!("{what}; check the user, the password and the grants in ClickHouse"))
            }
            WarehouseError::Exception(_) | WarehouseError::Query(_) => {
                failed(format!("{what}; see the server's log"))
            }
        }
    }
}

impl From<UploadFailure> for Problem {
    fn from(failure: UploadFailure) -> Self {
        let detail = failure.to_string();
        let code = failure.error.code();
        let refused = |status| Self::new(status, code, detail.as_str());
        let problem = match &failure.error {
            UploadError::File(error) => file_problem(error, detail),
            UploadError::Rejected(reject) => refused(StatusCode::UNPROCESSABLE_ENTITY)
                .with("line", reject.line)
                .with("column", reject.first.column.as_str())
                .with("reject_code", reject.first.code),
            UploadError::TooManyRejects { limit } => {
                refused(StatusCode::UNPROCESSABLE_ENTITY).with("limit", limit.as_str())
            }
            UploadError::TooManyRows { limit } => {
                refused(StatusCode::PAYLOAD_TOO_LARGE).with("limit", *limit)
            }
            UploadError::BrokenOff { .. } => {
                let detail = format!("{detail}; send the file again, no row is counted twice");
                Self::new(StatusCode::BAD_REQUEST, code, detail)
            }
            UploadError::TooSlow { least, .. } | UploadError::GaveWay { least, .. } => {
                refused(StatusCode::REQUEST_TIMEOUT).with("limit_bytes_per_second", *least)
            }
            UploadError::TooLarge { limit } => {
                refused(StatusCode::PAYLOAD_TOO_LARGE).with("limit_bytes", *limit)
            }
            UploadError::TooMany { limit } => refused(StatusCode::TOO_MANY_REQUESTS).with("limit", *limit),
            UploadError::Broker { reason } => Self::unavailable(
                code,
                "Kafka does not accept all rows; send the file again when it is back, no row is counted twice",
                reason,
            ),
            UploadError::RowTooLarge { line, topic, limit, .. } => refused(StatusCode::UNPROCESSABLE_ENTITY)
                .with("line", *line)
                .with("topic", topic.as_str())
                .with("limit_bytes", *limit),
            UploadError::LimitLowered => Self::unavailable(code, &detail, ""),
            UploadError::Registry { reason } => Self::unavailable(
                code,
                "the schema registry does not respond; send the file again when it is back, no row is counted twice",
                reason,
            ),
            UploadError::DiskFull(full) => {
                Self::from(*full).saying(format!("{full}, then send the file again; no row is counted twice"))
            }
            UploadError::ServiceDiskFull { .. } => {
                Self::disk_full(format!("{detail}, then send the file again; no row is counted twice"))
            }
            UploadError::Warehouse(error) => error.into(),
            UploadError::LedgerFull { .. } => Self::unavailable(code, &detail, "the ledger is full"),
            UploadError::NotSaved => Self::unavailable(code, &detail, "the journal cannot be written"),
            UploadError::Stopping => Self::stopping(),
            UploadError::Internal(cause) => Self::unavailable(
                code,
                "the upload failed because of an internal error; send the file again",
                cause,
            ),
        };
        let dataset = failure.progress.dataset.clone();
        let problem = problem.with_progress(*failure.progress);
        match failure.upload_id.filter(|id| !id.is_nil()) {
            Some(id) => {
                problem.with("upload_id", id.to_string()).with("links", json!(Links::of(&dataset, id, None)))
            }
            None => problem,
        }
    }
}

impl From<DiskFull> for Problem {
    fn from(full: DiskFull) -> Self {
        Self::disk_full(full.to_string()).with("free_bytes", full.free).with("reserve_bytes", full.reserve)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::BrokenOff { bytes, .. } => {
                Self::new(StatusCode::BAD_REQUEST, "broken_off", detail).with("bytes", bytes)
            }
            BodyError::TooLarge { limit } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "file_too_large", detail).with("limit_bytes", limit)
            }
            BodyError::TooSlow { least, .. } | BodyError::GaveWay { least, .. } => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
                    .with("limit_bytes_per_second", least)
            }
            BodyError::Stopping { bytes } => Self::stopping().with("bytes", bytes),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let detail = error.to_string();
        match error {
            SubmitError::Body(error) => error.into(),
            SubmitError::File(error) => file_problem(&error, detail),
            SubmitError::SpoolFull { limit } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "spool_full", detail).with("limit_bytes", limit)
            }
            SubmitError::QueueFull { limit } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail).with("limit", limit)
            }
            SubmitError::DiskFull(full) => full.into(),
            SubmitError::Spool(cause) if disk::is_full(&cause) => Self::disk_full(
                "the disk of the server is full; free some space there, then send the file again",
            ),
            SubmitError::Spool(cause) => Self::unavailable(
                "internal",
                "the server could not store the file (disk full?); send the file again",
                cause,
            ),
            SubmitError::Warehouse(error) => error.into(),
            SubmitError::Stopping => Self::stopping(),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        let detail = error.to_string();
        match error {
            CancelError::NoSuchJob => Self::new(StatusCode::NOT_FOUND, "no_such_job", detail),
            CancelError::Ended { state } => {
                Self::new(StatusCode::CONFLICT, "job_ended", detail).with("state", state.name())
            }
            CancelError::Elsewhere => Self::new(StatusCode::CONFLICT, "job_elsewhere", detail),
            CancelError::NotStored => Self::unavailable("clickhouse_unavailable", &detail, ""),
            CancelError::Warehouse(error) => error.into(),
        }
    }
}

impl Problem {
    fn with_progress(self, progress: Progress) -> Self {
        self.with("bytes", progress.bytes)
            .with("rows", progress.rows)
            .with("accepted", progress.accepted)
            .with("rejected", progress.rejected)
            .with("acknowledged", progress.acknowledged)
            .with("rejects_by_code", json!(progress.rejects_by_code))
            .with("rejects", json!(progress.rejects))
    }
}

fn file_problem(error: &FileError, detail: String) -> Problem {
    let refused = |status| Problem::new(status, error.code(), detail);
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    match error {
        FileError::NotText { .. } => refused(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        FileError::Empty { .. } | FileError::TooManyColumns { .. } => refused(unprocessable),
        FileError::IsForm
        | FileError::NotCsv { .. }
        | FileError::NotJson { .. }
        | FileError::NotDecodable { .. }
        | FileError::WrongEncoding { .. } => refused(StatusCode::BAD_REQUEST),
        FileError::EncodingChanged { line, byte_offset, .. } => {
            refused(StatusCode::BAD_REQUEST).with("line", *line).with("byte_offset", *byte_offset)
        }
        FileError::MissingColumns(columns) => {
            let MissingColumns { missing, found, .. } = columns.as_ref();
            refused(unprocessable).with("missing", missing.clone()).with("found", found.clone())
        }
        FileError::HeaderChanged { line, .. } => refused(unprocessable).with("line", *line),
        FileError::DecimalComma(found) => refused(unprocessable)
            .with("line", found.line)
            .with("column", found.column.as_str())
            .with("value", found.value.as_str())
            .with("ambiguous_rows", found.ambiguous_rows)
            .with("ambiguous_lines", found.ambiguous_lines.clone()),
        FileError::DuplicateColumn { name, .. } => refused(unprocessable).with("column", name.clone()),
        FileError::LineTooLong { line, limit } => {
            refused(StatusCode::BAD_REQUEST).with("line", *line).with("limit_bytes", *limit)
        }
    }
}
