//! Tests that compare what a consumer with `read_committed` sees with a simple model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Deref;

use proptest::prelude::*;

use super::*;
use crate::error_code::ErrorCode;
use crate::log::batch::Outcome;
use crate::log::batch::end_of;
use crate::log::batch::tests::{batch_of, of_producer};
use crate::log::fixture::TestLog;
use crate::log::{Appended, Batch, Header, Partition, TopicSettings};

/// Bytes of a segment: a few batches.
const SEGMENT_BYTES: u64 = 400;

/// The producer whose batches are not transactional.
const PLAIN: i64 = 4;

/// What happens to the partition.
#[derive(Clone, Copy, Debug)]
enum Step {
    Append(i64),
    End {
        producer: i64,
        commit: bool,
    },
    EndAgain(i64),
    /// The transaction is aborted with the next epoch.
    Fence(i64),
    /// A batch of the epoch before.
    Zombie(i64),
    Restart,
    /// The process is killed: the files stay as they are at this moment.
    Kill,
    /// Files that can be made again are lost before a restart.
    Lose(&'static str),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let producer = 0..PLAIN;
    let step = prop_oneof![
        8 => (0..=PLAIN).prop_map(Step::Append),
        4 => (producer.clone(), any::<bool>()).prop_map(|(producer, commit)| Step::End { producer, commit }),
        1 => producer.clone().prop_map(Step::EndAgain),
        1 => producer.clone().prop_map(Step::Fence),
        1 => producer.prop_map(Step::Zombie),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        1 => prop_oneof![Just("aborted"), Just("producers")].prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..40)
}

#[derive(Clone, Copy, Debug, Default)]
struct Producer {
    epoch: i16,
    sequence: i32,
    /// The number of its open transaction.
    open: Option<usize>,
}

/// What the partition must contain.
#[derive(Debug, Default)]
struct Model {
    producers: BTreeMap<i64, Producer>,
    /// Offset, number of the transaction, and value of each record.
    records: Vec<(i64, Option<usize>, i64)>,
    /// The first offset of each transaction, and how it ended.
    transactions: Vec<(i64, Option<Outcome>)>,
}

impl Model {
    fn stable(&self, end: i64) -> i64 {
        let open = self.transactions.iter().filter(|(_, outcome)| outcome.is_none());
        open.map(|(first, _)| *first).min().unwrap_or(end)
    }

    /// Returns the values that a consumer sees from an offset on.
    fn committed(&self, from: i64, end: i64) -> Vec<i64> {
        let visible = |transaction: &Option<usize>| {
            transaction.is_none_or(|number| self.transactions[number].1 == Some(Outcome::Commit))
        };
        let records = self.records.iter().filter(|(offset, ..)| (from..self.stable(end)).contains(offset));
        records.filter(|(_, transaction, _)| visible(transaction)).map(|(.., value)| *value).collect()
    }

    fn end(&mut self, producer: i64, outcome: Outcome) {
        if let Some(number) = self.producers.entry(producer).or_default().open.take() {
            self.transactions[number].1 = Some(outcome);
        }
    }
}

struct Fixture {
    base: TestLog,
    model: Model,
    next: i64,
    last: Option<Appended>,
}

impl Deref for Fixture {
    type Target = TestLog;

