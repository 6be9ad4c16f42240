//! Runs the embedded parts. Each is a child process that speaks its service's protocol on loopback, and a crate of its own:
//! `roundhouse_broker`, `roundhouse_registry`, `roundhouse_clickhouse`. What they share is in `roundhouse_part`.
//!
//! A part is started with `roundhouse embedded NAME`, by hand or by the [`supervisor`]. All other modules know the parts only by their
//! URLs.

pub mod supervisor;
