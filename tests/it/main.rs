//! The integration tests, in one binary. Every test talks to real processes of the built binary over their protocols.
//!
//! There is a file per topic. [`harness`] starts the embedded parts and the server on free ports in temporary directories, and ends them on
//! drop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod aggregates;
mod aggregates_command;
mod api_description;
mod broken_parts;
mod command_output;
mod composite_keys;
mod conflicts;
mod crash;
mod dataset_conflicts;
mod dataset_repair;
mod dataset_status;
mod datasets;
mod datasets_command;
mod demo;
mod deployment;
mod embedded_broker;
mod embedded_clickhouse;
mod embedded_registry;
mod end_to_end;
mod endpoints;

mod files;
mod foreign_pages;
mod generate;
mod grants;
mod harness;
mod heads;
mod home;
mod installation;
mod json_rows;
mod kafka_engine;
mod latest;
mod listing_commands;
mod loader_rules;
mod native_blocks;
mod private_files;
mod readme;
mod reconcile;
mod reconcile_command;
mod reconcile_datasets;
mod repair;
#[cfg(target_os = "linux")]
mod sandbox;
mod senders;
mod several_servers;
mod shipped_datasets;
mod stalls;
mod start;
mod supervision;
mod topic_settings;
mod topics;
mod unreadable;
mod upload_command;
mod uploads;
