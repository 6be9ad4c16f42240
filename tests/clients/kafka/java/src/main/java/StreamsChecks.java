import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Produced;

/** Counts words with Kafka Streams. The application is stopped in the middle and started again without its local state. */
final class StreamsChecks {
    private static final int LINES = 600;
    private static final List<String> WORDS = List.of("kafka", "streams", "count", "these", "words", "exactly", "once");
    private final Kafka kafka;
    private final Path directory;

    private StreamsChecks(Kafka kafka, Path directory) {
        this.kafka = kafka;
        this.directory = directory;
    }

    public static void main(String[] arguments) {
        Checks checks = new Checks(AppInfoParser.getVersion());
        Kafka kafka = new Kafka(arguments[0]);
        StreamsChecks of = new StreamsChecks(kafka, Path.of(arguments[1]));
        for (String guarantee : List.of(StreamsConfig.AT_LEAST_ONCE, StreamsConfig.EXACTLY_ONCE_V2)) {
            checks.run("word count, " + guarantee, () -> of.count(guarantee));
        }
        checks.exit();
    }

    private void count(String guarantee) throws Exception {
        String application = Checks.name("words-" + guarantee.replace('_', '-'));
        String source = kafka.create(application + "-lines", 2);
        String target = kafka.create(application + "-counts", 2);
        List<String> lines = lines();
        kafka.send(source, lines.subList(0, LINES / 2));
        run(application, guarantee, source, target, directory.resolve(application + "-1"), counts(lines.subList(0, LINES / 2)));
        kafka.send(source, lines.subList(LINES / 2, LINES));
        // The second instance restores the counts from the changelog topic: the first one's directory is not used again.
        run(application, guarantee, source, target, directory.resolve(application + "-2"), counts(lines));
        if (guarantee.equals(StreamsConfig.EXACTLY_ONCE_V2)) {
            eachCountOnce(target, counts(lines));
        }
    }

    private static List<String> lines() {
        List<String> lines = new ArrayList<>();
        for (int number = 0; number < LINES; number++) {
            lines.add(WORDS.get(number % 7) + " " + WORDS.get(number % 5) + " " + WORDS.get(number % 3) + " line" + number % 10);
        }
        return lines;
    }

    private static Map<String, Long> counts(List<String> lines) {
        Map<String, Long> counts = new TreeMap<>();
        lines.forEach(line -> List.of(line.split(" ")).forEach(word -> counts.merge(word, 1L, Long::sum)));
        return counts;
    }

    /** Runs the application until the expected counts are in the target topic, then stops it. */
    private void run(String application, String guarantee, String source, String target, Path state, Map<String, Long> expected) throws Exception {
        Files.createDirectories(state);
        KafkaStreams streams = new KafkaStreams(topology(source, target), options(application, guarantee, state));
        Map<String, Long> found = new TreeMap<>();
        try {
            streams.start();
            Checks.waitUntil("exact counts", 100, () -> {
                found.clear();
                found.putAll(latest(target));
                return found.equals(expected) || streams.state() == KafkaStreams.State.ERROR;
            });
        } catch (AssertionError error) {
            throw new AssertionError(error.getMessage() + "; expected " + expected + ", found " + found, error);
        } finally {
            streams.close(Duration.ofSeconds(15));
        }
        Checks.same(found, expected, "counts (state " + streams.state() + ")");
    }

    private static org.apache.kafka.streams.Topology topology(String source, String target) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(source)
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word)
                .count()
                .toStream()
                .mapValues(count -> Long.toString(count))
                .to(target, Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    private Properties options(String application, String guarantee, Path state) {
        Properties options = new Properties();
        options.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        options.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, kafka.servers);
        options.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        options.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        options.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        options.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        options.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        options.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        // No cache: every change of a count is produced.
        options.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        options.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10_000);
        options.put(StreamsConfig.consumerPrefix("heartbeat.interval.ms"), 500);
        options.put("auto.offset.reset", "earliest");
        return options;
    }

    private Map<String, Long> latest(String target) {
        try {
            Map<String, Long> counts = new HashMap<>();
            kafka.records(target, "read_committed").forEach(record -> counts.put(record.key(), Long.valueOf(record.value())));
            return counts;
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    /** With exactly-once, each word's counts are 1, 2, 3, … without a gap or a repetition. */
    private void eachCountOnce(String target, Map<String, Long> counts) throws Exception {
        Map<String, Long> last = new HashMap<>();
        for (ConsumerRecord<String, String> record : kafka.records(target, "read_committed")) {
            long count = Long.parseLong(record.value());
            Checks.same(count, last.getOrDefault(record.key(), 0L) + 1, "next count of " + record.key());
            last.put(record.key(), count);
        }
        Checks.same(new TreeMap<>(last), counts, "last counts");
    }
}
