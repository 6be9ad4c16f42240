//! What the commands that are clients of a running server have in common: its address, its answers, and the exit codes.

pub mod file;
pub mod problem;
pub mod progress;

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::CommandError;
use crate::settings::{Secret, ServerOptions, without_password};

/// How long the server may take to accept a connection. An answer may take as long as the work does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit code: it could not be done. (1 says that it was done, and that not all is well.)
pub const EXIT_FAILURE: u8 = 2;

/// Exit code after Ctrl-C, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Ctrl-C, which is listened for from its first use on: none is lost between two things that are waited for. Until then it ends the
/// process, also while a file is opened that nobody writes.
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

/// Why there is no answer of the kind that was hoped for.
#[derive(Debug)]
pub enum Failure {
    /// No server answers at the address.
    Away(String),
    /// The connection broke; the innermost cause.
    Broken(String),
    /// The server's answer, a problem.
    Refused(Value),
}

impl Failure {
    /// Whether the same request may be answered soon.
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
                "no server answers at {server}: start it with `roundhouse serve`, or name it with --server"
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

/// Returns a client for requests to a running server, which may take as long as they need once there is a connection.
pub fn http_client() -> reqwest::Result<Client> {
    let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
    // A server that waits for the broker reads nothing meanwhile, for as long as it takes. reqwest would give up after 30 s in which
    // nothing is taken, though the server's kernel answers all the time. One that does not answer either is given up without it.
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
    /// The address is none of HTTP.
    pub fn new(options: &ServerOptions) -> Result<Self, CommandError> {
        let server = options.server.clone();
        if !matches!(server.scheme(), "http" | "https") {
            // Not repeated: `user:password@host` parses as a URL of the scheme `user`.
            return Err(CommandError::usage("--server is not an http:// or https:// URL"));
        }
        let client = http_client().map_err(failed)?;
        Ok(Self { client, server, key: options.api_key.clone() })
    }

    /// The server's address, as people write it.
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// The address of a path, perhaps with a query, as the server writes it in its links: below the address that was given.
    pub fn url(&self, link: &str) -> Url {
        let (path, query) = link.split_once('?').map_or((link, None), |(path, query)| (path, Some(query)));
        let mut url = self.server.clone();
        url.set_path(&format!("{}{path}", self.server.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// Begins a request that carries the key, if there is one.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        }
    }

    /// Sends a request; its answer, unless that is a problem.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.map_err(|error| self.failure(&error))?;
        // Something between us and the server may answer in another form.
        let other = || json!({ "status": status.as_u16(), "detail": text });
        Err(Failure::Refused(serde_json::from_str(&text).unwrap_or_else(|_| other())))
    }

    /// Sends a request; its answer as text.
    pub async fn text(&self, request: RequestBuilder) -> Result<String, Failure> {
        self.send(request).await?.text().await.map_err(|error| self.failure(&error))
    }

    /// Gets an answer in JSON: as it is, and parsed.
    pub async fn get(&self, url: Url) -> Result<(String, Value), Failure> {
        parsed(self.text(self.request(Method::GET, url)).await?)
    }

    /// Says why there is no answer.
    pub fn failure(&self, error: &reqwest::Error) -> Failure {
        // Whatever happens to a connection that there was, a timeout of the network included: there is a server.
        if error.is_connect() {
            return Failure::Away(without_password(self.server()));
        }
        // The cause that says most.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Failure::Broken(cause.to_string())
    }
}

/// An answer as it is, and parsed.
pub fn parsed(text: String) -> Result<(String, Value), Failure> {
    match serde_json::from_str(&text) {
        Ok(value) => Ok((text, value)),
        Err(error) => Err(Failure::Broken(format!("its answer is no JSON: {error}"))),
    }
}

/// The command could not do it.
pub fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError { message: Some(error.to_string()), exit_code: EXIT_FAILURE }
}
