//! Runs the endpoints of datasets: checks them against ClickHouse, reads the values of a request, and reads rows page by page.

pub mod arguments;
pub mod cache;
pub mod cursor;
mod keys;
pub mod latest;
mod prepare;
mod run;
mod select;

use std::sync::Arc;

use thiserror::Error;

use crate::dataset::endpoint::Endpoint;
use crate::dataset::endpoint::types::Type;
use crate::warehouse::client::WarehouseError;

pub use self::keys::Key;
use self::latest::Answering;
pub use self::prepare::{PrepareError, prepare};
pub use self::run::{Found, Table, rows, table};

/// Most bytes of an answer in JSON, which is complete before it is sent.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;

/// An endpoint, or a check, with the columns of its result.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub dataset: Arc<str>,
    pub endpoint: Endpoint,
    pub columns: Vec<Column>,
    /// How requests are answered from memory.
    pub latest: Option<Answering>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Type,
}

impl Prepared {
    /// Returns its path below the dataset.
    pub fn path(&self) -> String {
        let folder = if self.endpoint.check.is_some() { "checks/" } else { "" };
        format!("/datasets/{}/{folder}{}", self.dataset, self.endpoint.name)
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// A value is missing, unknown or not allowed.
    #[error("parameter {name}: {detail}")]
    Parameter { name: String, detail: String },
    #[error("no row matches the parameters")]
    NoRow,
    #[error("the answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("more than {limit} rows cannot be drawn")]
    TooManyPoints { limit: usize },
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl EndpointError {
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::Parameter { name: name.to_owned(), detail: detail.into() }
    }
}
