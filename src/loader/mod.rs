//! Loads the topic into ClickHouse, each round once.
//!
//! The loader gathers the messages that arrive into batches ([`gathering`]): a chunk of offsets for each partition, and a block of rows for
//! each table ([`batch`]). It notes the chunks of a batch in [`ledger`], inserts the rows with a token that names all their offsets, marks
//! the chunks done, and only then commits the offsets ([`loading`]). Meanwhile the next batch is gathered. After a crash, [`recovery`] reads
//! the chunks again that were noted but not done. Duplicates are decided as they were before these chunks ([`known_keys`]), so that the rows
//! are the same as before, and they are inserted with the same token. Each table that they go into accepts a token once, whichever of them
//! had it already. [`mending`] restores rows whose token survived a crash without them. A round that comes again is compared with
//! the stored one ([`repeats`]): it is a duplicate or a conflict, and changes nothing. Messages of one row are in one partition, unless
//! partitions were added, the dataset chooses them by other columns, or another producer does. Therefore the known keys are one set for
//! the whole topic ([`key_set`]), and no two chunks of a batch have a new row in common.
//!
//! The topic is checked every few seconds ([`layout`]): added partitions are loaded under the same epoch, and a recreated topic begins a
//! new epoch. Messages that were deleted before they were loaded, or that cannot be read ([`unreadable`]), are recorded as gaps ([`gaps`]).
//!
//! Instead of all this, ClickHouse can consume the topic itself ([`kafka_engine`]), at least once.
//!
//! One server at a time loads a topic: [`lease`] decides which one, and ClickHouse refuses what the others send.

pub mod batch;
pub mod chunk;
pub mod content;
pub mod epochs;
mod gaps;
pub mod gate;
mod gathering;
mod inbox;
pub mod kafka_engine;
pub mod key_set;
mod known_keys;
mod layout;
pub mod lease;
pub mod ledger;
mod loading;
pub(crate) mod mending;
pub mod needs;
pub mod reading;
pub mod recovery;
mod rejects;
pub mod repeats;
mod restore;
mod retry;
pub mod run;
mod session;
pub mod state;
mod unreadable;

use thiserror::Error;

use crate::kafka::BrokerError;
use crate::registry::RegistryError;
use crate::warehouse::client::WarehouseError;

/// Part of ClickHouse's error if a statement was sent under an earlier lease: see the fences in `queries/engine/loader`.
const FENCED: &str = "roundhouse: the lease was taken over";

/// Why loading stopped. It is retried.
#[derive(Debug, Error)]
pub enum LoaderError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Warehouse(WarehouseError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// ClickHouse's own consumer. The text has no secrets in it.
    #[error("cannot start ClickHouse's consumer: {0}")]
    Consumer(String),
    /// A panic, or the runtime is shutting down.
    #[error("the loader's thread stopped: {0}")]
    Thread(#[from] tokio::task::JoinError),
    #[error(
        "{rows} rows of {table} do not match the sums of their rows and keep changing while being checked"
    )]
    SumsDiffer { table: String, rows: u64 },
    /// Parts of a row table are lost. The known keys are read again, and lost rows are restored.
    #[error("rounds were lost with a part of their table; loading starts again")]
    RoundsLost,
    #[error("cannot read the bitmap of known keys: {0}")]
    KnownKeys(std::io::Error),
    /// It was deleted just now. The known keys are read again, and the message's row is loaded as new. `id`: the last column of its key.
    #[error("row {id} was deleted while it was being compared")]
    RowGone { id: u64 },
    #[error("ClickHouse's answer ends in the middle of a row")]
    BrokenRow,
    /// ClickHouse refused a statement that was sent under an earlier lease.
    #[error("another server has taken over the topic")]
    TakenOver,
}

impl From<WarehouseError> for LoaderError {
    fn from(error: WarehouseError) -> Self {
        if is_fenced(&error) { Self::TakenOver } else { Self::Warehouse(error) }
    }
}

/// Whether ClickHouse refused a statement because its lease is not the latest one.
pub(crate) fn is_fenced(error: &WarehouseError) -> bool {
    matches!(error, WarehouseError::Exception(exception) if exception.to_string().contains(FENCED))
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;

    use super::*;

    #[test]
    fn a_statement_under_an_earlier_lease_is_distinguished_from_other_failures() {
        let error = |text: &str| LoaderError::from(WarehouseError::from(Error::BadResponse(text.to_owned())));
        let fenced = format!(
            "Code: 395. DB::Exception: {FENCED}: while executing 'FUNCTION throwIf' (FUNCTION_THROW_IF)"
        );
        assert!(matches!(error(&fenced), LoaderError::TakenOver));
        assert!(matches!(
            error("Code: 60. DB::Exception: no table (UNKNOWN_TABLE)"),
            LoaderError::Warehouse(_)
        ));
    }
}
