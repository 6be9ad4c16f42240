//! The demo, as a user runs it on a terminal.

use std::process::{Command, Stdio};

use crate::harness::ROUNDHOUSE;
use crate::harness::command::{Said, run};
use crate::harness::process::{processes, signal, until};

/// Runs a program on a terminal, and passes on its output and its exit code.
const ON_A_TERMINAL: &str =
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_in_any_directory_finds_every_row_and_prints_nothing_of_the_engine_library() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command
        .args(["-c", ON_A_TERMINAL, ROUNDHOUSE, "demo"])
        .current_dir(directory.path())
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", directory.path())
        .stdin(Stdio::null());
    let demo = run(command).await;
    assert_eq!(demo.code, Some(0), "{}{}", demo.stdout, demo.stderr);
    assert!(demo.stdout.contains("10,000 rows: 10,000 matched, 0 missing, 0 different"), "{}", demo.stdout);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it wrote to its directory");
    // The library logs to a terminal unless its configuration says otherwise.
    assert!(!demo.stdout.contains("<Fatal>"), "{}", demo.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_of_a_file_that_does_not_exist_names_it() {
    let mut command = Command::new(ROUNDHOUSE);
    command.args(["demo", "nothing.csv"]).stdin(Stdio::null());
    let demo = run(command).await;
    assert_eq!((demo.code, demo.stdout.as_str()), (Some(2), ""), "{demo:?}");
    assert!(demo.stderr.contains("the file nothing.csv does not exist"), "{demo:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_output_is_redirected_prints_text_only() {
    let mut command = Command::new(ROUNDHOUSE);
    command.arg("demo").stdin(Stdio::null());
    let demo = run(command).await;
    assert_eq!((demo.code, demo.stderr.as_str()), (Some(0), ""), "{demo:?}");
    assert!(demo.stdout.contains("  verdict: match\n"), "{demo:?}");
    // Whoever asks for the log gets it as text, too.
    let mut command = Command::new(ROUNDHOUSE);
    command.args(["--log", "info", "demo"]).stdin(Stdio::null());
    let demo = run(command).await;
    assert!(demo.code == Some(0) && demo.stderr.contains(" INFO embedded part ready"), "{demo:?}");
    assert!(!demo.stderr.contains('{'), "{demo:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(ROUNDHOUSE);
    command.arg("demo").env("TMPDIR", directory.path()).stdin(Stdio::null());
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A part has the directory on its command line.
    until("a part starts", async || processes(directory.path()).first().map(|_| ())).await;
    signal(demo.id(), "INT");
    until("it has ended", async || demo.try_wait().unwrap()).await;
    let said = Said::from(demo.wait_with_output().unwrap());
    assert_eq!((said.code, said.stderr.as_str()), (Some(130), "roundhouse: interrupted\n"), "{said:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{said:?}");
    assert!(processes(directory.path()).is_empty(), "{said:?}");
}
