//! The messages of the topics: the values of a row in Avro, and headers. Producers and loaders share it.

pub mod avro;
pub mod headers;