    fn deref(&self) -> &TestLog {
        &self.base
    }
}

impl Fixture {
    fn new() -> Self {
        let settings = TopicSettings { segment_bytes: SEGMENT_BYTES, ..TopicSettings::default() };
        Self { base: TestLog::new(settings), model: Model::default(), next: 0, last: None }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(producer) => self.append(producer),
            Step::End { producer, commit } => {
                let outcome = if commit { Outcome::Commit } else { Outcome::Abort };
                self.end(producer, 0, outcome);
            }
            Step::EndAgain(producer) => {
                self.end(producer, 0, Outcome::Commit);
                let end = self.next;
                self.end(producer, 0, Outcome::Abort);
                assert_eq!(self.next, end, "no second marker");
            }
            Step::Fence(producer) => self.end(producer, 1, Outcome::Abort),
            Step::Zombie(producer) => {
                let known = self.model.producers.entry(producer).or_default();
                if let Some(old) = known.epoch.checked_sub(1).filter(|old| *old >= 0) {
                    let bytes = of_producer(batch_of(1, b"late"), producer, old, 0, true);
                    assert_eq!(self.try_append(bytes), Err(ErrorCode::InvalidProducerEpoch));
                }
            }
            Step::Restart => self.restart(None),
            Step::Kill => self.kill(),
            Step::Lose(kind) => self.restart(Some(kind)),
        }
    }

    fn try_append(&self, bytes: Vec<u8>) -> Result<Appended, ErrorCode> {
        let batch = Batch::from_producer(bytes.into(), 1 << 20).expect("a batch");
        self.runtime.block_on(async { self.partition().append(&batch) })
    }

    fn append(&mut self, id: i64) {
        let value = self.model.records.len() as i64;
        let producer = *self.model.producers.entry(id).or_default();
        let bytes = of_producer(
            batch_of(1, &value.to_be_bytes()),
            id,
            producer.epoch,
            producer.sequence,
            id != PLAIN,
        );
        let appended = self.try_append(bytes.clone()).expect("appended");
        assert_eq!(appended.base_offset, self.next);
        assert_eq!(self.try_append(bytes), Ok(appended), "sent again");
        self.note(appended);
        let number = (id != PLAIN).then(|| {
            producer.open.unwrap_or_else(|| {
                self.model.transactions.push((appended.base_offset, None));
                self.model.transactions.len() - 1
            })
        });
        self.model.records.push((appended.base_offset, number, value));
        let sequence = producer.sequence + 1;
        self.model.producers.insert(id, Producer { sequence, open: number, ..producer });
    }

    fn end(&mut self, id: i64, raise: i16, outcome: Outcome) {
        let known = self.model.producers.entry(id).or_default();
        known.epoch += raise;
        known.sequence = if raise > 0 { 0 } else { known.sequence };
        let epoch = known.epoch;
        let partition = self.partition();
        let appended = self.runtime.block_on(async {
            partition.end_transaction(id, epoch, outcome == Outcome::Commit, 1).expect("ended")
        });
        self.note(appended);
        self.model.end(id, outcome);
    }

    fn note(&mut self, appended: Appended) {
        self.next = appended.next_offset;
        self.last = Some(appended);
    }

    fn wait(&self) {
        if let Some(last) = self.last {
            self.runtime.block_on(self.partition().wait_until_safe(last)).expect("safe");
        }
    }

    fn restart(&mut self, lose: Option<&str>) {
        self.wait();
        self.log().sync_all().expect("synced");
        self.base.close();
        for entry in self.partition_directory().read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|kind| lose.is_some_and(|lose| kind == lose)) {
                fs::remove_file(path).expect("removed");
            }
        }
        self.base.open_again();
    }

    /// Continues with a copy of the files, as a killed process leaves them.
    fn kill(&mut self) {
        let copy = tempfile::tempdir().expect("temporary directory");
        copy_all(self.directory.path(), copy.path());
        self.wait();
        self.base.close();
        self.base.directory = copy;
        self.base.open_again();
    }

    fn check(&self) {
        self.wait();
        let partition = self.partition();
        assert_eq!(partition.end_offset(), self.next);
        assert_eq!(partition.last_stable_offset(), self.model.stable(self.next));
        assert_eq!(
            *partition.watch_end().borrow(),
            Ends { end: self.next, stable: self.model.stable(self.next) }
        );
        let open: Vec<i64> = partition.open_transactions().iter().map(|open| open.producer_id).collect();
        let expected = self.model.producers.iter().filter(|(_, known)| known.open.is_some());
        assert_eq!(open.iter().copied().collect::<BTreeSet<_>>(), expected.map(|(id, _)| *id).collect());
        for from in [0, self.next / 2] {
            for max_bytes in [1, 250, 100_000] {
                assert_eq!(consume(&partition, from, max_bytes), self.model.committed(from, self.next));
            }
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in from.read_dir().expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            fs::create_dir(&target).expect("created");
            copy_all(&entry.path(), &target);
        } else {
            // A draft may get its final name meanwhile.
            let _ = fs::copy(entry.path(), target);
        }
    }
}

