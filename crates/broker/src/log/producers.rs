//! Remembers the last batches and the open transaction of each producer that has an id.
//!
//! A batch that is sent again is acknowledged again but not stored again. A batch with an older epoch than the producer's newest one is
//! refused.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::error_code::ErrorCode;

use super::batch::{Header, Outcome, sequence_after};
use super::checked_text;
use super::transactions::{Aborted, Ended, OpenTransaction};
use roundhouse_part::durable::replace_file;

/// Batches remembered per producer. A producer may have this many unacknowledged ones.
const REMEMBERED_BATCHES: usize = 5;

/// Producers without an open transaction that are remembered per partition. Beyond that, those that have been quiet the longest are
/// forgotten.
const REMEMBERED_PRODUCERS: usize = 1_000;

/// Transactions that may be open in a partition at a time. Further ones are refused.
const MAX_OPEN_TRANSACTIONS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
    /// The producers with an open transaction, by its first offset.
    open: BTreeMap<i64, i64>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    recent: VecDeque<Remembered>,
    /// The first offset of its open transaction.
    open: Option<i64>,
    /// The offset at which it was last active.
    last_offset: i64,
    /// Records were lost, so that it is unknown which batch comes next.
    is_uncertain: bool,
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

impl Producer {
    fn new(epoch: i16) -> Self {
        Self { epoch, recent: VecDeque::new(), open: None, last_offset: -1, is_uncertain: false }
    }

    /// Forgets what it sent with another epoch.
    fn continue_with(&mut self, epoch: i16) {
        if self.epoch != epoch {
            (self.epoch, self.is_uncertain) = (epoch, false);
            self.recent.clear();
        }
    }

    fn remember(&mut self, batch: &Header) {
        self.is_uncertain = false;
        self.recent.push_back(Remembered {
            first_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset,
        });
        if self.recent.len() > REMEMBERED_BATCHES {
            self.recent.pop_front();
        }
    }

    /// Compares a batch of its newest epoch with those that it sent before.
    fn judge(&self, batch: &Header) -> Result<Verdict, ErrorCode> {
        let same = |sent: &&Remembered| {
            sent.first_sequence == batch.base_sequence && sent.last_sequence == batch.last_sequence()
        };
        if let Some(sent) = self.recent.iter().find(same) {
            return Ok(Verdict::Stored(sent.base_offset));
        }
        let expected = match self.recent.back() {
            Some(sent) => sequence_after(sent.last_sequence, 1),
            None if self.is_uncertain => batch.base_sequence,
            None => 0,
        };
        match batch.base_sequence.cmp(&expected) {
            std::cmp::Ordering::Equal => Ok(Verdict::New),
            std::cmp::Ordering::Less => Err(ErrorCode::DuplicateSequenceNumber),
            std::cmp::Ordering::Greater => Err(ErrorCode::OutOfOrderSequenceNumber),
        }
    }
}

impl Producers {
    /// Compares a batch with what its producer sent before.
    ///
    /// # Errors
    /// The Kafka error: an earlier batch is missing, the batch's epoch is old, or it does not fit to the open transactions.
    pub fn judge(&self, batch: &Header) -> Result<Verdict, ErrorCode> {
        let known = self.by_id.get(&batch.producer_id).filter(|_| batch.producer_id >= 0);
        let verdict = match known {
            None => Ok(Verdict::New),
            Some(known) if batch.producer_epoch < known.epoch => Err(ErrorCode::InvalidProducerEpoch),
            Some(known) if batch.producer_epoch == known.epoch => known.judge(batch),
            Some(_) if batch.base_sequence == 0 => Ok(Verdict::New),
            Some(_) => Err(ErrorCode::OutOfOrderSequenceNumber),
        }?;
        let is_open = known.is_some_and(|known| known.open.is_some());
        if verdict != Verdict::New || is_open == batch.is_transactional() {
            Ok(verdict)
        } else if is_open {
            Err(ErrorCode::InvalidTxnState)
        } else if self.open.len() < MAX_OPEN_TRANSACTIONS {
            Ok(verdict)
        } else {
            Err(ErrorCode::PolicyViolation)
        }
    }

    /// Returns whether the log needs a control batch with which this producer's transaction ends: it has one here, or its epoch must be
    /// raised.
    ///
    /// # Errors
    /// The epoch is old.
    pub fn needs_marker(&self, producer_id: i64, producer_epoch: i16) -> Result<bool, ErrorCode> {
        match self.by_id.get(&producer_id) {
            Some(known) if producer_epoch < known.epoch => Err(ErrorCode::InvalidProducerEpoch),
            Some(known) => Ok(known.open.is_some() || producer_epoch > known.epoch),
            None => Ok(true),
        }
    }

