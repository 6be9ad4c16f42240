//! Committed offsets, also those of transactions.

use super::*;
use crate::coordinator::{Identity, JoinRequest, Leaving, Protocol, SyncRequest};
use crate::store::{Change, Committed, PartitionId};
use crate::store::{End, Producer};

const GROUP: &str = "group";

fn outsider() -> Identity<'static> {
    Identity { generation: -1, member_id: "", instance_id: None }
}

impl TestBroker {
    /// A broker with a topic, and the generation and the id of the only member of the group.
    async fn with_member() -> (Self, (i32, String)) {
        let broker = Self::start().await;
        broker.create_topic("topic", 1).await;
        let timers = Arc::clone(&broker.broker);
        let member = tokio::select! {
            () = timers.groups.keep_time() => unreachable!("it runs for ever"),
            member = broker.join() => member,
        };
        (broker, member)
    }

    /// Returns the error.
    async fn commit(&self, identity: Identity<'_>, topic: &str, offset: i64) -> i16 {
        let mut answer = self
            .ask(8, 3, false, |request| {
                request.string(GROUP).i32(identity.generation).string(identity.member_id).i64(-1);
                request.array(1).string(topic).array(1).i32(0).i64(offset).nullable_string(None);
            })
            .await;
        let _throttled = answer.i32();
        answer.topics(|partition| Ok((partition.i32()?, partition.i16()?))).expect("an answer")[0].1[0].1
    }

    /// Returns the offset, or -1.
    async fn committed(&self, topic: &str) -> i64 {
        let mut answer = self
            .ask(9, 1, false, |request| {
                request.string(GROUP).array(1).string(topic).array(1).i32(0);
            })
            .await;
        let read = |partition: &mut Reader| {
            Ok((partition.i32()?, partition.i64()?, partition.string()?, partition.i16()?))
        };
        answer.topics(read).expect("an answer")[0].1[0].1
    }

    /// Returns the topics of all committed offsets.
    async fn committed_topics(&self) -> Vec<String> {
        let mut answer = self
            .ask(9, 2, false, |request| {
                request.string(GROUP).i32(-1);
            })
            .await;
        let read = |partition: &mut Reader| {
            Ok((partition.i32()?, partition.i64()?, partition.string()?, partition.i16()?))
        };
        answer.topics(read).expect("an answer").into_iter().map(|(topic, _)| topic).collect()
    }

    /// Adds an offset to a transaction. Returns the error.
    async fn add_offset(&self, id: &str, producer: Producer, member: Identity<'_>, offset: i64) -> i16 {
        let mut answer = self
            .ask(28, 3, true, |request| {
                request.string(id).string(GROUP).i64(producer.id).i16(producer.epoch);
                request.i32(member.generation).string(member.member_id).nullable_string(None);
                request.array(1).string("topic").array(1);
                request.i32(0).i64(offset).i32(-1).nullable_string(None).tags().tags();
            })
            .await;
        let _throttled = answer.i32();
        answer.topics(|partition| Ok((partition.i32()?, partition.i16()?))).expect("an answer")[0].1[0].1
    }

    /// Begins a transaction with the group.
    async fn begin(&self, id: &str) -> Producer {
        let producer = self.broker.transactions.start(id, 60_000, None).await.expect("started");
        self.broker.transactions.add_group(id, producer, GROUP).await.expect("added");
        producer
    }

    /// Joins as the only member of the group. Returns the generation and the member id.
    async fn join(&self) -> (i32, String) {
        let request = JoinRequest {
            group_id: GROUP.to_owned(),
            member_id: String::new(),
            instance_id: None,
            requires_known_member: false,
            client_id: "tests".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 1_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![Protocol { name: "range".to_owned(), metadata: Bytes::new() }],
        };
        let joined = self.broker.groups.join(request).await;
        assert_eq!(joined.error, None);
        let (generation, member_id) = (joined.generation, joined.member_id);
        let sync = SyncRequest {
            group_id: GROUP.to_owned(),
            generation,
            member_id: member_id.clone(),
            instance_id: None,
            assignments: Vec::new(),
        };
        self.broker.groups.sync(sync).await.expect("synced");
        (generation, member_id)
    }

