//! Tests that compare what consumers see after compaction with what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::error_code::ErrorCode;
use crate::log::batch::Outcome;
use crate::log::batch::end_of;
use crate::log::batch::tests::{batch_of, keyed_batch, of_producer};
use crate::log::fixture::TestLog;
use crate::log::settings::CleanupPolicy;
use crate::log::{Batch, Fetched, ReadError};

/// Bytes of a segment: a few batches.
const SEGMENT_BYTES: u64 = 600;

const PRODUCERS: i64 = 3;

type Entry = (Vec<u8>, Option<Vec<u8>>);

/// A record: its offset, its key and its value.
type Seen = (i64, Vec<u8>, Option<Vec<u8>>);

struct Fixture {
    base: TestLog,
    /// All records with the number of their transaction.
    written: Vec<(Seen, Option<usize>)>,
    /// How each transaction ended.
    transactions: Vec<Option<Outcome>>,
    sequences: BTreeMap<i64, i32>,
    open: BTreeMap<i64, usize>,
    values: u32,
}

impl Deref for Fixture {
    type Target = TestLog;

    fn deref(&self) -> &TestLog {
        &self.base
    }
}

impl Fixture {
    fn new() -> Self {
        let settings = TopicSettings {
            segment_bytes: SEGMENT_BYTES,
            cleanup_policy: CleanupPolicy { delete: false, compact: true },
            min_cleanable_dirty_ratio: 0.0,
            delete_retention_ms: 100,
            ..TopicSettings::default()
        };
        Self {
            base: TestLog::new(settings),
            written: Vec::new(),
            transactions: Vec::new(),
            sequences: BTreeMap::new(),
            open: BTreeMap::new(),
            values: 0,
        }
    }

    /// Appends records with these keys. Negative keys: without a value. Without a producer they are not transactional.
    fn append(&mut self, producer: Option<i64>, codec: usize, keys: &[i8]) {
        let entry = |key: &i8| {
            self.values += 1;
            (vec![b'k', key.unsigned_abs()], (*key >= 0).then(|| self.values.to_be_bytes().to_vec()))
        };
        let entries: Vec<Entry> = keys.iter().map(entry).collect();
        let mut bytes = keyed_batch(codec, &entries);
        let transaction = producer.map(|id| {
            let sequence = self.sequences.entry(id).or_default();
            bytes = of_producer(bytes.clone(), id, 0, *sequence, true);
            *sequence += entries.len() as i32;
            *self.open.entry(id).or_insert_with(|| {
                self.transactions.push(None);
                self.transactions.len() - 1
            })
        });
        let base = self.base.append(bytes).base_offset;
        let seen =
            entries.into_iter().enumerate().map(|(number, (key, value))| (base + number as i64, key, value));
        self.written.extend(seen.map(|seen| (seen, transaction)));
    }

    fn end(&mut self, producer: i64, commit: bool) {
        let Some(number) = self.open.remove(&producer) else { return };
        let partition = self.partition();
        self.runtime.block_on(async {
            let ended = partition.end_transaction(producer, 0, commit, 0).expect("ended");
            partition.wait_until_safe(ended).await.expect("safe");
        });
        self.transactions[number] = Some(if commit { Outcome::Commit } else { Outcome::Abort });
    }

    /// Returns what a consumer of committed records would see without compaction.
    fn committed(&self) -> Vec<Seen> {
        let is_open = |transaction: &Option<usize>| {
            transaction.is_some_and(|number| self.transactions[number].is_none())
        };
        let before = self.written.iter().take_while(|(_, transaction)| !is_open(transaction));
        let is_aborted = |transaction: &Option<usize>| {
            transaction.is_some_and(|number| self.transactions[number] == Some(Outcome::Abort))
        };
        before.filter(|(_, transaction)| !is_aborted(transaction)).map(|(seen, _)| seen.clone()).collect()
    }