    /// Remembers a batch, which was stored at the offset in its header. Returns the transaction that it ended.
    ///
    /// `outcome`: how it ends the transaction, if it is a control batch.
    pub fn remember(&mut self, batch: &Header, outcome: Option<Outcome>) -> Option<Ended> {
        if batch.producer_id < 0 {
            return None;
        }
        let producer =
            self.by_id.entry(batch.producer_id).or_insert_with(|| Producer::new(batch.producer_epoch));
        producer.continue_with(batch.producer_epoch);
        producer.last_offset = batch.base_offset;
        let mut ended = None;
        if batch.is_control() {
            ended = outcome.and_then(|outcome| Some((outcome, producer.open.take()?)));
        } else {
            producer.remember(batch);
            if batch.is_transactional() && producer.open.is_none() {
                producer.open = Some(batch.base_offset);
                self.open.insert(batch.base_offset, batch.producer_id);
            }
        }
        let ended = ended.map(|(outcome, first_offset)| self.end(batch, outcome, first_offset));
        if self.by_id.len() > REMEMBERED_PRODUCERS + self.open.len() {
            self.forget_the_quietest();
        }
        ended
    }

    fn end(&mut self, marker: &Header, outcome: Outcome, first_offset: i64) -> Ended {
        self.open.remove(&first_offset);
        let transaction = Aborted {
            producer_id: marker.producer_id,
            first_offset,
            last_offset: marker.base_offset,
            stable: self.first_open().unwrap_or_else(|| marker.next_offset()),
        };
        Ended { transaction, is_aborted: outcome == Outcome::Abort }
    }

    /// Returns the first offset of the oldest open transaction.
    pub fn first_open(&self) -> Option<i64> {
        self.open.first_key_value().map(|(first, _)| *first)
    }

    /// Returns the open transactions, in the order of their first offsets.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        let describe = |(&first_offset, &producer_id): (&i64, &i64)| {
            let producer_epoch = self.by_id.get(&producer_id)?.epoch;
            Some(OpenTransaction { producer_id, producer_epoch, first_offset })
        };
        self.open.iter().filter_map(describe).collect()
    }

    /// Forgets what lost records may have changed. Open transactions stay open: their records must not become visible because the end of
    /// a transaction is lost.
    pub fn after_loss(&mut self) {
        self.by_id.retain(|_, producer| producer.open.is_some());
        for producer in self.by_id.values_mut() {
            producer.recent.clear();
            producer.is_uncertain = true;
        }
    }

    /// Forgets the half of the producers that have been quiet the longest. Never forgets one with an open transaction.
    fn forget_the_quietest(&mut self) {
        let quiet = self.by_id.values().filter(|producer| producer.open.is_none());
        let mut offsets: Vec<i64> = quiet.map(|producer| producer.last_offset).collect();
        let middle = offsets.len() / 2;
        if middle == 0 {
            return;
        }
        let (_, &mut median, _) = offsets.select_nth_unstable(middle);
        self.by_id.retain(|_, producer| producer.open.is_some() || producer.last_offset >= median);
    }

    /// Writes everything to a file and syncs it. A new segment needs it, because its log does not contain the earlier batches.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        for (id, producer) in &self.by_id {
            let _ = write!(text, "{id} {} last:{}", producer.epoch, producer.last_offset);
            if let Some(first) = producer.open {
                let _ = write!(text, " open:{first}");
            }
            if producer.is_uncertain {
                text.push_str(" uncertain");
            }
            for sent in &producer.recent {
                let _ = write!(text, " {} {} {}", sent.first_sequence, sent.last_sequence, sent.base_offset);
            }
            text.push('\n');
        }
        replace_file(path, checked_text::seal(&text).as_bytes())
    }

    /// Reads what [`Producers::save`] wrote. None if the file does not exist.
    ///
    /// # Errors
    /// It cannot be read, or it is damaged.
    pub fn load(path: &Path) -> io::Result<Option<Self>> {
        let Some(text) = checked_text::load(path)? else { return Ok(None) };
        let mut producers = Self::default();
        for line in text.lines() {
            let (id, producer) = parse_line(line).ok_or_else(|| checked_text::damaged(path))?;
            if let Some(first) = producer.open {
                producers.open.insert(first, id);
            }
            producers.by_id.insert(id, producer);
        }
        Ok(Some(producers))
    }
}

