//! Access to ClickHouse over its HTTP interface. SQL is in `queries/`; the code that runs a query defines the struct for its rows.

pub mod aggregates;
pub mod client;
pub mod dataset_status;
mod dataset_tables;
pub mod exception;
pub mod format;
pub mod later_headers;
pub mod limited;
pub mod lost_parts;
pub mod native;
pub mod origin;
pub mod rejects;
pub mod row_binary;
mod schema;
mod start;
pub mod statements;
pub mod text;
mod transport;
pub mod upload_counts;
pub mod uploads;
pub mod visibility;

pub use self::schema::SchemaError;
