//! Topics through the admin API.

use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::{PARTITIONS, PATIENCE, TestBroker, block_on, noise};

fn partitions(broker: &TestBroker, topic: &str) -> usize {
    let consumer: BaseConsumer = broker.make(&[]);
    let metadata = consumer.fetch_metadata(None, PATIENCE).unwrap();
    metadata.topics().iter().find(|known| known.name() == topic).map_or(0, |known| known.partitions().len())
}

#[test]
fn a_topic_is_created_once_with_its_partitions_and_survives_a_restart() {
    let mut broker = TestBroker::start();
    assert_eq!(broker.create_topic("made", PARTITIONS), Ok(()));
    assert_eq!(broker.create_topic("made", PARTITIONS), Err(RDKafkaErrorCode::TopicAlreadyExists));
    assert_eq!(partitions(&broker, "made"), 4);
    broker.part.restart();
    assert_eq!(broker.create_topic("made", PARTITIONS), Err(RDKafkaErrorCode::TopicAlreadyExists));
    assert_eq!(partitions(&broker, "made"), 4);
}

#[test]
fn a_recreated_topic_is_empty_and_has_no_committed_offsets() {
    let mut broker = TestBroker::start();
    let committed = |broker: &TestBroker, topic: &str| {
        let consumer: BaseConsumer = broker.make(&[("group.id", "group")]);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        consumer.committed_offsets(asked, PATIENCE).unwrap().elements()[0].offset()
    };
    for topic in ["kept", "again"] {
        broker.create_topic(topic, PARTITIONS).unwrap();
        let producer = broker.producer(&[]);
        (0..400).for_each(|id| producer.send(topic, (id % 4) as i32, id, b"old"));
        producer.finish_acknowledged();
        let consumer: BaseConsumer = broker.make(&[("group.id", "group")]);
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(50)).unwrap();
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
    }
    broker.delete_topic("again").unwrap();
    assert_eq!(broker.delete_topic("again"), Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    assert_eq!(partitions(&broker, "again"), 0);
    broker.create_topic("again", 2).unwrap();
    for _ in 0..2 {
        assert_eq!(partitions(&broker, "again"), 2);
        assert_eq!(broker.watermarks("again", 0), (0, 0));
        assert_eq!(committed(&broker, "again"), Offset::Invalid);
        assert_eq!(committed(&broker, "kept"), Offset::Offset(50));
        assert_eq!(broker.watermarks("kept", 0), (0, 100));
        broker.part.restart();
    }
    let producer = broker.producer(&[]);
    producer.send("again", 0, 1, b"new");
    assert_eq!(producer.finish_acknowledged()[0].outcome, Ok(0));
    assert_eq!(broker.read_all("again", 2)[&0], [b"new"]);
}

