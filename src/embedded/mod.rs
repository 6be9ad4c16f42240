//! The three services as parts of this binary. Each is a child process that speaks its service's protocol on loopback. The broker is a crate
//! of its own, `roundhouse_broker`, and so is what all parts share, `roundhouse_part`.
//!
//! A part is started with `roundhouse embedded NAME`, by hand or by the [`supervisor`]. All other modules know the parts only by their
//! URLs.

pub mod clickhouse;
pub mod registry;
pub mod supervisor;
