import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.SecurityDisabledException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.utils.AppInfoParser;

/** Checks the broker with the producer, the consumer and the AdminClient of Apache Kafka. */
final class ClientChecks {
    private static final int RECORDS = 300;
    private final Kafka kafka;

    private ClientChecks(Kafka kafka) {
        this.kafka = kafka;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks(AppInfoParser.getVersion());
        Kafka kafka = new Kafka(arguments[0]);
        ClientChecks of = new ClientChecks(kafka);
        checks.run("create topic", of::createTopic);
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            checks.run("produce and read, " + codec, () -> of.produceWith(codec));
        }
        checks.run("a group forms soon", of::groupFormsSoon);
        checks.run("group with two members, range", () -> of.rebalance("range", RangeAssignor.class));
        checks.run("group with two members, cooperative-sticky", () -> of.rebalance("sticky", CooperativeStickyAssignor.class));
        checks.run("static member", of::staticMember);
        checks.run("commit and resume", of::commitAndResume);
        checks.run("list offsets", of::listOffsets);
        checks.run("list, describe, delete group and its offsets", of::groups);
        checks.run("delete records", of::deleteRecords);
        checks.run("create partitions", of::createPartitions);
        checks.run("configs", of::configs);
        checks.run("describe cluster", of::describeCluster);
        checks.run("log directories", of::logDirectories);
        checks.run("describe ACLs", () -> Checks.fails(SecurityDisabledException.class,
                () -> Kafka.get(kafka.admin.describeAcls(AclBindingFilter.ANY).values())));
        checks.run("transactions: commit and abort", of::commitAndAbort);
        checks.run("transactions: open one is not read", of::openTransaction);
        checks.run("transactions: fencing", of::fencing);
        checks.run("transactions: fencing by AdminClient", of::fencingByAdmin);
        checks.run("transactions: timeout", of::timeout);
        checks.run("transactions: several partitions and batches", of::largeTransactions);
        checks.run("transactions: consume, transform, produce", of::consumeTransformProduce);
        checks.run("transactions: a member that left the group", of::staleMember);
        checks.run("delete topic", of::deleteTopic);
        checks.exit();
    }

    private void createTopic() throws Exception {
        String topic = kafka.create(Checks.name("j-created"), 3);
        var description = Kafka.get(kafka.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
        Checks.same(description.partitions().size(), 3, "partitions");
        Checks.same(description.authorizedOperations(), null, "authorized operations that were not requested");
        Checks.fails(TopicExistsException.class, () -> kafka.create(topic, 3));
        Kafka.get(kafka.admin.createTopics(List.of(new NewTopic(Checks.name("j-defaults"), Optional.empty(), Optional.empty()))).all());
    }

    private void produceWith(String codec) throws Exception {
        String topic = kafka.create(Checks.name("j-codec-" + codec), 3);
        List<String> values = Kafka.numbers(RECORDS).stream().map(number -> codec + " " + number + " value".repeat(20)).toList();
        try (KafkaProducer<String, String> producer = kafka.producer(Map.of("compression.type", codec))) {
            Kafka.send(producer, topic, values);
        }
        kafka.shows(topic, "read_committed", values);
    }

    private void groupFormsSoon() throws Exception {
        String topic = kafka.create(Checks.name("j-soon"), 1);
        kafka.send(topic, List.of("a"));
        long start = System.nanoTime();
        try (KafkaConsumer<String, String> consumer = kafka.consumer(Checks.name("j-soon"), Map.of("session.timeout.ms", 45_000, "heartbeat.interval.ms", 3_000))) {
            consumer.subscribe(List.of(topic));
            Kafka.read(consumer, 1);
        }
        long seconds = (System.nanoTime() - start) / 1_000_000_000;
        Checks.same(seconds < 15, true, "first record after " + seconds + " s, less than 15 s");
    }

    /** A second member joins, both share the partitions, and one takes over when the other leaves. */
    private void rebalance(String name, Class<?> assignor) throws Exception {
        String topic = kafka.create(Checks.name("j-shared-" + name), 4);
        String group = Checks.name("j-shared-" + name);
        Map<String, Object> options = Map.of("partition.assignment.strategy", assignor.getName());
        List<String> seen = new ArrayList<>();
        KafkaConsumer<String, String> first = kafka.consumer(group, options);
        first.subscribe(List.of(topic));
        Checks.waitUntil("all partitions with one member", () -> seen.addAll(Kafka.poll(first)) | first.assignment().size() == 4);
        KafkaConsumer<String, String> second = kafka.consumer(group, options);
        second.subscribe(List.of(topic));
        Checks.waitUntil("two partitions for each member", () -> {
            seen.addAll(Kafka.poll(first));
            seen.addAll(Kafka.poll(second));
            return first.assignment().size() == 2 && second.assignment().size() == 2;
        });
        kafka.send(topic, Kafka.numbers(RECORDS));
        Checks.waitUntil("all records read", () -> {
            seen.addAll(Kafka.poll(first));
            seen.addAll(Kafka.poll(second));
            return seen.size() >= RECORDS;
        });
        Checks.same(seen.stream().sorted().toList(), Kafka.numbers(RECORDS).stream().sorted().toList(), "values");
        second.commitSync();
        second.close();
        Checks.waitUntil("partitions taken over", () -> Kafka.poll(first).isEmpty() & first.assignment().size() == 4);
        first.close();
    }

    private void staticMember() throws Exception {
        String topic = kafka.create(Checks.name("j-static"), 2);
        String group = Checks.name("j-static");
        String before = staticRun(topic, group);
        String after = staticRun(topic, group);
        Checks.same(before.equals(after), false, "same member id after a restart");
    }

    private String staticRun(String topic, String group) throws Exception {
        try (KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of("group.instance.id", "one", "session.timeout.ms", 20_000))) {
            consumer.subscribe(List.of(topic));
            Checks.waitUntil("assignment", () -> Kafka.poll(consumer).isEmpty() & consumer.assignment().size() == 2);
            Collection<MemberDescription> members = Kafka.get(kafka.admin.describeConsumerGroups(List.of(group)).all()).get(group).members();
            Checks.same(members.size(), 1, "members");
            MemberDescription member = members.iterator().next();
            Checks.same(member.groupInstanceId(), Optional.of("one"), "instance id");
            return member.consumerId();
        }
    }

    private void commitAndResume() throws Exception {
        String topic = kafka.create(Checks.name("j-resume"), 1);
        String group = Checks.name("j-resume");
        TopicPartition part = new TopicPartition(topic, 0);
        kafka.send(topic, Kafka.numbers(RECORDS));
        List<String> values = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of("max.poll.records", 100))) {
            consumer.subscribe(List.of(topic));
            Checks.waitUntil("100 records", () -> {
                values.addAll(Kafka.poll(consumer));
                return values.size() >= 100;
            });
            consumer.commitSync(Map.of(part, new OffsetAndMetadata(values.size(), "half")));
        }
        try (KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of())) {
            Checks.same(consumer.committed(Set.of(part)).get(part).metadata(), "half", "metadata of the commit");
            consumer.subscribe(List.of(topic));
            values.addAll(Kafka.read(consumer, RECORDS - values.size()));
        }
        Checks.same(values, Kafka.numbers(RECORDS), "values");
    }

    private void listOffsets() throws Exception {
        String topic = kafka.create(Checks.name("j-offsets"), 1);
        TopicPartition part = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = kafka.producer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, 0, 1_000_000L, null, "old")).get();
            producer.send(new ProducerRecord<>(topic, 0, 2_000_000L, null, "new")).get();
        }
        Map<OffsetSpec, Long> cases = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 2L, OffsetSpec.maxTimestamp(), 1L, OffsetSpec.forTimestamp(1_500_000), 1L);
        for (var entry : cases.entrySet()) {
            long found = Kafka.get(kafka.admin.listOffsets(Map.of(part, entry.getKey())).partitionResult(part)).offset();
            Checks.same(found, entry.getValue(), "offset for " + entry.getKey().getClass().getSimpleName());
        }
        try (KafkaConsumer<String, String> consumer = kafka.consumer(null, Map.of())) {
            Checks.same(consumer.offsetsForTimes(Map.of(part, 1_500_000L)).get(part).offset(), 1L, "offset for a time");
        }
    }

    private void groups() throws Exception {
        String topic = kafka.create(Checks.name("j-grouped"), 1);
        String group = Checks.name("j-grouped");
        TopicPartition part = new TopicPartition(topic, 0);
        kafka.send(topic, List.of("a", "b"));
        try (KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            Kafka.read(consumer, 2);
            consumer.commitSync();
            Checks.same(listed(group), true, "group is listed");
            var description = Kafka.get(kafka.admin.describeConsumerGroups(List.of(group)).all()).get(group);
            Checks.same(description.groupState(), GroupState.STABLE, "state");
            Checks.same(description.members().iterator().next().assignment().topicPartitions(), Set.of(part), "assignment");
            Checks.fails(GroupNotEmptyException.class, () -> Kafka.get(kafka.admin.deleteConsumerGroups(List.of(group)).all()));
            Checks.fails(GroupSubscribedToTopicException.class, () -> Kafka.get(kafka.admin.deleteConsumerGroupOffsets(group, Set.of(part)).all()));
        }
        Checks.same(offsets(group).get(part).offset(), 2L, "offset of all partitions");
        Kafka.get(kafka.admin.alterConsumerGroupOffsets(group, Map.of(part, new OffsetAndMetadata(1))).all());
        Checks.same(offsets(group).get(part).offset(), 1L, "altered offset");
        String other = kafka.create(Checks.name("j-grouped-2"), 1);
        Kafka.get(kafka.admin.alterConsumerGroupOffsets(group, Map.of(new TopicPartition(other, 0), new OffsetAndMetadata(0))).all());
        Kafka.get(kafka.admin.deleteConsumerGroupOffsets(group, Set.of(part)).all());
        Checks.same(offsets(group).keySet(), Set.of(new TopicPartition(other, 0)), "partitions with offsets");
        Kafka.get(kafka.admin.deleteConsumerGroups(List.of(group)).all());
        Checks.same(listed(group), false, "group is listed");
    }

    private boolean listed(String group) throws Exception {
        return Kafka.get(kafka.admin.listGroups().all()).stream().anyMatch(found -> found.groupId().equals(group));
    }

    private Map<TopicPartition, OffsetAndMetadata> offsets(String group) throws Exception {
        return Kafka.get(kafka.admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
    }

    private void deleteRecords() throws Exception {
        String topic = kafka.create(Checks.name("j-trimmed"), 1);
        TopicPartition part = new TopicPartition(topic, 0);
        kafka.send(topic, List.of("a", "b", "c"));
        var deleted = kafka.admin.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(2)));
        Checks.same(Kafka.get(deleted.lowWatermarks().get(part)).lowWatermark(), 2L, "low watermark");
        kafka.shows(topic, "read_committed", List.of("c"));
    }

    private void createPartitions() throws Exception {
        String topic = kafka.create(Checks.name("j-grown"), 1);
        Kafka.get(kafka.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        Checks.waitUntil("three partitions", () -> partitions(topic) == 3);
        Checks.fails(InvalidPartitionsException.class, () -> Kafka.get(kafka.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all()));
        kafka.send(topic, Kafka.numbers(9));
        Checks.same(kafka.values(topic, "read_committed").size(), 9, "records");
    }

    private int partitions(String topic) {
        try {
            return Kafka.get(kafka.admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
        } catch (Exception error) {
            return -1;
        }
    }

    private void configs() throws Exception {
        String topic = kafka.create(Checks.name("j-set"), 1, Map.of("retention.ms", "3600000"));
        Checks.same(config(topic, "retention.ms"), "3600000", "retention.ms at creation");
        alter(topic, "retention.ms", "7200000");
        alter(topic, "cleanup.policy", "compact");
        alter(topic, "max.message.bytes", "2000");
        Checks.same(List.of(config(topic, "retention.ms"), config(topic, "cleanup.policy"), config(topic, "max.message.bytes")),
                List.of("7200000", "compact", "2000"), "after incremental changes");
        Checks.fails(RecordTooLargeException.class, () -> {
            kafka.send(topic, List.of("x".repeat(5_000)));
            return null;
        });
        Checks.fails(InvalidConfigurationException.class, () -> {
            alter(topic, "retention.ms", "soon");
            return null;
        });
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Kafka.get(kafka.admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("cleanup.policy", null), AlterConfigOp.OpType.DELETE)))).all());
        Checks.same(config(topic, "cleanup.policy"), "delete", "cleanup.policy after it was reset");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, nodeId());
        Checks.same(Kafka.get(kafka.admin.describeConfigs(List.of(broker)).all()).get(broker).entries().isEmpty(), false, "no settings of the broker");
    }

    private String nodeId() throws Exception {
        return Kafka.get(kafka.admin.describeCluster().nodes()).iterator().next().idString();
    }

    private void alter(String topic, String setting, String value) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Kafka.get(kafka.admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(setting, value), AlterConfigOp.OpType.SET)))).all());
    }

    private String config(String topic, String setting) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return Kafka.get(kafka.admin.describeConfigs(List.of(resource)).all()).get(resource).get(setting).value();
    }

    private void describeCluster() throws Exception {
        var cluster = kafka.admin.describeCluster();
        Checks.same(Kafka.get(cluster.clusterId()).isEmpty(), false, "cluster id is empty");
        Checks.same(Kafka.get(cluster.nodes()).size(), 1, "nodes");
        Checks.same(Kafka.get(cluster.controller()).port() > 0, true, "controller has a port");
    }

    private void logDirectories() throws Exception {
        String topic = kafka.create(Checks.name("j-dirs"), 1);
        kafka.send(topic, List.of("a"));
        int node = Integer.parseInt(nodeId());
        var directories = Kafka.get(kafka.admin.describeLogDirs(List.of(node)).allDescriptions()).get(node);
        long size = directories.values().stream().mapToLong(directory -> {
            var replica = directory.replicaInfos().get(new TopicPartition(topic, 0));
            return replica == null ? 0 : replica.size();
        }).sum();
        Checks.same(size > 0, true, "size of the partition: " + size);
    }

    private void commitAndAbort() throws Exception {
        String topic = kafka.create(Checks.name("j-tx"), 1);
        try (KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-tx"), 20_000)) {
            for (String value : List.of("first", "aborted", "last")) {
                producer.beginTransaction();
                Kafka.send(producer, topic, List.of(value));
                if (value.equals("aborted")) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        kafka.shows(topic, "read_committed", List.of("first", "last"));
        kafka.shows(topic, "read_uncommitted", List.of("first", "aborted", "last"));
    }

    private void openTransaction() throws Exception {
        String topic = kafka.create(Checks.name("j-open"), 1);
        try (KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-open"), 20_000)) {
            producer.beginTransaction();
            Kafka.send(producer, topic, List.of("open"));
            kafka.send(topic, List.of("after"));
            kafka.shows(topic, "read_uncommitted", List.of("open", "after"));
            kafka.shows(topic, "read_committed", List.of());
            producer.commitTransaction();
        }
        kafka.shows(topic, "read_committed", List.of("open", "after"));
    }

    private void fencing() throws Exception {
        String topic = kafka.create(Checks.name("j-fenced"), 1);
        KafkaProducer<String, String> older = kafka.transactional(Checks.name("j-fenced"), 20_000);
        older.beginTransaction();
        Kafka.send(older, topic, List.of("older"));
        try (KafkaProducer<String, String> newer = kafka.transactional(Checks.name("j-fenced"), 20_000)) {
            newer.beginTransaction();
            Kafka.send(newer, topic, List.of("newer"));
            newer.commitTransaction();
        }
        Checks.fails(ProducerFencedException.class, () -> {
            older.commitTransaction();
            return null;
        });
        older.close(Duration.ofSeconds(1));
        kafka.shows(topic, "read_committed", List.of("newer"));
    }

    private void fencingByAdmin() throws Exception {
        String topic = kafka.create(Checks.name("j-fenced-2"), 1);
        KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-fenced-2"), 20_000);
        producer.beginTransaction();
        Kafka.send(producer, topic, List.of("gone"));
        Kafka.get(kafka.admin.fenceProducers(List.of(Checks.name("j-fenced-2"))).all());
        Checks.fails(ProducerFencedException.class, () -> {
            producer.commitTransaction();
            return null;
        });
        producer.close(Duration.ofSeconds(1));
        kafka.shows(topic, "read_committed", List.of());
    }

    private void timeout() throws Exception {
        String topic = kafka.create(Checks.name("j-late"), 1);
        try (KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-late"), 2_000)) {
            producer.beginTransaction();
            Kafka.send(producer, topic, List.of("late"));
            kafka.send(topic, List.of("after"));
            kafka.shows(topic, "read_committed", List.of("after"));
        }
    }

    /** Two producers interleave large transactions on the same partitions; every second one is aborted. */
    private void largeTransactions() throws Exception {
        String topic = kafka.create(Checks.name("j-large"), 3);
        List<String> expected = new ArrayList<>();
        try (KafkaProducer<String, String> one = kafka.transactional(Checks.name("j-large-1"), 60_000);
                KafkaProducer<String, String> two = kafka.transactional(Checks.name("j-large-2"), 60_000)) {
            for (int round = 0; round < 6; round++) {
                String number = "round " + round;
                List<String> kept = Kafka.numbers(500).stream().map(value -> number + " kept " + value + " x".repeat(100)).toList();
                List<String> dropped = Kafka.numbers(500).stream().map(value -> number + " dropped " + value + " x".repeat(100)).toList();
                one.beginTransaction();
                two.beginTransaction();
                Kafka.send(two, topic, dropped);
                Kafka.send(one, topic, kept);
                two.abortTransaction();
                one.commitTransaction();
                expected.addAll(kept);
            }
        }
        kafka.shows(topic, "read_committed", expected);
    }

    private void consumeTransformProduce() throws Exception {
        String source = kafka.create(Checks.name("j-from"), 2);
        String target = kafka.create(Checks.name("j-to"), 2);
        String group = Checks.name("j-transform");
        kafka.send(source, Kafka.numbers(100));
        AtomicInteger moved = new AtomicInteger();
        try (KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-transform"), 20_000);
                KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of("isolation.level", "read_committed", "max.poll.records", 20))) {
            consumer.subscribe(List.of(source));
            boolean[] aborted = {false};
            Checks.waitUntil("all records moved", () -> {
                List<String> values = Kafka.poll(consumer);
                if (values.isEmpty()) {
                    return false;
                }
                transform(producer, consumer, target, values);
                if (!aborted[0]) {
                    aborted[0] = true;
                    producer.abortTransaction();
                    consumer.assignment().forEach(part -> consumer.seek(part, 0));
                    Checks.same(consumer.committed(consumer.assignment()).values().stream().filter(java.util.Objects::nonNull).count(), 0L, "offsets after an abort");
                    return false;
                }
                producer.commitTransaction();
                return moved.addAndGet(values.size()) >= 100;
            });
            long committed = consumer.committed(consumer.assignment()).values().stream().mapToLong(OffsetAndMetadata::offset).sum();
            Checks.same(committed, 100L, "committed offsets");
        }
        kafka.shows(target, "read_committed", Kafka.numbers(100).stream().map(value -> value + "!").toList());
    }

    private static void transform(KafkaProducer<String, String> producer, KafkaConsumer<String, String> consumer, String target, List<String> values) {
        producer.beginTransaction();
        values.forEach(value -> producer.send(new ProducerRecord<>(target, value + "!")));
        Map<TopicPartition, OffsetAndMetadata> positions = new java.util.HashMap<>();
        consumer.assignment().forEach(part -> positions.put(part, new OffsetAndMetadata(consumer.position(part))));
        producer.sendOffsetsToTransaction(positions, consumer.groupMetadata());
    }

    /** Offsets of a member that has left its group must not become visible. */
    private void staleMember() throws Exception {
        String topic = kafka.create(Checks.name("j-stale"), 1);
        String group = Checks.name("j-stale");
        kafka.send(topic, List.of("a"));
        KafkaConsumer<String, String> consumer = kafka.consumer(group, Map.of());
        consumer.subscribe(List.of(topic));
        Kafka.read(consumer, 1);
        var stale = consumer.groupMetadata();
        consumer.close();
        try (KafkaProducer<String, String> producer = kafka.transactional(Checks.name("j-stale"), 20_000)) {
            producer.beginTransaction();
            Checks.fails(org.apache.kafka.common.KafkaException.class, () -> {
                producer.sendOffsetsToTransaction(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1)), stale);
                producer.commitTransaction();
                return null;
            });
            producer.abortTransaction();
        }
        Checks.same(offsets(group).get(new TopicPartition(topic, 0)), null, "offset");
    }

    private void deleteTopic() throws Exception {
        String topic = kafka.create(Checks.name("j-deleted"), 1);
        Kafka.get(kafka.admin.deleteTopics(List.of(topic)).all());
        Checks.same(Kafka.get(kafka.admin.listTopics(new ListTopicsOptions().listInternal(true)).names()).contains(topic), false, "topic is listed");
        Checks.fails(UnknownTopicOrPartitionException.class, () -> Kafka.get(kafka.admin.deleteTopics(List.of(topic)).all()));
    }
}
