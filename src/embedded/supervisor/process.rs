//! One process of an embedded part.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::{PartSpec, Program};
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::Announcement;

/// Maximum bytes of an announcement.
const MAX_ANNOUNCEMENT: u64 = 64 * 1024;

/// How long to wait for the exit of a process that closed its standard output without an announcement.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// The environment variables that a part inherits: for the system's libraries, and for debugging.
const INHERITED: [&str; 13] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
];

/// A spawned process that has not announced itself yet.
#[derive(Debug)]
pub(super) struct Starting {
    part: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// A process that has announced itself.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) address: SocketAddr,
    part: &'static str,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Announcements of the running process.
    impaired: mpsc::Receiver<Vec<String>>,
}

/// What can happen to a running process.
#[derive(Debug)]
pub(super) enum Event {
    Ended(String),
    /// What cannot be used now.
    Impaired(Vec<String>),
}

impl Process {
    /// Starts a part's process.
    pub(super) fn spawn(program: &Program, spec: &PartSpec) -> io::Result<Starting> {
        let mut command = Command::new(&program.executable);
        command
            .args(&program.arguments)
            .args(["embedded", spec.name, "--supervised", "--listen", &spec.listen.to_string()])
            .arg("--data-dir")
            .arg(&spec.data_dir)
            .args(&spec.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal reaches only the supervisor, which stops the parts in order.
            .process_group(0)
            .kill_on_drop(true);
        // Environment variables, some with passwords, are meant for the process that a person starts. A part gets only the listed ones.
        for (name, _) in std::env::vars_os() {
            if !INHERITED.iter().any(|inherited| name == *inherited) {
                command.env_remove(name);
            }
        }
        if let Some((name, secret)) = &spec.secret {
            command.env(name, secret.expose());
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        tracing::debug!(part = spec.name, pid = child.id(), "embedded part spawned");
        Ok(Starting { part: spec.name, child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Waits until the process ends by itself or announces something.
    pub(super) async fn next(&mut self) -> Event {
        tokio::select! {
            status = self.child.wait() => Event::Ended(exit(status)),
            Some(reasons) = self.impaired.recv() => Event::Impaired(reasons),
        }
    }

    /// Tells the process to stop, and kills it if it does not stop in time.
    pub(super) async fn stop(self, patience: Duration) {
        stop(self.part, self.child, self.stdin, patience).await;
    }
}

impl Starting {
    /// Waits for the announcement, and until the announced address accepts connections.
    pub(super) async fn announced(&mut self) -> Result<SocketAddr, EmbeddedError> {
        let failed = |reason: String| EmbeddedError::Failed { part: self.part, reason };
        let mut line = Vec::new();
        let read = (&mut self.stdout).take(MAX_ANNOUNCEMENT).read_until(b'\n', &mut line).await;
        read.map_err(|error| failed(format!("cannot read its announcement: {error}")))?;
        if line.is_empty() {
            let status = match tokio::time::timeout(EXIT_PATIENCE, self.child.wait()).await {
                Ok(status) => exit(status),
                Err(_) => "it closed its standard output".to_owned(),
            };
            return Err(failed(format!("it ended ({status}) before it was ready")));
        }
        let address = match serde_json::from_slice(&line) {
            Ok(Announcement::Ready { address }) => address,
            Ok(Announcement::Failed { reason }) => return Err(EmbeddedError::Announced { reason }),
            Ok(Announcement::Impaired { .. }) | Err(_) => {
                let start: String = String::from_utf8_lossy(&line).chars().take(80).collect();
                return Err(failed(format!("it announced {start:?}, which is not a valid announcement")));
            }
        };
        TcpStream::connect(reachable(address)).await.map_err(|error| {
            failed(format!("the address {address} that it announced does not accept connections: {error}"))
        })?;
        Ok(address)
    }

    /// Turns it into a running process. Its output is read continuously, so that it does not block.
    pub(super) fn ready(self, address: SocketAddr) -> Process {
        let Self { part, child, stdin, stdout } = self;
        let (sender, impaired) = mpsc::channel(1);
        tokio::spawn(read_announcements(stdout, sender));
        Process { address, part, child, stdin, impaired }
    }

    /// Tells the process to stop, and kills it if it does not stop in time.
    pub(super) async fn stop(self, patience: Duration) {
        let Self { part, child, stdin, mut stdout } = self;
        tokio::spawn(async move { tokio::io::copy_buf(&mut stdout, &mut tokio::io::sink()).await });
        stop(part, child, stdin, patience).await;
    }
}

/// Forwards the announcements of a running process until its output ends. Ignores other lines.
async fn read_announcements(mut stdout: BufReader<ChildStdout>, sender: mpsc::Sender<Vec<String>>) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut stdout).take(MAX_ANNOUNCEMENT).read_until(b'\n', &mut line).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        if let Ok(Announcement::Impaired { reasons }) = serde_json::from_slice(&line) {
            // While the process is being stopped, nobody receives this any more.
            let _ = sender.send(reasons).await;
        }
    }
}

/// Closes standard input, which tells a part to stop. Waits, and kills the process if it is still running.
async fn stop(part: &'static str, mut child: Child, stdin: Option<ChildStdin>, patience: Duration) {
    drop(stdin);
    match tokio::time::timeout(patience, child.wait()).await {
        Ok(status) => tracing::debug!(part, status = exit(status), "embedded part stopped"),
        Err(_) => {
            tracing::warn!(part, "embedded part did not stop in time; killing it");
            if let Err(error) = child.kill().await {
                tracing::error!(part, %error, "cannot kill an embedded part");
            }
        }
    }
}

fn exit(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Returns an address to connect to, also for a listener on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
