//! The sandbox of the embedded parts, seen from outside. For what ClickHouse's statements can do in it, see
//! `embedded_clickhouse/sandbox.rs`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::harness::ROUNDHOUSE;
use crate::harness::part::Part;

const PARTS: [&str; 3] = ["broker", "registry", "clickhouse"];

/// Whether the kernel enforces everything: version 6 of Landlock (Linux 6.12).
pub fn is_complete() -> bool {
    const ASK_FOR_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes and returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, ASK_FOR_VERSION)
    };
    if version < 6 {
        eprintln!("skipped: this kernel has version {version} of Landlock");
    }
    version >= 6
}

#[test]
fn every_thread_of_every_part_is_in_the_sandbox() {
    for part in PARTS {
        let directory = tempfile::tempdir().unwrap();
        let running = Part::start(part, directory.path(), &[]);
        let mut threads = 0;
        for task in fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap() {
            // A thread may have ended in the meantime.
            let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else { continue };
            for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
                assert!(status.lines().any(|found| found == line), "{part}: no {line} in {status}");
            }
            threads += 1;
        }
        assert!(threads > 1, "{part}: {threads} threads");
    }
}

#[test]
fn missing_kernel_support_is_logged_in_one_line_and_the_part_runs() {
    for part in PARTS {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut command = Command::new(ROUNDHOUSE);
        command
            .args(["--log", "warn", "--log-format", "json", "embedded", part, "--supervised"])
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap());
        let mut child = spawn_on_an_old_kernel(command);
        let mut announcement = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announcement).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(announcement.contains("ready"), "{part}: {announcement}");
        let log = fs::read_to_string(log).unwrap();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("sandbox")).collect();
        let [line] = lines.as_slice() else { panic!("{part}: {log}") };
        for text in [part, "files and ports are not restricted", "system calls are not restricted"] {
            assert!(line.contains(text), "{part}: {line}");
        }
    }
}

/// Starts a process in which the system calls for the sandbox do not exist.
fn spawn_on_an_old_kernel(mut command: Command) -> Child {
    let missing = [libc::SYS_landlock_create_ruleset, libc::SYS_seccomp].map(|call| (call, Vec::new()));
    let missing = SeccompFilter::new(
        BTreeMap::from(missing),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let filter: BpfProgram = missing.unwrap().try_into().unwrap();
    // A filter applies to the thread that installs it, and to what that thread starts.
    let spawning = std::thread::spawn(move || {
        apply_filter(&filter).unwrap();
        command.spawn().unwrap()
    });
    spawning.join().unwrap()
}
