//! Runs the commands that are clients of a running server, as a user and as a script runs them.

use std::process::{Command, Output, Stdio};

use super::ROUNDHOUSE;

/// Returns a command such as `dlq replay`, without the variables that the person who runs the tests has set.
pub fn client(name: &str, server: &str, key: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(ROUNDHOUSE);
    command.args(name.split(' ')).args(["--server", server]).args(arguments).stdin(Stdio::null());
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

/// The output and the exit code of a command.
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

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Said {
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}