    /// Compacts until there is nothing to do.
    fn compact(&self, now: i64, max_keys: usize) {
        for _ in 0..100 {
            if self.partition().compact_with(now, max_keys).expect("compacted") != Some(now) {
                return;
            }
        }
        panic!("no progress");
    }

    /// Compacts, and stops after a number of segments: later ones and the progress are as before, one draft is left over.
    fn crash(&mut self, now: i64, max_keys: usize, segments: usize) {
        let before = tempfile::tempdir().expect("temporary directory");
        let copy = |name: &Path, from: &Path, to: &Path| {
            if from.join(name).exists() {
                fs::copy(from.join(name), to.join(name)).expect("copied");
            }
        };
        let files = self.partition_directory();
        let names: Vec<PathBuf> = files
            .read_dir()
            .expect("a directory")
            .map(|entry| PathBuf::from(entry.expect("an entry").file_name()))
            .collect();
        names.iter().for_each(|name| copy(name, &files, before.path()));
        self.partition().compact_with(now, max_keys).expect("compacted");
        self.base.close();
        let mut logs: Vec<&PathBuf> =
            names.iter().filter(|name| name.extension().is_some_and(|kind| kind == "log")).collect();
        logs.sort();
        for (number, name) in logs.into_iter().enumerate() {
            if number > segments {
                copy(name, before.path(), &files);
            }
            if number >= segments {
                copy(&name.with_extension("aborted"), before.path(), &files);
                fs::write(files.join(name.with_extension(DRAFT)), "half").expect("write");
            }
        }
        let _ = fs::remove_file(files.join("compacted"));
        copy(Path::new("compacted"), before.path(), &files);
        self.base.open_again();
    }

    /// Removes what can be made again from the log.
    fn lose_snapshots(&mut self) {
        self.base.close();
        for entry in self.partition_directory().read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|kind| kind == "aborted" || kind == "producers") {
                fs::remove_file(path).expect("removed");
            }
        }
        self.base.open_again();
    }

    fn check(&self) {
        let partition = self.partition();
        let committed = self.committed();
        let seen = consume(&partition, 0);
        assert!(is_subsequence(&seen, &committed), "{seen:?} of {committed:?}");
        assert_eq!(state(&seen), state(&committed));
        let middle = partition.last_stable_offset() / 2;
        let late: Vec<Seen> = seen.into_iter().filter(|(offset, ..)| *offset >= middle).collect();
        assert_eq!(consume(&partition, middle), late);
        assert_eq!(self.log().damages().reasons(), Vec::<String>::new());
    }
}

/// Returns the last value of each key.
fn state(seen: &[Seen]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = BTreeMap::new();
    for (_, key, value) in seen {
        match value {
            Some(value) => _ = state.insert(key.clone(), value.clone()),
            None => _ = state.remove(key),
        }
    }
    state
}

fn is_subsequence(part: &[Seen], whole: &[Seen]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|one| whole.any(|other| other == one))
}

/// Returns what a consumer of committed records sees.
fn consume(partition: &Partition, mut from: i64) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        let start = from;
        let fetched = partition.fetch(from, 300, Isolation::ReadCommitted).expect("fetched");
        let Some(end) = end_of(&fetched.records) else { return seen };
        seen.extend(records_for(&fetched, start));
        from = end;
    }
}

