//! Starts the embedded parts as child processes, starts one that dies again, and ends them in order.
//!
//! Each part has a task of its own (`part.rs`) that owns its process (`process.rs`) from the first start to the
//! last stop, and publishes its [`PartStatus`]. A part's standard input is a pipe from us: its closing tells the
//! part to stop, and the kernel closes it when we die, however we die.

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

use super::EmbeddedError;
use crate::settings::Secret;

/// How long a part may take until it announces itself.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a part that is told to stop may take before it is killed; a little more than it gives itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);

/// The binary that is all parts, and how it is run.
#[derive(Clone, Debug)]
pub struct Program {
    executable: PathBuf,
    arguments: Vec<OsString>,
    start_timeout: Duration,
    stop_timeout: Duration,
}

impl Program {
    /// `arguments` go before `embedded NAME`: log options, which would otherwise come from the environment.
    pub fn new(executable: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { executable, arguments, start_timeout: START_TIMEOUT, stop_timeout: STOP_TIMEOUT }
    }

    /// Changes how long a part may take to start and to stop.
    pub fn with_timeouts(self, start_timeout: Duration, stop_timeout: Duration) -> Self {
        Self { start_timeout, stop_timeout, ..self }
    }
}

/// One embedded part: `roundhouse embedded NAME --supervised --listen … --data-dir … ARGUMENTS`.
#[derive(Clone, Debug)]
pub struct PartSpec {
    pub name: &'static str,
    /// What the part needs besides its address and directory. Environment variables of ours do not reach it, except `secret`.
    pub arguments: Vec<OsString>,
    /// A variable that it is given, and its value: command lines can be read by everyone.
    pub secret: Option<(&'static str, Secret)>,
    /// Port 0 takes a free one, which the part then keeps.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartStatus {
    /// It is starting for the first time.
    Starting,
    /// It announced itself, and takes connections.
    Ready { address: SocketAddr },
    /// It answers, and not everything that it has can be used: `reasons` say what, and what to do.
    Impaired { address: SocketAddr, reasons: Vec<String> },
    /// It ended, and is being started again; `reason` is what happened last.
    Restarting { address: SocketAddr, reason: String },
    /// It was stopped, or could not be started the first time, and will not be started again.
    Stopped,
}

/// A part and how it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartState {
    pub name: &'static str,
    pub status: PartStatus,
}

/// Looks at the parts of a supervisor from elsewhere.
#[derive(Clone, Debug)]
pub struct PartStates(Vec<(&'static str, watch::Receiver<PartStatus>)>);

impl PartStates {
    /// Returns how each part is, in the order in which they were given.
    pub fn current(&self) -> Vec<PartState> {
        self.0.iter().map(|(name, status)| PartState { name, status: status.borrow().clone() }).collect()
    }
}

/// The running parts. Dropped without [`Supervisor::stop`], it tells all of them to stop at once.
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
    /// Ends after the part's last process.
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Starts all parts at the same time, and waits until each answers.
    ///
    /// # Errors
    /// A part cannot start: its reason. The others have been stopped then.
    pub async fn start(program: Program, specs: Vec<PartSpec>) -> Result<Self, EmbeddedError> {
        Self { parts: Vec::new() }.and(program, specs).await
    }

    /// Starts further parts, which need the addresses of the first.
    ///
    /// # Errors
    /// As [`Supervisor::start`].
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
                    Err(EmbeddedError::Failed { part: name, reason: "its supervision broke off".to_owned() })
                })
            });
        }
        match try_join_all(waiting).await {
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

    /// Returns where a part answers: the real port when 0 was asked for, the same after restarts.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        self.parts.iter().find(|part| part.name == name)?.address
    }

    /// Returns how each part is, in the order in which they were given.
    pub fn states(&self) -> Vec<PartState> {
        self.watch().current()
    }

    /// Returns what keeps showing how the parts are, for those who do not own the supervisor.
    pub fn watch(&self) -> PartStates {
        PartStates(self.parts.iter().map(|part| (part.name, part.status.clone())).collect())
    }

    /// Stops the parts one after the other, the last one given first: no part loses one that it may be using.
    pub async fn stop(mut self) {
        while let Some(part) = self.parts.pop() {
            part.stop.cancel();
            if let Err(error) = part.task.await {
                tracing::error!(part = part.name, %error, "the supervision of an embedded part broke off");
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.parts.iter().for_each(|part| part.stop.cancel());
    }
}
