//! What of the log cannot be read: found, told, and gone around.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokio::sync::watch;
use uuid::Uuid;

/// Damages that are told one by one; further ones are counted.
const TOLD: usize = 10;

/// Records that are lost, in one place of one file. Nothing of the file is changed: who knows how to mend it still can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Damage {
    /// Offset of the first record that is lost.
    pub first: i64,
    /// Offset after the last one.
    pub next: i64,
    /// Where in the file the bytes are that are not the records, and where they end.
    pub position: u64,
    pub end: u64,
}

/// Why records are not read.
#[derive(Debug, Error)]
pub(in super::super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the records are damaged")]
    Damaged,
}

/// A damage with the names of its partition and its file.
#[derive(Clone, Debug)]
pub(in super::super) struct Place {
    pub partition: PartitionName,
    pub file: PathBuf,
    pub damage: Damage,
}

/// What users call a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct PartitionName {
    pub topic: String,
    pub topic_id: Uuid,
    pub number: u32,
}

impl PartitionName {
    /// The id of its log, which differs from that of any other partition, also of a later topic of this name.
    pub fn owner(&self) -> Uuid {
        Uuid::from_u128(self.topic_id.as_u128() ^ u128::from(self.number))
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} of topic {}", self.number, self.topic)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, file, damage: Damage { first, next, position, end } } = self;
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let last = next - 1;
        write!(f, "{partition}: offsets {first} to {last} cannot be read, ")?;
        if end > position {
            write!(f, "{file} is damaged at byte {position}")?;
        } else if *end > 0 {
            write!(f, "{file} ends at byte {position} before them")?;
        } else {
            write!(f, "their file is missing or empty")?;
        }
        write!(f, "; stop the broker and restore the file, or delete the records before offset {next}")
    }
}

/// All damages that are known.
#[derive(Debug, Default)]
pub(in super::super) struct Damages(watch::Sender<BTreeMap<(PartitionName, i64), Place>>);

impl Damages {
    /// Notes a damage, and logs it the first time.
    pub(super) fn note(&self, place: Place) {
        self.0.send_if_modified(|known| {
            let key = (place.partition.clone(), place.damage.first);
            if known.get(&key).is_some_and(|known| known.damage == place.damage) {
                return false;
            }
            tracing::error!(file = %place.file.display(), "the log is damaged: {place}");
            known.insert(key, place);
            true
        });
    }

    /// Forgets the damages of records before `offset`, which were deleted.
    pub(super) fn forget(&self, partition: &PartitionName, offset: i64) {
        self.0.send_if_modified(|known| {
            let before = known.len();
            known.retain(|(of, _), place| of != partition || place.damage.next > offset);
            known.len() != before
        });
    }

    /// Follows what [`Damages::told`] returns.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<(PartitionName, i64), Place>> {
        self.0.subscribe()
    }

    /// Says in plain words what cannot be read.
    pub fn told(&self) -> Vec<String> {
        let known = self.0.borrow();
        let mut told: Vec<String> = known.values().take(TOLD).map(Place::to_string).collect();
        if known.len() > TOLD {
            told.push(format!("{} more places are damaged, see the log", known.len() - TOLD));
        }
        told
    }
}
