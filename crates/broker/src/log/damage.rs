//! Damage: parts of the log that cannot be read. It is detected, reported and skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use roundhouse_part::counted::counted;
use thiserror::Error;
use tokio::sync::watch;
use uuid::Uuid;

/// How many damaged places are reported one by one; the others are only counted.
const MAX_REASONS: usize = 10;

/// Lost records in one place of one file. The file is not changed, so that it can still be repaired by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Damage {
    /// Offset of the first lost record.
    pub first: i64,
    /// Offset after the last lost record.
    pub next: i64,
    /// Where the damaged bytes start in the file, and where they end.
    pub position: u64,
    pub end: u64,
}

/// Why records cannot be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the records are damaged")]
    Damaged,
    #[error("the records were deleted in the meantime")]
    Deleted,
}

/// A damage, with its partition and file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub partition: PartitionName,
    pub file: PathBuf,
    pub damage: Damage,
}

/// The name of a partition for users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionName {
    pub topic: String,
    pub topic_id: Uuid,
    pub number: u32,
}

impl PartitionName {
    /// Returns the id of its log. It differs from that of every other partition, including those of a later topic with the same name.
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
            write!(f, "{file} ends at byte {position}, before these records")?;
        } else {
            write!(f, "their file is missing or empty")?;
        }
        write!(f, "; stop the broker and restore the file, or delete the records before offset {next}")
    }
}

/// All known damages.
#[derive(Debug, Default)]
pub(crate) struct Damages(watch::Sender<BTreeMap<(PartitionName, i64), Place>>);

impl Damages {
    /// Records a damage, and logs it the first time.
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

    /// Removes the damages of deleted records, those before `offset`.
    pub(super) fn forget(&self, partition: &PartitionName, offset: i64) {
        self.0.send_if_modified(|known| {
            let before = known.len();
            known.retain(|(of, _), place| of != partition || place.damage.next > offset);
            known.len() != before
        });
    }

    /// Returns a receiver that changes whenever [`Damages::reasons`] does.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<(PartitionName, i64), Place>> {
        self.0.subscribe()
    }

    /// Describes what cannot be read.
    pub fn reasons(&self) -> Vec<String> {
        let known = self.0.borrow();
        let mut reasons: Vec<String> = known.values().take(MAX_REASONS).map(Place::to_string).collect();
        if known.len() > MAX_REASONS {
            reasons.push(format!(
                "{}; see the log",
                counted((known.len() - MAX_REASONS) as u64, "more damaged place")
            ));
        }
        reasons
    }
}
