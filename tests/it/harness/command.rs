//! Runs the client commands like a user or a script.

use std::process::{Command, Output, Stdio};

use super::ROUNDHOUSE;

/// A subcommand, without the environment variables of the person who runs the tests.
pub fn client(subcommand: &str, server: &str, key: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(ROUNDHOUSE);
    command.args([subcommand, "--server", server]).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROUNDHOUSE_") {
            command.env_remove(name);
        }
    }
    if !key.is_empty() {
        command.env("ROUNDHOUSE_API_KEY", key);
    }
    command
}

/// The output of a run, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// Runs the command to its end.
pub async fn run(mut command: Command) -> Said {
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}
