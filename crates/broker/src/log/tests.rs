//! Tests with a partition whose files are damaged while it is closed.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use proptest::prelude::*;

use super::batch::tests::batch_of;
use super::fixture::{TestLog, append_to, topic, try_open};
use super::*;
use crate::error_code::ErrorCode;

/// Records per batch.
const RECORDS: i64 = 3;
const BATCHES: i64 = 6;

/// A log with some batches, which is closed while its files are damaged.
struct Fixture {
    base: TestLog,
    topic: TopicEntry,
}

impl Deref for Fixture {
    type Target = TestLog;

    fn deref(&self) -> &TestLog {
        &self.base
    }
}

impl Fixture {
    /// Creates the topic and appends some batches; all are acknowledged.
    fn new() -> Self {
        let mut base = TestLog::new(TopicSettings::default());
        for number in 0..BATCHES {
            base.append(content(number));
        }
        base.close();
        Self { base, topic: topic() }
    }

    fn open(&self) -> Log {
        try_open(self.directory.path(), &[topic()]).expect("opened")
    }

    fn append(&self, log: &Log, number: i64) -> Appended {
        let partition = log.partition("topic", 0).expect("a partition");
        self.runtime.block_on(append_to(&partition, content(number)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.partition_directory().join(name)
    }

    fn segment(&self) -> PathBuf {
        self.file("00000000000000000000.log")
    }
}

#[test]
fn an_interrupted_creation_or_deletion_of_a_topic_does_not_prevent_the_next_start() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let topic = TopicEntry { name: "topic".to_owned(), id: Uuid::from_u128(7), partitions: 2 };
    let of_topic = directory.path().join(topic.id.to_string());
    let open = |topics: &[TopicEntry]| try_open(directory.path(), topics);
    let log = open(&[]).expect("opened");
    log.create(&topic, TopicSettings::default()).expect("created");
    drop(log);
    drop(open(&[]).expect("the catalogue did not get the topic"));
    assert!(!of_topic.exists());
    // The catalogue got it: the topic stays, also after it is lost later.
    let log = open(&[]).expect("opened");
    log.create(&topic, TopicSettings::default()).expect("created");
    drop(log);
    drop(open(std::slice::from_ref(&topic)).expect("listed"));
    assert!(open(&[]).is_err());
    // A removal ends with the sign of the deletion, and then the directory.
    fs::remove_dir_all(&of_topic).expect("removed");
    fs::create_dir(&of_topic).expect("created");
    drop(open(&[]).expect("an empty directory has no records"));
    assert!(!of_topic.exists());
}

#[test]
fn a_partition_whose_disk_has_failed_is_not_taken_for_a_deleted_one() {
    let fixture = Fixture::new();
    let log = fixture.open();
    let partition = log.partition("topic", 0).expect("a partition");
    partition.fail();
    let batch = Batch::from_producer(content(0), 1 << 20).expect("a batch");
    assert_eq!(partition.append(&batch), Err(ErrorCode::KafkaStorageError));
    assert_eq!(partition.end_transaction(1, 0, true, 0), Err(ErrorCode::KafkaStorageError));
    log.remove("topic").expect("removed");
    assert_eq!(partition.append(&batch), Err(ErrorCode::UnknownTopicOrPartition));
}

#[test]
fn records_of_a_topic_that_the_catalogue_has_lost_are_kept_and_those_of_a_deleted_topic_are_not() {
    let fixture = Fixture::new();
    let open = |topics: &[TopicEntry]| try_open(fixture.directory.path(), topics);
    let error = open(&[]).unwrap_err().to_string();
    assert!(error.contains(&format!("log/{} has records of a topic", fixture.topic.id)), "{error}");
    assert!(fixture.segment().exists());
    // The catalogue refused the deletion: the topic stays, also after it is lost later.
    let log = fixture.open();
    log.begin_deletion("topic").expect("marked");
    drop(log);
    drop(fixture.open());
    open(&[]).unwrap_err();
    let log = fixture.open();
    log.begin_deletion("topic").expect("marked");
    log.undo_deletion("topic").expect("undone");
    open(&[]).unwrap_err();
    // The process was killed after the catalogue had deleted it.
    log.begin_deletion("topic").expect("marked");
    drop(log);
    open(&[]).expect("opened");
    assert!(!fixture.segment().exists());
}

/// Returns the batch with this number, as it is sent.
fn content(number: i64) -> Bytes {
    batch_of(RECORDS as i32, format!("value of batch {number}").as_bytes()).into()
}

/// Reads the batch at an offset. None if the log reports it as damaged. Otherwise its contents must be correct.
fn read(partition: &Partition, offset: i64) -> Option<()> {
    match partition.read(offset, 1, Isolation::ReadUncommitted) {
        Ok(bytes) => {
            let header = Header::parse(&bytes).expect("a batch");
            let number = offset / RECORDS;
            assert_eq!(header.base_offset, number * RECORDS);
            assert_eq!(bytes[16..], content(number)[16..], "batch {number}");
            Some(())
        }
        Err(ReadError::Damaged) => None,
        Err(error) => panic!("{error}"),
    }
}

/// A change to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(u8),
    Cut,
    Zero,
    /// Bytes of an unfinished write after the end.
    Extend,
    Remove,
}

