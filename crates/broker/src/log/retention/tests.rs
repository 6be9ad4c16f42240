//! Tests that delete old segments of a partition with small ones.

use super::*;
use crate::log::batch::tests::{batch_at, of_producer};
use crate::log::fixture::TestLog;
use crate::log::{Isolation, TopicSettings};

/// Bytes of a segment: two batches of [`BATCH_BYTES`].
const SEGMENT_BYTES: u64 = 2_100;
const BATCH_BYTES: u64 = 1_000;

/// Returns a batch of about [`BATCH_BYTES`].
fn batch(timestamp: i64) -> Vec<u8> {
    batch_at(timestamp, &[7; BATCH_BYTES as usize - 60])
}

impl TestLog {
    fn with(change: impl FnOnce(&mut TopicSettings)) -> Self {
        let mut settings = TopicSettings { segment_bytes: SEGMENT_BYTES, ..TopicSettings::default() };
        change(&mut settings);
        Self::new(settings)
    }

    /// Appends a batch per timestamp.
    fn fill(&self, timestamps: impl IntoIterator<Item = i64>) {
        for timestamp in timestamps {
            self.append(batch(timestamp));
        }
    }

    fn files(&self) -> usize {
        let directory = self.partition_directory();
        let names = directory.read_dir().expect("a directory").map(|entry| entry.expect("an entry").path());
        names.filter(|path| path.extension().is_some_and(|kind| kind == "log")).count()
    }
}

#[test]
fn segments_are_deleted_when_their_newest_record_is_too_old() {
    let fixture = TestLog::with(|settings| settings.retention_ms = 100);
    fixture.fill([1_000, 1_000, 1_050, 1_020, 1_200]);
    assert_eq!(fixture.files(), 3);
    assert_eq!(fixture.log().clean(1_100), Some(1_101), "nothing has expired");
    assert_eq!(fixture.partition().start_offset(), 0);
    assert_eq!(fixture.log().clean(1_101), Some(1_151));
    assert_eq!(fixture.partition().start_offset(), 2);
    assert_eq!(fixture.files(), 2);
    assert_eq!(fixture.log().clean(1_300), Some(1_301));
    assert_eq!(fixture.partition().start_offset(), 4);
    assert_eq!(fixture.log().clean(1_301), None, "the last segment too");
    let partition = fixture.partition();
    assert_eq!((partition.start_offset(), partition.end_offset(), fixture.files()), (5, 5, 1));
    fixture.fill([1_302]);
    assert!(!partition.read(5, 1, Isolation::ReadUncommitted).expect("read").is_empty());
    assert_eq!(fixture.log().clean(1_302), Some(1_403));
}

#[test]
fn the_oldest_segments_are_deleted_when_the_partition_is_too_large() {
    let fixture = TestLog::with(|settings| settings.retention_bytes = 3 * BATCH_BYTES as i64);
    fixture.fill([0; 4]);
    assert_eq!(fixture.log().clean(i64::MAX), None);
    assert_eq!(fixture.partition().start_offset(), 0, "less than a whole segment is too much");
    fixture.fill([0; 3]);
    assert_eq!(fixture.log().clean(i64::MAX), None);
    assert_eq!(fixture.partition().start_offset(), 4);
    assert_eq!(fixture.files(), 2);
}

#[test]
fn records_of_an_open_transaction_and_those_after_it_are_not_deleted() {
    let fixture = TestLog::with(|settings| settings.retention_ms = 0);
    fixture.fill([1, 1, 1]);
    fixture.append(of_producer(batch(1), 7, 0, 0, true));
    fixture.fill([1, 1]);
    assert_eq!(fixture.log().clean(10), Some(10 + RETRY_MS));
    assert_eq!(fixture.partition().start_offset(), 2);
    let partition = fixture.partition();
    fixture.runtime.block_on(async {
        let appended = partition.end_transaction(7, 0, true, 0).expect("ended");
        partition.wait_until_safe(appended).await.expect("safe");
    });
    fixture.log().clean(i64::MAX);
    assert_eq!(partition.start_offset(), 7);
}

#[test]
fn other_topics_keep_everything() {
    let compact = |settings: &mut TopicSettings| {
        settings.cleanup_policy.delete = false;
        settings.retention_ms = 0;
    };
    for fixture in [TestLog::with(|_| ()), TestLog::with(compact)] {
        fixture.fill([0; 6]);
        assert_eq!(fixture.log().clean(i64::MAX), None);
        assert_eq!(fixture.partition().start_offset(), 0);
    }
}

#[test]
fn the_cleaner_wakes_when_the_settings_change_or_a_first_record_arrives() {
    let fixture = TestLog::with(|_| ());
    fixture.fill([1, 1, 1]);
    let cleaner = fixture.runtime.spawn(Arc::clone(fixture.log()).keep_clean());
    let partition = fixture.partition();
    let start_is = |offset: i64| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while partition.start_offset() != offset {
            assert!(std::time::Instant::now() < deadline, "{} is not {offset}", partition.start_offset());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    let topic = fixture.log().topic("topic").expect("a topic");
    topic.change(TopicSettings { retention_ms: 1_000, ..topic.settings() }).expect("changed");
    start_is(3);
    fixture.fill([1]);
    start_is(4);
    cleaner.abort();
}

#[test]
fn after_a_stop_the_cleaner_changes_nothing() {
    let fixture = TestLog::with(|settings| settings.retention_ms = 0);
    fixture.fill([0; 4]);
    fixture.log().sync_all().expect("synced");
    assert_eq!(fixture.log().clean(i64::MAX), None);
    assert_eq!(fixture.partition().start_offset(), 0);
}

#[test]
fn a_change_of_the_settings_wakes_the_cleaner() {
    let fixture = TestLog::with(|_| ());
    let topic = fixture.log().topic("topic").expect("a topic");
    topic.change(topic.settings()).expect("changed");
    let woken = async {
        let changed = fixture.log().shared.changed.notified();
        tokio::time::timeout(std::time::Duration::from_secs(60), changed).await.expect("woken");
    };
    fixture.runtime.block_on(woken);
}
