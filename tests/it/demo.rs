//! The demo, as a user runs it on a terminal.

use std::process::{Command, Stdio};

use crate::harness::command::run;
use crate::harness::{ROUNDHOUSE, repository};

/// Runs a program on a terminal, and passes on its output and its exit code.
const ON_A_TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_finds_every_row_and_prints_nothing_of_the_engine_library() {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL, ROUNDHOUSE, "demo"]).current_dir(repository()).stdin(Stdio::null());
    let demo = run(command).await;
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    assert!(demo.stdout.contains("10,000 rows: 10,000 matched, 0 missing, 0 different"), "{}", demo.stdout);
    assert!(demo.stdout.contains("stopping"), "{}", demo.stdout);
    // The library logs to a terminal unless its configuration says otherwise.
    assert!(!demo.stdout.contains("<Fatal>"), "{}", demo.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_of_a_clone_the_demo_asks_for_a_file() {
    let elsewhere = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(ROUNDHOUSE);
    command.arg("demo").current_dir(elsewhere.path()).stdin(Stdio::null());
    let demo = run(command).await;
    assert_eq!((demo.code, demo.stdout.as_str()), (Some(2), ""), "{demo:?}");
    assert!(
        demo.stderr
            .contains("data/gamerounds.csv does not exist; name a CSV file, or run the demo in a clone"),
        "{demo:?}"
    );
}
