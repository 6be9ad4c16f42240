"""Checks the broker with aiokafka.

Usage: aiokafka_client.py HOST:PORT
"""

import asyncio
import sys
import time

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from checks import CHECK_SECONDS, Checks, name, same

SERVERS = sys.argv[1]
PATIENCE = 20.0
RECORDS = 200


async def until(what: str, condition, seconds: float = 30.0) -> None:
    """Awaits `condition()` again and again until it returns something true."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        await asyncio.sleep(0.05)


async def admin() -> AIOKafkaAdminClient:
    client = AIOKafkaAdminClient(bootstrap_servers=SERVERS)
    await client.start()
    return client


async def create(topic: str, partitions: int = 1) -> str:
    client = await admin()
    answer = await client.create_topics([NewTopic(topic, partitions, 1)])
    same([error[1] for error in answer.topic_errors], [0], "error code")

    async def listed() -> bool:
        return topic in await client.list_topics()

    await until(f"topic {topic}", listed)
    await client.close()
    return topic


async def producer(**options) -> AIOKafkaProducer:
    client = AIOKafkaProducer(bootstrap_servers=SERVERS, **({"enable_idempotence": True} | options))
    await client.start()
    return client


async def send(topic: str, values: list[str], **options) -> None:
    client = await producer(**options)
    for number, value in enumerate(values):
        await client.send(topic, value.encode(), partition=number % len(await client.partitions_for(topic)))
    await client.flush()
    await client.stop()


async def consumer(group: str | None, *topics: str, **options) -> AIOKafkaConsumer:
    client = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=SERVERS,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=500,
        **options,
    )
    await asyncio.wait_for(client.start(), PATIENCE)
    return client


async def poll(client: AIOKafkaConsumer, **options) -> list[str]:
    batches = await client.getmany(timeout_ms=200, **options)
    return [record.value.decode() for records in batches.values() for record in records]


async def read(client: AIOKafkaConsumer, count: int) -> list[str]:
    values: list[str] = []

    async def enough() -> bool:
        values.extend(await poll(client))
        return len(values) >= count

    await until(f"{count} records", enough)
    return values


async def read_all(topic: str, isolation: str) -> list[str]:
    """Returns every value of partition 0 that the isolation level shows."""
    part = TopicPartition(topic, 0)
    client = await consumer(None, isolation_level=isolation)
    client.assign([part])
    await client.seek_to_beginning(part)
    end = (await client.end_offsets([part]))[part]
    values: list[str] = []

    async def finished() -> bool:
        values.extend(await poll(client))
        return await client.position(part) >= end

    await until("end of partition", finished)
    await client.stop()
    return values


async def shows(topic: str, isolation: str, expected: list[str]) -> None:
    """Waits until the topic shows the expected values. It must never show another one: the end of a transaction may take effect a little later."""

    async def complete() -> bool:
        found = await read_all(topic, isolation)
        same([value for value in found if value not in expected], [], "values that were not expected")
        return found == expected

    await until(f"{isolation} shows {len(expected)} values", complete)


async def produce_with(codec: str | None) -> None:
    topic = await create(name(f"aio-codec-{codec}"))
    values = [f"{codec} {number} " + "value " * 20 for number in range(RECORDS)]
    await send(topic, values, compression_type=codec)
    await shows(topic, "read_committed", values)


async def rebalance() -> None:
    """A second member joins, both share the partitions, and one takes over when the other leaves."""
    topic, group = await create(name("aio-shared"), 4), name("aio-shared")
    seen: list[str] = []
    first = await consumer(group, topic)
    same(len(first.assignment()), 4, "partitions of a single member")
    joining = asyncio.create_task(consumer(group, topic))

    async def joined() -> bool:
        seen.extend(await poll(first))
        return joining.done()

    await until("second member joins", joined)
    second = await joining

    async def shared() -> bool:
        seen.extend(await poll(first) + await poll(second))
        return (len(first.assignment()), len(second.assignment())) == (2, 2)

    await until("two partitions for each member", shared)
    values = [str(number) for number in range(RECORDS)]
    await send(topic, values)

    async def all_read() -> bool:
        await shared()
        return len(seen) >= RECORDS

    await until("all records read", all_read)
    same(sorted(seen), sorted(values), "values")
    await second.stop()

    async def taken_over() -> bool:
        await poll(first)
        return len(first.assignment()) == 4

    await until("partitions taken over", taken_over)
    await first.stop()


async def commit_and_resume() -> None:
    topic, group = await create(name("aio-resume")), name("aio-resume")
    values = [f"{number:03}" for number in range(RECORDS)]
    await send(topic, values)
    reader = await consumer(group, topic)
    first: list[str] = []

    async def half() -> bool:
        first.extend(await poll(reader, max_records=50 - len(first)))
        return len(first) == 50

    await until("50 records", half)
    part = TopicPartition(topic, 0)
    await reader.commit({part: (50, "half")})
    await reader.stop()
    again = await consumer(group, topic)
    same(await again.committed(part), 50, "committed offset")
    same(first + await read(again, RECORDS - 50), values, "values")
    await again.stop()


async def list_offsets() -> None:
    topic = await create(name("aio-offsets"))
    client = await producer()
    for value, moment in [("old", 1_000_000), ("new", 2_000_000)]:
        await client.send_and_wait(topic, value.encode(), timestamp_ms=moment)
    await client.stop()
    part = TopicPartition(topic, 0)
    reader = await consumer(None)
    same(await reader.beginning_offsets([part]), {part: 0}, "first offset")
    same(await reader.end_offsets([part]), {part: 2}, "end offset")
    same((await reader.offsets_for_times({part: 1_500_000}))[part].offset, 1, "offset for a time")
    await reader.stop()


async def groups_of_admin() -> None:
    topic, group = await create(name("aio-grouped")), name("aio-grouped")
    await send(topic, ["a", "b"])
    reader = await consumer(group, topic)
    await read(reader, 2)
    await reader.commit()
    client = await admin()
    assert group in [found[0] for found in await client.list_consumer_groups()], "group is not listed"
    [answer] = await client.describe_consumer_groups([group])
    same([(found[1], found[2]) for found in answer.groups], [(group, "Stable")], "described group")
    await reader.stop()
    offsets = await client.list_consumer_group_offsets(group)
    same({part: value.offset for part, value in offsets.items()}, {TopicPartition(topic, 0): 2}, "all offsets")
    await client.close()


async def delete_records() -> None:
    topic = await create(name("aio-trimmed"))
    await send(topic, ["a", "b", "c"])
    part = TopicPartition(topic, 0)
    client = await admin()
    same(await client.delete_records({part: RecordsToDelete(before_offset=2)}), {part: 2}, "low watermark")
    await client.close()
    await shows(topic, "read_committed", ["c"])


async def admin_calls() -> None:
    topic = await create(name("aio-grown"))
    client = await admin()
    assert (await client.describe_cluster())["cluster_id"], "no cluster id"
    await client.create_partitions({topic: NewPartitions(3)})

    async def grown() -> bool:
        return len((await client.describe_topics([topic]))[0]["partitions"]) == 3

    await until("three partitions", grown)
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": "7200000"})])

    async def changed() -> bool:
        answers = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        entries = [entry for answer in answers for resource in answer.resources for entry in resource[4]]
        return ("retention.ms", "7200000") in [(entry[0], entry[1]) for entry in entries]

    await until("retention.ms is changed", changed)
    await client.close()


async def transactional(identity: str) -> AIOKafkaProducer:
    return await producer(transactional_id=identity, transaction_timeout_ms=20_000)


async def commit_and_abort() -> None:
    topic = await create(name("aio-tx"))
    client = await transactional(name("aio-tx"))
    for value, end in [("first", client.commit_transaction), ("aborted", client.abort_transaction), ("last", client.commit_transaction)]:
        await client.begin_transaction()
        await client.send_and_wait(topic, value.encode())
        await end()
    await client.stop()
    await shows(topic, "read_committed", ["first", "last"])
    await shows(topic, "read_uncommitted", ["first", "aborted", "last"])


async def older_producer_is_fenced() -> None:
    topic = await create(name("aio-fenced"))
    older = await transactional(name("aio-fenced"))
    await older.begin_transaction()
    await older.send_and_wait(topic, b"older")
    newer = await transactional(name("aio-fenced"))
    try:
        await older.send_and_wait(topic, b"again")
        await older.commit_transaction()
    except KafkaError:
        pass
    else:
        raise AssertionError("the older producer could go on")
    async with newer.transaction():
        await newer.send_and_wait(topic, b"newer")
    await newer.stop()
    await shows(topic, "read_committed", ["newer"])


async def consume_transform_produce() -> None:
    source, target, group = await create(name("aio-from")), await create(name("aio-to")), name("aio-transform")
    values = [str(number) for number in range(100)]
    await send(source, values)
    part = TopicPartition(source, 0)
    reader = await consumer(group, source, isolation_level="read_committed")
    client = await transactional(name("aio-transform"))
    moved = 0

    async def all_moved() -> bool:
        nonlocal moved
        found = await poll(reader, max_records=20)
        if found:
            async with client.transaction():
                for value in found:
                    await client.send(target, (value + "!").encode())
                await client.send_offsets_to_transaction({part: await reader.position(part)}, group)
            moved += len(found)
        return moved >= len(values)

    await until("all records moved", all_moved)
    await client.stop()

    async def committed() -> bool:
        return await reader.committed(part) == len(values)

    await until("committed offset", committed)
    await reader.stop()
    await shows(target, "read_committed", [value + "!" for value in values])


async def delete_topic() -> None:
    topic = await create(name("aio-deleted"))
    client = await admin()
    await client.delete_topics([topic])

    async def gone() -> bool:
        return topic not in await client.list_topics()

    await until("topic is gone", gone)
    await client.close()


def main() -> None:
    checks = Checks(aiokafka.__version__)

    def run(check: str, function, *arguments) -> None:
        checks.run(check, lambda: asyncio.run(asyncio.wait_for(function(*arguments), CHECK_SECONDS)))

    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        run(f"produce and read, {codec or 'none'}", produce_with, codec)
    run("group with two members", rebalance)
    run("commit and resume", commit_and_resume)
    run("list offsets", list_offsets)
    run("list and describe group", groups_of_admin)
    run("delete records", delete_records)
    run("cluster, partitions, configs", admin_calls)
    run("transactions: commit and abort", commit_and_abort)
    run("transactions: fencing", older_producer_is_fenced)
    run("transactions: consume, transform, produce", consume_transform_produce)
    run("delete topic", delete_topic)
    checks.exit()


if __name__ == "__main__":
    main()
