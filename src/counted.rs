//! Counts in words.

pub use roundhouse_part::counted::counted;
