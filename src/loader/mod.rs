//! From the topic into ClickHouse, each round once.
//!
//! The loader cuts each partition into chunks of offsets. It notes the chunks it is about to insert in [`ledger`],
//! inserts each with a token that names its offsets, notes them done, and only then commits the offsets. After a
//! crash [`recovery`] reads the chunks that were noted and not done again, decides duplicates as of before them
//! ([`known_ids`]), so that each block is the same as it was, and inserts it with the same token: each table behind
//! the views takes it once and only once, whichever of them had it already; [`mending`] sees to the blocks whose token
//! survived a crash and whose rows did not. A round that comes again is compared with the one that is stored ([`repeats`]):
//! it is a duplicate or a conflict, and changes nothing. Since the key of a message is the round's
//! id, one round is always in one partition, and its loader alone decides whether it is new.
//!
//! Instead of all this, ClickHouse may consume the topic itself ([`kafka_engine`]), at-least-once.
//!
//! At most one loader per topic may run: the data directory's lock sees to it for the embedded parts; elsewhere it is
//! the operator's part (`--loader none` on all servers but one).

pub mod chunks;
mod content;
pub mod gate;
pub mod kafka_engine;
pub mod known_ids;
pub mod ledger;
pub(crate) mod mending;
pub mod recovery;
pub mod repeats;
mod restore;
pub mod run;
pub mod visibility;

use thiserror::Error;

use crate::kafka::BrokerError;
use crate::registry::RegistryError;
use crate::warehouse::client::WarehouseError;

/// Why loading stopped. All but one pass by themselves, and loading goes on.
#[derive(Debug, Error)]
pub enum LoaderError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
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
    #[error(
        "topic {topic} has {found} partitions and had {known}: rounds have moved between partitions, so that what is \
         new can no longer be told; delete the topic and make it anew, or give another with --kafka-topic"
    )]
    PartitionsChanged { topic: String, known: u16, found: u16 },
    #[error("another server has taken topic {topic} over: let all but one run with --loader none")]
    TakenOver { topic: String },
}

impl LoaderError {
    /// Whether trying again is no use until someone has done something.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::PartitionsChanged { .. } | Self::TakenOver { .. })
    }
}
