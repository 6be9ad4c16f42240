//! An embedded part as a child process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use roundhouse_part::lifecycle::Announcement;

use super::ROUNDHOUSE;

/// A running `roundhouse embedded NAME`. It is killed on drop.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    arguments: Vec<String>,
    directory: PathBuf,
    /// Limit for its open files, if it differs from the limit of the tests.
    descriptors: Option<usize>,
    pub address: SocketAddr,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Part {
    /// Starts a part on a free port with its data in `directory`, and waits until it is ready.
    pub fn start(name: &'static str, directory: &Path, arguments: &[&str]) -> Self {
        Self::start_with(name, directory, arguments, None)
    }

    /// Starts a part with a limit for open files and connections.
    pub fn start_with_descriptors(name: &'static str, directory: &Path, descriptors: usize) -> Self {
        Self::start_with(name, directory, &[], Some(descriptors))
    }

    fn start_with(
        name: &'static str,
        directory: &Path,
        arguments: &[&str],
        descriptors: Option<usize>,
    ) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (child, stdin, address) = match spawn(name, directory, listen, &arguments, descriptors) {
            Ok(started) => started,
            Err(reason) => panic!("{name} did not start: {reason}"),
        };
        let directory = directory.to_owned();
        Self { name, arguments, directory, descriptors, address, child, stdin: Some(stdin) }
    }

    /// Tries to start a part that is expected to fail. Returns the reason.
    pub fn refusal(name: &'static str, directory: &Path, listen: SocketAddr, arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        match spawn(name, directory, listen, &arguments, None) {
            Ok((mut child, _, _)) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{name} started");
            }
            Err(reason) => reason,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Restarts it on the same port and directory.
    pub fn restart(&mut self) {
        self.kill();
        match spawn(self.name, &self.directory, self.address, &self.arguments, self.descriptors) {
            Ok((child, stdin, _)) => {
                self.child = child;
                self.stdin = Some(stdin);
            }
            Err(reason) => panic!("{} did not start again: {reason}", self.name),
        }
    }

    /// Closes its standard input, as happens when a supervisor ends, and waits for its exit.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        self.child.wait().expect("wait for the part")
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(
    name: &str,
    directory: &Path,
    listen: SocketAddr,
    arguments: &[String],
    descriptors: Option<usize>,
) -> Result<(Child, ChildStdin, SocketAddr), String> {
    let mut command = match descriptors {
        None => Command::new(ROUNDHOUSE),
        Some(descriptors) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$@\""), "sh", ROUNDHOUSE]);
            shell
        }
    };
    let mut child = command
        .args(["--log", "warn", "embedded", name, "--supervised"])
        .args(["--listen", &listen.to_string()])
        .arg("--data-dir")
        .arg(directory)
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let stdin = child.stdin.take().ok_or("no standard input")?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    let _ = BufReader::new(stdout).read_line(&mut line);
    match serde_json::from_str(&line) {
        Ok(Announcement::Ready { address }) => Ok((child, stdin, address)),
        Ok(Announcement::Failed { reason }) => {
            let _ = child.wait();
            Err(reason)
        }
        Ok(Announcement::Impaired { .. }) | Err(_) => {
            let status = child.wait().map(|status| status.to_string()).unwrap_or_default();
            Err(format!("ended ({status}) before it was ready: {line:?}"))
        }
    }
}
