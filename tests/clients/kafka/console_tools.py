"""Checks the broker with kcat or with the console tools of Apache Kafka: each command runs as a process of its own.

Usage: console_tools.py kcat HOST:PORT
       console_tools.py java HOST:PORT    (the variable CLASSPATH names the jars)
"""

import json
import re
import subprocess
import sys
import time

from confluent_kafka.admin import AdminClient, NewTopic

from checks import Checks, name, same

TOOL, SERVERS = sys.argv[1:3]
COMMAND_SECONDS = 50
# A check of the Java tools starts up to a dozen virtual machines.
JAVA_SECONDS = 240


def execute(command: list[str], stdin: str = "", code: int | None = 0) -> str:
    """Runs a command and returns what it printed. `code` is the expected exit code; None: any."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if code is not None and done.returncode != code:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr[-500:]} {done.stdout[-500:]}")
    return done.stdout + (done.stderr if code is None else "")


def contains(text: str, *parts: str) -> None:
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in: {text[-600:]}")


# kcat


def kcat(*options: str, stdin: str = "") -> str:
    return execute(["kcat", "-b", SERVERS, "-X", "socket.timeout.ms=15000", *options], stdin)


def create(topic: str) -> str:
    """Creates a topic: kcat itself cannot."""
    admin = AdminClient({"bootstrap.servers": SERVERS})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    return topic


def kcat_list() -> None:
    listed = json.loads(kcat("-L", "-J"))
    same(len(listed["brokers"]), 1, "brokers")


def kcat_produce_and_read(codec: str) -> None:
    topic, lines = create(name(f"kcat-{codec}")), [f"key{number}:value {number}" for number in range(200)]
    compression = [] if codec == "none" else ["-z", codec]
    kcat("-P", "-t", topic, "-p", "0", "-K", ":", "-X", "acks=all", "-X", "enable.idempotence=true", *compression, stdin="\n".join(lines) + "\n")
    read = kcat("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-K", ":")
    same(read.splitlines(), lines, "lines")


def kcat_headers_and_offsets() -> None:
    topic = create(name("kcat-headers"))
    kcat("-P", "-t", topic, "-p", "0", "-H", "kind=test", stdin="a\nb\nc\n")
    same(kcat("-C", "-t", topic, "-p", "0", "-o", "1", "-c", "1", "-q", "-f", "%o %s %h").strip(), "1 b kind=test", "record")
    contains(kcat("-Q", "-t", f"{topic}:0:-1"), "offset 3")
    contains(kcat("-Q", "-t", f"{topic}:0:-2"), "offset 0")


def kcat_group() -> None:
    topic, group = create(name("kcat-group")), name("kcat-group")
    kcat("-P", "-t", topic, stdin="a\nb\nc\n")
    options = ["-q", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=10000"]
    same(sorted(kcat("-G", group, "-c", "3", *options, topic).split()), ["a", "b", "c"], "values")
    kcat("-P", "-t", topic, stdin="d\n")
    same(kcat("-G", group, "-c", "1", *options, topic).split(), ["d"], "values after the commit")


def kcat_checks() -> None:
    [(version, library)] = re.findall(r"Version ([\d.]+).*librdkafka ([\d.]+)", execute(["kcat", "-V"]))
    checks = Checks(f"{version} (librdkafka {library})")
    checks.run("list", kcat_list)
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        checks.run(f"produce and read, {codec}", kcat_produce_and_read, codec)
    checks.run("headers, list offsets", kcat_headers_and_offsets)
    checks.run("group: read, commit, resume", kcat_group)
    checks.exit()


# Java


def java(main: str, *options: str, stdin: str = "", code: int | None = 0) -> str:
    limits = ["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    return execute(["java", *limits, main, "--bootstrap-server", SERVERS, *options], stdin, code)


def topics(*options: str, **more) -> str:
    return java("org.apache.kafka.tools.TopicCommand", *options, **more)


def groups(*options: str, **more) -> str:
    return java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *options, **more)


def configs(*options: str, **more) -> str:
    return java("kafka.admin.ConfigCommand", *options, **more)


def transactions(*options: str, **more) -> str:
    return java("org.apache.kafka.tools.TransactionsCommand", *options, **more)


def produce(topic: str, lines: list[str], *options: str) -> None:
    java("org.apache.kafka.tools.ConsoleProducer", "--topic", topic, *options, stdin="\n".join(lines) + "\n")


def consume(topic: str, count: int, *options: str) -> list[str]:
    read = java("org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", topic, "--max-messages", str(count), "--timeout-ms", "30000", *options)
    return read.splitlines()


def java_topics() -> None:
    topic = name("tool-topics")
    topics("--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=3600000")
    contains(topics("--describe", "--topic", topic), "PartitionCount: 2", "retention.ms=3600000", "Leader: ")
    topics("--alter", "--topic", topic, "--partitions", "3")
    contains(topics("--describe", "--topic", topic), "PartitionCount: 3")
    contains(topics("--list"), topic)
    topics("--delete", "--topic", topic)
    assert topic not in topics("--list").split(), "topic is still listed"


def java_produce_and_consume() -> None:
    topic, lines = name("tool-lines"), [f"line {number}" for number in range(50)]
    topics("--create", "--topic", topic, "--partitions", "1")
    produce(topic, lines, "--compression-codec", "gzip")
    same(consume(topic, 50, "--from-beginning", "--isolation-level", "read_committed"), lines, "lines")


def java_groups() -> None:
    topic, group = name("tool-group"), name("tool-group")
    topics("--create", "--topic", topic, "--partitions", "1")
    produce(topic, ["a", "b", "c"])
    same(consume(topic, 3, "--group", group, "--from-beginning"), ["a", "b", "c"], "lines")
    contains(groups("--list"), group)

    def row() -> list[str]:
        found = [line.split() for line in groups("--describe", "--group", group).splitlines() if line.split()[:2] == [group, topic]]
        assert found, "no row for the topic"
        return found[0][2:6]

    same(row(), ["0", "3", "3", "0"], "partition, offset, end, lag")
    contains(groups("--describe", "--group", group, "--state"), "Empty")
    groups("--describe", "--group", group, "--members")
    groups("--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute")
    same(row(), ["0", "0", "3", "3"], "partition, offset, end, lag after the reset")
    same(consume(topic, 3, "--group", group), ["a", "b", "c"], "lines after the reset")
    groups("--delete-offsets", "--group", group, "--topic", topic)
    groups("--describe", "--all-groups")
    groups("--delete", "--group", group, code=None)
    assert group not in groups("--list").split(), "group is still listed"


def java_configs() -> None:
    topic = name("tool-configs")
    topics("--create", "--topic", topic, "--partitions", "1")
    entity = ["--entity-type", "topics", "--entity-name", topic]
    configs("--alter", *entity, "--add-config", "retention.ms=7200000,cleanup.policy=compact")
    contains(configs("--describe", *entity), "retention.ms=7200000", "cleanup.policy=compact")
    configs("--alter", *entity, "--delete-config", "cleanup.policy")
    assert "cleanup.policy=compact" not in configs("--describe", *entity).split("synonyms")[0], "the setting is still there"
    contains(configs("--describe", *entity, "--all"), "segment.bytes", "max.message.bytes")


def java_log_dirs() -> None:
    topic = name("tool-dirs")
    topics("--create", "--topic", topic, "--partitions", "1")
    contains(java("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", topic), f'"partition":"{topic}-0"')


def java_offsets_and_records() -> None:
    topic = name("tool-offsets")
    topics("--create", "--topic", topic, "--partitions", "1")
    produce(topic, ["a", "b", "c"])
    contains(java("org.apache.kafka.tools.GetOffsetShell", "--topic", topic), f"{topic}:0:3")
    contains(java("org.apache.kafka.tools.GetOffsetShell", "--topic", topic, "--time", "earliest"), f"{topic}:0:0")
    wanted = json.dumps({"partitions": [{"topic": topic, "partition": 0, "offset": 2}], "version": 1})
    java("org.apache.kafka.tools.DeleteRecordsCommand", "--offset-json-file", "/dev/stdin", stdin=wanted)
    contains(java("org.apache.kafka.tools.GetOffsetShell", "--topic", topic, "--time", "earliest"), f"{topic}:0:2")


def java_api_versions() -> None:
    listed = java("org.apache.kafka.tools.BrokerApiVersionsCommand")
    contains(listed, "Produce(0)", "Fetch(1)", "JoinGroup(11)", "InitProducerId(22)")


def ends_cleanly(what: str, run) -> None:
    """The tool either works, or says within seconds that the broker does not support the request."""
    start = time.monotonic()
    text = run()
    assert time.monotonic() - start < COMMAND_SECONDS, f"{what} took {time.monotonic() - start:.0f} s"
    if re.search(r"Exception|rror", text) and not re.search(r"UnsupportedVersion|does not support|SecurityDisabled|No Authorizer", text):
        raise AssertionError(f"{what}: {text[-600:]}")


def java_transactions() -> None:
    topic = name("tool-transactions")
    topics("--create", "--topic", topic, "--partitions", "1")
    ends_cleanly("list", lambda: transactions("list", code=None))
    ends_cleanly("describe-producers", lambda: transactions("describe-producers", "--topic", topic, "--partition", "0", code=None))


def java_others() -> None:
    ends_cleanly("acls", lambda: java("org.apache.kafka.tools.AclCommand", "--list", code=None))
    ends_cleanly("features", lambda: java("org.apache.kafka.tools.FeatureCommand", "describe", code=None))
    ends_cleanly("groups", lambda: java("org.apache.kafka.tools.GroupsCommand", "--list", code=None))
    ends_cleanly("quorum", lambda: java("org.apache.kafka.tools.MetadataQuorumCommand", "describe", "--status", code=None))


def java_checks() -> None:
    checks = Checks(execute(["java", "org.apache.kafka.tools.TopicCommand", "--version"]).split()[0])
    checks.run("kafka-topics", java_topics, seconds=JAVA_SECONDS)
    checks.run("kafka-console-producer, kafka-console-consumer", java_produce_and_consume, seconds=JAVA_SECONDS)
    checks.run("kafka-consumer-groups", java_groups, seconds=JAVA_SECONDS)
    checks.run("kafka-configs", java_configs, seconds=JAVA_SECONDS)
    checks.run("kafka-log-dirs", java_log_dirs, seconds=JAVA_SECONDS)
    checks.run("kafka-get-offsets, kafka-delete-records", java_offsets_and_records, seconds=JAVA_SECONDS)
    checks.run("kafka-broker-api-versions", java_api_versions, seconds=JAVA_SECONDS)
    checks.run("kafka-transactions", java_transactions, seconds=JAVA_SECONDS)
    checks.run("kafka-acls, kafka-features, kafka-groups, kafka-metadata-quorum", java_others, seconds=JAVA_SECONDS)
    checks.exit()


if __name__ == "__main__":
    {"kcat": kcat_checks, "java": java_checks}[TOOL]()
