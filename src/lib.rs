//! Roundhouse reads CSV exports of game rounds and turns them into exactly-once rows and hourly aggregates.
//!
//! The modules, and which of them may use which:
//!
//! - [`domain`]: money, times, columns: parsed once, no I/O. Every module may use it; it uses no other module.
//! - [`ingest`]: CSV bytes to Avro to Kafka. Uses `registry` and `kafka`.
//! - [`loader`]: the topic into ClickHouse, exactly once. Uses `kafka`, `registry` and `warehouse`.
//! - [`reconcile`]: checks that every row of a file is stored, and repairs differences. Uses `ingest` and `warehouse`.
//! - [`registry`], [`kafka`], [`warehouse`]: clients of the three services. [`connection`]: explains why one cannot be reached.
//! - [`http`]: the API. Handlers are thin: extract, call one module, shape the answer.
//! - [`embedded`]: runs the three services as supervised child processes of this binary. Only `commands` uses it.
//! - `roundhouse_broker`, `roundhouse_registry`, `roundhouse_clickhouse`: the embedded parts, a crate each. Only `commands` uses them. What
//!   they share: `roundhouse_part`. What all HTTP listeners share: `roundhouse_listener`.
//! - [`generate`]: generates sample files. Uses no other module except its options.
//! - [`commands`]: one file per subcommand; all wiring is here. Only it imports `http`.
//! - [`settings`], [`telemetry`], [`metrics`]: options, logs, Prometheus metrics.
//! - [`disk`]: free space, and the reserve that is kept free.
//! - [`owner`], [`memory`], `roundhouse_part::{lock, durable}`: the server's identity across restarts, allocator settings, locks, files that are replaced as
//!   a whole. `counted`: counts in words.

pub mod commands;
pub mod connection;
mod counted;
pub mod disk;
pub mod domain;
pub mod embedded;
pub mod generate;
pub mod http;
pub mod ingest;
pub mod kafka;
pub mod loader;
pub mod memory;
pub mod metrics;
pub mod owner;
pub mod reconcile;
pub mod registry;
pub mod settings;
pub mod telemetry;
pub mod warehouse;
