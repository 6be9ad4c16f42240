//! From the topic into ClickHouse, each round once.
//!
//! The loader cuts each partition into chunks of offsets. It notes the chunks it is about to insert in [`ledger`],
//! inserts each with a token that names its offsets, notes them done, and only then commits the offsets. After a
//! crash [`recovery`] reads the chunks that were noted and not done again, decides duplicates as of before them
//! ([`known_ids`]), so that each block is the same as it was, and inserts it with the same token: each table behind
//! the views takes it once and only once, whichever of them had it already; [`mending`] sees to the blocks whose token
//! survived a crash and whose rows did not. A round that comes again is compared with the one that is stored ([`repeats`]):
//! it is a duplicate or a conflict, and changes nothing. The key of a message is the round's id, so that one round is in one
//! partition, unless partitions were added. Therefore what is known is one set for the whole topic, and no two chunks that are inserted
//! together have a new round in common.
//!
//! The topic is looked at every few seconds ([`layout`]): partitions that were added are loaded under the same epoch, a topic that was
//! recreated begins a new one. What was deleted before it was loaded, or cannot be read ([`unreadable`]), is noted as a gap ([`gaps`]).
//!
//! Instead of all this, ClickHouse may consume the topic itself ([`kafka_engine`]), at-least-once.
//!
//! One server at a time loads a topic: [`lease`] says which, and ClickHouse refuses what any other one sends.

pub mod chunks;
mod content;
mod gaps;
pub mod gate;
mod inbox;
pub mod kafka_engine;
pub mod known_ids;
mod layout;
pub mod lease;
pub mod ledger;
pub(crate) mod mending;
mod recovery;
pub mod repeats;
mod restore;
pub mod run;
mod unreadable;
pub mod visibility;

use thiserror::Error;

use crate::kafka::BrokerError;
use crate::registry::RegistryError;
use crate::warehouse::client::WarehouseError;

/// Part of ClickHouse's error where a statement was sent under an earlier lease: see the fences in `queries/loader`.
const FENCED: &str = "roundhouse: the lease was taken over";

/// Why loading stopped. It is tried again.
#[derive(Debug, Error)]
pub enum LoaderError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Warehouse(WarehouseError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// ClickHouse's own consumer, without what is secret.
    #[error("cannot start ClickHouse's consumer: {0}")]
    Consumer(String),
    /// A panic, or a runtime that is being shut down.
    #[error("the loader's thread broke off: {0}")]
    Thread(#[from] tokio::task::JoinError),
    #[error("{hours} hours are not the sums of their rounds, and change while they are looked at")]
    HoursDiffer { hours: u64 },
    /// Parts of `game_rounds` are lost: what is stored is read anew, and what is lost is restored.
    #[error("rounds were lost with a part of their table; loading begins again")]
    RoundsLost,
    #[error("the bitmap of known ids cannot be read: {0}")]
    KnownIds(std::io::Error),
    /// Someone has deleted it just now: what is stored is looked at anew, and the round that came is loaded.
    #[error("round {id} was stored and is not any more")]
    RoundGone { id: u64 },
    #[error("ClickHouse's answer breaks off within a round")]
    BrokenRow,
    /// ClickHouse refuses what is sent under an earlier lease.
    #[error("another server loads the topic now")]
    TakenOver,
}

impl From<WarehouseError> for LoaderError {
    fn from(error: WarehouseError) -> Self {
        if is_fenced(&error) { Self::TakenOver } else { Self::Warehouse(error) }
    }
}

/// Whether ClickHouse refused a statement because its lease is not the last one.
pub(crate) fn is_fenced(error: &WarehouseError) -> bool {
    matches!(error, WarehouseError::Exception(exception) if exception.to_string().contains(FENCED))
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;

    use super::*;

    #[test]
    fn a_statement_that_was_sent_under_an_earlier_lease_is_told_from_other_failures() {
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
