"""Checks the broker with confluent-kafka for Python (librdkafka).

Usage: confluent_client.py HOST:PORT
"""

import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from checks import Checks, name, same, wait_until

SERVERS = sys.argv[1]
PATIENCE = 20.0
RECORDS = 300
PARTITIONS = 3
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

admin = AdminClient({"bootstrap.servers": SERVERS})


def done(futures: dict):
    """Waits for all answers of an admin call and returns the last one."""
    return [future.result(PATIENCE) for future in futures.values()][-1]


def create(topic: str, partitions: int = PARTITIONS, **config: str) -> str:
    done(admin.create_topics([NewTopic(topic, partitions, 1, config=config)]))
    wait_until(topic, lambda: topic in admin.list_topics(timeout=PATIENCE).topics)
    return topic


def producer(**options) -> Producer:
    return Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True, "acks": "all", "linger.ms": 5, **options})


def send(client: Producer, topic: str, values: list[str], **options) -> None:
    """Produces values, and waits until each is acknowledged."""
    failures = []
    for value in values:
        client.produce(topic, value=value, key=value, on_delivery=lambda error, _: error and failures.append(error), **options)
    same(client.flush(PATIENCE), 0, "records without acknowledgement")
    if failures:
        raise KafkaException(failures[0])


def consumer(group: str, **options) -> Consumer:
    return Consumer({
        "bootstrap.servers": SERVERS,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 500,
        **options,
    })


def poll(client: Consumer, seconds: float = 0.2) -> list[str]:
    """Returns the values that arrive in one poll."""
    messages = client.consume(500, seconds)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
    return [message.value().decode() for message in messages]


def read(client: Consumer, count: int) -> list[str]:
    values: list[str] = []
    wait_until(f"{count} records", lambda: values.extend(poll(client)) or len(values) >= count)
    return values


def read_all(topic: str, isolation: str, partitions: int = 1) -> list[str]:
    """Returns every value up to the end of the partitions, in the given isolation level."""
    client = consumer(name("reader"), **{"isolation.level": isolation, "enable.partition.eof": True})
    client.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    values: list[str] = []
    ends = set()
    deadline = time.monotonic() + PATIENCE
    while len(ends) < partitions:
        assert time.monotonic() < deadline, f"end of partition not reached, read {values}"
        message = client.poll(0.2)
        if message is None:
            continue
        if message.error() is None:
            values.append(message.value().decode())
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ends.add(message.partition())
        else:
            raise KafkaException(message.error())
    client.close()
    return values


def shows(topic: str, isolation: str, expected: list[str], partitions: int = 1) -> None:
    """Waits until the topic shows the expected values. It must never show another one: the end of a transaction may take effect a little later."""

    def complete() -> bool:
        found = read_all(topic, isolation, partitions)
        same([value for value in found if value not in expected], [], "values that were not expected")
        return found == expected if partitions == 1 else sorted(found) == sorted(expected)

    wait_until(f"{isolation} shows {len(expected)} values", complete)


def expect_error(code: int, function, *arguments, **options) -> None:
    try:
        function(*arguments, **options)
    except KafkaException as error:
        same(error.args[0].code(), code, f"error code of {error}")
        return
    raise AssertionError(f"succeeded, although error {code} was expected")


def create_topic() -> None:
    topic = create(name("created"))
    same(len(admin.list_topics(topic, PATIENCE).topics[topic].partitions), PARTITIONS, "partitions")
    expect_error(KafkaError.TOPIC_ALREADY_EXISTS, create, topic)


def produce_with(codec: str) -> None:
    topic = create(name(f"codec-{codec}"))
    values = [f"{codec} {number} " + "value " * 20 for number in range(RECORDS)]
    send(producer(**{"compression.type": codec}), topic, values, headers=[("codec", codec)])
    shows(topic, "read_committed", values, PARTITIONS)


def group_forms_soon() -> None:
    topic = create(name("soon"))
    send(producer(), topic, ["a"])
    client = consumer(name("soon"), **{"session.timeout.ms": 45_000, "heartbeat.interval.ms": 3_000})
    start = time.monotonic()
    client.subscribe([topic])
    read(client, 1)
    client.close()
    assert time.monotonic() - start < 15, f"took {time.monotonic() - start:.1f} s"


