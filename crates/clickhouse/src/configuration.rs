//! The directories of the engine, and its configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roundhouse_part::durable::replace_file;
use roundhouse_part::private;
use roundhouse_part::sandbox::Peer;

/// Server settings, and the grants of the user. The `@…@` are replaced.
const TEMPLATE: &str = include_str!("engine.xml");

/// Further grants if ClickHouse may connect to brokers.
const KAFKA_GRANTS: &str = "<query>GRANT READ ON KAFKA</query><query>GRANT TABLE ENGINE ON Kafka</query>";

/// The part's directory.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// # Errors
    /// The current directory cannot be determined.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        std::path::absolute(directory).map(|directory| Self { directory })
    }

    /// Creates the directories and writes the configuration.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn create(&self, peers: &[Peer]) -> io::Result<()> {
        private::close_directory(&self.directory)?;
        private::create_directory(&self.data())?;
        private::create_directory(&self.user_files())?;
        private::create_directory(&self.answers())?;
        self.write(&configuration(&self.data(), peers))
    }

    /// Databases and everything else that the engine writes.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Files of users, and the current directory of the engine.
    pub(super) fn user_files(&self) -> PathBuf {
        self.data().join("user_files")
    }

    /// Answers that are held back until they are complete.
    pub(super) fn answers(&self) -> PathBuf {
        self.directory.join("answers")
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("config.xml")
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Leaves a file that is up to date unchanged: another process may be using it.
    fn write(&self, text: &str) -> io::Result<()> {
        let path = self.configuration();
        if fs::read(&path).is_ok_and(|present| present == text.as_bytes()) {
            return Ok(());
        }
        replace_file(&path, text.as_bytes())
    }
}

fn configuration(data: &Path, peers: &[Peer]) -> String {
    let grants = if peers.is_empty() { "" } else { KAFKA_GRANTS };
    let hosts: String =
        peers.iter().filter_map(host).map(|host| format!("<host>{}</host>", escape(&host))).collect();
    TEMPLATE
        .replace("@DATA@", &escape(&data.to_string_lossy()))
        .replace("@HOSTS@", &hosts)
        .replace("@KAFKA_GRANTS@", grants)
}

/// As the engine compares the host of a URL: without the brackets of IPv6.
fn host(peer: &Peer) -> Option<String> {
    match peer {
        Peer::Address { host, port } => {
            Some(format!("{}:{port}", host.trim_start_matches('[').trim_end_matches(']')))
        }
        Peer::Any => None,
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
