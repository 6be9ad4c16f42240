import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Clients of one broker, with short methods for what most checks do. */
final class Kafka implements AutoCloseable {
    final String servers;
    final Admin admin;

    Kafka(String servers) {
        this.servers = servers;
        this.admin = Admin.create(Map.of("bootstrap.servers", servers, "default.api.timeout.ms", 20_000, "request.timeout.ms", 10_000));
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(25, TimeUnit.SECONDS);
    }

    String create(String topic, int partitions, Map<String, String> configs) throws Exception {
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all());
        Checks.waitUntil("topic " + topic, () -> {
            try {
                return get(admin.listTopics().names()).contains(topic);
            } catch (Exception error) {
                return false;
            }
        });
        return topic;
    }

    String create(String topic, int partitions) throws Exception {
        return create(topic, partitions, Map.of());
    }

    KafkaProducer<String, String> producer(Map<String, Object> options) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "acks", "all", "enable.idempotence", true,
                "linger.ms", 5, "max.block.ms", 30_000, "delivery.timeout.ms", 30_000, "request.timeout.ms", 10_000));
        all.putAll(options);
        return new KafkaProducer<>(all, new StringSerializer(), new StringSerializer());
    }

    /** Returns a producer whose transactions are ready. */
    KafkaProducer<String, String> transactional(String identity, int timeoutMillis) {
        KafkaProducer<String, String> producer = producer(Map.of("transactional.id", identity, "transaction.timeout.ms", timeoutMillis));
        producer.initTransactions();
        return producer;
    }

    /** Produces values and waits until each is acknowledged; value number n goes to partition n modulo the count. */
    static void send(KafkaProducer<String, String> producer, String topic, List<String> values) throws Exception {
        int partitions = producer.partitionsFor(topic).size();
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        for (int number = 0; number < values.size(); number++) {
            sent.add(producer.send(new ProducerRecord<>(topic, number % partitions, values.get(number), values.get(number))));
        }
        producer.flush();
        for (java.util.concurrent.Future<?> future : sent) {
            future.get(30, TimeUnit.SECONDS);
        }
    }

    void send(String topic, List<String> values) throws Exception {
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            send(producer, topic, values);
        }
    }

    KafkaConsumer<String, String> consumer(String group, Map<String, Object> options) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", servers, "auto.offset.reset", "earliest",
                "enable.auto.commit", false, "session.timeout.ms", 10_000, "heartbeat.interval.ms", 500, "default.api.timeout.ms", 30_000));
        if (group != null) {
            all.put("group.id", group);
        }
        all.putAll(options);
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static List<String> poll(KafkaConsumer<String, String> consumer) {
        List<String> values = new ArrayList<>();
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
            values.add(record.value());
        }
        return values;
    }

    static List<String> read(KafkaConsumer<String, String> consumer, int count) throws Exception {
        List<String> values = new ArrayList<>();
        Checks.waitUntil(count + " records", () -> {
            values.addAll(poll(consumer));
            return values.size() >= count;
        });
        return values;
    }

    /** Returns every record of a topic that the isolation level shows. */
    List<ConsumerRecord<String, String>> records(String topic, String isolation) throws Exception {
        try (KafkaConsumer<String, String> consumer = consumer(null, Map.of("isolation.level", isolation))) {
            List<TopicPartition> parts = IntStream.range(0, consumer.partitionsFor(topic).size()).mapToObj(number -> new TopicPartition(topic, number)).toList();
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            Map<TopicPartition, Long> ends = consumer.endOffsets(parts);
            List<ConsumerRecord<String, String>> found = new ArrayList<>();
            Checks.waitUntil("end of " + topic, () -> {
                consumer.poll(Duration.ofMillis(100)).forEach(found::add);
                return parts.stream().allMatch(part -> consumer.position(part) >= ends.get(part));
            });
            return found;
        }
    }

    List<String> values(String topic, String isolation) throws Exception {
        return records(topic, isolation).stream().map(ConsumerRecord::value).toList();
    }

    /** Waits until a topic shows the expected values. It must never show another one: the end of a transaction may take effect a little later. */
    void shows(String topic, String isolation, List<String> expected) throws Exception {
        List<String> sorted = expected.stream().sorted().toList();
        java.util.Set<String> known = new java.util.HashSet<>(expected);
        Checks.waitUntil(isolation + " shows " + sorted.size() + " values", () -> {
            List<String> found;
            try {
                found = values(topic, isolation);
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
            Checks.same(found.stream().filter(value -> !known.contains(value)).toList(), List.of(), "values that were not expected");
            return found.stream().sorted().toList().equals(sorted);
        });
    }

    static List<String> numbers(int count) {
        return IntStream.range(0, count).mapToObj(Integer::toString).toList();
    }

    @Override
    public void close() {
        admin.close(Duration.ofSeconds(5));
    }
}