/// Returns what a consumer of committed records makes of an answer. `start`: the offset that it has asked for.
fn records_for(fetched: &Fetched, start: i64) -> Vec<Seen> {
    let mut seen = Vec::new();
    let pending: Vec<_> =
        fetched.aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
    let mut ended = BTreeSet::new();
    let mut rest = &fetched.records[..];
    while let Some(header) = Header::parse(rest) {
        let (batch, after) = rest.split_at(header.bytes as usize);
        rest = after;
        let is_skipped = header.is_transactional()
            && pending.iter().any(|aborted| {
                aborted.0 == header.producer_id && aborted.1 <= header.base_offset && !ended.contains(aborted)
            });
        if header.outcome(batch) == Some(Outcome::Abort) {
            let of_producer =
                pending.iter().filter(|(id, first)| *id == header.producer_id && *first < header.base_offset);
            ended.extend(of_producer.copied());
        } else if !is_skipped && !header.is_control() {
            let mut deltas = Vec::new();
            header.records(batch, |record| deltas.push(record.offset_delta)).expect("records");
            for (record, delta) in Records::of(&header, batch).expect("records").iter().zip(deltas) {
                let record = record.expect("a record");
                assert_eq!(record.offset_delta, delta);
                let offset = header.base_offset + i64::from(delta);
                if offset >= start {
                    let key = record.key.expect("a key").to_vec();
                    seen.push((offset, key, record.value.map(<[u8]>::to_vec)));
                }
            }
        }
    }
    seen
}

