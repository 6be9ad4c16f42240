//! The errors of the registry, with the codes and statuses of Confluent's registry.

use std::io;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection, RawPathParamsRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

use super::{MAX_LOG_BYTES, MAX_SUBJECT_BYTES};
use roundhouse_listener::guard::Refusal;
use roundhouse_part::record_log::WriteError;

#[derive(Debug, Error)]
pub(super) enum RegistryError {
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    #[error("Version {0} not found.")]
    VersionNotFound(String),
    #[error("Schema {0} not found")]
    SchemaIdNotFound(u32),
    #[error("Schema not found")]
    SchemaNotFound,
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectSoftDeleted(String),
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(String),
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionSoftDeleted(String, u32),
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotSoftDeleted(String, u32),
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    CompatibilityNotConfigured(String),
    #[error("Subject '{0}' does not have subject-level mode configured")]
    ModeNotConfigured(String),
    #[error("Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]", .details.join(", "))]
    Incompatible { subject: String, details: Vec<String> },
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    #[error(
        "Invalid compatibility level. Valid values are NONE, BACKWARD, FORWARD, FULL, BACKWARD_TRANSITIVE, FORWARD_TRANSITIVE, and FULL_TRANSITIVE"
    )]
    InvalidCompatibility,
    #[error("Unsupported setting '{0}'; only 'compatibility' can be set in this registry")]
    UnsupportedSetting(String),
    #[error(
        "Subject '{0}' is not in import mode, and this registry has no other mode than READWRITE; leave out the id"
    )]
    NotInImportMode(String),
    #[error("Contexts are not supported; use a subject that does not begin with ':.' or ':*:'")]
    ContextSubject,
    #[error("Invalid subject; use 1 to {MAX_SUBJECT_BYTES} bytes of UTF-8 without control characters")]
    InvalidSubject,
    #[error("Error in the backend data store: {0}")]
    Store(#[from] io::Error),
    #[error(
        "Error in the backend data store: its file would grow beyond {MAX_LOG_BYTES} bytes; use another data directory"
    )]
    StoreFull,
    #[error("{0}")]
    BadRequest(String),
    #[error("HTTP 404 Not Found")]
    NoSuchPath,
    #[error("HTTP 405 Method Not Allowed")]
    NoSuchMethod,
    #[error("The body did not arrive in time")]
    TooSlow,
    #[error("{0}")]
    TooLarge(String),
    #[error("The head of the request is larger than 128 KiB")]
    HeadTooLarge,
    #[error("Content-Type must be application/vnd.schemaregistry.v1+json or application/json")]
    UnsupportedMediaType,
    /// A refusal by the guard, with its own text. Confluent's registry has no such error.
    #[error("{0}")]
    Refused(Refusal),
    #[error("Internal error; see the log of the registry")]
    Internal,
}

impl RegistryError {
    /// Returns the HTTP status and the `error_code` of the body.
    fn codes(&self) -> (StatusCode, u32) {
        match self {
            Self::SubjectNotFound(_) => (StatusCode::NOT_FOUND, 40401),
            Self::VersionNotFound(_) => (StatusCode::NOT_FOUND, 40402),
            Self::SchemaIdNotFound(_) | Self::SchemaNotFound => (StatusCode::NOT_FOUND, 40403),
            Self::SubjectSoftDeleted(_) => (StatusCode::NOT_FOUND, 40404),
            Self::SubjectNotSoftDeleted(_) => (StatusCode::NOT_FOUND, 40405),
            Self::VersionSoftDeleted(..) => (StatusCode::NOT_FOUND, 40406),
            Self::VersionNotSoftDeleted(..) => (StatusCode::NOT_FOUND, 40407),
            Self::CompatibilityNotConfigured(_) => (StatusCode::NOT_FOUND, 40408),
            Self::ModeNotConfigured(_) => (StatusCode::NOT_FOUND, 40409),
            Self::Incompatible { .. } => (StatusCode::CONFLICT, 409),
            Self::InvalidSchema(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42201),
            Self::InvalidVersion(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42202),
            Self::InvalidCompatibility => (StatusCode::UNPROCESSABLE_ENTITY, 42203),
            Self::UnsupportedSetting(_) => (StatusCode::UNPROCESSABLE_ENTITY, 422),
            Self::NotInImportMode(_) => (StatusCode::UNPROCESSABLE_ENTITY, 42205),
            Self::InvalidSubject | Self::ContextSubject => (StatusCode::UNPROCESSABLE_ENTITY, 42208),
            Self::Store(_) | Self::StoreFull => (StatusCode::INTERNAL_SERVER_ERROR, 50001),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, 400),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, 404),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, 405),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, 408),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 413),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 415),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, 431),
            Self::Refused(refusal) => (refusal.status(), refusal.status().as_u16().into()),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 500),
        }
    }
}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let (status, code) = self.codes();
        if status.is_server_error() {
            tracing::error!(error = %self, code, "registry request failed");
        }
        (status, Json(json!({ "error_code": code, "message": self.to_string() }))).into_response()
    }
}

impl From<WriteError> for RegistryError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full { .. } => Self::StoreFull,
            WriteError::Io(error) => Self::Store(error),
        }
    }
}

impl From<QueryRejection> for RegistryError {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<RawPathParamsRejection> for RegistryError {
    fn from(rejection: RawPathParamsRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<BytesRejection> for RegistryError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(rejection.body_text()),
            _ => Self::BadRequest(rejection.body_text()),
        }
    }
}