def rebalance(strategy: str) -> None:
    """A second member joins, both share the partitions, and one takes over when the other leaves."""
    topic = create(name(f"shared-{strategy}"), 4)
    group = name(f"shared-{strategy}")
    options = {"partition.assignment.strategy": strategy}
    first, second = consumer(group, **options), consumer(group, **options)
    seen: list[str] = []

    def sizes() -> tuple[int, int]:
        seen.extend(poll(first, 0.1) + poll(second, 0.1))
        return len(first.assignment()), len(second.assignment())

    first.subscribe([topic])
    wait_until("all partitions with one member", lambda: sizes() == (4, 0))
    second.subscribe([topic])
    wait_until("two partitions for each member", lambda: sizes() == (2, 2))
    values = [f"{number}" for number in range(RECORDS)]
    send(producer(), topic, values)
    wait_until("all records read", lambda: sizes() and len(seen) >= RECORDS)
    same(sorted(seen), sorted(values), "values")
    second.commit(asynchronous=False)
    second.close()
    wait_until("partitions taken over", lambda: sizes_of(first) == 4)
    first.close()


def sizes_of(client: Consumer) -> int:
    poll(client, 0.1)
    return len(client.assignment())


def commit_and_resume() -> None:
    topic = create(name("resume"), 1)
    values = [f"{number:03}" for number in range(RECORDS)]
    send(producer(), topic, values)
    group = name("resume")
    client = consumer(group, **{"max.poll.interval.ms": 60_000})
    client.subscribe([topic])
    first = []
    wait_until("100 records", lambda: first.extend(m.value().decode() for m in client.consume(100 - len(first), 0.5)) or len(first) == 100)
    client.commit(offsets=[TopicPartition(topic, 0, 100)], asynchronous=False)
    client.close()
    again = consumer(group)
    same(again.committed([TopicPartition(topic, 0)], timeout=PATIENCE)[0].offset, 100, "committed offset")
    again.subscribe([topic])
    same(first + read(again, RECORDS - 100), values, "values")
    again.close()


def static_member_keeps_its_partitions() -> None:
    topic = create(name("static"), 2)
    group = name("static")
    options = {"group.instance.id": "one", "session.timeout.ms": 20_000}
    first = consumer(group, **options)
    first.subscribe([topic])
    wait_until("assignment", lambda: sizes_of(first) == 2)
    [before] = done(admin.describe_consumer_groups([group])).members
    first.close()
    again = consumer(group, **options)
    again.subscribe([topic])
    wait_until("assignment", lambda: sizes_of(again) == 2)
    [after] = done(admin.describe_consumer_groups([group])).members
    same((before.group_instance_id, after.group_instance_id), ("one", "one"), "instance ids")
    assert before.member_id != after.member_id, "the member id stayed the same"
    again.close()


def list_offsets() -> None:
    topic = create(name("offsets"), 1)
    client = producer()
    send(client, topic, ["old"], timestamp=1_000_000)
    send(client, topic, ["new"], timestamp=2_000_000)
    part = TopicPartition(topic, 0)
    cases = [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 2), (OffsetSpec.max_timestamp(), 1), (OffsetSpec.for_timestamp(1_500_000), 1)]
    for spec, expected in cases:
        same(done(admin.list_offsets({part: spec})).offset, expected, f"offset for {type(spec).__name__}")
    reader = consumer(name("offsets"))
    same(reader.get_watermark_offsets(part, PATIENCE), (0, 2), "watermarks")
    [found] = reader.offsets_for_times([TopicPartition(topic, 0, 1_500_000)], timeout=PATIENCE)
    same(found.offset, 1, "offset for a time")
    reader.close()


