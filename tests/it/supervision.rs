//! The supervisor with the real registry as its part, and with shell scripts as parts that misbehave.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use roundhouse::embedded::supervisor::{PartSpec, PartStatus, Program, Supervisor};
use roundhouse_part::lifecycle::DirectoryLock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::ROUNDHOUSE;

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time for a part that is meant to start or stop too slowly.
const SHORT: Duration = Duration::from_millis(500);

/// The variable that names the directory of the process that a test kills.
const PARENT_DIRECTORY: &str = "SUPERVISION_TEST_DIRECTORY";

const NO_PROCESS: [u32; 0] = [];

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn program() -> Program {
    Program::new(ROUNDHOUSE.into(), vec!["--log".into(), "off".into()])
}

fn registry(directory: &Path, name: &str, listen: SocketAddr) -> PartSpec {
    PartSpec { name: "registry", arguments: Vec::new(), secret: None, listen, data_dir: directory.join(name) }
}

/// Writes a part as a shell script. Its function `ready` announces the address of `listener`.
fn script(directory: &Path, listener: &TcpListener, body: &str) -> PathBuf {
    let path = directory.join("part.sh");
    let address = listener.local_addr().unwrap();
    let ready = format!(r#"ready() {{ echo '{{"ready":{{"address":"{address}"}}}}'; }}"#);
    fs::write(&path, format!("#!/bin/sh\ncd '{}'\n{ready}\n{body}\n", directory.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn scripted(directory: &Path, name: &'static str) -> PartSpec {
    PartSpec { name, arguments: Vec::new(), secret: None, listen: ANY_PORT, data_dir: directory.join(name) }
}

/// Starts a script as the only part, with this time to become ready. Returns why the start failed.
async fn refusal(body: &str, start_timeout: Duration) -> String {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let program = Program::new("/bin/sh".into(), vec![script(directory.path(), &listener, body).into()])
        .with_timeouts(start_timeout, SHORT);
    let error = Supervisor::start(program, vec![scripted(directory.path(), "script")]).await.unwrap_err();
    assert_eq!(processes(directory.path()), NO_PROCESS, "a process is left");
    error.to_string()
}

/// Returns the ids of the processes whose command line names a directory.
fn processes(directory: &Path) -> Vec<u32> {
    let output = Command::new("ps").args(["-A", "-ww", "-o", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of_ours = text.lines().filter(|line| line.contains(directory.to_str().unwrap()));
    of_ours.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn subjects(address: SocketAddr) -> Option<Value> {
    reqwest::get(format!("http://{address}/subjects")).await.ok()?.json().await.ok()
}

#[tokio::test]
async fn a_killed_part_is_restarted_on_its_port_with_its_data() {
    let directory = TempDir::new().unwrap();
    let specs = vec![registry(directory.path(), "registry", ANY_PORT)];
    let supervisor = Supervisor::start(program(), specs).await.unwrap();
    let address = supervisor.address("registry").unwrap();
    assert_ne!(address.port(), 0);
    let registered = reqwest::Client::new()
        .post(format!("http://{address}/subjects/s/versions"))
        .json(&json!({ "schema": "\"long\"" }))
        .send();
    assert!(registered.await.unwrap().status().is_success());

    for _ in 0..3 {
        let before = processes(directory.path());
        assert_eq!(before.len(), 1);
        kill(before[0]);
        until("another process is ready", async || {
            let now = processes(directory.path());
            now.len() == 1 && now != before && supervisor.states()[0].status == PartStatus::Ready { address }
        })
        .await;
        assert_eq!(subjects(address).await, Some(json!(["s"])));
    }
    supervisor.stop().await;
    assert_eq!(processes(directory.path()), NO_PROCESS);
    assert_eq!(subjects(address).await, None);
}

#[tokio::test]
async fn parts_are_stopped_in_reverse_order() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let path = script(directory.path(), &listener, "ready; cat > /dev/null; echo \"$2\" >> order");
    let specs = ["first", "second", "third"].map(|name| scripted(directory.path(), name));
    let supervisor = Supervisor::start(Program::new(path, Vec::new()), specs.to_vec()).await.unwrap();
    supervisor.stop().await;
    assert_eq!(fs::read_to_string(directory.path().join("order")).unwrap(), "third\nsecond\nfirst\n");
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_the_other_parts_are_stopped() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap();
    let specs = vec![registry(directory.path(), "one", ANY_PORT), registry(directory.path(), "two", address)];
    let error = Supervisor::start(program(), specs).await.unwrap_err().to_string();
    let expected = format!(
        "{address} is in use; stop the program that listens there, or give --embedded-registry-listen another port (0 picks a free one)"
    );
    assert_eq!(error, expected);
    assert_eq!(processes(directory.path()), NO_PROCESS);
}

#[tokio::test]
async fn a_directory_in_use_is_one_line() {
    let directory = TempDir::new().unwrap();
    let held = directory.path().join("registry");
    let _lock = DirectoryLock::take(&held).await.unwrap();
    let specs = vec![registry(directory.path(), "registry", ANY_PORT)];
    let error = Supervisor::start(program(), specs).await.unwrap_err().to_string();
    let expected = format!(
        "{} is used by another roundhouse; stop it, or give --data-dir another directory",
        held.display()
    );
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_part_that_never_announces_its_address_fails() {
    let reason = refusal("exec cat > /dev/null", SHORT).await;
    assert_eq!(reason, "the script failed: it was not ready after 0.5 seconds");
}

#[tokio::test]
async fn a_part_that_hangs_and_ignores_its_standard_input_is_killed() {
    let reason = refusal("trap '' TERM INT; while :; do sleep 1; done", SHORT).await;
    assert_eq!(reason, "the script failed: it was not ready after 0.5 seconds");
}

#[tokio::test]
async fn a_part_that_announces_something_else_fails() {
    let reason = refusal("echo 'Hello, I am ready!'; cat > /dev/null", PATIENCE).await;
    assert!(reason.starts_with("the script failed: it announced \"Hello, I am ready!"), "{reason}");
    let endless = refusal("while :; do printf 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; done", PATIENCE).await;
    assert!(endless.len() < 200, "{endless}");
}

#[tokio::test]
async fn a_part_that_ends_without_a_message_is_reported_with_its_exit_status() {
    assert_eq!(
        refusal("exit 7", PATIENCE).await,
        "the script failed: it ended (exit status: 7) before it was ready"
    );
}

#[tokio::test]
async fn a_part_that_announces_an_address_where_nothing_listens_fails() {
    // It was free a moment ago, so nothing listens there.
    let address = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
    let body = format!(r#"echo '{{"ready":{{"address":"{address}"}}}}'; cat > /dev/null"#);
    let reason = refusal(&body, PATIENCE).await;
    assert!(reason.contains("does not accept connections"), "{reason}");
}

#[tokio::test]
async fn a_missing_executable_is_named() {
    let directory = TempDir::new().unwrap();
    let program = Program::new(directory.path().join("nothing"), Vec::new());
    let error = Supervisor::start(program, vec![scripted(directory.path(), "script")]).await.unwrap_err();
    assert!(error.to_string().contains("nothing"), "{error}");
}

#[tokio::test]
async fn a_start_that_fails_is_fatal_at_first_and_retried_later() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let body = r#"
        echo >> runs
        case $(wc -l < runs | tr -d ' ') in
            1) ready ;;
            2|3) echo '{"failed":{"reason":"no luck"}}' ;;
            *) ready; cat > /dev/null ;;
        esac"#;
    let path = script(directory.path(), &listener, body);
    let specs = vec![scripted(directory.path(), "script")];
    let supervisor = Supervisor::start(Program::new(path, Vec::new()), specs).await.unwrap();
    let watch = supervisor.watch();
    let mut reasons = Vec::new();
    until("the fourth run", async || {
        if let PartStatus::Restarting { reason, .. } = &watch.current()[0].status
            && reasons.last() != Some(reason)
        {
            reasons.push(reason.clone());
        }
        fs::read_to_string(directory.path().join("runs")).is_ok_and(|runs| runs.len() == 4)
            && matches!(watch.current()[0].status, PartStatus::Ready { .. })
    })
    .await;
    assert!(reasons.contains(&"no luck".to_owned()), "{reasons:?}");
    supervisor.stop().await;
    assert_eq!(watch.current()[0].status, PartStatus::Stopped);
    assert_eq!(fs::read_to_string(directory.path().join("runs")).unwrap().len(), 4, "started while stopping");
}

#[tokio::test]
async fn a_part_that_writes_much_to_standard_output_is_not_blocked() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let body = "ready; dd if=/dev/zero bs=65536 count=64 2>/dev/null; : > talked; cat > /dev/null";
    let path = script(directory.path(), &listener, body);
    let specs = vec![scripted(directory.path(), "script")];
    let supervisor = Supervisor::start(Program::new(path, Vec::new()), specs).await.unwrap();
    until("everything was written", async || directory.path().join("talked").exists()).await;
    supervisor.stop().await;
}

#[tokio::test]
async fn a_part_does_not_get_the_environment_of_the_server_with_its_passwords() {
    // cargo sets this variable, and a shell does not.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "run by cargo");
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let path = script(directory.path(), &listener, "env > variables; ready; cat > /dev/null");
    let specs = vec![scripted(directory.path(), "script")];
    let supervisor = Supervisor::start(Program::new(path, Vec::new()), specs).await.unwrap();
    let variables = fs::read_to_string(directory.path().join("variables")).unwrap();
    supervisor.stop().await;
    assert!(variables.contains("PATH=") && !variables.contains("CARGO_"), "{variables}");
}

#[tokio::test]
async fn a_part_that_does_not_stop_is_killed() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let path = script(directory.path(), &listener, "ready; trap '' TERM INT; while :; do sleep 1; done");
    let program = Program::new(path, Vec::new()).with_timeouts(PATIENCE, Duration::from_millis(300));
    let supervisor = Supervisor::start(program, vec![scripted(directory.path(), "script")]).await.unwrap();
    assert_eq!(processes(directory.path()).len(), 1);
    supervisor.stop().await;
    assert_eq!(processes(directory.path()), NO_PROCESS);
}

#[tokio::test]
async fn a_cancelled_start_leaves_no_part() {
    let directory = TempDir::new().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let path = script(directory.path(), &listener, ": > started; cat > /dev/null");
    let start = Supervisor::start(Program::new(path, Vec::new()), vec![scripted(directory.path(), "script")]);
    tokio::select! {
        _ = start => panic!("it never announces itself"),
        () = until("it runs", async || directory.path().join("started").exists()) => {}
    }
    until("it is gone", async || processes(directory.path()).is_empty()).await;
}

/// Not a test: the process that the next test kills. Its variables must not reach its part.
#[tokio::test]
#[ignore = "run by the test below"]
async fn a_parent_that_waits_to_be_killed() {
    let Some(directory) = std::env::var_os(PARENT_DIRECTORY).map(PathBuf::from) else { return };
    let specs = vec![registry(&directory, "one", ANY_PORT), registry(&directory, "two", ANY_PORT)];
    let _supervisor = Supervisor::start(program(), specs).await.unwrap();
    fs::write(directory.join("ready"), "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn parts_end_with_a_parent_that_is_killed() {
    let directory = TempDir::new().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "supervision::a_parent_that_waits_to_be_killed"])
        .env(PARENT_DIRECTORY, directory.path())
        .env("ROUNDHOUSE_LOG_FORMAT", "nonsense")
        .env("ROUNDHOUSE_EMBEDDED_REGISTRY_LISTEN", "nonsense")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("both parts are ready", async || directory.path().join("ready").exists()).await;
    assert_eq!(processes(directory.path()).len(), 2);
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("both parts are gone", async || processes(directory.path()).is_empty()).await;
}
