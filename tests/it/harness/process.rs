//! Processes that the tests started, and waiting with a bound.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Bound of everything that is waited for, unless a test says otherwise: generous, for machines that are busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process as `ps` shows it.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub arguments: String,
}

/// Returns the processes that name a directory on their command line.
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

/// Sends a signal (`KILL`, `TERM`) to a process that the tests started; returns whether it was still there.
pub fn signal(pid: u32, signal: &str) -> bool {
    let kill = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output();
    kill.expect("run kill").status.success()
}

/// Waits until `condition` returns something; says what was waited for if it never does.
pub async fn until<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, condition).await
}

/// [`until`] with a bound of its own.
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
