"""Checks the broker with kafka-python.

Usage: kafka_python_client.py HOST:PORT
"""

import sys
import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    OffsetSpec,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError, NoError, SecurityDisabledError, TopicAlreadyExistsError
from kafka.structs import OffsetAndMetadata

from checks import Checks, name, same, wait_until

SERVERS = sys.argv[1]
PATIENCE = 20.0
RECORDS = 200

admin = KafkaAdminClient(bootstrap_servers=SERVERS)


def create(topic: str, partitions: int = 1, **configs: str) -> str:
    admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}}, wait_for_metadata=True)
    return topic


def producer(**options) -> KafkaProducer:
    return KafkaProducer(bootstrap_servers=SERVERS, acks="all", linger_ms=5, **options)


def send(client: KafkaProducer, topic: str, values: list[str], **options) -> None:
    """Produces values, and waits until each is acknowledged."""
    for future in [client.send(topic, value.encode(), **options) for value in values]:
        future.get(PATIENCE)


def consumer(group: str | None, *topics: str, **options) -> KafkaConsumer:
    return KafkaConsumer(
        *topics,
        bootstrap_servers=SERVERS,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
        **options,
    )


def poll(client: KafkaConsumer, milliseconds: int = 200, **options) -> list[str]:
    batches = client.poll(milliseconds, **options)
    return [record.value.decode() for records in batches.values() for record in records]


def read(client: KafkaConsumer, count: int) -> list[str]:
    values: list[str] = []
    wait_until(f"{count} records", lambda: values.extend(poll(client)) or len(values) >= count)
    return values


def read_all(topic: str, isolation: str) -> list[str]:
    """Returns every value of partition 0 up to the last stable offset or the end, by the isolation level."""
    part = TopicPartition(topic, 0)
    client = consumer(None, isolation_level=isolation)
    client.assign([part])
    client.seek_to_beginning(part)
    end = client.end_offsets([part])[part]
    values: list[str] = []
    wait_until("end of partition", lambda: values.extend(poll(client)) or client.position(part) >= end)
    client.close()
    return values


def shows(topic: str, isolation: str, expected: list[str]) -> None:
    """Waits until the topic shows the expected values. It must never show another one: the end of a transaction may take effect a little later."""

    def complete() -> bool:
        found = read_all(topic, isolation)
        same([value for value in found if value not in expected], [], "values that were not expected")
        return found == expected

    wait_until(f"{isolation} shows {len(expected)} values", complete)


def expect_error(kind: type, function, *arguments) -> None:
    try:
        function(*arguments)
    except kind:
        return
    raise AssertionError(f"succeeded, although {kind.__name__} was expected")


def create_topic() -> None:
    topic = create(name("py-created"), 3)
    same(len(admin.describe_topics([topic])[0]["partitions"]), 3, "partitions")
    expect_error(TopicAlreadyExistsError, create, topic)


def produce_with(codec: str | None) -> None:
    topic = create(name(f"py-codec-{codec}"))
    values = [f"{codec} {number} " + "value " * 20 for number in range(RECORDS)]
    client = producer(compression_type=codec, enable_idempotence=True)
    send(client, topic, values, headers=[("codec", str(codec).encode())])
    client.close()
    shows(topic, "read_committed", values)


def rebalance() -> None:
    """A second member joins, both share the partitions, and one takes over when the other leaves."""
    topic, group = create(name("py-shared"), 4), name("py-shared")
    first = consumer(group, topic)
    seen: list[str] = []
    wait_until("all partitions with one member", lambda: seen.extend(poll(first)) or len(first.assignment()) == 4)
    second = consumer(group, topic)

    def sizes() -> tuple[int, int]:
        seen.extend(poll(first) + poll(second))
        return len(first.assignment()), len(second.assignment())

    wait_until("two partitions for each member", lambda: sizes() == (2, 2))
    client = producer()
    values = [str(number) for number in range(RECORDS)]
    for number, value in enumerate(values):
        client.send(topic, value.encode(), partition=number % 4)
    client.close()
    wait_until("all records read", lambda: sizes() and len(seen) >= RECORDS)
    same(sorted(seen), sorted(values), "values")
    second.close()
    wait_until("partitions taken over", lambda: (poll(first), len(first.assignment()) == 4)[1])
    first.close()


