//! A whole server, started like by a user: `roundhouse serve` with all parts embedded, on free ports.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::multipart::Form;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::ROUNDHOUSE;
use super::process::{PATIENCE, processes, signal, until};

/// Time limit for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(180);

/// Number of log lines that a failed test shows.
const SHOWN_LOG_LINES: usize = 60;

/// Options of every server, unless a test gives its own.
const FREE_PORTS: [&str; 4] =
    ["--listen", "--embedded-kafka-listen", "--embedded-registry-listen", "--embedded-clickhouse-listen"];

/// The contents of the `--ready-file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Addresses {
    pub api: String,
    pub kafka_brokers: String,
    pub schema_registry_url: String,
    pub clickhouse_url: String,
}

/// An answer of the API, with its body as JSON if it is JSON.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Asserts status 200. Returns the body.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:#}", self.body);
        self.body
    }

    /// Asserts that it is a problem with this status and code. Returns its members.
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{:#}", self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status, "{:#}", self.body);
        for member in ["type", "title", "detail", "instance"] {
            assert!(
                self.body[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {:#}",
                self.body
            );
        }
        self.body
    }
}

/// Sends requests to the API at some address.
#[derive(Clone, Debug)]
pub struct Http(reqwest::Client);

impl Http {
    pub fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build();
        Self(client.expect("a client"))
    }

    /// Sends a request. None if the connection failed.
    pub async fn try_send(
        &self,
        build: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answer, reqwest::Error> {
        let response = build(&self.0).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, headers, body })
    }
}

/// A running server. On drop it is killed, with every process that it started.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    options: Vec<String>,
    /// Size of the server's own file system, in the syntax of `mount`.
    disk: Option<String>,
    child: Child,
    pub addresses: Addresses,
    http: Http,
}

