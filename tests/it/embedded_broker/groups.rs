//! Committed offsets and consumer groups.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::{PARTITIONS, PATIENCE, TestBroker, next, wait_until};

const GROUP: [(&str, &str); 4] = [
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "1000"),
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
];

fn member(broker: &TestBroker, group: &str) -> BaseConsumer {
    broker.make(&[&GROUP[..], &[("group.id", group)]].concat())
}

fn offsets(topic: &str, offsets: [i64; 4]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets.into_iter().enumerate() {
        list.add_partition_offset(topic, partition as i32, Offset::Offset(offset)).unwrap();
    }
    list
}

fn committed(broker: &TestBroker, topic: &str, group: &str) -> Vec<Offset> {
    let consumer = member(broker, group);
    let asked = offsets(topic, [0; 4]);
    let committed = consumer.committed_offsets(asked, PATIENCE).unwrap();
    committed.elements().iter().map(|element| element.offset()).collect()
}

#[test]
fn offsets_that_a_consumer_commits_without_joining_a_group_survive_a_kill() {
    let mut broker = TestBroker::start();
    broker.create_topic("simple", PARTITIONS).unwrap();
    assert_eq!(committed(&broker, "simple", "loader"), [Offset::Invalid; 4]);
    for round in 1..=3 {
        let loader = member(&broker, "loader");
        loader.assign(&offsets("simple", [0; 4])).unwrap();
        for step in 0..20 {
            let position = round * 1_000 + step;
            loader.commit(&offsets("simple", [position, 0, position + 5, 7]), CommitMode::Sync).unwrap();
        }
        broker.part.restart();
        let last = round * 1_000 + 19;
        assert_eq!(committed(&broker, "simple", "loader"), [last, 0, last + 5, 7].map(Offset::Offset));
        assert_eq!(committed(&broker, "simple", "other"), [Offset::Invalid; 4]);
    }
}

#[test]
fn a_group_resumes_at_its_committed_offsets_also_after_a_kill() {
    let mut broker = TestBroker::start();
    broker.create_topic("resumed", PARTITIONS).unwrap();
    let producer = broker.producer(&[]);
    (0..8_000).for_each(|id| producer.send("resumed", (id % 4) as i32, id, &id.to_be_bytes()));
    producer.finish_acknowledged();
    let mut seen = BTreeSet::new();
    let mut resume_at = vec![Offset::Invalid; 4];
    for round in 1..=4 {
        let consumer = member(&broker, "resuming");
        consumer.subscribe(&["resumed"]).unwrap();
        while seen.len() < round * 2_000 {
            let message = next(&consumer);
            if let Offset::Offset(committed) = resume_at[message.partition() as usize] {
                assert!(
                    message.offset() >= committed,
                    "{} after {committed} in round {round}",
                    message.offset()
                );
            }
            seen.insert(u64::from_be_bytes(message.payload().unwrap().try_into().unwrap()));
        }
        consumer.commit_consumer_state(CommitMode::Sync).unwrap();
        drop(consumer);
        if round % 2 == 0 {
            broker.part.restart();
        }
        resume_at = committed(&broker, "resumed", "resuming");
    }
    assert_eq!(resume_at, [Offset::Offset(2_000); 4]);
}

#[test]
fn a_member_continues_after_the_broker_was_killed() {
    let mut broker = TestBroker::start();
    broker.create_topic("going", PARTITIONS).unwrap();
    let consumer = member(&broker, "going");
    consumer.subscribe(&["going"]).unwrap();
    for round in 0..3_u64 {
        let producer = broker.producer(&[]);
        (0..400).for_each(|id| producer.send("going", (id % 4) as i32, round * 400 + id, b"value"));
        producer.finish_acknowledged();
        let end = Offset::Offset(100 * (round as i64 + 1));
        // A killed broker has forgotten its members. They get an error, join again and continue at their committed offsets.
        wait_until("everything to be read and committed", || {
            while let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {}
            let _ = consumer.commit_consumer_state(CommitMode::Sync);
            committed(&broker, "going", "going") == [end; 4]
        });
        broker.part.restart();
        assert_eq!(committed(&broker, "going", "going"), [end; 4]);
    }
}

#[test]
fn two_members_share_the_partitions() {
    let broker = TestBroker::start();
    broker.create_topic("shared", PARTITIONS).unwrap();
    let (first, second) = (member(&broker, "sharing"), member(&broker, "sharing"));
    let share = |consumer: &BaseConsumer| {
        let _ = consumer.poll(Duration::from_millis(100));
        consumer.assignment().unwrap().count()
    };
    first.subscribe(&["shared"]).unwrap();
    wait_until("the first member", || share(&first) == 4);
    second.subscribe(&["shared"]).unwrap();
    wait_until("both members", || {
        let shares = (share(&first), share(&second));
        shares == (2, 2)
    });
}
