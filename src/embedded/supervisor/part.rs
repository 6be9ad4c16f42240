//! The life of one part: started, watched, started again, stopped.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::process::{Event, Process};
use super::{PartSpec, PartStatus, Program};
use crate::embedded::EmbeddedError;

/// What the first start came to: the part's address, or why it cannot run.
pub(super) type Started = oneshot::Sender<Result<SocketAddr, EmbeddedError>>;

/// Owns a part's process, and the order in which it comes and goes.
pub(super) struct Task {
    program: Program,
    spec: PartSpec,
    status: watch::Sender<PartStatus>,
    stop: CancellationToken,
}

impl Task {
    pub(super) fn new(
        program: Program,
        spec: PartSpec,
        status: watch::Sender<PartStatus>,
        stop: CancellationToken,
    ) -> Self {
        Self { program, spec, status, stop }
    }

    /// Runs the part until it is told to stop. If the first start fails, that is all there is.
    pub(super) async fn run(mut self, started: Started) {
        match self.start().await {
            Ok(process) => {
                // The port is the part's from now on.
                self.spec.listen = process.address;
                let _ = started.send(Ok(process.address));
                self.keep_running(process).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
        self.status.send_replace(PartStatus::Stopped);
    }

    async fn keep_running(&self, mut process: Process) {
        let mut backoff = Backoff::new();
        loop {
            let ready = Instant::now();
            self.status.send_replace(PartStatus::Ready { address: process.address });
            let Some(reason) = self.until_ended(&mut process).await else {
                return process.stop(self.program.stop_timeout).await;
            };
            match self.start_again(reason, ready.elapsed(), &mut backoff).await {
                Some(next) => process = next,
                None => return,
            }
        }
    }

    /// Waits until the process ends, and returns how; nothing if it is to be stopped.
    async fn until_ended(&self, process: &mut Process) -> Option<String> {
        let address = process.address;
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => return None,
                event = process.next() => event,
            };
            match event {
                Event::Ended(status) => return Some(format!("it ended ({status})")),
                Event::Impaired(reasons) if reasons.is_empty() => {
                    self.status.send_replace(PartStatus::Ready { address });
                }
                Event::Impaired(reasons) => {
                    self.status.send_replace(PartStatus::Impaired { address, reasons });
                }
            }
        }
    }

    /// Tries until the part runs again; nothing if it is told to stop.
    async fn start_again(
        &self,
        mut reason: String,
        mut lived: Duration,
        backoff: &mut Backoff,
    ) -> Option<Process> {
        loop {
            let wait = backoff.after(std::mem::take(&mut lived));
            let part = self.spec.name;
            tracing::error!(
                part,
                reason,
                wait_ms = wait.as_millis(),
                "embedded part failed; starting it again"
            );
            self.status.send_replace(PartStatus::Restarting { address: self.spec.listen, reason });
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            match self.start().await {
                Ok(process) => {
                    tracing::info!(part, address = %process.address, "embedded part runs again");
                    return Some(process);
                }
                Err(_) if self.stop.is_cancelled() => return None,
                Err(error) => reason = error.to_string(),
            }
        }
    }

    /// Starts a process; one that does not get ready, also because we are told to stop, has ended on return.
    async fn start(&self) -> Result<Process, EmbeddedError> {
        let failed = |reason: String| EmbeddedError::Failed { part: self.spec.name, reason };
        let mut starting = Process::spawn(&self.program, &self.spec)
            .map_err(|error| failed(format!("cannot run {}: {error}", self.program.executable.display())))?;
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(self.program.start_timeout, starting.announced()) => {
                let seconds = self.program.start_timeout.as_secs_f32();
                outcome.unwrap_or_else(|_| Err(failed(format!("it was not ready after {seconds} seconds"))))
            }
            () = self.stop.cancelled() => Err(failed("it was told to stop".to_owned())),
        };
        match outcome {
            Ok(address) => Ok(starting.ready(address)),
            Err(error) => {
                starting.stop(self.program.stop_timeout).await;
                Err(error)
            }
        }
    }
}
