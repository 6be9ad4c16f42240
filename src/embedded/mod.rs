//! The three services as parts of this binary. Each is a child process that speaks its service's protocol on loopback.
//!
//! A part is started with `roundhouse embedded NAME`, by hand or by the [`supervisor`]. All other modules know the parts only by their
//! URLs.

pub mod clickhouse;
pub mod registry;
pub mod supervisor;

pub use roundhouse_broker as broker;
pub use roundhouse_part::{EmbeddedError, lifecycle as part, mark, private, record_log, sandbox, streams};
