//! Errors as ClickHouse reports them: a code, a text, and the HTTP status that its server gives the code.

use std::fmt;

use axum::http::StatusCode;

use super::blocks;

/// The codes of ClickHouse's `ErrorCodes.cpp` that this interface uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    AccessDenied,
    BadArguments,
    CannotParseText,
    CannotReadAllData,
    CannotDecompress,
    InvalidSessionTimeout,
    IntoOutfileNotAllowed,
    NotImplemented,
    QueryIsTooLarge,
    QueryWasCancelled,
    QueryWithSameIdIsAlreadyRunning,
    Readonly,
    SessionIsLocked,
    SessionNotFound,
    SettingConstraintViolation,
    SocketTimeout,
    StdException,
    SyntaxError,
    TooManySimultaneousQueries,
    UnknownFormat,
    UnknownRole,
    UnknownSetting,
    UnknownTypeOfQuery,
    AuthenticationFailed,
}

impl Code {
    fn number_and_name(self) -> (u32, &'static str) {
        match self {
            Self::AccessDenied => (497, "ACCESS_DENIED"),
            Self::BadArguments => (36, "BAD_ARGUMENTS"),
            Self::CannotParseText => (6, "CANNOT_PARSE_TEXT"),
            Self::CannotReadAllData => (33, "CANNOT_READ_ALL_DATA"),
            Self::CannotDecompress => (271, "CANNOT_DECOMPRESS"),
            Self::InvalidSessionTimeout => (374, "INVALID_SESSION_TIMEOUT"),
            Self::IntoOutfileNotAllowed => (358, "INTO_OUTFILE_NOT_ALLOWED"),
            Self::NotImplemented => (48, "NOT_IMPLEMENTED"),
            Self::QueryIsTooLarge => (229, "QUERY_IS_TOO_LARGE"),
            Self::QueryWasCancelled => (394, "QUERY_WAS_CANCELLED"),
            Self::QueryWithSameIdIsAlreadyRunning => (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"),
            Self::Readonly => (164, "READONLY"),
            Self::SessionIsLocked => (373, "SESSION_IS_LOCKED"),
            Self::SessionNotFound => (372, "SESSION_NOT_FOUND"),
            Self::SettingConstraintViolation => (452, "SETTING_CONSTRAINT_VIOLATION"),
            Self::SocketTimeout => (209, "SOCKET_TIMEOUT"),
            Self::StdException => (1001, "STD_EXCEPTION"),
            Self::SyntaxError => (62, "SYNTAX_ERROR"),
            Self::TooManySimultaneousQueries => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            Self::UnknownFormat => (73, "UNKNOWN_FORMAT"),
            Self::UnknownRole => (511, "UNKNOWN_ROLE"),
            Self::UnknownSetting => (115, "UNKNOWN_SETTING"),
            Self::UnknownTypeOfQuery => (78, "UNKNOWN_TYPE_OF_QUERY"),
            Self::AuthenticationFailed => (516, "AUTHENTICATION_FAILED"),
        }
    }
}

/// An error of the engine or of this interface, in the form that ClickHouse's clients parse.
#[derive(Clone, Debug)]
pub(super) struct Exception {
    code: u32,
    text: String,
}

impl Exception {
    pub(super) fn new(code: Code, reason: impl fmt::Display) -> Self {
        let (code, name) = code.number_and_name();
        Self { code, text: format!("Code: {code}. DB::Exception: {reason}. ({name})") }
    }

    /// Parses a message of the engine, `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
    pub(super) fn from_engine(message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        let message = message.strip_prefix("Error: ").unwrap_or(message).trim_end();
        let code = message.strip_prefix("Code: ").and_then(|rest| rest.split('.').next()?.parse().ok());
        match code {
            Some(code) => Self { code, text: without_version(message).to_owned() },
            None => Self::new(Code::StdException, message),
        }
    }

    pub(super) fn code(&self) -> u32 {
        self.code
    }

    /// The body of the answer: one line that ends with the engine's version, as a server writes it.
    pub(super) fn body(&self, version: &str) -> String {
        format!("{} (version {version} (embedded build))\n", self.text)
    }

    /// The body, in ClickHouse's blocks where the client asked for an answer in them.
    pub(super) fn body_in(&self, version: &str, blocks: bool) -> Vec<u8> {
        let body = self.body(version);
        if blocks { blocks::compress(body.as_bytes()) } else { body.into_bytes() }
    }

    /// The status that ClickHouse's `exceptionCodeToHTTPStatus` gives the code.
    pub(super) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168
            | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Removes ` (version …)` at the end, which the engine adds to some messages only.
fn without_version(message: &str) -> &str {
    match message.rfind(" (version ") {
        Some(position)
            if message.ends_with(')') && !message.get(position..).is_some_and(|end| end.contains('\n')) =>
        {
            message.get(..position).unwrap_or(message)
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_message_keeps_its_code_and_names_the_version_once() {
        let plain = "Code: 60. DB::Exception: Table default.x does not exist. (UNKNOWN_TABLE)";
        for message in [plain.to_owned(), format!("{plain} (version 26.7.2.1)"), format!("Error: {plain}")] {
            let exception = Exception::from_engine(&message);
            assert_eq!(exception.code(), 60);
            assert_eq!(exception.status(), StatusCode::NOT_FOUND);
            assert_eq!(exception.body("26.7.2.1"), format!("{plain} (version 26.7.2.1 (embedded build))\n"));
        }
    }

    #[test]
    fn a_message_without_a_code_is_a_std_exception() {
        let exception = Exception::from_engine("Invalid or closed connection");
        assert_eq!(exception.code(), 1001);
        assert_eq!(exception.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