/// Parses a line: id, epoch, what has a name, and three numbers for each recent batch. Files of earlier versions have no names.
fn parse_line(line: &str) -> Option<(i64, Producer)> {
    let mut words = line.split(' ').peekable();
    let id = words.next()?.parse().ok()?;
    let mut producer = Producer::new(words.next()?.parse().ok()?);
    while let Some(word) = words.next_if(|word| word.contains(|letter: char| letter.is_ascii_alphabetic())) {
        match word.split_once(':') {
            Some(("last", offset)) => producer.last_offset = offset.parse().ok()?,
            Some(("open", first)) => producer.open = Some(first.parse().ok()?),
            None if word == "uncertain" => producer.is_uncertain = true,
            _ => return None,
        }
    }
    while let Some(first) = words.next() {
        producer.recent.push_back(Remembered {
            first_sequence: first.parse().ok()?,
            last_sequence: words.next()?.parse().ok()?,
            base_offset: words.next()?.parse().ok()?,
        });
    }
    let last = producer.recent.back().map_or(-1, |sent| sent.base_offset);
    producer.last_offset = producer.last_offset.max(last);
    Some((id, producer))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the header of a batch of ten records.
    fn batch(producer: i64, epoch: i16, sequence: i32, base_offset: i64) -> Header {
        header(0, producer, epoch, sequence, base_offset)
    }

    fn header(attributes: i16, producer: i64, epoch: i16, sequence: i32, base_offset: i64) -> Header {
        let mut bytes = [0; 61];
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&49_i32.to_be_bytes());
        bytes[16] = 2;
        bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&9_i32.to_be_bytes());
        bytes[43..51].copy_from_slice(&producer.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
        Header::parse(&bytes).expect("a header")
    }

    /// Returns the header of a transactional batch of ten records.
    fn transactional(producer: i64, epoch: i16, sequence: i32, base_offset: i64) -> Header {
        header(0x10, producer, epoch, sequence, base_offset)
    }

    /// Returns the header of the batch that ends a transaction.
    fn marker(producer: i64, epoch: i16, base_offset: i64) -> Header {
        header(0x30, producer, epoch, -1, base_offset)
    }

    fn sent(batches: i32) -> Producers {
        let mut producers = Producers::default();
        for number in 0..batches {
            producers.remember(&batch(7, 0, number * 10, i64::from(number) * 100), None);
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
        producers.remember(&batch(7, 0, i32::MAX - 9, 0), None);
        assert_eq!(producers.judge(&batch(7, 0, 0, 0)), Ok(Verdict::New));
        let mut producers = Producers::default();
        producers.remember(&batch(7, 0, i32::MAX - 4, 0), None);
        assert_eq!(producers.judge(&batch(7, 0, 5, 0)), Ok(Verdict::New));
    }

    #[test]
    fn saved_producers_are_loaded() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("producers");
        sent(3).save(&path).expect("saved");
        let producers = Producers::load(&path).expect("loaded").expect("a file");
        assert_eq!(producers.judge(&batch(7, 0, 20, 0)), Ok(Verdict::Stored(200)));
        assert_eq!(producers.judge(&batch(7, 0, 30, 0)), Ok(Verdict::New));
    }

    #[test]
    fn the_producers_that_are_quiet_the_longest_are_forgotten_first() {
        let mut producers = Producers::default();
        for number in 0..=REMEMBERED_PRODUCERS as i64 {
            producers.remember(&batch(number, 0, 0, number * 10), None);
        }
        assert!(producers.by_id.len() <= REMEMBERED_PRODUCERS / 2 + 1);
        assert!(producers.by_id.contains_key(&(REMEMBERED_PRODUCERS as i64)));
    }

    #[test]
    fn the_first_transactional_batch_opens_a_transaction_and_a_marker_ends_it() {
        let mut producers = Producers::default();
        producers.remember(&transactional(7, 0, 0, 100), None);
        producers.remember(&transactional(8, 0, 0, 110), None);
        producers.remember(&transactional(7, 0, 10, 120), None);
        let open =
            |producer_id, first_offset| OpenTransaction { producer_id, producer_epoch: 0, first_offset };
        assert_eq!(producers.open_transactions(), [open(7, 100), open(8, 110)]);
        assert_eq!(
            producers.judge(&batch(7, 0, 20, 0)),
            Err(ErrorCode::InvalidTxnState),
            "not transactional"
        );
        assert_eq!(producers.needs_marker(7, 0), Ok(true));
        let ended = producers.remember(&marker(7, 0, 130), Some(Outcome::Abort));
        let transaction = Aborted { producer_id: 7, first_offset: 100, last_offset: 130, stable: 110 };
        assert_eq!(ended, Some(Ended { transaction, is_aborted: true }));
        assert_eq!(producers.first_open(), Some(110));
        assert_eq!(producers.needs_marker(7, 0), Ok(false), "it has ended");
        assert_eq!(producers.judge(&transactional(7, 0, 20, 0)), Ok(Verdict::New));
    }

    #[test]
    fn a_marker_with_a_newer_epoch_refuses_the_old_one_and_sequences_start_at_zero() {
        let mut producers = sent(2);
        assert_eq!(producers.needs_marker(7, 1), Ok(true), "the epoch must be raised");
        assert_eq!(producers.remember(&marker(7, 1, 500), Some(Outcome::Abort)), None);
        assert_eq!(producers.judge(&batch(7, 0, 20, 0)), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(producers.needs_marker(7, 0), Err(ErrorCode::InvalidProducerEpoch));
        assert_eq!(producers.judge(&batch(7, 1, 20, 0)), Err(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(producers.judge(&batch(7, 1, 0, 0)), Ok(Verdict::New));
    }

    #[test]
    fn a_producer_with_an_open_transaction_is_never_forgotten() {
        let mut producers = Producers::default();
        producers.remember(&transactional(7, 3, 0, 0), None);
        for number in 1..5 * REMEMBERED_PRODUCERS as i64 {
            producers.remember(&batch(number * 100, 0, 0, number * 10), None);
        }
        assert!(producers.by_id.len() <= REMEMBERED_PRODUCERS + 1);
        assert_eq!(producers.first_open(), Some(0));
        assert_eq!(producers.judge(&transactional(7, 2, 10, 0)), Err(ErrorCode::InvalidProducerEpoch));
    }

    #[test]
    fn too_many_open_transactions_are_refused() {
        let mut producers = Producers::default();
        for number in 0..MAX_OPEN_TRANSACTIONS as i64 {
            producers.remember(&transactional(number, 0, 0, number * 10), None);
        }
        assert_eq!(producers.judge(&transactional(-1, 0, 0, 0)), Err(ErrorCode::PolicyViolation));
        assert_eq!(producers.judge(&transactional(5, 0, 10, 0)), Ok(Verdict::New), "it is open already");
        producers.remember(&marker(6, 0, 500_000), Some(Outcome::Commit));
        assert_eq!(producers.judge(&transactional(1_000_000, 0, 0, 0)), Ok(Verdict::New));
    }

    #[test]
    fn open_transactions_and_raised_epochs_are_saved() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("producers");
        let mut producers = sent(2);
        producers.remember(&transactional(8, 4, 0, 300), None);
        producers.remember(&marker(9, 6, 310), Some(Outcome::Abort));
        producers.save(&path).expect("saved");
        let loaded = Producers::load(&path).expect("loaded").expect("a file");
        assert_eq!(loaded.open_transactions(), producers.open_transactions());
        assert_eq!(loaded.judge(&batch(9, 5, 0, 0)), Err(ErrorCode::InvalidProducerEpoch));
        let mut lost = loaded;
        lost.after_loss();
        lost.save(&path).expect("saved");
        let lost = Producers::load(&path).expect("loaded").expect("a file");
        assert_eq!(lost.open_transactions(), producers.open_transactions());
        assert_eq!(lost.judge(&transactional(8, 4, 50, 0)), Ok(Verdict::New), "any sequence number");
    }

    #[test]
    fn the_file_of_an_earlier_version_is_read_and_a_damaged_one_is_an_error() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("producers");
        std::fs::write(&path, "7 0 0 9 0 10 19 100\n8 -1\n").expect("write");
        let producers = Producers::load(&path).expect("loaded").expect("a file");
        assert_eq!(producers.judge(&batch(7, 0, 10, 0)), Ok(Verdict::Stored(100)));
        assert_eq!(producers.judge(&batch(7, 0, 20, 0)), Ok(Verdict::New));
        producers.save(&path).expect("saved");
        let whole = std::fs::read(&path).expect("read");
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, changed).expect("write");
            assert!(Producers::load(&path).is_err(), "byte {place}");
        }
    }

    proptest::proptest! {
        /// The formula of Kafka's `DefaultRecordBatch.incrementSequence`.
        #[test]
        fn sequence_numbers_wrap_as_in_kafka(sequence in 0..=i32::MAX, more in 0..=i32::MAX) {
            let kafka = if sequence > i32::MAX - more { more - (i32::MAX - sequence) - 1 } else { sequence + more };
            proptest::prop_assert_eq!(sequence_after(sequence, more), kafka);
        }
    }
}
