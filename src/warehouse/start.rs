//! Errors of ClickHouse during the server's start: whether waiting can help, and what to do.

use super::client::WarehouseError;
use crate::connection::{cause, is_tls_failure, one_line};

/// ClickHouse's codes for an unknown user and for a wrong or missing password. Current releases use only the last one.
const WRONG_CREDENTIALS: [u32; 4] = [192, 193, 194, 516];

/// ClickHouse's codes for a statement that this user may not run: ACCESS_DENIED and READONLY.
const NOT_ALLOWED: [u32; 2] = [497, 164];

/// ClickHouse's codes for a column that does not exist: NO_SUCH_COLUMN_IN_TABLE and UNKNOWN_IDENTIFIER.
const UNKNOWN_COLUMN: [u32; 2] = [16, 47];

/// ClickHouse's codes for errors that a retry cannot fix: an unknown statement, function, type or setting, and a database that does not
/// exist.
const UNKNOWN: [u32; 8] = [36, 46, 48, 50, 62, 81, 115, 344];

impl WarehouseError {
    /// Returns the code of ClickHouse's exception, if there is one.
    fn exception_code(&self) -> Option<u32> {
        match self {
            Self::Exception(exception) => Some(exception.code),
            _ => None,
        }
    }

    fn has_code(&self, codes: &[u32]) -> bool {
        self.exception_code().is_some_and(|code| codes.contains(&code))
    }

    /// Whether ClickHouse failed because its disk is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Exception(exception) if exception.is_disk_full())
    }

    /// Whether the statement names a column that does not exist.
    pub(super) fn is_unknown_column(&self) -> bool {
        self.has_code(&UNKNOWN_COLUMN)
    }

    /// Whether this user lacks the privilege for the statement.
    pub(super) fn is_not_allowed(&self) -> bool {
        self.has_code(&NOT_ALLOWED)
    }

    /// Whether the statement itself is wrong, not the user, the database or the moment.
    pub(super) fn is_of_statement(&self) -> bool {
        let Self::Exception(exception) = self else { return false };
        let is_passing = exception.is_overload() || exception.is_disk_full() || exception.is_timeout();
        !is_passing
            && !self.is_not_allowed()
            && !self.is_unknown_column()
            && !self.has_code(&WRONG_CREDENTIALS)
    }

    /// Whether a retry is useless until someone has changed something.
    pub fn is_permanent(&self) -> bool {
        let (Self::Unreachable(error) | Self::Query(error)) = self else {
            return [&WRONG_CREDENTIALS[..], &NOT_ALLOWED, &UNKNOWN].iter().any(|codes| self.has_code(codes));
        };
        is_tls_failure(error) || matches!(self.http_status(), Some(401 | 403 | 404))
    }

    /// Returns the status of an answer that is not an exception of ClickHouse, such as one from a proxy or another server.
    fn http_status(&self) -> Option<u16> {
        let Self::Query(clickhouse::error::Error::BadResponse(text)) = self else { return None };
        // `401 Unauthorized`, or an HTML page with this title.
        let text = text.split_once("<title>").map_or(text.as_str(), |(_, title)| title);
        text.get(..3)?.parse().ok()
    }

    /// Says what is wrong and what to do, in one line.
    pub fn at_start(&self) -> String {
        if self.has_code(&WRONG_CREDENTIALS) || self.http_status() == Some(401) {
            return "ClickHouse rejected the user name or password; check --clickhouse-user and --clickhouse-password"
                .to_owned();
        }
        match self {
            Self::Unreachable(error) | Self::Query(error) if is_tls_failure(error) => {
                format!(
                    "no TLS connection to ClickHouse: {}; check the URL's scheme and the certificate",
                    cause(error)
                )
            }
            Self::Unreachable(error) => format!("ClickHouse does not answer: {}", cause(error)),
            _ => one_line(&self.to_string()),
        }
    }
}
