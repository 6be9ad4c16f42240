//! Tests with third-party clients.

use std::process::Command;

use apache_avro::types::Value as Avro;
use schema_registry_converter::async_impl::avro::{AvroDecoder, AvroEncoder};
use schema_registry_converter::async_impl::schema_registry::{SrSettings, post_schema};
use schema_registry_converter::schema_registry_common::{SchemaType, SubjectNameStrategy, SuppliedSchema};

use super::{Registry, accepted};
use crate::harness::installed;

const BET: &str = r#"{"type":"record","name":"Bet","fields":[
    {"name":"id","type":"long"},
    {"name":"amount","type":["null",{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}]},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

#[tokio::test]
async fn schema_registry_converter_encodes_and_decodes() {
    let registry = Registry::start();
    let settings = SrSettings::new(registry.part.url());
    let schema = SuppliedSchema::new(Some("Bet".into()), SchemaType::Avro, BET.into());
    let posted = post_schema(&settings, "bets-value".into(), schema.clone()).await.unwrap();

    let row = || vec![("id", Avro::Long(20_000)), ("amount", Avro::Null), ("at", Avro::TimestampMillis(7))];
    let with_schema = SubjectNameStrategy::TopicNameStrategyWithSchema("bets".into(), false, schema);
    let message = AvroEncoder::new(settings.clone()).encode(row(), with_schema).await.unwrap();
    assert_eq!(message[1..5], posted.id.to_be_bytes());
    let latest = SubjectNameStrategy::TopicNameStrategy("bets".into(), false);
    assert_eq!(AvroEncoder::new(settings.clone()).encode(row(), latest).await.unwrap(), message);

    let decoded = AvroDecoder::new(settings).decode(Some(&message)).await.unwrap();
    let Avro::Record(fields) = decoded.value else { panic!("{:?}", decoded.value) };
    assert_eq!(fields[0], ("id".to_owned(), Avro::Long(20_000)));
    assert_eq!(fields[2], ("at".to_owned(), Avro::TimestampMillis(7)));
    assert_eq!(accepted(registry.get("/subjects/bets-value/versions").await), serde_json::json!([1]));
}

#[tokio::test]
async fn confluent_kafka_for_python_works_with_all_its_functions() {
    let registry = Registry::start();
    let output = Command::new(installed(".venv/bin/python"))
        .arg(installed("registry_client.py"))
        .arg(registry.part.url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
