//! The last row of each key of a dataset, in memory (`[latest]` in its `dataset.toml`).
//!
//! Every server has its own ([`values`]). It reads a table of ClickHouse ([`table`]), and then follows the topic from the offsets up to which
//! the table has everything ([`begin`], [`follow`]). Which of two rows is later does not depend on when they are read ([`layout`]), so reading
//! a message again changes nothing, and all servers have the same rows. Once a second, [`watch`] compares the topic with what was
//! read: a topic with more partitions, or one that was recreated, is followed anew ([`run`]).
//!
//! Memory is limited ([`store`]). Keys without a place are left to ClickHouse. So are all requests while the rows are not up to date
//! ([`status`]).

pub mod begin;
mod follow;
pub mod layout;
pub mod run;
mod status;
mod store;
mod table;
pub mod values;
mod watch;

use thiserror::Error;

use crate::kafka::BrokerError;
use crate::loader::LoaderError;
use crate::registry::RegistryError;
use crate::warehouse::client::WarehouseError;

/// Why the topic is not followed. It is tried again.
#[derive(Debug, Error)]
pub enum LatestError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error("no server has begun to load the topic yet")]
    NotLoaded,
    #[error("the topic was recreated, and no server has begun to load it again yet")]
    Recreated,
    #[error("ClickHouse's rows cannot be read: they do not have the types of the schema")]
    Unreadable,
    #[error("following the topic was aborted: {0}")]
    Aborted(#[from] tokio::task::JoinError),
}