def groups_of_admin() -> None:
    topic = create(name("grouped"), 1)
    send(producer(), topic, ["a", "b"])
    group = name("grouped")
    client = consumer(group)
    client.subscribe([topic])
    read(client, 2)
    client.commit(asynchronous=False)
    listed = admin.list_consumer_groups(request_timeout=PATIENCE).result(PATIENCE)
    same(listed.errors, [], "errors")
    assert group in [found.group_id for found in listed.valid], "group is not listed"
    described = done(admin.describe_consumer_groups([group], request_timeout=PATIENCE))
    same((described.state.name, len(described.members)), ("STABLE", 1), "state and members")
    same([(p.topic, p.partition) for p in described.members[0].assignment.topic_partitions], [(topic, 0)], "assignment")
    expect_error(KafkaError.NON_EMPTY_GROUP, lambda: done(admin.delete_consumer_groups([group])))
    client.close()
    wanted = ConsumerGroupTopicPartitions(group)
    offsets = done(admin.list_consumer_group_offsets([wanted])).topic_partitions
    same([(p.topic, p.partition, p.offset) for p in offsets], [(topic, 0, 2)], "offsets of all partitions")
    done(admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])]))
    same(done(admin.list_consumer_group_offsets([wanted])).topic_partitions[0].offset, 1, "altered offset")
    done(admin.delete_consumer_groups([group]))
    listed = admin.list_consumer_groups(request_timeout=PATIENCE).result(PATIENCE)
    assert group not in [found.group_id for found in listed.valid], "group is still listed"


def delete_records() -> None:
    topic = create(name("trimmed"), 1)
    send(producer(), topic, ["a", "b", "c"])
    same(done(admin.delete_records([TopicPartition(topic, 0, 2)])).low_watermark, 2, "low watermark")
    reader = consumer(name("trimmed"))
    same(reader.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE), (2, 3), "watermarks")
    reader.assign([TopicPartition(topic, 0, 0)])
    same(read(reader, 1), ["c"], "values left")
    reader.close()


def create_partitions() -> None:
    topic = create(name("grown"), 1)
    done(admin.create_partitions([NewPartitions(topic, 3)]))
    wait_until("three partitions", lambda: len(admin.list_topics(topic, PATIENCE).topics[topic].partitions) == 3)
    send(producer(), topic, ["late"], partition=2)
    expect_error(KafkaError.INVALID_PARTITIONS, lambda: done(admin.create_partitions([NewPartitions(topic, 2)])))


def config_of(topic: str, setting: str) -> str:
    return done(admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]))[setting].value


def configs() -> None:
    topic = create(name("set"), 1, **{"retention.ms": "3600000"})
    same(config_of(topic, "retention.ms"), "3600000", "retention.ms at creation")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    resource.add_incremental_config(ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET))
    resource.add_incremental_config(ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET))
    done(admin.incremental_alter_configs([resource]))
    same((config_of(topic, "retention.ms"), config_of(topic, "cleanup.policy")), ("7200000", "compact"), "after incremental change")
    done(admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={"max.message.bytes": "2000"})]))
    same((config_of(topic, "max.message.bytes"), config_of(topic, "cleanup.policy")), ("2000", "delete"), "after full change")
    expect_error(KafkaError.MSG_SIZE_TOO_LARGE, lambda: send(producer(), topic, ["x" * 5_000]))
    bad = ConfigResource(ConfigResource.Type.TOPIC, topic)
    bad.add_incremental_config(ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET))
    expect_error(KafkaError.INVALID_CONFIG, lambda: done(admin.incremental_alter_configs([bad])))


def describe_cluster() -> None:
    cluster = admin.describe_cluster(request_timeout=PATIENCE).result(PATIENCE)
    assert cluster.cluster_id, "no cluster id"
    same(len(cluster.nodes), 1, "nodes")
    same(f"{cluster.nodes[0].host}:{cluster.nodes[0].port}".replace("localhost", "127.0.0.1"), SERVERS.replace("localhost", "127.0.0.1"), "address")


def describe_acls() -> None:
    everything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    # The broker answers SECURITY_DISABLED; this client turns that into an empty list.
    same(admin.describe_acls(everything).result(PATIENCE), [], "ACLs")


def transactional(identity: str, **options) -> Producer:
    client = producer(**{"transactional.id": identity, "transaction.timeout.ms": 20_000, **options})
    client.init_transactions(PATIENCE)
    return client


def commit_and_abort() -> None:
    topic = create(name("tx"), 1)
    client = transactional(name("tx"))
    for value, end in [("first", client.commit_transaction), ("aborted", client.abort_transaction), ("last", client.commit_transaction)]:
        client.begin_transaction()
        send(client, topic, [value])
        end(PATIENCE)
    shows(topic, "read_committed", ["first", "last"])
    shows(topic, "read_uncommitted", ["first", "aborted", "last"])


