//! The sandbox of the embedded parts. It limits what a part may do to this machine, whatever it is asked to do.
//!
//! A part enters the sandbox at its start, while its process has one thread. The kernel applies both halves to that thread and to the
//! threads that it starts later. A part cannot leave the sandbox.
//!
//! - [`paths`] (Landlock): the files, the TCP ports and the processes that the part can reach.
//! - [`calls`] (seccomp): the system calls that it can use. It cannot start a program or a process.
//! - [`privileges`] (capabilities): the permissions of files apply to root too.
//!
//! If the kernel does not support something, one log line names it, and the part runs without it.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod paths;
#[cfg(target_os = "linux")]
mod privileges;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::EmbeddedError;
use crate::private;

/// What a part needs. The kernel refuses everything else.
#[derive(Debug)]
pub struct Needs {
    pub part: &'static str,
    /// Files that the part reads, and directories that it reads with everything in them.
    pub read: Vec<PathBuf>,
    /// The part's own directories, in which it creates, changes and removes files.
    pub own: Vec<PathBuf>,
    /// Files outside of these directories that the part writes.
    pub write: Vec<PathBuf>,
    /// The port that the part listens on; 0 means any free port.
    pub listen: u16,
    pub connect: Connect,
}

impl Needs {
    /// For a part that keeps its files in one directory and opens no connections. Creates the directory.
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

/// Which ports a part may connect to. The kernel can restrict ports, but not hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    pub ports: BTreeSet<u16>,
    /// Allows every port.
    pub any_port: bool,
    /// Hosts are given by name, so DNS is needed.
    pub names: bool,
}

impl Connect {
    /// Allows the ports of these addresses.
    pub fn to(peers: &[Peer]) -> Self {
        let mut connect = Self::default();
        for peer in peers {
            match peer {
                Peer::Any => (connect.any_port, connect.names) = (true, true),
                Peer::Address { host, port } => {
                    connect.ports.insert(*port);
                    let literal = host.trim_start_matches('[').trim_end_matches(']');
                    connect.names |= literal.parse::<IpAddr>().is_err();
                }
            }
        }
        connect
    }

    /// Whether the part may not open any connection.
    pub fn is_nowhere(&self) -> bool {
        self.ports.is_empty() && !self.any_port
    }
}

/// An address that a part may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    Address {
        host: String,
        port: u16,
    },
    /// Every port of every host.
    Any,
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let address = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match address {
            Some((host, port)) if !host.is_empty() => Ok(Self::Address { host: host.to_owned(), port }),
            _ => Err("not HOST:PORT or `any`; write for example kafka:9092"),
        }
    }
}

/// Enters the sandbox permanently. Must be called before the process has a second thread.
pub fn enter(needs: &Needs) {
    let missing = confine(needs);
    if !missing.is_empty() {
        tracing::warn!(part = needs.part, missing = missing.join("; "), "the sandbox is incomplete");
    }
}

/// Returns what the kernel does not enforce.
#[cfg(target_os = "linux")]
fn confine(needs: &Needs) -> Vec<String> {
    [privileges::restrict(needs), paths::restrict(needs), calls::restrict(&needs.connect)]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns what the kernel does not enforce.
#[cfg(not(target_os = "linux"))]
fn confine(_needs: &Needs) -> Vec<String> {
    vec!["the sandbox exists for Linux only; the part can do whatever its user can".to_owned()]
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