def commit_and_resume() -> None:
    topic, group = create(name("py-resume")), name("py-resume")
    client = producer()
    values = [f"{number:03}" for number in range(RECORDS)]
    send(client, topic, values)
    client.close()
    reader = consumer(group, topic)
    first: list[str] = []
    wait_until("50 records", lambda: first.extend(poll(reader, max_records=50 - len(first))) or len(first) == 50)
    part = TopicPartition(topic, 0)
    reader.commit({part: OffsetAndMetadata(50, "half", -1)})
    reader.close(autocommit=False)
    again = consumer(group, topic)
    same(first + read(again, RECORDS - 50), values, "values")
    same(again.committed(part, metadata=True)[:2], (50, "half"), "committed offset and metadata")
    again.close()


def list_offsets() -> None:
    topic = create(name("py-offsets"))
    client = producer()
    send(client, topic, ["old"], timestamp_ms=1_000_000)
    send(client, topic, ["new"], timestamp_ms=2_000_000)
    client.close()
    part = TopicPartition(topic, 0)
    for spec, expected in [(OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 2), (1_500_000, 1)]:
        same(admin.list_partition_offsets({part: spec})[part].offset, expected, f"offset for {spec}")
    reader = consumer(None)
    same(reader.offsets_for_times({part: 1_500_000})[part].offset, 1, "offset for a time")
    reader.close()


def groups_of_admin() -> None:
    topic, group = create(name("py-grouped")), name("py-grouped")
    client = producer()
    send(client, topic, ["a", "b"])
    client.close()
    reader = consumer(group, topic)
    read(reader, 2)
    reader.commit()
    assert group in [found["group_id"] for found in admin.list_groups()], "group is not listed"
    described = admin.describe_groups([group])[group]
    same((described["group_state"], len(described["members"])), ("Stable", 1), "state and members")
    same(admin.delete_groups([group]), {group: "NonEmptyGroupError"}, "deleting a group in use")
    reader.close()
    part = TopicPartition(topic, 0)
    same({found: value.offset for found, value in admin.list_group_offsets(group)[group].items()}, {part: 2}, "all offsets")
    same(admin.delete_group_offsets(group, [part]), {part: NoError}, "deleting offsets")
    same([value.offset for value in admin.list_group_offsets(group)[group].values() if value.offset >= 0], [], "offsets left")
    assert set(admin.delete_groups([group]).values()) <= {"OK", "GroupIdNotFoundError"}
    assert group not in [found["group_id"] for found in admin.list_groups()], "group is still listed"


def delete_records() -> None:
    topic = create(name("py-trimmed"))
    client = producer()
    send(client, topic, ["a", "b", "c"])
    client.close()
    part = TopicPartition(topic, 0)
    admin.delete_records({part: 2})
    same(admin.list_partition_offsets({part: OffsetSpec.EARLIEST})[part].offset, 2, "first offset")
    shows(topic, "read_committed", ["c"])


def create_partitions() -> None:
    topic = create(name("py-grown"))
    admin.create_partitions({topic: 3})
    wait_until("three partitions", lambda: len(admin.describe_topics([topic])[0]["partitions"]) == 3)


def configs(incremental: bool) -> None:
    topic = create(name(f"py-set-{incremental}"))
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})], incremental=incremental)

    def value() -> str:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return found["topic"][topic]["retention.ms"]["value"]

    wait_until("retention.ms is changed", lambda: value() == "7200000")


def describe_cluster() -> None:
    cluster = admin.describe_cluster()
    assert cluster["cluster_id"], "no cluster id"
    same(len(cluster["brokers"]), 1, "brokers")


