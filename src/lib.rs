//! Roundhouse reads CSV exports of game rounds and turns them into exactly-once rows and hourly aggregates.
//!
//! # Map
//!
//! Which module does what, and which others it may use. A crate of this repository counts as a module. Each one uses only lines below its own.
//! The tests in `src/boundaries` compare this table with the code.
//!
//! | module | what it does | uses |
//! |---|---|---|
//! | [`commands`] | One file per subcommand. All wiring is here | everything |
//! | [`generate`] | Generates files of invented rows | `settings` |
//! | [`telemetry`] | Starts the log | `settings` |
//! | [`embedded`] | Runs the embedded parts as child processes of this binary, restarts them, stops them | `roundhouse_part` |
//! | [`roundhouse_broker`] | The embedded Kafka broker | `roundhouse_part` |
//! | [`roundhouse_registry`] | The embedded schema registry | `roundhouse_listener`, `roundhouse_part` |
//! | [`roundhouse_clickhouse`] | The embedded ClickHouse: the engine library and its HTTP interface | `roundhouse_listener`, `roundhouse_part`, `roundhouse_sql` |
//! | [`http`] | The API. Handlers are thin: extract, call one module, shape the answer | `endpoints`, `latest`, `plot`, `reconcile`, `loader`, `ingest`, `metrics`, `warehouse`, `registry`, `kafka`, `settings`, `dataset`, `disk`, `counted`, `domain`, `roundhouse_listener`, `roundhouse_part` |
//! | [`endpoints`] | Runs the queries of datasets: values, pages, answers that are kept | `latest`, `warehouse`, `dataset`, `domain`, `roundhouse_part` |
//! | [`latest`] | The last row of each key of a dataset, in memory | `loader`, `warehouse`, `registry`, `kafka`, `wire`, `dataset`, `domain`, `roundhouse_part` |
//! | [`guess`] | Guesses a dataset from the rows of a file | `ingest`, `counted`, `domain` |
//! | [`reconcile`] | Checks that every valid row of a file is stored, and repairs differences | `loader`, `ingest`, `metrics`, `warehouse`, `kafka`, `settings`, `dataset`, `disk`, `counted`, `domain`, `roundhouse_part` |
//! | [`loader`] | Loads the topic into ClickHouse, each round once | `ingest`, `metrics`, `warehouse`, `registry`, `kafka`, `wire`, `settings`, `dataset`, `domain` |
//! | [`ingest`] | Bytes of CSV or JSON to rows to Avro to acknowledged Kafka records | `metrics`, `warehouse`, `registry`, `kafka`, `wire`, `settings`, `dataset`, `disk`, `counted`, `domain`, `roundhouse_part` |
//! | [`metrics`] | Counts for Prometheus | `warehouse` |
//! | [`wire`] | The messages of the topics: rows in Avro, and headers | `domain` |
//! | [`warehouse`] | The client of ClickHouse | `settings`, `dataset`, `connection`, `counted`, `domain` |
//! | [`registry`] | The client of the schema registry | `settings`, `connection`, `domain`, `roundhouse_part` |
//! | [`kafka`] | The client of Kafka | `roundhouse_part` |
//! | [`settings`] | Every option: its flag, variable, default and unit | `dataset`, `roundhouse_listener`, `roundhouse_part` |
//! | [`owner`] | The server's identity across restarts | `roundhouse_part` |
//! | [`dataset`] | Datasets: kinds of rows, described by files, which are checked here | `domain`, `roundhouse_sql` |
//! | [`plot`] | Draws figures as SVG and PNG | nothing |
//! | [`connection`] | Explains why a service cannot be reached | nothing |
//! | [`disk`] | Free space, and the reserve that is kept free | `counted` |
//! | [`counted`] | Counts in words | `roundhouse_part` |
//! | [`memory`] | Settings of the allocator | nothing |
//! | [`domain`] | Money, times, columns: parsed once, no I/O | nothing |
//! | [`roundhouse_sql`] | Cuts ClickHouse's SQL into tokens | nothing |
//! | [`roundhouse_listener`] | What all HTTP listeners share: which requests they accept, how much of one, and what its headers say | nothing |
//! | [`roundhouse_part`] | What the embedded parts share, and the server uses for its own files: lifecycle, sandbox, locks, durable files | nothing |

#[cfg(test)]
mod boundaries;
pub mod commands;
pub mod connection;
mod counted;
pub mod dataset;
pub mod disk;
pub mod domain;
pub mod embedded;
pub mod endpoints;
pub mod generate;
pub mod guess;
pub mod http;
pub mod ingest;
pub mod kafka;
pub mod latest;
pub mod loader;
pub mod memory;
pub mod metrics;
pub mod owner;
pub mod plot;
pub mod reconcile;
pub mod registry;
pub mod settings;
pub mod telemetry;
pub mod warehouse;
pub mod wire;
