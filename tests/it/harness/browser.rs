//! Chromium, and a web site for it to visit.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{Html, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::process::until_within;

/// How long a page may take: Swagger UI with all operations open is twenty seconds of scripts on one busy processor.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names of the binary. The variable CHROMIUM takes precedence.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Resolves every name to this machine, and disables requests that a page does not make.
const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * 127.0.0.1",
];

/// A Chromium that shows a page, with its own profile. It is killed on drop.
#[derive(Debug)]
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(arguments: &[&str], stdout: fn() -> Stdio) -> Self {
        let profile = TempDir::new().expect("a directory");
        let named = std::env::var("CHROMIUM").ok();
        let spawn = |name: &str| {
            Command::new(name)
                .args(OPTIONS)
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(stdout())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .ok()
        };
        let child = named.as_deref().into_iter().chain(NAMES).find_map(spawn);
        let child =
            child.expect("Chromium; run apt-get install chromium, or set the variable CHROMIUM to its path");
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Also kill the processes that it has started, which are in its process group.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).output();
        let _ = self.child.wait();
    }
}

/// Returns the contents of a page after it has loaded.
pub async fn shown(url: &str) -> String {
    let mut browser = Browser::open(&["--dump-dom", url], Stdio::piped);
    let mut stdout = browser.child.stdout.take().expect("its output");
    let reading = tokio::task::spawn_blocking(move || std::io::read_to_string(&mut stdout).expect("text"));
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.unwrap_or_else(|_| panic!("{url} did not load")).expect("the browser")
}

/// A web site with one page. Requests for other paths are forwarded to a server, as by a proxy that keeps the host name.
#[derive(Clone, Debug)]
pub struct Site {
    pub port: u16,
    page: &'static str,
    target: Arc<Mutex<String>>,
    report: Arc<Mutex<Option<Value>>>,
    client: reqwest::Client,
}

impl Site {
    /// Serves the page on a free port until the test ends.
    pub async fn start(page: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let site = Self {
            port: listener.local_addr().expect("an address").port(),
            page,
            target: Arc::default(),
            report: Arc::default(),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
        };
        let app = Router::new()
            .route("/page", get(async |State(site): State<Self>| Html(site.page)))
            .route("/report", post(Self::take_report))
            .fallback(Self::forward)
            .with_state(site.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        site
    }

    /// Sets the server to forward to.
    pub fn forward_to(&self, url: &str) {
        url.clone_into(&mut self.target.lock().expect("the target"));
    }

    /// Visits the page under a host name, in dark mode. Returns what the page reports.
    pub async fn visit(&self, name: &str, query: &[(&str, &str)]) -> Value {
        *self.report.lock().expect("the report") = None;
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let url = format!("http://{name}:{}/page?{query}", self.port);
        let mut browser = Browser::open(&["--blink-settings=preferredColorScheme=0", &url], Stdio::null);
        until_within(PATIENCE, &format!("the page of {name} has reported"), async || {
            assert!(browser.child.try_wait().expect("wait for Chromium").is_none(), "Chromium has ended");
            self.report.lock().expect("the report").take()
        })
        .await
    }

    async fn take_report(State(site): State<Self>, report: Bytes) {
        *site.report.lock().expect("the report") = Some(serde_json::from_slice(&report).expect("JSON"));
    }

    async fn forward(State(site): State<Self>, request: Request) -> Response {
        let target = site.target.lock().expect("the target").clone();
        let (parts, body) = request.into_parts();
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let body = to_bytes(body, usize::MAX).await.expect("the body");
        let request = site.client.request(parts.method, format!("{target}{path_and_query}"));
        let answer = request.headers(parts.headers).body(body).send().await.expect("an answer");
        let kept = ["content-type", "content-encoding"];
        let kept = kept.iter().filter_map(|name| Some((*name, answer.headers().get(*name)?)));
        let response = Response::builder().status(answer.status());
        let response = kept.fold(response, |response, (name, value)| response.header(name, value));
        response.body(Body::from(answer.bytes().await.expect("the answer"))).expect("a response")
    }
}
