//! Requests that ask for very much.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::broker::{MAX_PARTITIONS_IN_TURN, MAX_TURNS};

const LATEST: i64 = -1;

impl TestBroker {
    /// Asks for offsets of the partitions of `topic`. Returns the errors.
    async fn list_offsets(&self, numbers: impl IntoIterator<Item = i32>, timestamp: i64) -> Vec<i16> {
        let numbers = Vec::from_iter(numbers);
        let mut answer = self
            .ask(2, 1, false, |request| {
                request.i32(-1).array(1).string("topic").array(numbers.len());
                for number in numbers {
                    request.i32(number).i64(timestamp);
                }
            })
            .await;
        let read = |partition: &mut Reader| {
            let (_number, error) = (partition.i32()?, partition.i16()?);
            let (_timestamp, _offset) = (partition.i64()?, partition.i64()?);
            Ok(error)
        };
        answer.topics(read).expect("an answer").remove(0).1
    }
}

#[tokio::test]
async fn a_partition_that_is_named_twice_is_searched_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 2).await;
    let invalid = number(Some(ErrorCode::InvalidRequest));
    for timestamp in [LATEST, 0] {
        assert_eq!(broker.list_offsets([0, 1, 0], timestamp).await, [0, 0, invalid]);
    }
}

#[tokio::test]
async fn a_request_searches_only_so_many_partitions() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 1).await;
    let most = i32::try_from(MAX_PARTITIONS_IN_TURN).expect("a small number");
    let unknown = number(Some(ErrorCode::UnknownTopicOrPartition));
    let errors = broker.list_offsets(0..most + 2, 0).await;
    let too_many = number(Some(ErrorCode::PolicyViolation));
    assert_eq!(errors.get(most as usize - 1..), Some(&[unknown, too_many, too_many][..]));
    assert!(!broker.list_offsets(0..most + 2, LATEST).await.contains(&too_many), "these cost nothing");
}

#[tokio::test]
async fn only_a_few_clients_search_at_a_time_and_the_others_do_not_wait_for_them() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 1).await;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let mut searches = JoinSet::new();
    for _ in 0..3 * MAX_TURNS {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let (broker, wait) = (Arc::clone(&broker.broker), Arc::clone(&wait));
        let search = move |_: &Log| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            drop(wait.lock().map(|wait| wait.recv()));
            running.fetch_sub(1, Ordering::SeqCst);
        };
        searches.spawn(async move { broker.in_turn(search).await });
    }
    let all_turns = async {
        while running.load(Ordering::SeqCst) < MAX_TURNS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_turns).await.expect("all turns are taken");
    // These threads get their work in its order. Without a limit, all searches would have begun before this.
    for _ in 0..100 {
        tokio::task::spawn_blocking(|| ()).await.expect("done");
    }
    assert_eq!(broker.list_offsets([0], LATEST).await, [0], "this is no search");
    drop(release);
    tokio::time::timeout(PATIENCE, searches.join_all()).await.expect("each has its turn");
    assert_eq!(most.load(Ordering::SeqCst), MAX_TURNS);
    assert_eq!(broker.list_offsets([0], 0).await, [0]);
}

#[tokio::test]
async fn of_several_offsets_of_a_partition_the_last_one_is_deleted_to() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 1).await;
    let mut answer = broker
        .ask(21, 0, false, |request| {
            request.array(1).string("topic").array(2).i32(0).i64(5).i32(0).i64(0).i32(1_000);
        })
        .await;
    let _throttled = answer.i32();
    let results = answer.topics(|partition| Ok((partition.i32()?, partition.i64()?, partition.i16()?)));
    assert_eq!(results.expect("an answer"), [("topic".to_owned(), vec![(0, 0, 0)])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_only_so_many_batches() {
    let broker = TestBroker::start().await;
    let mut answer = broker
        .ask(0, 3, false, |request| {
            request.nullable_string(None).i16(-1).i32(1_000).array(1).string("topic").array(10_001);
            for number in 0..10_001 {
                request.i32(number).bytes(&[]);
            }
        })
        .await;
    let errors = answer
        .topics(|partition| {
            let (_number, error) = (partition.i32()?, partition.i16()?);
            let (_offset, _time) = (partition.i64()?, partition.i64()?);
            Ok(error)
        })
        .expect("an answer")
        .remove(0)
        .1;
    let last = [ErrorCode::UnknownTopicOrPartition, ErrorCode::PolicyViolation].map(ErrorCode::number);
    assert_eq!(errors.get(9_999..), Some(&last[..]));
}
