//! Errors as `application/problem+json` (RFC 9457): what is wrong, where, and what to do; never an inner detail.

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
use crate::ingest::upload::{Progress, UploadError, UploadFailure};
use crate::reconcile::{CancelError, SubmitError};
use crate::warehouse::client::WarehouseError;

/// Seconds after which a client may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Characters of a file's name that are shown.
const MAX_FILE_NAME: usize = 255;

/// The media type of every error.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// What is wrong, where, and what to do (RFC 9457). Further members name the parameter, file, line, column or limit at fault, and say
/// how far an upload got.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:roundhouse:problem:` with the code behind it.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// Stable: clients may rely on it.
    code: &'static str,
    detail: String,
    /// The path that was asked for.
    instance: String,
    #[serde(flatten)]
    members: BTreeMap<String, Value>,
}

/// An answer that is an error.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// Stable: clients may rely on it.
    code: &'static str,
    detail: String,
    members: BTreeMap<String, Value>,
    /// For the log only.
    cause: Option<String>,
    /// It is no failure of ours: not an error in the log.
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

    /// A parameter that cannot be used.
    pub fn parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", format!("parameter {name}: {detail}"))
            .with("parameter", name)
    }

    /// A parameter with a value that it cannot have; `what`: all that it can be.
    pub fn must_be(name: &str, what: impl std::fmt::Display) -> Self {
        Self::parameter(name, format_args!("it must be {what}"))
    }

    /// A service does not answer: a fixed sentence for the client, the cause for the log.
    pub fn unavailable(code: &'static str, detail: &str, cause: impl ToString) -> Self {
        Self::caused(StatusCode::SERVICE_UNAVAILABLE, code, detail, cause)
    }

    /// A failure of ours: a fixed sentence for the client, the cause for the log.
    fn caused(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<String>,
        cause: impl ToString,
    ) -> Self {
        let mut problem = Self::new(status, code, detail);
        problem.cause = Some(cause.to_string());
        problem
    }

    /// There is no room for more: 507 (<https://www.rfc-editor.org/rfc/rfc4918#section-11.5>). No Retry-After: it takes someone to free
    /// some space.
    fn disk_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
    }

    /// Says it in other words.
    fn saying(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }

    /// The server was told to stop.
    pub fn stopping() -> Self {
        let detail =
            "the server is stopping; try again when it is back. Sending a file again counts nothing twice";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).expected()
    }

    /// Says that this is an answer like another, though its status is that of a failure.
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

    /// The answer's body; `instance` is the path that was asked for.
    pub fn body(&self, instance: &str) -> ProblemBody {
        ProblemBody {
            kind: format!("urn:roundhouse:problem:{}", self.code),
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
    /// The body is written by [`render`], which knows what was asked.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every error its body, also those that the framework answers (no such path, wrong method), and logs causes once.
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
        // Its body may not be read to its end, and then nothing else can come on this connection.
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Text and numbers are always JSON.
    let body = serde_json::to_vec(&problem.body(&instance)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

async fn from_framework(status: StatusCode, method: &axum::http::Method, body: Body) -> Problem {
    match status {
        StatusCode::NOT_FOUND => {
            Problem::new(status, "no_such_path", "there is nothing at this path: /docs shows what there is")
        }
        // Which they are is added when this is done.
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(
            status,
            "method_not_allowed",
            format!("{method} is not for this path: use a method that the Allow header names"),
        ),
        _ => {
            // The framework's own words about a request that it could not take apart.
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
                failed(format!("{what}; its operator must check the user, the password and the grants"))
            }
            WarehouseError::Exception(_) | WarehouseError::Query(_) => {
                failed(format!("{what}; the server's log says why"))
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
                .with("column", reject.column.as_str())
                .with("reject_code", reject.code),
            UploadError::TooManyRejects { limit } => {
                refused(StatusCode::UNPROCESSABLE_ENTITY).with("limit", limit.as_str())
            }
            UploadError::TooManyRows { limit } => {
                refused(StatusCode::PAYLOAD_TOO_LARGE).with("limit", *limit)
            }
            UploadError::BrokenOff { .. } => {
                let detail = format!("{detail}; sending the file again counts nothing twice");
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
                "the broker does not take all rows: send the file again when it is back, nothing counts twice",
                reason,
            ),
            UploadError::RowTooLarge { line, topic, limit, .. } => refused(StatusCode::UNPROCESSABLE_ENTITY)
                .with("line", *line)
                .with("topic", topic.as_str())
                .with("limit_bytes", *limit),
            UploadError::LimitLowered => Self::unavailable(code, &detail, ""),
            UploadError::Registry { reason } => Self::unavailable(
                code,
                "the schema registry does not answer: send the file again when it is back, nothing counts twice",
                reason,
            ),
            UploadError::DiskFull(full) => {
                Self::from(*full).saying(format!("{full}, then send the file again; nothing counts twice"))
            }
            UploadError::ServiceDiskFull { .. } => {
                Self::disk_full(format!("{detail}, then send the file again; nothing counts twice"))
            }
            UploadError::Warehouse(error) => error.into(),
            UploadError::LedgerFull { .. } => Self::unavailable(code, &detail, "the ledger is full"),
            UploadError::NotSaved => Self::unavailable(code, &detail, "the journal cannot be written"),
            UploadError::Stopping => Self::stopping(),
            UploadError::Internal(cause) => {
                Self::unavailable(code, "the upload could not be worked on: try again", cause)
            }
        };
        let problem = problem.with_progress(*failure.progress);
        match failure.upload_id.filter(|id| !id.is_nil()) {
            Some(id) => problem.with("upload_id", id.to_string()).with("links", json!(Links::of(id, None))),
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
            SubmitError::Spool(cause) => {
                Self::unavailable("internal", "the file could not be kept: try again", cause)
            }
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
        FileError::NotCsv { .. } | FileError::NotDecodable { .. } => refused(StatusCode::BAD_REQUEST),
        FileError::MissingColumns { missing, found } => {
            refused(unprocessable).with("missing", missing.clone()).with("found", found.clone())
        }
        FileError::HeaderChanged { line, .. } => refused(unprocessable).with("line", *line),
        FileError::DecimalComma(found) => refused(unprocessable)
            .with("line", found.line)
            .with("column", found.column.as_str())
            .with("value", found.value.as_str())
            .with("ambiguous_rows", found.ambiguous_rows)
            .with("ambiguous_lines", found.ambiguous_lines.clone()),
        FileError::DuplicateColumn { name } => refused(unprocessable).with("column", name.clone()),
        FileError::LineTooLong { line, limit } => {
            refused(StatusCode::BAD_REQUEST).with("line", *line).with("limit_bytes", *limit)
        }
    }
}