#[test]
fn invalid_topics_are_refused_with_a_reason() {
    let broker = TestBroker::start();
    assert_eq!(broker.create_topic("none", 0), Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(broker.create_topic("many", 100_000), Err(RDKafkaErrorCode::InvalidPartitions));
    assert_eq!(broker.create_topic("../escape", 1), Err(RDKafkaErrorCode::InvalidTopic));
    let admin = broker.admin();
    let create = |topic: NewTopic<'_>| {
        let created = block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
        created.into_iter().next().unwrap().map_err(|(_, code)| code)
    };
    let replicated = NewTopic::new("replicated", 1, TopicReplication::Fixed(3));
    assert_eq!(create(replicated), Err(RDKafkaErrorCode::InvalidReplicationFactor));
    let expiring = NewTopic::new("expiring", 1, TopicReplication::Fixed(1)).set("retention.ms", "soon");
    assert_eq!(create(expiring), Err(RDKafkaErrorCode::InvalidConfig));
    let compressed =
        NewTopic::new("compressed", 1, TopicReplication::Fixed(1)).set("compression.type", "zstd");
    assert_eq!(create(compressed), Err(RDKafkaErrorCode::InvalidConfig));
    let unlimited =
        NewTopic::new("unlimited", 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000000000");
    assert_eq!(create(unlimited), Err(RDKafkaErrorCode::InvalidConfig));
    let lasting = NewTopic::new("lasting", 1, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    assert_eq!(create(lasting), Ok("lasting".to_owned()));
    let more = block_on(admin.create_partitions(&[NewPartitions::new("lasting", 1)], &AdminOptions::new()));
    assert_eq!(more.unwrap(), [Err(("lasting".to_owned(), RDKafkaErrorCode::InvalidPartitions))]);
    let more = block_on(admin.create_partitions(&[NewPartitions::new("lasting", 3)], &AdminOptions::new()));
    assert_eq!(more.unwrap(), [Ok("lasting".to_owned())]);
    assert_eq!(partitions(&broker, "lasting"), 3);
}

#[test]
fn a_metadata_request_does_not_create_a_topic() {
    let broker = TestBroker::start();
    let producer = broker.producer(&[("message.timeout.ms", "3000")]);
    assert!(producer.try_send("mistyped", 1, b"value").is_ok());
    assert!(producer.finish()[0].outcome.is_err());
    assert_eq!(partitions(&broker, "mistyped"), 0);
}

#[test]
fn the_described_configuration_is_the_one_in_force() {
    let broker = TestBroker::start();
    broker.create_topic("described", PARTITIONS).unwrap();
    let described = block_on(
        broker.admin().describe_configs(&[ResourceSpecifier::Topic("described")], &AdminOptions::new()),
    );
    let described = described.unwrap().into_iter().next().unwrap().unwrap();
    let value = |name: &str| described.get(name).and_then(|entry| entry.value.clone());
    assert_eq!(value("max.message.bytes").as_deref(), Some("33554432"));
    assert_eq!(value("retention.ms").as_deref(), Some("-1"));
    assert_eq!(value("cleanup.policy").as_deref(), Some("delete"));
}

#[test]
fn a_topic_keeps_its_max_message_bytes_across_a_restart() {
    let mut broker = TestBroker::start();
    let small = NewTopic::new("small", 1, TopicReplication::Fixed(1)).set("max.message.bytes", "1000");
    block_on(broker.admin().create_topics(&[small], &AdminOptions::new())).unwrap();
    for round in 0..2 {
        let described = block_on(
            broker.admin().describe_configs(&[ResourceSpecifier::Topic("small")], &AdminOptions::new()),
        );
        let described = described.unwrap().into_iter().next().unwrap().unwrap();
        assert_eq!(described.get("max.message.bytes").unwrap().value.as_deref(), Some("1000"));
        for (bytes, outcome) in [(1_000, Err(RDKafkaErrorCode::MessageSizeTooLarge)), (900, Ok(round))] {
            let producer = broker.producer(&[("enable.idempotence", "false")]);
            producer.send("small", 0, 0, &noise(1, bytes));
            assert_eq!(producer.finish()[0].outcome, outcome, "{bytes} bytes in round {round}");
        }
        broker.part.restart();
    }
}

#[test]
fn records_can_be_deleted_and_the_others_keep_their_offsets() {
    let mut broker = TestBroker::start();
    broker.create_topic("shortened", 1).unwrap();
    let producer = broker.producer(&[]);
    (0..1_000_u64).for_each(|id| producer.send("shortened", 0, id, &id.to_be_bytes()));
    producer.finish_acknowledged();
    let mut before = TopicPartitionList::new();
    before.add_partition_offset("shortened", 0, Offset::Offset(600)).unwrap();
    block_on(broker.admin().delete_records(&before, &AdminOptions::new())).unwrap();
    for _ in 0..2 {
        assert_eq!(broker.watermarks("shortened", 0), (600, 1_000));
        let left: Vec<_> = (600..1_000_u64).map(|id| id.to_be_bytes().to_vec()).collect();
        assert_eq!(broker.read_all("shortened", 1)[&0], left);
        broker.part.restart();
    }
}
