//! Starts the embedded parts as child processes, restarts one that dies, and stops them in order.
//!
//! Each part has its own task (`part.rs`). The task owns the part's process (`process.rs`) from the first start to the last stop, and
//! publishes its [`PartStatus`]. A part's standard input is a pipe from the supervisor. When it closes, the part stops; the kernel closes
//! it when the supervisor dies, however it dies.

mod backoff;
mod part;
mod process;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use roundhouse_part::EmbeddedError;
use roundhouse_part::secret::Secret;

/// How long a part may take to announce itself.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a part may take to stop before it is killed. A little longer than the part's own limit.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);

/// The binary that contains all parts, and how to run it.
#[derive(Clone, Debug)]
pub struct Program {
    executable: PathBuf,
    arguments: Vec<OsString>,
    start_timeout: Duration,
    stop_timeout: Duration,
    /// Ends the first start.
    start_stop: CancellationToken,
}

impl Program {
    /// `arguments` are placed before `embedded NAME`: the log options, which would otherwise come from the environment.
    pub fn new(executable: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            executable,
            arguments,
            start_timeout: START_TIMEOUT,
            stop_timeout: STOP_TIMEOUT,
            start_stop: CancellationToken::new(),
        }
    }

    /// Sets how long a part may take to start and to stop.
    pub fn with_timeouts(self, start_timeout: Duration, stop_timeout: Duration) -> Self {
        Self { start_timeout, stop_timeout, ..self }
    }

    /// Gives up the first start when `stop` is cancelled.
    pub fn starting_until(self, stop: CancellationToken) -> Self {
        Self { start_stop: stop, ..self }
    }
}

/// One embedded part: `roundhouse embedded NAME --supervised --listen … --data-dir … ARGUMENTS`.
#[derive(Clone, Debug)]
pub struct PartSpec {
    pub name: &'static str,
    /// What the part needs besides its address and directory. It does not inherit Roundhouse's environment variables, except `secret`.
    pub arguments: Vec<OsString>,
    /// A variable for the part, with its value. Not an argument, because every user can read command lines.
    pub secret: Option<(&'static str, Secret)>,
    /// With port 0 the part gets a free port and keeps it after restarts.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
}

/// The status of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartStatus {
    /// The part is starting for the first time.
    Starting,
    /// The part has announced itself and accepts connections.
    Ready { address: SocketAddr },
    /// The part answers, but something in it cannot be used. `reasons` say what, and what to do.
    Impaired { address: SocketAddr, reasons: Vec<String> },
    /// The part has ended and is being restarted. `reason`: the last failure.
    Restarting { address: SocketAddr, reason: String },
    /// The part was stopped, or its first start failed. It is not restarted.
    Stopped,
}

/// A part and its current status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartState {
    pub name: &'static str,
    pub status: PartStatus,
}

/// A view of the parts of a supervisor, for other modules.
#[derive(Clone, Debug)]
pub struct PartStates(Vec<(&'static str, watch::Receiver<PartStatus>)>);

impl PartStates {
    /// Returns the status of each part, in the order in which the parts were given.
    pub fn current(&self) -> Vec<PartState> {
        self.0.iter().map(|(name, status)| PartState { name, status: status.borrow().clone() }).collect()
    }
}

/// The running parts. If it is dropped without [`Supervisor::stop`], all parts are told to stop at once.
#[derive(Debug)]
pub struct Supervisor {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    address: Option<SocketAddr>,
    status: watch::Receiver<PartStatus>,
    stop: CancellationToken,
    /// Ends after the part's last process has ended.
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts all parts at the same time, and waits until each one answers.
    ///
    /// # Errors
    /// The reason why a part cannot start, or that the start was given up. All parts have ended in that case.
    pub async fn start(program: Program, specs: Vec<PartSpec>) -> Result<Self, EmbeddedError> {
        Self { parts: Vec::new() }.and(program, specs).await
    }

    /// Starts further parts, which need the addresses of the first ones.
    ///
    /// # Errors
    /// See [`Supervisor::start`].
    pub async fn and(mut self, program: Program, specs: Vec<PartSpec>) -> Result<Self, EmbeddedError> {
        let (mut waiting, running) = (Vec::new(), self.parts.len());
        for spec in specs {
            let (started, first_start) = oneshot::channel();
            let (publish, status) = watch::channel(PartStatus::Starting);
            let stop = CancellationToken::new();
            let name = spec.name;
            let task = part::Task::new(program.clone(), spec, publish, stop.clone());
            let task = tokio::spawn(task.run(started));
            self.parts.push(Part { name, address: None, status, stop, task });
            waiting.push(async move {
                first_start.await.unwrap_or_else(|_| {
                    Err(EmbeddedError::Failed {
                        part: name,
                        reason: "its supervisor task ended unexpectedly".to_owned(),
                    })
                })
            });
        }
        let started = tokio::select! {
            started = try_join_all(waiting) => started,
            () = program.start_stop.cancelled() => {
                Err(EmbeddedError::Failed { part: "server", reason: "its start was interrupted".to_owned() })
            }
        };
        match started {
            Ok(addresses) => {
                for (part, address) in self.parts.iter_mut().skip(running).zip(addresses) {
                    part.address = Some(address);
                }
                Ok(self)
            }
            Err(error) => {
                // No part was in use yet, so there is no order to keep.
                self.parts.iter().for_each(|part| part.stop.cancel());
                self.stop().await;
                Err(error)
            }
        }
    }

    /// Returns the address of a part. It is the real port if 0 was requested, and stays the same after restarts.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.parts.iter().find(|part| part.name == name)?.address
    }

    /// Returns the status of each part, in the order in which the parts were given.
    pub fn states(&self) -> Vec<PartState> {
        self.watch().current()
    }

    /// Returns a view of the parts for modules that do not own the supervisor.
    pub fn watch(&self) -> PartStates {
        PartStates(self.parts.iter().map(|part| (part.name, part.status.clone())).collect())
    }

    /// Stops the parts one after the other, the last one first, so that no part loses another one that it may be using.
    pub async fn stop(mut self) {
        while let Some(part) = self.parts.pop() {
            part.stop.cancel();
            if let Err(error) = part.task.await {
                tracing::error!(part = part.name, %error, "the supervisor task of an embedded part ended unexpectedly");
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.parts.iter().for_each(|part| part.stop.cancel());
    }
}
