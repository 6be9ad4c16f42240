//! Remembers the last batches of each idempotent producer. A batch that is sent again is acknowledged again but not stored again.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use nisshi_sans_io::ErrorCode;

use super::batch::Header;
use crate::durable::replace_file;

/// Batches remembered per producer. A producer may have this many unacknowledged ones.
const REMEMBERED_BATCHES: usize = 5;

/// Producers remembered per partition. Beyond that, those that have been quiet the longest are forgotten.
const REMEMBERED_PRODUCERS: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    recent: VecDeque<Remembered>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

/// Whether a batch must be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    /// It is already stored, at this offset.
    Stored(i64),
}

impl Producers {
    /// Compares a batch with what its producer sent before.
    ///
    /// # Errors
    /// The Kafka error: an earlier batch is missing, or the batch's epoch is old.
    pub fn judge(&self, batch: &Header) -> Result<Verdict, ErrorCode> {
        let Some(known) = self.by_id.get(&batch.producer_id).filter(|_| batch.producer_id >= 0) else {
            return Ok(Verdict::New);
        };
        if batch.producer_epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if batch.producer_epoch > known.epoch {
            return if batch.base_sequence == 0 {
                Ok(Verdict::New)
            } else {
                Err(ErrorCode::OutOfOrderSequenceNumber)
            };
        }
        let same = |sent: &&Remembered| {
            sent.first_sequence == batch.base_sequence && sent.last_sequence == batch.last_sequence()
        };
        if let Some(sent) = known.recent.iter().find(same) {
            return Ok(Verdict::Stored(sent.base_offset));
        }
        let expected = known.recent.back().map_or(0, |sent| sent.last_sequence.wrapping_add(1) & i32::MAX);
        if batch.base_sequence == expected {
            Ok(Verdict::New)
        } else if batch.base_sequence < expected {
            Err(ErrorCode::DuplicateSequenceNumber)
        } else {
            Err(ErrorCode::OutOfOrderSequenceNumber)
        }
    }

    /// Remembers a batch, which was stored at the offset in its header.
    pub fn remember(&mut self, batch: &Header) {
        if batch.producer_id < 0 {
            return;
        }
        let producer = self
            .by_id
            .entry(batch.producer_id)
            .or_insert_with(|| Producer { epoch: batch.producer_epoch, recent: VecDeque::new() });
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.recent.clear();
        }
        producer.recent.push_back(Remembered {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        if producer.recent.len() > REMEMBERED_BATCHES {
            producer.recent.pop_front();
        }
        if self.by_id.len() > REMEMBERED_PRODUCERS {
            self.forget_the_quietest();
        }
    }

    /// Forgets the half of the producers that have been quiet the longest.
    fn forget_the_quietest(&mut self) {
        let last = |producer: &Producer| producer.recent.back().map_or(-1, |sent| sent.base_offset);
        let mut offsets: Vec<i64> = self.by_id.values().map(last).collect();
        let middle = offsets.len() / 2;
        let (_, &mut median, _) = offsets.select_nth_unstable(middle);
        self.by_id.retain(|_, producer| last(producer) >= median);
    }

    /// Writes everything to a file and syncs it. A new segment needs it, because its log does not contain the earlier batches.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        for (id, producer) in &self.by_id {
            let _ = write!(text, "{id} {}", producer.epoch);
            for sent in &producer.recent {
                let _ = write!(text, " {} {} {}", sent.first_sequence, sent.last_sequence, sent.base_offset);
            }
            text.push('\n');
        }
        replace_file(path, text.as_bytes())
    }

    /// Reads what [`Producers::save`] wrote. A missing file means no producers.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut producers = Self::default();
        for line in text.lines() {
            let (id, producer) = parse_line(line).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}: invalid line: {line}", path.display()),
                )
            })?;
            producers.by_id.insert(id, producer);
        }
        Ok(producers)
    }
}

fn parse_line(line: &str) -> Option<(i64, Producer)> {
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let epoch = words.next()?.parse().ok()?;
    let mut recent = VecDeque::new();
    while let Some(first) = words.next() {
        recent.push_back(Remembered {
            first_sequence: first.parse().ok()?,
            last_sequence: words.next()?.parse().ok()?,
            base_offset: words.next()?.parse().ok()?,
        });
    }
    Some((id, Producer { epoch, recent }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the header of a batch of ten records.
    fn batch(producer: i64, epoch: i16, sequence: i32, base_offset: i64) -> Header {
        let mut bytes = [0; 61];
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
        bytes[16] = 2;
        bytes[23..27].copy_from_slice(&9_i32.to_be_bytes());
        bytes[43..51].copy_from_slice(&producer.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        Header::parse(&bytes).expect("a header")
    }

    fn sent(batches: i32) -> Producers {
        let mut producers = Producers::default();
        for number in 0..batches {
            producers.remember(&batch(7, 0, number * 10, i64::from(number) * 100));
        }
        producers
    }

    #[test]
    fn a_batch_sent_again_is_found_at_its_stored_offset() {
        let producers = sent(6);
        assert_eq!(producers.judge(&batch(7, 0, 20, 0)), Ok(Verdict::Stored(200)));
        assert_eq!(producers.judge(&batch(7, 0, 50, 0)), Ok(Verdict::Stored(500)));
        assert_eq!(producers.judge(&batch(7, 0, 0, 0)), Err(ErrorCode::DuplicateSequenceNumber), "forgotten");
        assert_eq!(producers.judge(&batch(7, 0, 60, 0)), Ok(Verdict::New));
    }

    #[test]
    fn a_missing_batch_and_an_old_epoch_are_refused() {
        let producers = sent(2);
        assert_eq!(producers.judge(&batch(7, 0, 30, 0)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(7, -1, 20, 0)), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(producers.judge(&batch(7, 1, 0, 0)), Ok(Verdict::New));
        assert_eq!(producers.judge(&batch(7, 1, 20, 0)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(8, 0, 30, 0)), Ok(Verdict::New), "another producer");
        assert_eq!(producers.judge(&batch(-1, -1, -1, 0)), Ok(Verdict::New), "not idempotent");
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.remember(&batch(7, 0, i32::MAX - 9, 0));
        assert_eq!(producers.judge(&batch(7, 0, 0, 0)), Ok(Verdict::New));
        let mut producers = Producers::default();
        producers.remember(&batch(7, 0, i32::MAX - 4, 0));
        assert_eq!(producers.judge(&batch(7, 0, 5, 0)), Ok(Verdict::New));
    }

    #[test]
    fn saved_producers_are_loaded() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("producers");
        sent(3).save(&path).expect("saved");
        let producers = Producers::load(&path).expect("loaded");
        assert_eq!(producers.judge(&batch(7, 0, 20, 0)), Ok(Verdict::Stored(200)));
        assert_eq!(producers.judge(&batch(7, 0, 30, 0)), Ok(Verdict::New));
    }

    #[test]
    fn the_producers_that_are_quiet_the_longest_are_forgotten_first() {
        let mut producers = Producers::default();
        for number in 0..=REMEMBERED_PRODUCERS as i64 {
            producers.remember(&batch(number, 0, 0, number * 10));
        }
        assert!(producers.by_id.len() <= REMEMBERED_PRODUCERS / 2 + 1);
        assert!(producers.by_id.contains_key(&(REMEMBERED_PRODUCERS as i64)));
    }
}
