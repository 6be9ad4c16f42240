//! What all embedded parts do in the same way: lock their directory, announce themselves, stop in time.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::EmbeddedError;
use crate::private::{self, LOCK_FILE};
use crate::streams;

/// How long a part may take to stop before it exits by itself.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a part waits until its predecessor, which may still be stopping, releases the directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(12);

/// How often it tries to lock the directory.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// A line of JSON that a supervised part prints on standard output: one of the first two, then any number of the last one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announcement {
    /// The part answers at this address.
    Ready { address: SocketAddr },
    /// The part cannot start.
    Failed { reason: String },
    /// What cannot be used now. Replaces the previous announcement of this kind.
    Impaired { reasons: Vec<String> },
}

/// Listens on an address. Returns the address with the port that the system has picked. `option`: what sets the address.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub async fn bind(
    listen: SocketAddr,
    option: &'static str,
) -> Result<(TcpListener, SocketAddr), EmbeddedError> {
    let failed = |error| EmbeddedError::listen(listen, option, error);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Reports to the supervisor, or to the person at the terminal, how the start of a part went.
#[derive(Clone, Copy, Debug)]
pub struct Announcer {
    supervised: bool,
}

impl Announcer {
    /// `supervised`: print JSON on standard output in addition to the log.
    pub fn new(supervised: bool) -> Self {
        Self { supervised }
    }

    /// Announces that the part answers at `address`.
    pub fn ready(&self, part: &'static str, address: SocketAddr) {
        tracing::info!(part, %address, "embedded part ready");
        self.print(&Announcement::Ready { address });
    }

    /// Announces that the part cannot run.
    pub fn failed(&self, error: &EmbeddedError) {
        self.print(&Announcement::Failed { reason: error.to_string() });
    }

    /// Announces what cannot be used now. Without reasons, everything works again.
    pub fn impaired(&self, reasons: Vec<String>) {
        self.print(&Announcement::Impaired { reasons });
    }

    fn print(&self, announcement: &Announcement) {
        if self.supervised {
            let line = serde_json::to_string(announcement).unwrap_or_default();
            // If the supervisor has ended, its closed pipe shows it.
            let _ = streams::write_line(&line);
        }
    }
}

/// Cancels `stop` on SIGINT and SIGTERM, and ends the process if it has not stopped `patience` later.
pub fn stop_on_signals(stop: CancellationToken, patience: Duration) {
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::warn!("cannot listen for signals");
            return;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::thread::spawn(move || stop_in_time(&stop, patience));
    });
}

/// Cancels `stop` when the pipe from the supervisor closes. The kernel closes it when the supervisor ends, however it ends.
///
/// Runs on its own thread, so that it works even if the runtime is blocked.
pub fn stop_with_supervisor(stop: CancellationToken) {
    std::thread::spawn(move || {
        let mut byte = [0_u8; 1];
        loop {
            match streams::read(&mut byte) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        stop_in_time(&stop, STOP_TIMEOUT);
    });
}

/// Cancels `stop`, and ends the process if it has not stopped `patience` later.
fn stop_in_time(stop: &CancellationToken, patience: Duration) {
    stop.cancel();
    std::thread::sleep(patience);
    std::process::exit(1);
}

/// The lock on a directory. It is held until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory and locks it. Waits a little for a predecessor that is still stopping.
    ///
    /// # Errors
    /// Another process holds the lock, or the directory cannot be created or written.
    pub async fn take(directory: &Path) -> Result<Self, EmbeddedError> {
        Self::take_within(directory, LOCK_PATIENCE).await
    }

    /// Like [`DirectoryLock::take`], but waits for at most `patience`.
    ///
    /// # Errors
    /// See [`DirectoryLock::take`].
    pub async fn take_within(directory: &Path, patience: Duration) -> Result<Self, EmbeddedError> {
        let failed = |error| EmbeddedError::directory(directory, error);
        let mut file = open_lock(directory).map_err(failed)?;
        let deadline = Instant::now() + patience;
        let mut waiting = false;
        loop {
            match file.try_lock() {
                Ok(()) if is_in(&file, directory) => return Ok(Self { _file: file }),
                // A server whose start failed has removed it. Others would lock a new file of the same name.
                Ok(()) => {
                    file = open_lock(directory).map_err(failed)?;
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(EmbeddedError::DirectoryInUse { directory: directory.to_owned() });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if !waiting {
                tracing::info!(directory = %directory.display(), "the data directory is locked by another process; waiting");
                waiting = true;
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
    }
}

/// Opens the file that is locked. It stays when the lock is released.
fn open_lock(directory: &Path) -> io::Result<File> {
    private::create_directory(directory)?;
    OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(LOCK_FILE))
}

/// Whether an open lock file is still the one in the directory.
fn is_in(file: &File, directory: &Path) -> bool {
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let there = fs::metadata(directory.join(LOCK_FILE)).map(id);
    file.metadata().map(id).is_ok_and(|id| there.is_ok_and(|there| there == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_has_one_holder_at_a_time() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = DirectoryLock::take_within(directory.path(), Duration::ZERO).await.expect("first");
        let second = DirectoryLock::take_within(directory.path(), Duration::ZERO).await;
        assert!(matches!(second, Err(EmbeddedError::DirectoryInUse { .. })));
        let waiting = DirectoryLock::take_within(directory.path(), Duration::from_secs(60));
        let (third, ()) = tokio::join!(waiting, async { drop(first) });
        third.expect("once the first has released it");
    }
}
