//! Reads a request: URL parameters, form fields and headers, as ClickHouse's HTTP handler does.

use std::time::Duration;

use axum::http::HeaderMap;
use uuid::Uuid;

use super::admission::Asker;
use super::codec::Coding;
use super::credentials::Credentials;
use super::exception::{Code, Exception};
use super::external::ExternalTable;
use super::processes::{self, TAG_SETTING};
use super::progress::{DEFAULT_INTERVAL, MIN_INTERVAL};
use super::sessions::SessionRequest;
use roundhouse_part::secret::Secret;

/// Seconds until a session without requests expires: the default and the maximum.
const SESSION_TIMEOUT: u64 = 60;
const MAX_SESSION_TIMEOUT: u64 = 3600;

const MAX_QUERY_ID: usize = 256;

/// The setting that forbids changes, and its value for a GET or HEAD: other settings may be changed.
pub(super) const READ_ONLY: &str = "readonly";
pub(super) const METHOD_LEVEL: &str = "2";

/// Parameters that are not settings and have no effect here. `client_protocol_version` only tunes the Native format.
const IGNORED: [&str; 4] = ["quota_key", "stacktrace", "client_protocol_version", ""];

/// A request for a statement.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) query_id: String,
    pub(super) asker: Asker,
    /// The parameter `query`; the body continues it.
    pub(super) query: Option<String>,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) session: Option<SessionRequest>,
    /// The body is in ClickHouse's blocks.
    pub(super) decompress: bool,
    /// The answer must be in them too.
    pub(super) compress: bool,
    pub(super) body_coding: Option<Coding>,
    pub(super) answer_coding: Option<Coding>,
    /// The answer is sent after the statement has ended.
    pub(super) wait_end_of_query: bool,
    /// Bytes to hold back before the answer begins.
    pub(super) buffer_size: usize,
    /// The method, or who asks, allows no changes.
    pub(super) read_only: bool,
    /// The time between two progress headers, if there are to be any.
    pub(super) progress_interval: Option<Duration>,
    /// Tables that came in a form.
    pub(super) external: Vec<ExternalTable>,
}

impl Request {
    /// Reads a request's head, and the fields of its form if it has one. `read_only`: its method or its sender allows no changes.
    ///
    /// # Errors
    /// A parameter has a value that it cannot have, or the credentials are wrong.
    pub(super) fn parse(
        read_only: bool,
        headers: &HeaderMap,
        parameters: impl IntoIterator<Item = (String, String)>,
        own_key: Option<&Secret>,
    ) -> Result<Self, Exception> {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
        };
        let mut reading = Reading {
            database: header("x-clickhouse-database"),
            default_format: header("x-clickhouse-format"),
            query_id: header("x-clickhouse-query-id"),
            credentials: Credentials::of_headers(headers)?,
            ..Reading::default()
        };
        for (name, value) in parameters {
            reading.parameter(name, value)?;
        }
        let asker = std::mem::take(&mut reading.credentials).check(own_key)?;
        if read_only {
            reading.forbid_changes()?;
        }
        reading.check_read_only()?;
        Ok(Self {
            asker,
            session: reading.session()?,
            query_id: query_id(reading.query_id)?,
            answer_coding: if reading.http_compression { Coding::of_answer(headers) } else { None },
            body_coding: Coding::of_request(headers)?,
            query: reading.query,
            database: reading.database.filter(|database| !database.is_empty()),
            default_format: reading.default_format,
            settings: reading.settings,
            parameters: reading.parameters,
            decompress: reading.decompress,
            compress: reading.compress,
            wait_end_of_query: reading.wait_end_of_query,
            buffer_size: reading.buffer_size,
            read_only,
            progress_interval: reading.send_progress.then_some(
                reading.progress_interval.map_or(DEFAULT_INTERVAL, |interval| interval.max(MIN_INTERVAL)),
            ),
            external: Vec::new(),
        })
    }
}

impl Request {
    /// The tag by which the engine finds the statement.
    pub(super) fn tag(&self) -> String {
        processes::tag(self.asker, &self.query_id)
    }

    /// The level of `readonly` that the request sets: 0 is none.
    pub(super) fn read_only_level(&self) -> u8 {
        let set = self.settings.iter().rfind(|(name, _)| name == READ_ONLY);
        match set.map(|(_, value)| value.as_str()) {
            Some("1" | "true") => 1,
            None | Some("0" | "false") if !self.read_only => 0,
            _ => 2,
        }
    }

    /// Whether method, sender or setting forbid changes.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only_level() > 0
    }
}

/// The parameters read so far.
#[derive(Default)]
struct Reading {
    query_id: Option<String>,
    query: Option<String>,
    database: Option<String>,
    default_format: Option<String>,
    settings: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
    credentials: Credentials,
    session_id: Option<String>,
    session_timeout: Option<String>,
    session_check: bool,
    close_session: bool,
    compress: bool,
    decompress: bool,
    http_compression: bool,
    wait_end_of_query: bool,
    buffer_size: usize,
    send_progress: bool,
    progress_interval: Option<Duration>,
}