fn harm(path: &Path, harm: Harm, place: prop::sample::Index) {
    let mut bytes = fs::read(path).expect("read");
    let place = place.index(bytes.len());
    match harm {
        Harm::Flip(bits) => bytes[place] ^= bits,
        Harm::Cut => bytes.truncate(place),
        Harm::Zero => bytes[place..].fill(0),
        Harm::Extend => bytes.extend_from_within(..place),
        Harm::Remove => return fs::remove_file(path).expect("removed"),
    }
    fs::write(path, bytes).expect("write");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_lost_record_is_reported_and_its_offset_is_never_assigned_again(
        of_mark in prop::bool::weighted(0.2),
        place in any::<prop::sample::Index>(),
        what in prop_oneof![
            4 => (1_u8..).prop_map(Harm::Flip),
            3 => Just(Harm::Cut),
            2 => Just(Harm::Zero),
            1 => Just(Harm::Extend),
            1 => Just(Harm::Remove),
        ],
    ) {
        let end = BATCHES * RECORDS;
        let fixture = Fixture::new();
        harm(&if of_mark { fixture.file("durable") } else { fixture.segment() }, what, place);
        let mut lost_before = None;
        for round in 0..2 {
            let log = fixture.open();
            let partition = log.partition("topic", 0).expect("a partition");
            prop_assert_eq!(partition.end_offset(), end + round * RECORDS);
            let lost: Vec<i64> =
                (0..end + round * RECORDS).filter(|offset| read(&partition, *offset).is_none()).collect();
            prop_assert!(!of_mark || lost.is_empty(), "{:?}", lost);
            prop_assert!(lost_before.as_ref().is_none_or(|before| *before == lost));
            prop_assert_eq!(log.damages().reasons().is_empty(), lost.is_empty());
            lost_before = Some(lost);
            let appended = fixture.append(&log, BATCHES + round);
            prop_assert_eq!(appended.base_offset, end + round * RECORDS);
        }
    }
}

#[test]
fn an_unfinished_write_is_cut_off_and_not_reported_as_damage() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.segment()).expect("read");
    let mut unfinished = content(BATCHES).to_vec();
    unfinished[..8].copy_from_slice(&(BATCHES * RECORDS).to_be_bytes());
    for length in (0..unfinished.len()).step_by(7) {
        for zeros in [0, 5_000] {
            let torn = [&whole[..], &unfinished[..length], &vec![0; zeros]].concat();
            fs::write(fixture.segment(), torn).expect("write");
            let log = fixture.open();
            assert_eq!(log.damages().reasons(), Vec::<String>::new(), "{length} bytes");
            assert_eq!(log.partition("topic", 0).expect("a partition").end_offset(), BATCHES * RECORDS);
            assert_eq!(fs::read(fixture.segment()).expect("read"), whole);
        }
    }
}