/// Returns what a consumer with `read_committed` sees: the algorithm of Kafka's consumer.
fn consume(partition: &Partition, mut from: i64, max_bytes: usize) -> Vec<i64> {
    let mut values = Vec::new();
    loop {
        let fetched = partition.fetch(from, max_bytes, Isolation::ReadCommitted).expect("fetched");
        let records = fetched.records;
        let Some(end) = end_of(&records) else { return values };
        let mut pending = fetched.aborted;
        let mut skipped = BTreeSet::new();
        let mut rest = &records[..];
        while let Some(header) = Header::parse(rest) {
            let (batch, after) = rest.split_at(header.bytes as usize);
            rest = after;
            pending.retain(|aborted| {
                let begins = aborted.first_offset < header.next_offset();
                if begins {
                    skipped.insert(aborted.producer_id);
                }
                !begins
            });
            match header.outcome(batch) {
                Some(Outcome::Abort) => _ = skipped.remove(&header.producer_id),
                Some(Outcome::Commit) => {}
                None if header.is_transactional() && skipped.contains(&header.producer_id) => {}
                None if header.base_offset >= from => values.push(value_of(batch)),
                None => {}
            }
        }
        from = end;
    }
}

/// Returns the value of the only record: the eight bytes before its header.
fn value_of(batch: &[u8]) -> i64 {
    let end = batch.len() - 5;
    i64::from_be_bytes(batch[end - 8..end].try_into().expect("eight bytes"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_consumer_of_committed_records_sees_those_of_the_model(steps in steps()) {
        let mut fixture = Fixture::new();
        for (number, step) in steps.into_iter().enumerate() {
            fixture.run(step);
            if number % 4 == 0 {
                fixture.check();
            }
        }
        fixture.check();
        fixture.restart(None);
        fixture.check();
    }
}

#[test]
fn a_transaction_stays_open_for_readers_until_its_end_is_on_disk() {
    let ended = Aborted { producer_id: 1, first_offset: 10, last_offset: 20, stable: 21 };
    let mut ending = Ending::default();
    ending.add(ended);
    assert_eq!(ending.first_after(20), Some(10));
    assert_eq!(ending.first_after(21), None);
}

#[test]
fn a_damaged_list_of_aborted_transactions_is_made_again() {
    let mut fixture = Fixture::new();
    for producer in [0, 1, 2, 0, 1, 2] {
        fixture.run(Step::Append(producer));
        fixture.run(Step::End { producer, commit: producer == 1 });
    }
    fixture.restart(None);
    let partition = fixture.partition_directory();
    let mut lists = 0;
    for entry in partition.read_dir().expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|kind| kind == "aborted") {
            fs::write(path, "checksum 00000000\n1 2 3 4\n").expect("write");
            lists += 1;
        }
    }
    assert!(lists > 0);
    fixture.check();
}

#[test]
fn a_reader_that_waits_is_woken_when_the_last_stable_offset_moves() {
    let mut fixture = Fixture::new();
    fixture.run(Step::Append(0));
    fixture.wait();
    let partition = fixture.partition();
    let mut ends = partition.watch_end();
    assert_eq!(ends.borrow_and_update().stable, 0);
    fixture.run(Step::End { producer: 0, commit: true });
    fixture
        .runtime
        .block_on(async { ends.wait_for(|ends| ends.stable == 2).await.map(drop) })
        .expect("woken");
}
