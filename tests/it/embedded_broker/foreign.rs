//! Kafka clients for Python. The slower clients, in Go and Java, are tested by `make test-clients`.

use std::process::Command;

use super::kafka::TestBroker;
use crate::harness::installed;

/// Runs a program of `tests/clients` with the address of a broker of its own.
fn passes(program: &str) {
    let broker = TestBroker::start();
    let output = Command::new(installed(".venv/bin/python"))
        .arg(installed(program))
        .arg(broker.part.address.to_string())
        .output()
        .unwrap();
    let (lines, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}: {lines}{errors}");
}

#[test]
fn a_python_client_produces_with_every_codec_and_reads_back() {
    passes("kafka_client.py");
}

#[test]
fn every_check_with_confluent_kafka_passes() {
    passes("kafka/confluent_client.py");
}

#[test]
fn every_check_with_kafka_python_passes() {
    passes("kafka/kafka_python_client.py");
}

#[test]
fn every_check_with_aiokafka_passes() {
    passes("kafka/aiokafka_client.py");
}