def log_dirs() -> None:
    topic = create(name("py-dirs"))
    [broker] = admin.describe_log_dirs({topic: [0]})
    found = [held["name"] for directory in broker["log_dirs"] for held in directory["topics"]]
    same(found, [topic], "topics in the log directory")


def describe_acls() -> None:
    everything = ACLFilter(
        principal=None,
        host=None,
        operation=ACLOperation.ANY,
        permission_type=ACLPermissionType.ANY,
        resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
    )
    expect_error(SecurityDisabledError, admin.describe_acls, everything)


def transactional(identity: str) -> KafkaProducer:
    client = producer(transactional_id=identity, transaction_timeout_ms=20_000)
    client.init_transactions()
    return client


def commit_and_abort() -> None:
    topic = create(name("py-tx"))
    client = transactional(name("py-tx"))
    for value, end in [("first", client.commit_transaction), ("aborted", client.abort_transaction), ("last", client.commit_transaction)]:
        client.begin_transaction()
        send(client, topic, [value])
        end()
    client.close()
    shows(topic, "read_committed", ["first", "last"])
    shows(topic, "read_uncommitted", ["first", "aborted", "last"])


def older_producer_is_fenced() -> None:
    topic = create(name("py-fenced"))
    older = transactional(name("py-fenced"))
    older.begin_transaction()
    send(older, topic, ["older"])
    newer = transactional(name("py-fenced"))

    def go_on() -> None:
        older.send(topic, b"again").get(PATIENCE)
        older.commit_transaction()

    expect_error(KafkaError, go_on)
    newer.begin_transaction()
    send(newer, topic, ["newer"])
    newer.commit_transaction()
    newer.close()
    older.close(timeout=1)
    shows(topic, "read_committed", ["newer"])


def consume_transform_produce() -> None:
    source, target, group = create(name("py-from")), create(name("py-to")), name("py-transform")
    client = producer()
    values = [str(number) for number in range(100)]
    send(client, source, values)
    client.close()
    part = TopicPartition(source, 0)
    reader = consumer(group, source, isolation_level="read_committed")
    client = transactional(name("py-transform"))
    moved = 0
    deadline = time.monotonic() + 40
    while moved < len(values):
        assert time.monotonic() < deadline, f"{moved} of {len(values)} records moved"
        found = poll(reader, max_records=20)
        if not found:
            continue
        client.begin_transaction()
        send(client, target, [value + "!" for value in found])
        client.send_offsets_to_transaction({part: OffsetAndMetadata(reader.position(part), "", -1)}, reader.group_metadata())
        client.commit_transaction()
        moved += len(found)
    client.close()
    wait_until("committed offset", lambda: reader.committed(part) == len(values))
    reader.close()
    shows(target, "read_committed", [value + "!" for value in values])


def delete_topic() -> None:
    topic = create(name("py-deleted"))
    admin.delete_topics([topic])
    wait_until("topic is gone", lambda: topic not in [found for found in listed_topics()])


def listed_topics() -> list[str]:
    return [found if isinstance(found, str) else found["name"] for found in admin.list_topics()]


def main() -> None:
    checks = Checks(kafka.__version__)
    checks.run("create topic", create_topic)
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        checks.run(f"produce and read, {codec or 'none'}", produce_with, codec)
    checks.run("group with two members", rebalance)
    checks.run("commit and resume", commit_and_resume)
    checks.run("list offsets", list_offsets)
    checks.run("list, describe, delete group and its offsets", groups_of_admin)
    checks.run("delete records", delete_records)
    checks.run("create partitions", create_partitions)
    checks.run("configs, incremental", configs, True)
    checks.run("configs, full", configs, False)
    checks.run("describe cluster", describe_cluster)
    checks.run("log directories", log_dirs)
    checks.run("describe ACLs", describe_acls)
    checks.run("transactions: commit and abort", commit_and_abort)
    checks.run("transactions: fencing", older_producer_is_fenced)
    checks.run("transactions: consume, transform, produce", consume_transform_produce)
    checks.run("delete topic", delete_topic)
    admin.close()
    checks.exit()


if __name__ == "__main__":
    main()