impl Reading {
    fn parameter(&mut self, name: String, value: String) -> Result<(), Exception> {
        match name.as_str() {
            "query" => self.query.get_or_insert_default().push_str(&value),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "database" => {
                self.database.get_or_insert(value);
            }
            "default_format" => {
                self.default_format.get_or_insert(value);
            }
            "user" => self.credentials.user_parameter(value),
            "password" => self.credentials.password_parameter(value),
            "role" if !value.is_empty() => {
                let reason = format_args!("There is no role `{value}` in `user directories`");
                return Err(Exception::new(Code::UnknownRole, reason));
            }
            "role" => {}
            "session_id" => self.session_id = Some(value).filter(|id| !id.is_empty()),
            "session_timeout" => self.session_timeout = Some(value),
            "session_check" => self.session_check = value == "1",
            "close_session" => self.close_session = value == "1",
            "compress" => self.compress = flag(&name, &value)?,
            "decompress" => self.decompress = flag(&name, &value)?,
            "wait_end_of_query" => self.wait_end_of_query |= flag(&name, &value)?,
            "buffer_size" => self.buffer_size = number(&name, &value)?,
            ignored if IGNORED.contains(&ignored) => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.setting(name, value)?,
            },
        }
        Ok(())
    }

    /// Passes a setting to the engine. Some of them also concern the interface.
    fn setting(&mut self, name: String, value: String) -> Result<(), Exception> {
        match name.as_str() {
            "enable_http_compression" => self.http_compression = flag(&name, &value)?,
            "http_wait_end_of_query" => self.wait_end_of_query |= flag(&name, &value)?,
            "send_progress_in_http_headers" => self.send_progress = flag(&name, &value)?,
            "http_headers_progress_interval_ms" => {
                self.progress_interval = Some(Duration::from_millis(number(&name, &value)? as u64));
            }
            "http_response_buffer_size" => self.buffer_size = number(&name, &value)?,
            // It carries the query id. The engine has no query cache, so it has no other effect.
            TAG_SETTING => return Ok(()),
            _ if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                let reason = format_args!("Setting {name} is neither a builtin setting nor a custom setting");
                return Err(Exception::new(Code::UnknownSetting, reason));
            }
            _ => {}
        }
        self.settings.push((name, value));
        Ok(())
    }

    /// Makes a request read-only, as a server does with GET and HEAD: the level is 2, and any other level is an error.
    fn forbid_changes(&mut self) -> Result<(), Exception> {
        if self.settings.iter().any(|(name, value)| name == READ_ONLY && value != METHOD_LEVEL) {
            return Err(cannot_modify(READ_ONLY));
        }
        self.settings.retain(|(name, _)| name != READ_ONLY);
        Ok(())
    }

    /// Has `readonly=1` forbid other settings, as for a user of a server who has this level.
    fn check_read_only(&self) -> Result<(), Exception> {
        let is_first_level =
            |(name, value): &(String, String)| name == READ_ONLY && matches!(value.as_str(), "1" | "true");
        match self.settings.iter().find(|(name, _)| name != READ_ONLY) {
            Some((name, _)) if self.settings.iter().any(is_first_level) => Err(cannot_modify(name)),
            _ => Ok(()),
        }
    }

    fn session(&mut self) -> Result<Option<SessionRequest>, Exception> {
        let Some(id) = self.session_id.take() else {
            return Ok(None);
        };
        let seconds = match &self.session_timeout {
            None => SESSION_TIMEOUT,
            Some(text) => {
                text.parse().ok().filter(|seconds| *seconds <= MAX_SESSION_TIMEOUT).ok_or_else(|| {
                    let reason =
                        format_args!("Session timeout '{text}' is not a number up to {MAX_SESSION_TIMEOUT}");
                    Exception::new(Code::InvalidSessionTimeout, reason)
                })?
            }
        };
        let timeout = Duration::from_secs(seconds);
        Ok(Some(SessionRequest { id, timeout, check: self.session_check, close: self.close_session }))
    }
}

/// The error of a setting that `readonly` forbids to change.
pub(super) fn cannot_modify(setting: &str) -> Exception {
    Exception::new(Code::Readonly, format_args!("Cannot modify '{setting}' setting in readonly mode"))
}

/// The client's id, which must be valid in a header, or a new one.
fn query_id(given: Option<String>) -> Result<String, Exception> {
    let Some(id) = given else {
        return Ok(Uuid::new_v4().to_string());
    };
    if id.len() <= MAX_QUERY_ID && id.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        Ok(id)
    } else {
        let reason = format_args!("A query_id has up to {MAX_QUERY_ID} visible ASCII characters");
        Err(Exception::new(Code::BadArguments, reason))
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Exception::new(
            Code::CannotParseText,
            format_args!("Parameter {name} must be 0 or 1, not '{value}'"),
        )),
    }
}

fn number(name: &str, value: &str) -> Result<usize, Exception> {
    value.parse().map_err(|_| {
        Exception::new(
            Code::CannotParseText,
            format_args!("Parameter {name} must be a number, not '{value}'"),
        )
    })
}
