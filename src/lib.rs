//! Roundhouse: CSV exports of game rounds in, exactly-once rows and hourly aggregates out.
//!
//! The rooms, and who may enter which:
//!
//! - [`domain`]: money, rounds, hours: parsed once, no I/O; everyone may use it, it uses nothing of ours.
//! - [`ingest`]: bytes of CSV to Avro to Kafka. Uses `registry` and `kafka`.
//! - [`loader`]: the topic to ClickHouse, exactly once. Uses `kafka`, `registry` and `warehouse`.
//! - [`reconcile`]: is every row of a file there? Uses `ingest` and `warehouse`.
//! - [`registry`], [`kafka`], [`warehouse`]: the three services, each a URL to us. [`connection`]: why one cannot be reached.
//! - [`http`]: the API. Thin: extract, call one room, shape the reply.
//! - [`embedded`]: the three services as supervised child processes of this binary. Only `commands` sees it.
//! - [`guard`]: who may send requests, the same for all HTTP listeners. Uses nothing of ours.
//! - [`generate`]: invented files to try it all with. Uses nothing of ours but its options.
//! - [`commands`]: one file per subcommand; all wiring is here. Only it imports `http`.
//! - [`settings`], [`telemetry`], [`metrics`]: options, logs, what is counted.
//! - [`disk`]: free space, and the part of it that is kept in reserve.
//! - [`owner`], [`memory`], `lock`: who a server is from one start to the next, its allocator's settings, its locks.

pub mod commands;
pub mod connection;
pub mod disk;
pub mod domain;
pub mod embedded;
pub mod generate;
pub mod guard;
pub mod http;
mod http1;
pub mod ingest;
pub mod kafka;
pub mod loader;
mod lock;
pub mod memory;
pub mod metrics;
pub mod owner;
pub mod reconcile;
pub mod registry;
pub mod settings;
pub mod telemetry;
pub mod warehouse;
