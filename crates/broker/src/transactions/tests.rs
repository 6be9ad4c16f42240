use super::*;
use crate::tests::{PATIENCE, TestBroker};

async fn start(
    transactions: &Transactions,
    id: &str,
    known: Option<Producer>,
) -> Result<Producer, ErrorCode> {
    transactions.start(id, 60_000, known).await
}

#[tokio::test]
async fn a_producer_that_did_not_receive_its_new_epoch_gets_it_again_also_after_a_restart() {
    let broker = TestBroker::start().await;
    let transactions = &broker.broker.transactions;
    let first = start(transactions, "id", None).await.expect("started");
    transactions.add_group("id", first, "group").await.expect("added");
    let second = start(transactions, "id", Some(first)).await.expect("started");
    assert_ne!(first, second);
    assert_eq!(start(transactions, "id", Some(first)).await, Ok(second), "the answer was lost");
    let broker = broker.restart().await;
    let transactions = &broker.broker.transactions;
    assert_eq!(start(transactions, "id", Some(first)).await, Ok(second), "after a restart");
    transactions.add_group("id", second, "group").await.expect("it is not fenced");
    assert_eq!(
        start(transactions, "id", Some(first)).await,
        Ok(second),
        "a request that was under way for long"
    );
    transactions.end("id", second, End::Commit).await.expect("its transaction goes on");
    let third = start(transactions, "id", None).await.expect("another client");
    assert_eq!(start(transactions, "id", Some(second)).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(start(transactions, "id", Some(first)).await, Err(ErrorCode::ProducerFenced));
    assert_eq!(transactions.end("id", third, End::Commit).await, Err(ErrorCode::InvalidTxnState));
}

#[tokio::test]
async fn a_producer_whose_id_was_forgotten_gets_a_new_one() {
    let broker = TestBroker::start().await;
    let known = Producer { id: 5, epoch: 3 };
    let started = start(&broker.broker.transactions, "id", Some(known)).await.expect("started");
    assert_eq!(started.epoch, 0);
}

/// A broker that remembers few transactional ids.
async fn small(max_ids: usize) -> (TestBroker, Transactions) {
    let broker = TestBroker::start().await;
    let (log, store) = (Arc::clone(&broker.broker.log), Arc::clone(&broker.broker.store));
    let transactions = Transactions { max_ids, ..Transactions::new(log, store) };
    (broker, transactions)
}

#[tokio::test]
async fn an_id_that_is_used_while_it_is_being_forgotten_has_one_producer() {
    let (broker, transactions) = small(10).await;
    for number in 0..10 {
        start(&transactions, &number.to_string(), None).await.expect("started");
    }
    let store = &broker.broker.store;
    let mut places = Vec::new();
    for _ in 0..store.queue_size() {
        places.push(store.reserve().await.expect("a place"));
    }
    // Once there is a place, it is stored that the id is forgotten. The request comes before that.
    let released = async {
        tokio::task::yield_now().await;
        drop(places);
    };
    let (forgotten, first, ()) =
        tokio::join!(transactions.forget_the_quietest(), start(&transactions, "0", None), released);
    forgotten.expect("stored");
    let first = first.expect("started");
    let second = start(&transactions, "0", None).await.expect("started");
    assert_eq!((second.id, second.epoch), (first.id, first.epoch + 1), "the first one is fenced");
    let stored: std::collections::BTreeMap<_, _> = broker.broker.store.transactions().into_iter().collect();
    assert_eq!(stored.get("0").map(|state| state.producer), Some(second));
}

#[tokio::test]
async fn the_ids_that_were_idle_the_longest_are_forgotten_and_those_in_use_are_not() {
    let (broker, transactions) = small(10).await;
    for number in 0..10 {
        let id = number.to_string();
        let producer = start(&transactions, &id, None).await.expect("started");
        if number != 4 {
            transactions.add_group(&id, producer, "group").await.expect("ongoing");
        }
    }
    start(&transactions, "new", None).await.expect("in the place of an idle one");
    let stored: Vec<_> = broker.broker.store.transactions().into_iter().map(|(id, _)| id).collect();
    assert!(stored.len() == 10 && !stored.contains(&"4".to_owned()), "{stored:?}");
    let producer = start(&transactions, "new", None).await.expect("started");
    transactions.add_group("new", producer, "group").await.expect("ongoing");
    assert_eq!(start(&transactions, "more", None).await, Err(ErrorCode::CoordinatorNotAvailable));
    transactions.end("new", producer, End::Abort).await.expect("aborted");
    start(&transactions, "more", None).await.expect("started");
}

#[tokio::test]
async fn a_late_transaction_is_aborted_although_a_request_for_another_id_does_not_end() {
    let broker = TestBroker::start().await;
    let transactions = &broker.broker.transactions;
    start(transactions, "a", None).await.expect("started");
    start(transactions, "z", None).await.expect("started");
    let [first, last] = ["a", "z"].map(|id| lock(&transactions.ids).get(id).cloned().expect("an entry"));
    let _never_ends = (first.lock_owned().await, last.lock_owned().await);
    let producer = transactions.start("late", 1, None).await.expect("started");
    let aborted = async {
        while transactions.add_group("late", producer, "group").await != Err(ErrorCode::ProducerFenced) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = transactions.keep_time() => {}
        ended = tokio::time::timeout(PATIENCE, aborted) => ended.expect("it is aborted"),
    }
}
