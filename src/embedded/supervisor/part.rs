//! The life cycle of one part: start, watch, restart, stop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::process::{Event, Process};
use super::{PartSpec, PartStatus, Program};
use roundhouse_part::EmbeddedError;

/// The result of the first start: the part's address, or why it cannot run.
pub(super) type Started = oneshot::Sender<Result<SocketAddr, EmbeddedError>>;

/// Owns the process of a part, and starts, restarts and stops it.
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

    /// Runs the part until it is told to stop. Does not retry if the first start fails.
    pub(super) async fn run(mut self, started: Started) {
        match self.start().await {
            Ok(process) => {
                // From now on the part keeps this port.
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
            let Some(reason) = self.wait_until_ended(&mut process).await else {
                return process.stop(self.program.stop_timeout).await;
            };
            match self.restart(reason, ready.elapsed(), &mut backoff).await {
                Some(next) => process = next,
                None => return,
            }
        }
    }

    /// Waits until the process ends, and returns how it ended. None if it must be stopped.
    async fn wait_until_ended(&self, process: &mut Process) -> Option<String> {
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

    /// Retries until the part runs again. None if it must be stopped.
    async fn restart(
        &self,
        mut reason: String,
        mut lived: Duration,
        backoff: &mut Backoff,
    ) -> Option<Process> {
        loop {
            let wait = backoff.after(std::mem::take(&mut lived));
            let part = self.spec.name;
            tracing::error!(part, reason, wait_ms = wait.as_millis(), "embedded part failed; restarting it");
            self.status.send_replace(PartStatus::Restarting { address: self.spec.listen, reason });
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            match self.start().await {
                Ok(process) => {
                    tracing::info!(part, address = %process.address, "embedded part is running again");
                    return Some(process);
                }
                Err(_) if self.stop.is_cancelled() => return None,
                Err(error) => reason = error.to_string(),
            }
        }
    }

    /// Starts a process. If it does not become ready, or if this task is told to stop, the process has ended on return.
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