    fn leave(&self, member_id: &str) {
        let leaving = Leaving { member_id: member_id.to_owned(), instance_id: None };
        self.broker.groups.leave(GROUP, &[leaving]).expect("left").remove(0).expect("left");
    }
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_do_not_apply_to_the_next_one_with_its_name() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 1).await;
    assert_eq!(broker.commit(outsider(), "topic", 5).await, 0);
    assert_eq!(broker.committed("topic").await, 5);
    let old = broker.broker.log.topic("topic").expect("a topic").id;
    broker.delete_topic("topic").await;
    broker.create_topic("topic", 1).await;
    assert_eq!(broker.committed("topic").await, -1);
    // A commit that was checked before the deletion and stored after it.
    let committed = Committed { offset: 6, leader_epoch: -1, metadata: String::new() };
    let offsets = vec![(PartitionId { topic: old, number: 0 }, committed)];
    let late = Change::Commit { group: GROUP.to_owned(), offsets, idle_hours: 0 };
    assert_eq!(broker.commit(outsider(), "topic", 1).await, 0);
    broker.broker.store.change(late).await.expect("stored");
    assert_eq!(broker.committed("topic").await, 1);
    assert_eq!(broker.committed_topics().await, ["topic"]);
    let broker = broker.restart().await;
    assert_eq!(broker.committed("topic").await, 1, "after a restart");
    assert_eq!(
        broker.broker.store.group(GROUP).len(),
        1,
        "the start forgets the offset of the deleted topic"
    );
}

#[tokio::test]
async fn pending_offsets_of_a_deleted_topic_do_not_apply_to_the_next_one_with_its_name() {
    for restarts in [false, true] {
        let mut broker = TestBroker::start().await;
        broker.create_topic("topic", 1).await;
        let producer = broker.begin("id").await;
        assert_eq!(broker.add_offset("id", producer, outsider(), 5).await, 0);
        broker.delete_topic("topic").await;
        broker.create_topic("topic", 1).await;
        if restarts {
            broker = broker.restart().await;
        }
        broker.broker.transactions.end("id", producer, End::Commit).await.expect("committed");
        assert_eq!(broker.committed("topic").await, -1, "restarted: {restarts}");
        let producer = broker.begin("id").await;
        assert_eq!(broker.add_offset("id", producer, outsider(), 7).await, 0);
        broker.broker.transactions.end("id", producer, End::Commit).await.expect("committed");
        assert_eq!(broker.committed("topic").await, 7, "restarted: {restarts}");
    }
}

#[tokio::test]
async fn a_member_that_was_replaced_cannot_commit_although_its_commit_had_begun() {
    let (broker, (generation, member_id)) = TestBroker::with_member().await;
    let member = Identity { generation, member_id: &member_id, instance_id: None };
    assert_eq!(broker.commit(member, "topic", 5).await, 0);
    let producer = broker.begin("id").await;
    // Its next commits wait for a place in the queue.
    let store = Arc::clone(&broker.broker.store);
    let mut places = Vec::new();
    for _ in 0..store.queue_size() {
        places.push(store.reserve().await.expect("a place"));
    }
    let replaced = async {
        tokio::task::yield_now().await;
        broker.leave(&member_id);
        drop(places);
    };
    let unknown = number(Some(ErrorCode::UnknownMemberId));
    let late = (broker.commit(member, "topic", 6), broker.add_offset("id", producer, member, 7));
    let (commit, transactional, ()) = tokio::join!(late.0, late.1, replaced);
    assert_eq!((commit, transactional), (unknown, unknown));
    broker.broker.transactions.end("id", producer, End::Commit).await.expect("committed");
    assert_eq!(broker.committed("topic").await, 5);
}

#[tokio::test]
async fn offsets_that_are_read_include_those_that_are_being_written() {
    let broker = TestBroker::start().await;
    broker.create_topic("topic", 1).await;
    for offset in 0..50 {
        // The commit is sent first.
        let (commit, read) =
            tokio::join!(broker.commit(outsider(), "topic", offset), broker.committed("topic"));
        assert_eq!((commit, read), (0, offset));
    }
}

#[tokio::test]
async fn the_offsets_of_a_group_without_members_expire_and_those_of_one_with_members_do_not() {
    let (broker, (generation, member_id)) = TestBroker::with_member().await;
    let member = Identity { generation, member_id: &member_id, instance_id: None };
    assert_eq!(broker.commit(member, "topic", 5).await, 0);
    let pass_hours = |hours: u32| {
        let broker = &broker.broker;
        async move {
            for _ in 0..hours {
                crate::offsets::pass_hour(broker).await.expect("stored");
            }
        }
    };
    pass_hours(crate::store::RETENTION_HOURS + 1).await;
    assert_eq!(broker.committed("topic").await, 5);
    broker.leave(&member_id);
    pass_hours(crate::store::RETENTION_HOURS - 1).await;
    assert_eq!(broker.committed("topic").await, 5);
    pass_hours(1).await;
    assert_eq!(broker.committed("topic").await, -1);
}
