//! The production setup: docker-compose.yml, the files that it names, and the program fit together.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use clap::CommandFactory;
use roundhouse::settings::Cli;
use serde_json::Value;

use crate::harness::{installed, repository};

/// Returns docker-compose.yml, checked against the types of the Compose Specification. An unknown key is an error.
fn compose() -> &'static Value {
    static COMPOSE: LazyLock<Value> = LazyLock::new(read_compose);
    &COMPOSE
}

fn read_compose() -> Value {
    let output = Command::new(installed(".venv/bin/python"))
        .arg(installed("compose.py"))
        .arg(repository().join("docker-compose.yml"))
        .output()
        .expect("run Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().expect("services").iter()
}

fn texts(values: &Value) -> impl Iterator<Item = &str> {
    values.as_array().into_iter().flatten().map(|value| value.as_str().expect("text"))
}

#[test]
fn roundhouse_reads_every_variable_that_compose_sets() {
    let compose = compose();
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve").expect("serve");
    let known: BTreeSet<_> = serve.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let dockerfile = fs::read_to_string(repository().join("Dockerfile")).expect("Dockerfile");
    let words = dockerfile.split_whitespace().filter_map(|word| word.split_once('='));
    let image = words.map(|(name, _)| name).filter(|name| name.starts_with("ROUNDHOUSE_"));
    let environment = compose["services"]["roundhouse"]["environment"].as_object().expect("environment");
    let given: BTreeSet<_> = environment.keys().map(String::as_str).chain(image).collect();
    assert!(given.is_subset(&known), "unknown: {:?}", given.difference(&known));
}

#[test]
fn compose_sets_a_url_for_each_service_so_none_is_embedded() {
    let compose = compose();
    let environment = &compose["services"]["roundhouse"]["environment"];
    for (variable, host) in [
        ("ROUNDHOUSE_KAFKA_BROKERS", "redpanda:"),
        ("ROUNDHOUSE_SCHEMA_REGISTRY_URL", "http://redpanda:"),
        ("ROUNDHOUSE_CLICKHOUSE_URL", "http://clickhouse:"),
    ] {
        assert!(environment[variable].as_str().is_some_and(|url| url.starts_with(host)), "{variable}");
    }
}

#[test]
fn services_wait_only_for_services_that_have_a_health_check() {
    let compose = compose();
    for (name, service) in services(compose) {
        for dependency in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(dependency.1["condition"], "service_healthy", "{name}");
            let check = &compose["services"][dependency.0]["healthcheck"]["test"];
            assert!(check.is_array(), "{name} waits for {}, which has no health check", dependency.0);
        }
    }
}

#[test]
fn ports_are_published_on_loopback_only_and_memory_and_versions_are_fixed() {
    let compose = compose();
    for (name, service) in services(compose) {
        for port in texts(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        assert!(service["mem_limit"].is_string(), "{name} has no memory limit");
        let image = service["image"].as_str().expect("an image");
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image} does not name a version");
    }
}

#[test]
fn volumes_are_declared_and_mounted_files_exist() {
    let compose = compose();
    let declared = compose["volumes"].as_object().expect("volumes");
    for (name, service) in services(compose) {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().expect("a source");
            let found = match source.strip_prefix("./") {
                Some(file) => repository().join(file).is_file(),
                None => declared.contains_key(source),
            };
            assert!(found, "{name} mounts {source}");
        }
    }
}

#[test]
fn the_example_environment_file_names_every_required_variable() {
    let text = fs::read_to_string(repository().join("docker-compose.yml")).expect("docker-compose.yml");
    let required: BTreeSet<_> =
        text.split("${").skip(1).filter_map(|rest| rest.split_once(":?")).map(|(name, _)| name).collect();
    let example = fs::read_to_string(repository().join(".env.example")).expect(".env.example");
    let named: BTreeSet<_> = example.lines().filter_map(|line| line.strip_suffix('=')).collect();
    assert_eq!(required, named);
}

#[test]
fn the_clickhouse_server_has_the_release_of_the_embedded_engine() {
    let compose = compose();
    let image = compose["services"]["clickhouse"]["image"].as_str().expect("an image");
    let package = fs::read_to_string(repository().join("engine/package.json")).expect("engine/package.json");
    let package: Value = serde_json::from_str(&package).expect("JSON");
    let engine = package["dependencies"]["@chdb/lib-linux-x64-gnu"].as_str().expect("a version");
    let release: Vec<&str> = engine.split('.').take(2).collect();
    assert_eq!(image.rsplit_once(':').map(|(_, tag)| tag), Some(release.join(".").as_str()));
}
