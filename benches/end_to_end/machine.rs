//! Helpers for files, processor time and memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use roundhouse::generate;
use roundhouse::settings::{Cli, Command};

use crate::harness::server::Server;

const PARTS: [&str; 3] = ["broker", "clickhouse", "registry"];

/// Ticks per second in /proc: USER_HZ, which is 100 on every Linux.
const TICKS: f64 = 100.0;

/// Writes a file with this many rounds.
pub fn generate(path: &Path, rows: u64, first_id: u64) {
    let (rows, first_id) = (rows.to_string(), first_id.to_string());
    let path_text = path.to_str().expect("a path in UTF-8");
    let arguments = ["roundhouse", "generate", "--rows", &rows, "--first-id", &first_id, "-o", path_text];
    let Command::Generate(arguments) = Cli::try_parse_from(arguments).expect("options").command else {
        panic!("not the generator");
    };
    let file = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
    let command = arguments.command().expect("options");
    generate::write(&command, file).expect("write the file");
}

pub fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The cost of something: elapsed time, and processor seconds of each process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub wall: Duration,
    client: f64,
    server: f64,
    broker: f64,
    clickhouse: f64,
}

impl Usage {
    pub fn cpu(&self) -> String {
        format!("{:.1}, {:.1}, {:.1}, {:.1}", self.client, self.server, self.broker, self.clickhouse)
    }

    /// The processors that each process used on average.
    pub fn cores(&self) -> String {
        let wall = seconds(self.wall);
        let of = |used: f64| used / wall;
        format!(
            "{:.2}, {:.2}, {:.2}, {:.2}",
            of(self.client),
            of(self.server),
            of(self.broker),
            of(self.clickhouse)
        )
    }
}

/// Measures from its creation.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    before: BTreeMap<&'static str, f64>,
}

impl Stopwatch {
    pub fn start(server: &Server) -> Self {
        Self { before: cpu_seconds(server), started: Instant::now() }
    }

    pub fn read(&self, server: &Server) -> Usage {
        let wall = self.started.elapsed();
        let now = cpu_seconds(server);
        let used = |name: &str| now[name] - self.before[name];
        Usage {
            wall,
            client: used("client"),
            server: used("server"),
            broker: used("broker"),
            clickhouse: used("clickhouse"),
        }
    }
}

fn cpu_seconds(server: &Server) -> BTreeMap<&'static str, f64> {
    pids(server).into_iter().map(|(name, pid)| (name, cpu(pid))).collect()
}

fn pids(server: &Server) -> Vec<(&'static str, u32)> {
    let parts = PARTS.into_iter().map(|name| (name, server.part(name).expect("a part")));
    [("client", std::process::id()), ("server", server.pid())].into_iter().chain(parts).collect()
}

/// Source: proc_pid_stat(5), fields 14 and 15, counted after the name in parentheses.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("read /proc");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / TICKS
}

/// Peak resident memory of each process of the server, in megabytes.
pub fn peak_megabytes(server: &Server) -> BTreeMap<&'static str, f64> {
    let peak = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read /proc");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("VmHWM");
        let kibibytes: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kibibytes * 1024.0 / 1e6
    };
    pids(server).into_iter().map(|(name, pid)| (name, peak(pid))).collect()
}

/// Resets the peaks. Source: proc_pid_clear_refs(5).
pub fn forget_peaks(server: &Server) {
    for (_, pid) in pids(server) {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("write /proc");
    }
}

pub fn peaks(server: &Server) -> String {
    let peaks = peak_megabytes(server);
    let text = |name: &str| format!("{name} {:.0} MB", peaks[name]);
    ["server", "broker", "clickhouse", "registry"].map(text).join(", ")
}
