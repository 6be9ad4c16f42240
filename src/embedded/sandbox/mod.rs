//! The sandbox of the embedded parts: what a part may do to this machine, whatever it is asked for.
//!
//! A part enters it right at its start, while its process has one thread: the kernel binds both halves to a thread and
//! to those that it starts later. There is no way out of it.
//!
//! - [`paths`] (Landlock): the files, the TCP ports and the processes that the part can reach.
//! - [`calls`] (seccomp): the system calls that it can make. It cannot start a program or a process.
//!
//! What the kernel does not support is named in one line of the log; the part runs without it.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod paths;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::EmbeddedError;
use super::private;

/// What a part needs. The kernel refuses everything else.
#[derive(Debug)]
pub struct Needs {
    pub part: &'static str,
    /// Files that it reads, and directories that it reads with all that is in them.
    pub read: Vec<PathBuf>,
    /// Directories of its own, in which it creates, changes and removes files.
    pub own: Vec<PathBuf>,
    /// Files outside of these directories that it writes.
    pub write: Vec<PathBuf>,
    /// The port that it listens on; 0 is any free one.
    pub listen: u16,
    pub connect: Connect,
}

impl Needs {
    /// What a part needs that keeps files in one directory and connects to nothing. Makes the directory.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn of_directory(
        part: &'static str,
        directory: &Path,
        listen: SocketAddr,
    ) -> Result<Self, EmbeddedError> {
        private::close_directory(directory).map_err(|error| EmbeddedError::directory(directory, error))?;
        Ok(Self {
            part,
            read: Vec::new(),
            own: vec![directory.to_owned()],
            write: Vec::new(),
            listen: listen.port(),
            connect: Connect::default(),
        })
    }
}

/// Where a part may connect to. The kernel knows ports, not hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    pub ports: BTreeSet<u16>,
    /// Every port.
    pub any_port: bool,
    /// Hosts are given by name, which takes DNS.
    pub names: bool,
}

impl Connect {
    /// Whether it may connect to nothing.
    pub fn is_nowhere(&self) -> bool {
        self.ports.is_empty() && !self.any_port
    }
}

/// Enters the sandbox, for good. To be called before the process has a second thread.
pub fn enter(needs: &Needs) {
    let missing = confine(needs);
    if !missing.is_empty() {
        tracing::warn!(part = needs.part, missing = missing.join("; "), "the sandbox is incomplete");
    }
}

/// Returns what the kernel does not enforce.
#[cfg(target_os = "linux")]
fn confine(needs: &Needs) -> Vec<String> {
    [paths::restrict(needs), calls::restrict(&needs.connect)].into_iter().flatten().collect()
}

/// Returns what the kernel does not enforce.
#[cfg(not(target_os = "linux"))]
fn confine(_needs: &Needs) -> Vec<String> {
    vec!["there is one for Linux only: the part can do whatever its user can".to_owned()]
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
