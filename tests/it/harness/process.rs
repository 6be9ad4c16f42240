//! Processes that the tests started, and waiting with a time limit.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time limit for everything that a test waits for, unless it sets its own. Generous, for busy machines.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two checks.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process, as shown by `ps`.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub arguments: String,
}

/// Returns the processes with this directory on their command line.
pub fn processes(directory: &Path) -> Vec<Process> {
    let output = Command::new("ps").args(["-A", "-ww", "-o", "pid=,ppid=,args="]).output().expect("run ps");
    let text = String::from_utf8_lossy(&output.stdout);
    let directory = directory.to_str().expect("a path in UTF-8");
    text.lines().filter(|line| line.contains(directory)).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Process> {
    let mut words = line.split_whitespace();
    let pid = words.next()?.parse().ok()?;
    let parent = words.next()?.parse().ok()?;
    Some(Process { pid, parent, arguments: words.collect::<Vec<_>>().join(" ") })
}

/// Sends a signal (`KILL`, `TERM`) to a process that the tests started. Returns whether the process still existed.
pub fn signal(pid: u32, signal: &str) -> bool {
    let kill = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output();
    kill.expect("run kill").status.success()
}

/// Waits until `condition` returns something. Otherwise panics with `what` was waited for.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, condition).await
}

/// Like [`until`], with another time limit.
pub async fn until_within<T>(
    patience: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s until {what}", patience.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}