impl Server {
    /// Starts a server in its own directory, and waits until everything answers.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_with_disk(options, None).await
    }

    /// Starts a server whose data directory is its own file system of this size, which ends with the server. None if this user may not mount
    /// one.
    pub async fn start_on_disk(options: &[&str], size: &str) -> Option<Self> {
        let may_mount =
            Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
        if !may_mount.is_ok_and(|output| output.status.success()) {
            return None;
        }
        Some(Self::start_with_disk(options, Some(size)).await)
    }

    async fn start_with_disk(options: &[&str], disk: Option<&str>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let disk = disk.map(str::to_owned);
        let child = spawn(directory.path(), &options, disk.as_deref());
        let mut server =
            Self { directory, options, disk, child, addresses: Addresses::default(), http: Http::new() };
        server.wait_for_ready_file().await;
        server
    }

    /// Kills the server with SIGKILL, if it is still running, and starts it again with the same directory.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.directory.path(), &self.options, self.disk.as_deref());
        self.wait_for_ready_file().await;
    }

    /// [`Server::restart`] with other options.
    pub async fn restart_as(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self.restart().await;
    }

    /// Like [`Server::restart_as`], but returns when the server is ready: another loader has taken over by then.
    pub async fn restart_with(&mut self, options: &[&str]) {
        self.restart_as(options).await;
        self.until_ready().await;
    }

    /// Kills only the server process with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to stop, like a service manager, and waits for its exit.
    pub async fn stop(&mut self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        let child = &mut self.child;
        until("the server has stopped", async || child.try_wait().expect("wait for the server")).await
    }

    /// Waits for one of its parts (`broker`, `registry`, `clickhouse`) and kills it with SIGKILL. Returns its process id.
    pub async fn kill_part(&self, name: &str) -> u32 {
        until(&format!("the {name} is running"), async || self.part(name).filter(|pid| signal(*pid, "KILL")))
            .await
    }

    /// Returns the process id of one of its parts.
    pub fn part(&self, name: &str) -> Option<u32> {
        let command = format!(" embedded {name} ");
        processes(&self.data_dir())
            .into_iter()
            .find(|process| process.parent == self.child.id() && process.arguments.contains(&command))
            .map(|process| process.pid)
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Returns the file with its addresses.
    pub fn ready_file(&self) -> PathBuf {
        ready_file(self.directory.path())
    }

    /// Returns the path under which other processes reach its data directory, if that is its own file system.
    pub fn mounted_data_dir(&self) -> PathBuf {
        let data_dir = self.data_dir();
        let relative = data_dir.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.child.id())).join(relative)
    }

    /// Waits until `/readyz` reports that every part is ready.
    pub async fn until_ready(&self) {
        let mut last = Value::Null;
        let ready = async || {
            let answer = self.http.try_send(|http| http.get(self.url("/readyz"))).await.ok()?;
            last = answer.body;
            (answer.status == 200).then_some(())
        };
        until("/readyz is 200", ready).await;
    }

    pub fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.addresses.api)
    }

    /// Sends any request.
    pub async fn send(&self, build: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder) -> Answer {
        self.http.try_send(build).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    pub async fn get(&self, path_and_query: &str) -> Answer {
        self.send(|http| http.get(self.url(path_and_query))).await
    }

    /// Uploads a file as the request body.
    pub async fn upload(&self, body: impl Into<reqwest::Body>, query: &str) -> Answer {
        self.send(|http| http.post(self.url(&format!("/uploadcsv?{query}"))).body(body)).await
    }

    /// Opens a connection, to send what no HTTP client would send.
    pub async fn connect(&self) -> TcpStream {
        let address = self.addresses.api.strip_prefix("http://").expect("an address");
        TcpStream::connect(address).await.expect("a connection")
    }

    /// Opens a connection and sends the head of an upload with this many bytes. The server closes the connection after its answer.
    pub async fn open_upload(&self, bytes: usize) -> TcpStream {
        let mut connection = self.connect().await;
        let head = format!(
            "POST /uploadcsv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.expect("the head is sent");
        connection
    }

    /// Uploads the files of a form.
    pub async fn upload_form(&self, form: Form, query: &str) -> Answer {
        self.send(|http| http.post(self.url(&format!("/uploadcsv?{query}"))).multipart(form)).await
    }

    /// Reconciles a file. Returns the report when the job has ended.
    pub async fn reconcile(&self, file: &Path) -> Value {
        self.reconcile_body(fs::read(file).expect("read the file"), "").await
    }

    /// [`Server::reconcile`] of a file that is sent as the request body, with these parameters.
    pub async fn reconcile_body(&self, body: impl Into<reqwest::Body>, query: &str) -> Value {
        let url = self.url(&format!("/reconcile?{query}"));
        let submitted = self.send(|http| http.post(url).body(body)).await;
        assert_eq!(submitted.status, 202, "{:#}", submitted.body);
        let path = submitted.headers["location"].to_str().expect("a path").to_owned();
        until(&format!("{path} has ended"), async || {
            let job = self.get(&path).await.ok();
            matches!(job["state"].as_str(), Some("done" | "failed")).then_some(job)
        })
        .await
    }

    /// Returns the value of a series in `GET /metrics`, or 0 if the series does not exist.
    pub async fn metric(&self, series: &str) -> f64 {
        let accept = "application/openmetrics-text";
        let answer = self.send(|http| http.get(self.url("/metrics")).header(ACCEPT, accept)).await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
        let text = answer.body.as_str().expect("text");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Returns the peak memory of the server process, without its parts.
    pub fn high_water_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Waits until this many uploads have a slot. (Sending an upload to find out would take a slot itself.)
    pub async fn until_under_way(&self, uploads: u32) {
        until(&format!("{uploads} uploads have a slot"), async || {
            (self.metric("roundhouse_uploads_under_way").await == f64::from(uploads)).then_some(())
        })
        .await;
    }

    /// Sends a statement to ClickHouse, like curl. Returns its answer in TabSeparated.
    pub async fn clickhouse(&self, sql: impl Into<String>) -> String {
        let url = format!("{}/?database=game_data", self.addresses.clickhouse_url);
        let answer = self.http.0.post(url).body(sql.into()).send().await.expect("an answer of ClickHouse");
        let status = answer.status();
        let text = answer.text().await.expect("the answer of ClickHouse");
        assert!(status.is_success(), "{text}");
        text.trim_end().to_owned()
    }

    /// Returns everything that the server has written outside its data directory: the ready file, standard output, and the log.
    pub fn output(&self) -> String {
        let files = ["ready.json", "stdout", "log"].map(|name| fs::read(self.directory.path().join(name)));
        files.map(|text| String::from_utf8_lossy(&text.expect("a file")).into_owned()).join("\n")
    }

    async fn wait_for_ready_file(&mut self) {
        let path = self.ready_file();
        let child = &mut self.child;
        self.addresses = until("the server is ready", async || {
            if let Some(status) = child.try_wait().expect("wait for the server") {
                panic!("the server ended before it was ready: {status}");
            }
            let text = fs::read_to_string(&path).ok()?;
            Some(serde_json::from_str(&text).expect("the ready file is JSON"))
        })
        .await;
    }

    /// Returns the log of the server and its parts.
    pub fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Prints the end of the log.
    fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- the end of the server's log ---");
        lines.iter().skip(lines.len().saturating_sub(SHOWN_LOG_LINES)).for_each(|line| eprintln!("{line}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            self.show_log();
        }
        // The parts would end by themselves. Kill them, so that no test has to wait for that.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let left = processes(&self.data_dir());
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            for process in left {
                signal(process.pid, "KILL");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The output of a server that did not start.
#[derive(Debug)]
pub struct Refusal {
    pub exit_code: Option<i32>,
    pub stderr: String,
}

impl Refusal {
    /// Asserts that standard error is one line that contains `text`.
    pub fn assert(&self, exit_code: i32, text: &str) {
        assert_eq!(self.exit_code, Some(exit_code), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.contains(text), "{:?} does not say {text:?}", self.stderr);
    }
}

/// Tries to start a server that is expected to refuse, and asserts that it leaves no process.
pub async fn refusal(data_dir: &Path, options: &[&str]) -> Refusal {
    let options = options.iter().map(|&option| option.to_owned()).collect();
    let before = processes(data_dir).len();
    let mut child = command(data_dir, &options, None).stderr(Stdio::piped()).spawn().expect("run the server");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("wait for the server").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = child.wait_with_output().expect("the server's last words");
    assert_eq!(processes(data_dir).len(), before, "it left a process");
    Refusal { exit_code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Starts a server, and interrupts it as soon as a part of this name runs. Returns its exit code and log once it has ended.
pub async fn interrupted(data_dir: &Path, part: &str) -> Refusal {
    let mut child =
        command(data_dir, &Vec::new(), None).stderr(Stdio::piped()).spawn().expect("run the server");
    let started = format!(" embedded {part} ");
    until(&format!("the {part} starts"), async || {
        processes(data_dir).iter().any(|process| process.arguments.contains(&started)).then_some(())
    })
    .await;
    signal(child.id(), "INT");
    until("the server has stopped", async || child.try_wait().expect("wait for the server")).await;
    let output = child.wait_with_output().expect("the server's last words");
    Refusal { exit_code: output.status.code(), stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

fn ready_file(directory: &Path) -> PathBuf {
    directory.join("ready.json")
}

fn spawn(directory: &Path, options: &Vec<String>, disk: Option<&str>) -> Child {
    let ready_file = ready_file(directory);
    // Remove the old file here: otherwise a test could read it before the server has removed it.
    let _ = fs::remove_file(&ready_file);
    let open = |name| File::options().create(true).append(true).open(directory.join(name)).expect("a file");
    command(&directory.join("data"), options, disk)
        .arg("--ready-file")
        .arg(ready_file)
        .stdout(open("stdout"))
        .stderr(open("log"))
        .spawn()
        .expect("run the server")
}

fn command(data_dir: &Path, options: &Vec<String>, disk: Option<&str>) -> Command {
    let mut command = match disk {
        None => Command::new(ROUNDHOUSE),
        Some(size) => in_own_file_system(data_dir, size),
    };
    command.args(["--log", "warn", "serve", "--data-dir"]).arg(data_dir);
    for option in FREE_PORTS.iter().filter(|option| !options.iter().any(|given| given == *option)) {
        command.args([option, "127.0.0.1:0"]);
    }
    command.args(options).current_dir(std::env::temp_dir()).stdin(Stdio::null()).stdout(Stdio::null());
    // Environment variables of the person who runs the tests must not reach the server.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["ROUNDHOUSE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_"]
            .iter()
            .any(|ours| name.starts_with(ours))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A command that mounts its own file system on a directory and then executes the server.
fn in_own_file_system(data_dir: &Path, size: &str) -> Command {
    fs::create_dir_all(data_dir).expect("a directory");
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs -o "size=$1" none "$2" && shift 2 && exec "$@""#;
    command.args(["-rm", "sh", "-c", script, "sh", size]).arg(data_dir).arg(ROUNDHOUSE);
    command
}
