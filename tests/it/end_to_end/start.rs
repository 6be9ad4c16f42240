//! A server that cannot start: one line with the cause and the remedy, exit code 1, and no process left.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::ROUNDHOUSE;
use crate::harness::command::run;
use crate::harness::files::csv;
use crate::harness::process::processes;
use crate::harness::server::{Server, interrupted, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_its_option() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in
        ["--listen", "--embedded-kafka-listen", "--embedded-registry-listen", "--embedded-clickhouse-listen"]
    {
        let refusal = refusal(&directory.path().join("data"), &[option, &address]).await;
        refusal.assert(
            1,
            &format!("{address} is in use; stop the program that listens there, or give {option} "),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_engine_library_is_named_with_the_remedy() {
    let directory = TempDir::new().unwrap();
    let missing = refusal(&directory.path().join("data"), &["--clickhouse-library", "/nonexistent"]).await;
    missing.assert(1, "/nonexistent does not exist; correct --clickhouse-library");

    let alone = directory.path().join("roundhouse");
    fs::copy(ROUNDHOUSE, &alone).unwrap();
    let data_dir = directory.path().join("clickhouse");
    let mut command = Command::new(&alone);
    command.args(["embedded", "clickhouse", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir);
    let said = run(command).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let next_to_it = format!("missing (looked at {}", directory.path().join("libchdb.so").display());
    assert!(said.stderr.contains(&next_to_it) && said.stderr.contains("make build"), "{}", said.stderr);
    assert!(!data_dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cases = [
        ("--listen", address.as_str()),
        ("--embedded-kafka-listen", &address),
        ("--embedded-clickhouse-listen", &address),
        ("--clickhouse-library", "/nonexistent"),
        // The parts already run when this one is refused.
        ("--kafka-topic", "not a name"),
    ];
    for (option, value) in cases {
        let refused = refusal(&directory.path().join("deep/data"), &[option, value]).await;
        assert_ne!(refused.exit_code, Some(0));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{option}: {}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_interrupted_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let data_dir = directory.path().join("deep/data");
    for part in ["registry", "clickhouse"] {
        let stopped = interrupted(&data_dir, part).await;
        assert_eq!((stopped.exit_code, stopped.stderr.as_str()), (Some(0), ""));
        assert!(processes(&data_dir).is_empty(), "it left a process");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_start_keeps_what_an_earlier_one_has_stored() {
    let mut server = Server::start(&[]).await;
    server.upload(csv(0..10), "wait=visible").await.ok();
    server.stop().await;
    let stopped = interrupted(&server.data_dir(), "clickhouse").await;
    assert_eq!((stopped.exit_code, stopped.stderr.as_str()), (Some(0), ""));
    server.restart().await;
    assert_eq!(server.clickhouse("SELECT count() FROM game_rounds").await, "10");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_is_refused_and_its_server_keeps_running() {
    let server = Server::start(&[]).await;
    let refusal = refusal(&server.data_dir(), &[]).await;
    refusal.assert(1, "is used by another roundhouse; stop it, or give --data-dir another directory");
    server.until_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_file_exists_as_long_as_the_server_is_ready() {
    let mut server = Server::start(&[]).await;
    let path = server.ready_file();
    // A server that cannot use the directory does not touch the file of the running one.
    let refused = refusal(&server.data_dir(), &["--ready-file", path.to_str().unwrap()]).await;
    refused.assert(1, "is used by another roundhouse");
    assert!(path.exists());
    server.stop().await;
    assert!(!path.exists());

    // A killed server leaves its file. The next one removes it, even if it never becomes ready.
    let directory = TempDir::new().unwrap();
    let old = directory.path().join("ready.json");
    fs::write(&old, "{}").unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let options = ["--ready-file", old.to_str().unwrap(), "--embedded-registry-listen", &taken];
    refusal(&directory.path().join("data"), &options).await.assert(1, "is in use");
    assert!(!old.exists());
}