#[derive(Clone, Debug)]
enum Step {
    Append { producer: Option<i64>, codec: usize, keys: Vec<i8> },
    End { producer: i64, commit: bool },
    Compact { max_keys: usize, after: i64 },
    Crash { max_keys: usize, segments: usize },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = prop::collection::vec(-4..6_i8, 1..4);
    let producer = prop_oneof![2 => Just(None), 3 => (0..PRODUCERS).prop_map(Some)];
    let max_keys = prop_oneof![Just(1), Just(3), Just(1_000)];
    let step = prop_oneof![
        10 => (producer, 0..6_usize, keys).prop_map(|(producer, codec, keys)| Step::Append { producer, codec, keys }),
        5 => (0..PRODUCERS, any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        2 => (max_keys.clone(), 0..200_i64).prop_map(|(max_keys, after)| Step::Compact { max_keys, after }),
        1 => (max_keys, 0..6_usize).prop_map(|(max_keys, segments)| Step::Crash { max_keys, segments }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_last_value_of_every_key_stays_whatever_is_compacted_and_wherever_it_stops(steps in steps()) {
        let mut fixture = Fixture::new();
        let mut now = 1_000;
        for step in steps {
            match step {
                Step::Append { producer, codec, keys } => {
                    fixture.append(producer, codec, &keys);
                    continue;
                }
                Step::End { producer, commit } => {
                    fixture.end(producer, commit);
                    continue;
                }
                Step::Compact { max_keys, after } => {
                    now += after;
                    fixture.compact(now, max_keys);
                }
                Step::Crash { max_keys, segments } => fixture.crash(now, max_keys, segments),
                Step::Restart => fixture.base.open_again(),
            }
            fixture.check();
        }
        (0..PRODUCERS).for_each(|producer| fixture.end(producer, producer == 1));
        fixture.compact(now + 1_000, 1_000);
        fixture.check();
        fixture.lose_snapshots();
        fixture.check();
    }
}

#[test]
fn older_records_of_a_key_are_removed_and_a_reader_of_the_old_file_continues() {
    let mut fixture = Fixture::new();
    for round in 0..40 {
        fixture.append(None, round % 6, &[1, 2]);
    }
    let partition = fixture.partition();
    let old = partition.segments();
    let before = partition.bytes();
    let held = old[0].lend().expect("open");
    let whole = old[0].read(0, 80, 1_000).expect("read");
    fixture.compact(1_000, 1_000);
    fixture.check();
    assert!(partition.bytes() < before / 2, "{} of {before}", partition.bytes());
    let active = partition.segments().last().map_or(0, |active| active.base_offset);
    let full: Vec<i64> =
        consume(&partition, 0).iter().map(|(offset, ..)| *offset).filter(|offset| *offset < active).collect();
    assert_eq!(full, [active - 2, active - 1]);
    let same = old[0].read(0, 80, 1_000).expect("read");
    assert_eq!(format!("{whole:?}"), format!("{same:?}"), "the old file is still open");
    drop(held);
    fixture.log().files().close_idle(std::time::Duration::ZERO);
    // The old segment now finds the new file. A reader must not take that for damage.
    assert!(old[0].is_replaced());
    fixture.check();
    assert_eq!(fixture.partition().compact_with(1_000, 1_000).expect("compacted"), None);
}

#[test]
fn a_tombstone_is_removed_some_time_after_its_first_compaction() {
    let mut fixture = Fixture::new();
    fixture.append(None, 0, &[1]);
    fixture.append(None, 0, &[-1]);
    let tombstones = |fixture: &Fixture| {
        consume(&fixture.partition(), 0).iter().filter(|(.., value)| value.is_none()).count()
    };
    let fill = |fixture: &mut Fixture| (0..20).for_each(|_| fixture.append(None, 0, &[2]));
    fill(&mut fixture);
    fixture.compact(1_000, 1_000);
    assert_eq!(tombstones(&fixture), 1);
    fill(&mut fixture);
    fixture.compact(1_100, 1_000);
    assert_eq!(tombstones(&fixture), 1);
    fill(&mut fixture);
    fixture.compact(1_101, 1_000);
    assert_eq!(tombstones(&fixture), 0);
    fixture.check();
}

#[test]
fn a_record_without_a_key_is_refused() {
    let fixture = Fixture::new();
    let batch = Batch::from_producer(batch_of(1, b"value").into(), 1 << 20).expect("a batch");
    let refused = fixture.runtime.block_on(async { fixture.partition().append(&batch) });
    assert_eq!(refused, Err(ErrorCode::InvalidRecord));
}

#[test]
fn compaction_waits_for_the_ratio_and_the_lag_and_stops_at_an_open_transaction() {
    let mut fixture = Fixture::new();
    let change = |fixture: &Fixture, change: fn(&mut TopicSettings)| {
        let topic = fixture.log().topic("topic").expect("a topic");
        let mut settings = topic.settings();
        change(&mut settings);
        topic.change(settings).expect("changed");
    };
    for _ in 0..20 {
        fixture.append(None, 0, &[1]);
    }
    let partition = fixture.partition();
    let before = partition.bytes();
    change(&fixture, |settings| settings.min_compaction_lag_ms = 500);
    assert_eq!(partition.compact(400).expect("compacted"), Some(500));
    assert_eq!(partition.bytes(), before);
    change(&fixture, |settings| settings.min_compaction_lag_ms = 0);
    assert_eq!(partition.compact(400).expect("compacted"), None);
    let after = partition.bytes();
    assert!(after < before / 2);
    change(&fixture, |settings| settings.min_cleanable_dirty_ratio = 0.99);
    for _ in 0..10 {
        fixture.append(None, 0, &[1]);
    }
    let more = partition.bytes();
    assert_eq!(partition.compact(400).expect("compacted"), None);
    assert_eq!(partition.bytes(), more, "not worth it");
    change(&fixture, |settings| settings.min_cleanable_dirty_ratio = 0.0);
    fixture.append(Some(1), 0, &[1]);
    for _ in 0..10 {
        fixture.append(None, 0, &[1]);
    }
    assert_eq!(partition.compact(400).expect("compacted"), Some(400 + RETRY_MS));
    let open = fixture.partition().last_stable_offset();
    assert!(partition.read(open, 1, Isolation::ReadUncommitted).is_ok_and(|batch| !batch.is_empty()));
    fixture.check();
}

#[test]
fn damaged_segments_stay_as_they_are() {
    let mut fixture = Fixture::new();
    for _ in 0..20 {
        fixture.append(None, 0, &[1]);
    }
    let second = fixture.partition().segments()[1].path.clone();
    fixture.base.close();
    let mut bytes = fs::read(&second).expect("read");
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    fs::write(&second, &bytes).expect("write");
    fixture.base.open_again();
    fixture.compact(1_000, 1_000);
    assert_eq!(fs::read(&second).expect("read"), bytes);
    assert_eq!(fixture.log().damages().reasons().len(), 1);
}

#[test]
fn after_a_pass_that_stops_in_a_segment_consumers_still_learn_of_every_aborted_transaction_in_it() {
    let mut fixture = Fixture::new();
    // The markers are much newer than the other records. They must not begin a new segment.
    let topic = fixture.log().topic("topic").expect("a topic");
    topic.change(TopicSettings { segment_ms: i64::MAX, ..topic.settings() }).expect("changed");
    fixture.append(None, 0, &[1, 1]);
    // The pass has room for one key, so it stops here.
    fixture.append(None, 0, &[6]);
    // The first transaction to begin is the last one to end.
    fixture.append(Some(0), 0, &[2]);
    fixture.append(Some(1), 0, &[3]);
    fixture.end(1, false);
    fixture.end(0, false);
    for _ in 0..10 {
        fixture.append(None, 0, &[5]);
    }
    fixture.partition().compact_with(1_000, 1).expect("compacted");
    assert!(
        consume(&fixture.partition(), 0).iter().all(|(offset, ..)| *offset != 0),
        "the pass rewrote the segment"
    );
    fixture.check();
}

/// A partition that begins with an aborted transaction, and has some full segments.
fn aborted_and_full() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.append(Some(0), 0, &[1]);
    fixture.end(0, false);
    for _ in 0..20 {
        fixture.append(None, 0, &[2]);
    }
    fixture
}

#[test]
fn a_fetch_during_compaction_gets_the_records_and_the_aborted_transactions_of_the_same_files() {
    let fixture = aborted_and_full();
    let partition = fixture.partition();
    let mut compactions = 0;
    let compact = || {
        partition.compact_with(0, 1_000).expect("compacted");
        compactions += 1;
    };
    let fetched = partition.fetch_with(0, 300, Isolation::ReadCommitted, compact).expect("fetched");
    let seen = records_for(&fetched, 0);
    assert!(!seen.is_empty() && is_subsequence(&seen, &fixture.committed()), "{seen:?}");
    assert!(compactions > 1, "the first attempt was repeated");
}

#[test]
fn records_that_are_deleted_while_they_are_fetched_are_not_delivered() {
    let fixture = aborted_and_full();
    let partition = fixture.partition();
    let delete = || partition.delete_before(partition.end_offset()).expect("deleted");
    let fetched = partition.fetch_with(0, 300, Isolation::ReadCommitted, delete);
    assert!(matches!(fetched, Err(ReadError::Deleted)), "{fetched:?}");
}

#[test]
fn a_reader_gets_records_at_once_although_whole_segments_have_none_any_more() {
    let mut fixture = Fixture::new();
    for _ in 0..200 {
        fixture.append(None, 0, &[1, 2]);
    }
    fixture.compact(0, 1_000);
    let partition = fixture.partition();
    assert!(partition.segments().len() > 12, "librdkafka gives up after ten answers without records");
    let fetched = partition.fetch(0, 300, Isolation::ReadUncommitted).expect("fetched");
    assert!(!records_for(&fetched, 0).is_empty());
    fixture.check();
}

#[test]
fn a_reader_reaches_the_end_although_nothing_is_left() {
    let mut fixture = Fixture::new();
    for _ in 0..20 {
        fixture.append(Some(0), 0, &[1]);
        fixture.end(0, false);
    }
    let partition = fixture.partition();
    let end = partition.end_offset();
    partition.roll_if_before(end).expect("a new segment");
    fixture.compact(0, 1_000);
    assert!(partition.segments().len() > 4);
    let fetched = partition.fetch(0, 300, Isolation::ReadCommitted).expect("fetched");
    assert_eq!(
        (end_of(&fetched.records), fetched.records.len()),
        (Some(end), 61),
        "one batch without records"
    );
    assert!(fetched.aborted.is_empty());
}
