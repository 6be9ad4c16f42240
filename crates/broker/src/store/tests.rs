use std::time::Duration;

use super::writer::MIN_COMPACTION_BYTES;
use super::*;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn offset(topic_number: u128, number: i32, offset: i64) -> (PartitionId, Committed) {
    let committed = Committed { offset, leader_epoch: -1, metadata: "note".to_owned() };
    (PartitionId { topic: topic(topic_number), number }, committed)
}

pub(crate) fn commit(group: &str, topic_number: u128, partition: i32, at: i64) -> Change {
    Change::Commit {
        group: group.to_owned(),
        offsets: vec![offset(topic_number, partition, at)],
        idle_hours: 0,
    }
}

fn open(directory: &Path, known: impl Fn(Uuid) -> bool) -> Store {
    Store::open(directory, known, CancellationToken::new()).expect("opened")
}

fn committed(store: &Store, group: &str) -> Option<i64> {
    let partition = PartitionId { topic: topic(0), number: 0 };
    store.committed(group, partition).map(|committed| committed.offset)
}

#[tokio::test]
async fn committed_offsets_are_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = open(directory.path(), |_| true);
    for offset in 0..5 {
        store.change(commit("group", 0, 0, offset)).await.expect("committed");
    }
    store.change(commit("group", 1, 1, 9)).await.expect("committed");
    store.change(commit("other", 0, 0, 7)).await.expect("committed");
    store.change(Change::ForgetTopic { topic: topic(1) }).await.expect("forgotten");
    store.change(Change::ForgetGroup { group: "other".to_owned() }).await.expect("forgotten");
    store.close().await;
    let store = open(directory.path(), |_| true);
    assert_eq!(committed(&store, "group"), Some(4));
    assert_eq!(store.group("group").len(), 1);
    assert_eq!(store.groups(), ["group"]);
    store.close().await;
    let store = open(directory.path(), |_| false);
    assert_eq!(store.groups(), Vec::<String>::new(), "the topic does not exist any more");
}

#[tokio::test]
async fn the_log_does_not_grow_with_the_number_of_commits() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = open(directory.path(), |_| true);
    let metadata = "x".repeat(100_000);
    for at in 0..60 {
        let (partition, committed) = offset(0, 0, at);
        let offsets = vec![(partition, Committed { metadata: metadata.clone(), ..committed })];
        let change = Change::Commit { group: "group".to_owned(), offsets, idle_hours: 0 };
        store.change(change).await.expect("committed");
    }
    store.close().await;
    let bytes = std::fs::metadata(directory.path().join(FILE.name)).expect("the log").len();
    assert!(bytes < 2 * MIN_COMPACTION_BYTES, "{bytes}");
    assert_eq!(committed(&open(directory.path(), |_| true), "group"), Some(59));
}

#[tokio::test]
async fn a_log_in_doubt_ends_the_broker() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let failure = CancellationToken::new();
    let store = Store::open(directory.path(), |_| true, failure.clone()).expect("opened");
    store.change(commit("group", 0, 0, 1)).await.expect("committed");
    // Then the lines are on disk, but not the mark: undoing them could contradict it.
    std::fs::remove_file(directory.path().join(FILE.mark)).expect("removed");
    let refused = store.change(commit("group", 0, 0, 2)).await;
    assert_eq!(refused, Err(ErrorCode::KafkaStorageError));
    tokio::time::timeout(PATIENCE, failure.cancelled()).await.expect("the broker must end");
    assert_eq!(store.change(commit("group", 0, 0, 3)).await, Err(ErrorCode::CoordinatorNotAvailable));
}

#[tokio::test]
async fn changes_take_effect_in_the_order_in_which_they_are_sent() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = open(directory.path(), |_| true);
    let (first, second) = (store.reserve().await.expect("a place"), store.reserve().await.expect("a place"));
    let later = second.send(commit("group", 0, 0, 1));
    let last = first.send(commit("group", 0, 0, 2));
    store.settle().await.expect("settled");
    assert_eq!(committed(&store, "group"), Some(2));
    assert_eq!((later.wait().await, last.wait().await), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_change_beyond_a_limit_is_refused_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let store = open(directory.path(), |_| true);
    let (partition, small) = offset(0, 0, 1);
    let large = Committed { metadata: "x".repeat(state::MAX_PART_BYTES), ..small };
    let offsets = vec![(partition, large)];
    let too_large = Change::Commit { group: "large".to_owned(), offsets, idle_hours: 0 };
    let (refused, accepted) = tokio::join!(store.change(too_large), store.change(commit("group", 0, 0, 3)));
    assert_eq!((refused, accepted), (Err(ErrorCode::InvalidCommitOffsetSize), Ok(())));
    assert_eq!(store.groups(), ["group"]);
}
