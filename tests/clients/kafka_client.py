"""Produces with every codec, reads back, commits offsets and reads topic metadata with Confluent's Python client.

Usage: kafka_client.py HOST:PORT
"""

import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

RECORDS = 2_000
PATIENCE = 60.0


def produce(servers: str, topic: str, codec: str) -> None:
    failures = []
    producer = Producer({
        "bootstrap.servers": servers,
        "enable.idempotence": True,
        "compression.type": codec,
        "linger.ms": 20,
    })

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    for number in range(RECORDS):
        producer.produce(
            topic,
            key=str(number),
            value=f"{codec} {number} " + "value " * 20,
            headers=[("codec", codec)],
            on_delivery=delivered,
        )
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0, f"{codec}: not all acknowledged"
    assert not failures, f"{codec}: {failures[0]}"


def read(servers: str, topic: str, codec: str) -> None:
    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": f"group-{codec}",
        "session.timeout.ms": 6000,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([topic])
    seen = set()
    while len(seen) < RECORDS:
        message = consumer.poll(PATIENCE)
        assert message is not None, f"{codec}: {len(seen)} of {RECORDS} read"
        if message.error():
            raise KafkaException(message.error())
        number = int(message.key())
        assert message.value().decode() == f"{codec} {number} " + "value " * 20
        assert message.headers() == [("codec", codec.encode())]
        seen.add(number)
    consumer.commit(asynchronous=False)
    partitions = [TopicPartition(topic, number) for number in range(4)]
    committed = consumer.committed(partitions, timeout=PATIENCE)
    assert sum(max(partition.offset, 0) for partition in committed) == RECORDS, committed
    consumer.close()


def main() -> None:
    servers = sys.argv[1]
    admin = AdminClient({"bootstrap.servers": servers})
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        topic = f"codec-{codec}"
        for future in admin.create_topics([NewTopic(topic, 4, 1)]).values():
            future.result(PATIENCE)
        produce(servers, topic, codec)
        read(servers, topic, codec)
        assert len(admin.list_topics(topic, PATIENCE).topics[topic].partitions) == 4
        for future in admin.delete_topics([topic]).values():
            future.result(PATIENCE)
        print(f"{codec}: {RECORDS} records")
    assert not [name for name in admin.list_topics(timeout=PATIENCE).topics if name.startswith("codec-")]


if __name__ == "__main__":
    main()