#[test]
fn a_complete_unacknowledged_record_with_a_wrong_checksum_is_copied_before_it_is_cut_off() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.segment()).expect("read");
    let mut wrong = content(BATCHES).to_vec();
    wrong[..8].copy_from_slice(&(BATCHES * RECORDS).to_be_bytes());
    *wrong.last_mut().expect("bytes") ^= 1;
    fs::write(fixture.segment(), [&whole[..], &wrong].concat()).expect("write");
    assert_eq!(fixture.open().damages().reasons(), Vec::<String>::new());
    assert_eq!(fs::read(fixture.segment()).expect("read"), whole);
    assert_eq!(fs::read(fixture.file("00000000000000000000.cut")).expect("read"), wrong);
}

#[test]
fn without_a_mark_a_complete_record_with_a_wrong_checksum_is_damage_but_an_incomplete_one_is_not() {
    let fixture = Fixture::new();
    let whole = fs::read(fixture.segment()).expect("read");
    let open = |bytes: &[u8]| {
        fs::write(fixture.segment(), bytes).expect("write");
        fs::remove_file(fixture.file("durable")).expect("removed");
        fixture.open()
    };
    let mut changed = whole.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    let log = open(&changed);
    let reasons = log.damages().reasons();
    assert!(
        reasons[0].contains("partition 0 of topic topic: offsets 15 to 17 cannot be read"),
        "{reasons:?}"
    );
    assert_eq!(log.partition("topic", 0).expect("a partition").end_offset(), 18);
    drop(log);
    fs::remove_file(fixture.file("00000000000000000018.log")).expect("removed");
    let log = open(&whole[..whole.len() - 1]);
    assert_eq!(log.damages().reasons(), Vec::<String>::new());
    assert_eq!(log.partition("topic", 0).expect("a partition").end_offset(), 15);
}

#[test]
fn damage_is_no_longer_reported_after_its_records_are_deleted() {
    let fixture = Fixture::new();
    let mut bytes = fs::read(fixture.segment()).expect("read");
    bytes[100] ^= 1;
    fs::write(fixture.segment(), bytes).expect("write");
    let log = fixture.open();
    assert_eq!(log.damages().reasons().len(), 1);
    let partition = log.partition("topic", 0).expect("a partition");
    partition.delete_before(2).expect("deleted");
    assert_eq!(log.damages().reasons().len(), 1, "one of its records is left");
    partition.delete_before(3).expect("deleted");
    assert_eq!(log.damages().reasons(), Vec::<String>::new());
    drop((partition, log));
    assert_eq!(fixture.open().damages().reasons(), Vec::<String>::new());
}

#[test]
fn the_partition_opens_although_the_file_with_its_first_offset_is_damaged() {
    let fixture = Fixture::new();
    fixture.open().partition("topic", 0).expect("a partition").delete_before(6).expect("deleted");
    fs::write(fixture.file("start"), [0xff, 0]).expect("write");
    let log = fixture.open();
    assert_eq!(log.partition("topic", 0).expect("a partition").start_offset(), 0);
}

#[test]
fn a_batch_that_states_more_offsets_than_its_file_has_is_damaged() {
    let fixture = Fixture::new();
    let mut bytes = fs::read(fixture.segment()).expect("read");
    let last_batch = bytes.len() / BATCHES as usize * (BATCHES as usize - 1);
    // The first byte of the last offset delta.
    bytes[last_batch + 23] ^= 1;
    fs::write(fixture.segment(), bytes).expect("write");
    for _ in 0..2 {
        // At the second start, the file is not the last one, and is not read.
        let log = fixture.open();
        let partition = log.partition("topic", 0).expect("a partition");
        assert_eq!(read(&partition, (BATCHES - 1) * RECORDS), None);
        assert_eq!(log.damages().reasons().len(), 1);
    }
}
