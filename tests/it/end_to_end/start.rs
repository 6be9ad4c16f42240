//! Why a server does not start: one line with the remedy, exit code 1, and no process left.

use std::net::TcpListener;

use tempfile::TempDir;

use crate::harness::server::{Server, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_its_option() {
    let directory = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in
        ["--listen", "--embedded-kafka-listen", "--embedded-registry-listen", "--embedded-clickhouse-listen"]
    {
        let refusal = refusal(&directory.path().join("data"), &[option, &address]).await;
        refusal.assert(1, &format!("{address} is in use: stop what listens there, or give {option} another port"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_engine_library_is_told_with_the_remedy() {
    let directory = TempDir::new().unwrap();
    let missing = refusal(&directory.path().join("data"), &["--clickhouse-library", "/nonexistent"]).await;
    missing.assert(1, "npm ci --prefix engine");
    assert!(missing.stderr.contains("/nonexistent"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_is_refused_and_its_holder_goes_on() {
    let server = Server::start(&[]).await;
    let refusal = refusal(&server.data_dir(), &[]).await;
    refusal.assert(1, "is used by another roundhouse: stop it, or give --data-dir another directory");
    server.until_ready().await;
}
