//! What the commands that are clients of a running server share: its address, its answers, and the exit codes.

pub mod file;
pub mod list;
pub mod pages;
pub mod problem;
pub mod progress;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{CommandError, table};
use crate::connection;
use crate::http::problem::TYPE as PROBLEM_TYPE;
use crate::settings::{Secret, ServerOptions, without_password};

/// How long a server may take to say what it is, after a connection to it broke.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to accept a connection. An answer may take as long as the work does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code: the command could not do its work. (1 means that it did, and that the result is negative.)
pub const EXIT_FAILURE: u8 = 2;

/// Exit code after Ctrl-C, as in a shell (128 + SIGINT).
pub const EXIT_INTERRUPTED: u8 = 130;

/// The types of all answers of Roundhouse that commands ask for.
const KINDS: [&str; 5] = [
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
];

/// Cancelled by Ctrl-C. It listens from its first use on, so no Ctrl-C is lost between two steps. Before that, Ctrl-C ends the process.
pub static INTERRUPT: LazyLock<CancellationToken> = LazyLock::new(|| {
    let pressed = CancellationToken::new();
    let listening = pressed.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            listening.cancel();
        }
    });
    pressed
});

/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// No server answers at the address. The cause is empty if nothing listens there.
    Away { server: String, cause: String },
    /// The connection broke, with the innermost cause.
    Broken(String),
    /// Something else than Roundhouse answers. None: not in HTTP, or not as Roundhouse answers this request.
    Foreign { server: String, status: Option<StatusCode>, what: String },
    /// The server answered with a problem.
    Refused(Value),
}

impl Failure {
    /// Whether the same request may succeed soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away { .. } | Self::Broken(_) => true,
            Self::Foreign { status, .. } => status.is_some_and(is_of_proxy),
            Self::Refused(problem) => matches!(problem["status"].as_u64(), Some(429 | 502..=504)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { server, cause } => {
                let cause = if cause.is_empty() { String::new() } else { format!(" ({cause})") };
                write!(
                    f,
                    "no server answers at {server}{cause}; start one with `roundhouse serve`, or give its URL with --server"
                )
            }
            Self::Broken(cause) => {
                write!(f, "the connection to the server broke: {cause}; check --server, then try again")
            }
            Self::Foreign { server, status, what } => {
                let proxy = status.is_some_and(is_of_proxy);
                let proxy = if proxy { ", and the proxy in front of the server if there is one" } else { "" };
                write!(f, "{server} answers, but it is not Roundhouse ({what}); check --server{proxy}")
            }
            Self::Refused(problem) => f.write_str(&problem::in_words(problem)),
        }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::of_client(failure)
    }
}

/// Whether proxies answer with this status themselves.
fn is_of_proxy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 413 | 429 | 502..=504)
}

/// Returns a client for requests to a running server. Once connected, a request may take as long as it needs.
pub fn http_client() -> reqwest::Result<Client> {
    connection::http_client(|| {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
        // A server that waits for the broker reads nothing in the meantime. reqwest would give up after 30 s without progress, although the
        // server's kernel still answers. A server that is gone is detected without this timeout.
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let client = client.tcp_user_timeout(None);
        client
    })
}

/// A running server.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    server: Url,
    key: Option<Secret>,
}

impl Api {
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn new(options: &ServerOptions) -> Result<Self, CommandError> {
        let server = options.server.clone();
        let client = http_client().map_err(CommandError::of_client)?;
        Ok(Self { client, server, key: options.api_key.clone() })
    }

    /// Returns the server's URL without user, password and slash at its end.
    pub fn server(&self) -> String {
        without_password(self.server.as_str().trim_end_matches('/'))
    }

    /// Returns the URL of a link of the server, a path with or without a query, below the URL that was given.
    pub fn url(&self, link: &str) -> Url {
        let (path, query) = link.split_once('?').map_or((link, None), |(path, query)| (path, Some(query)));
        let mut url = self.server.clone();
        url.set_path(&format!("{}{path}", self.server.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Returns the URL of a link as it may be printed: without user and password.
    pub fn shown(&self, link: &str) -> String {
        without_password(self.url(link).as_str())
    }

    /// Begins a request with the API key, if there is one.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    /// Sends a request. Returns its answer, unless that is a problem.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("no content type").to_owned();
        if status.is_success() && KINDS.contains(&kind.as_str()) {
            return Ok(response);
        }
        let what = format!("{status}, {kind}");
        let foreign = Failure::Foreign { server: self.server(), status: Some(status), what };
        if status.is_success() {
            return Err(foreign);
        }
        let text = response.text().await.map_err(|error| self.failure(&error))?;
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let is_ours = problem["type"].as_str().is_some_and(|kind| kind.starts_with(PROBLEM_TYPE));
        Err(if is_ours { Failure::Refused(problem) } else { foreign })
    }

    /// Sends a request. Returns its answer in JSON as text, and the parsed value. `member`: what every such answer of Roundhouse has.
    pub async fn json(&self, request: RequestBuilder, member: &str) -> Result<(String, Value), Failure> {
        let text = self.send(request).await?.text().await.map_err(|error| self.failure(&error))?;
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if value.get(member).is_some() => Ok((text, value)),
            Ok(_) => Err(self.foreign(format!("its answer has no member {member}"))),
            Err(_) => Err(self.foreign("its answer is not JSON".to_owned())),
        }
    }

    /// Sends a file with a request, and returns the answer as [`Api::json()`] does. A server that does not read the file may close the
    /// connection before its answer is read. So if the connection breaks, the server is asked whether it is Roundhouse.
    pub async fn answer_to_file(
        &self,
        request: RequestBuilder,
        member: &str,
    ) -> Result<(String, Value), Failure> {
        let answer = self.json(request, member).await;
        let Err(broken @ Failure::Broken(_)) = answer else { return answer };
        let question = self.request(Method::GET, self.url("/healthz")).timeout(QUESTION_TIMEOUT);
        match self.json(question, "status").await {
            Err(foreign @ Failure::Foreign { .. }) => Err(foreign),
            _ => Err(broken),
        }
    }

    /// Gets an answer in JSON, as [`Api::json()`].
    pub async fn get(&self, url: Url, member: &str) -> Result<(String, Value), Failure> {
        self.json(self.request(Method::GET, url), member).await
    }

    fn foreign(&self, what: String) -> Failure {
        Failure::Foreign { server: self.server(), status: None, what }
    }

    /// Says why there is no answer.
    pub fn failure(&self, error: &reqwest::Error) -> Failure {
        // The innermost cause says most.
        let mut cause: &dyn std::error::Error = error;
        let mut is_http = true;
        while let Some(source) = cause.source() {
            cause = source;
            is_http &= !cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        }
        // A connection that broke later, also by a timeout, shows that there is a server.
        if error.is_connect() {
            let refused = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            let is_refused = refused == Some(std::io::ErrorKind::ConnectionRefused);
            let cause = if is_refused { String::new() } else { cause.to_string() };
            return Failure::Away { server: self.server(), cause };
        }
        match is_http {
            true => Failure::Broken(cause.to_string()),
            false => self.foreign("its answer is not HTTP".to_owned()),
        }
    }
}

/// Returns the answer. With `--json`, a problem is printed on standard output too.
pub fn answered<T>(answer: Result<T, Failure>, is_json: bool) -> Result<T, CommandError> {
    if let (true, Err(Failure::Refused(problem))) = (is_json, &answer) {
        table::print(format_args!("{problem}\n"))?;
    }
    answer.map_err(CommandError::from)
}
