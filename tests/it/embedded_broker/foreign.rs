//! confluent-kafka for Python, a client with every codec built in.

use std::process::Command;

use super::kafka::TestBroker;
use crate::harness::repository;

#[test]
fn a_python_client_produces_with_every_codec_and_reads_back() {
    let broker = TestBroker::start();
    let clients = repository().join("tests/clients");
    let python = clients.join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make test-clients`", python.display());
    let output = Command::new(python)
        .arg(clients.join("kafka_client.py"))
        .arg(broker.part.address.to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{errors}", String::from_utf8_lossy(&output.stdout));
}
