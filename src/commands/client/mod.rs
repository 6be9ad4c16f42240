//! What the commands that are clients of a running server share: its address, its answers, and the exit codes.

pub mod file;
pub mod list;
pub mod problem;
pub mod progress;

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{CommandError, table};
use crate::settings::{Secret, ServerOptions, without_password};

/// How long the server may take to accept a connection. An answer may take as long as the work does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code: the command could not do its work. (1 means that it did, and that the result is negative.)
pub const EXIT_FAILURE: u8 = 2;

/// Exit code after Ctrl-C, as in a shell (128 + SIGINT).
pub const EXIT_INTERRUPTED: u8 = 130;

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
    /// No server answers at the address.
    Away(String),
    /// The connection broke, with the innermost cause.
    Broken(String),
    /// The server answered with a problem.
    Refused(Value),
}

impl Failure {
    /// Whether the same request may succeed soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away(_) | Self::Broken(_) => true,
            Self::Refused(problem) => matches!(problem["status"].as_u64(), Some(429 | 502..=504)),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(server) => write!(
                f,
                "no server answers at {server}; start one with `roundhouse serve`, or give its URL with --server"
            ),
            Self::Broken(cause) => write!(f, "the connection to the server broke: {cause}"),
            Self::Refused(problem) => f.write_str(&problem::in_words(problem)),
        }
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        failed(failure)
    }
}

/// Returns a client for requests to a running server. Once connected, a request may take as long as it needs.
pub fn http_client() -> reqwest::Result<Client> {
    let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
    // A server that waits for the broker reads nothing in the meantime. reqwest would give up after 30 s without progress, although the
    // server's kernel still answers. A server that is gone is detected without this timeout.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let client = client.tcp_user_timeout(None);
    client.build()
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
        let client = http_client().map_err(failed)?;
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
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|error| self.failure(&error))?;
        // A proxy may answer in another form.
        let other = || json!({ "status": status.as_u16(), "detail": text });
        Err(Failure::Refused(serde_json::from_str(&text).unwrap_or_else(|_| other())))
    }

    /// Sends a request. Returns its answer as text.
    pub async fn text(&self, request: RequestBuilder) -> Result<String, Failure> {
        self.send(request).await?.text().await.map_err(|error| self.failure(&error))
    }

    /// Gets an answer in JSON. Returns its text, and the parsed value.
    pub async fn get(&self, url: Url) -> Result<(String, Value), Failure> {
        parsed(self.text(self.request(Method::GET, url)).await?)
    }

    /// Says why there is no answer.
    pub fn failure(&self, error: &reqwest::Error) -> Failure {
        // A connection that broke later, also by a timeout, shows that there is a server.
        if error.is_connect() {
            return Failure::Away(self.server());
        }
        // The innermost cause says most.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::Broken(cause.to_string())
    }
}

/// Returns the text of an answer, and the parsed value.
pub fn parsed(text: String) -> Result<(String, Value), Failure> {
    match serde_json::from_str(&text) {
        Ok(value) => Ok((text, value)),
        Err(error) => Err(Failure::Broken(format!("its answer is not JSON: {error}"))),
    }
}

/// Returns the answer. With `--json`, a problem is printed on standard output too.
pub fn answered<T>(answer: Result<T, Failure>, is_json: bool) -> Result<T, CommandError> {
    if let (true, Err(Failure::Refused(problem))) = (is_json, &answer) {
        table::print(format_args!("{problem}\n"))?;
    }
    answer.map_err(CommandError::from)
}

/// The command could not do its work: exit code 2.
pub fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError { message: Some(error.to_string()), exit_code: EXIT_FAILURE }
}