def open_transaction_is_not_read() -> None:
    topic = create(name("open"), 1)
    client = transactional(name("open"))
    client.begin_transaction()
    send(client, topic, ["open"])
    send(producer(), topic, ["after"])
    shows(topic, "read_uncommitted", ["open", "after"])
    shows(topic, "read_committed", [])
    reader = consumer(name("open"), **{"isolation.level": "read_committed"})
    same(reader.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE), (0, 0), "last stable offset")
    reader.close()
    client.commit_transaction(PATIENCE)
    shows(topic, "read_committed", ["open", "after"])


def older_producer_is_fenced() -> None:
    topic = create(name("fenced"), 1)
    older = transactional(name("fenced"))
    older.begin_transaction()
    send(older, topic, ["older"])
    newer = transactional(name("fenced"))
    newer.begin_transaction()
    send(newer, topic, ["newer"])
    newer.commit_transaction(PATIENCE)
    try:
        older.commit_transaction(PATIENCE)
    except KafkaException as error:
        assert error.args[0].fatal() or error.args[0].code() == KafkaError._FENCED, f"not fenced: {error}"
    else:
        raise AssertionError("the older producer could commit")
    shows(topic, "read_committed", ["newer"])


def transaction_ends_after_its_timeout() -> None:
    topic = create(name("late"), 1)
    client = transactional(name("late"), **{"transaction.timeout.ms": 2_000})
    client.begin_transaction()
    send(client, topic, ["late"])
    send(producer(), topic, ["after"])
    shows(topic, "read_committed", ["after"])


def consume_transform_produce() -> None:
    source, target, group = create(name("from"), 2), create(name("to"), 2), name("transform")
    values = [f"{number}" for number in range(100)]
    send(producer(), source, values)
    client = transactional(name("transform"))
    reader = consumer(group, **{"isolation.level": "read_committed"})
    reader.subscribe([source])
    moved, aborted = 0, False
    deadline = time.monotonic() + 40
    while moved < len(values):
        assert time.monotonic() < deadline, f"{moved} of {len(values)} records moved"
        messages = reader.consume(20, 0.5)
        if not messages:
            continue
        client.begin_transaction()
        send(client, target, [message.value().decode() + "!" for message in messages])
        client.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), PATIENCE)
        if not aborted:
            aborted = True
            client.abort_transaction(PATIENCE)
            for part in reader.committed(reader.assignment(), timeout=PATIENCE):
                same(part.offset, -1001, "committed offset after an abort")
                reader.seek(TopicPartition(source, part.partition, 0))
            continue
        client.commit_transaction(PATIENCE)
        moved += len(messages)
    committed = reader.committed([TopicPartition(source, 0), TopicPartition(source, 1)], timeout=PATIENCE)
    same(sum(part.offset for part in committed), len(values), "committed offsets")
    reader.close()
    shows(target, "read_committed", [value + "!" for value in values], 2)


def delete_topic() -> None:
    topic = create(name("deleted"))
    done(admin.delete_topics([topic]))
    wait_until("topic is gone", lambda: topic not in admin.list_topics(timeout=PATIENCE).topics)
    expect_error(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: done(admin.delete_topics([topic])))


def main() -> None:
    checks = Checks(f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")
    checks.run("create topic", create_topic)
    for codec in CODECS:
        checks.run(f"produce and read, {codec}", produce_with, codec)
    checks.run("a group forms soon", group_forms_soon)
    checks.run("group with two members, range", rebalance, "range")
    checks.run("group with two members, cooperative-sticky", rebalance, "cooperative-sticky")
    checks.run("static member", static_member_keeps_its_partitions)
    checks.run("commit and resume", commit_and_resume)
    checks.run("list offsets", list_offsets)
    checks.run("list, describe, delete group", groups_of_admin)
    checks.run("delete records", delete_records)
    checks.run("create partitions", create_partitions)
    checks.run("configs", configs)
    checks.run("describe cluster", describe_cluster)
    checks.run("describe ACLs", describe_acls)
    checks.run("transactions: commit and abort", commit_and_abort)
    checks.run("transactions: open one is not read", open_transaction_is_not_read)
    checks.run("transactions: fencing", older_producer_is_fenced)
    checks.run("transactions: timeout", transaction_ends_after_its_timeout)
    checks.run("transactions: consume, transform, produce", consume_transform_produce)
    checks.run("delete topic", delete_topic)
    checks.exit()


if __name__ == "__main__":
    main()
