import java.util.Properties;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * The features stage on Kafka Streams: three co-partitioned topics, one processor, two stores.
 *
 * <p>Streams reads the partitions of the three topics side by side in the order of their timestamps. State is in
 * RocksDB behind a cache, with changelog topics; at least once, which is the default, with a commit every 5 s.
 *
 * <p>Environment: that of benchmarks.peers.features_settings.
 */
public final class FeaturesStream {
    private static final int COMMIT_MS = 5_000;
    private static final int BATCH_BYTES = 512 << 10; // the default, 16 KB, holds one window
    private static final long CACHE_BYTES = 64L << 20; // the default, 10 MB, holds 2,000 users

    public static void main(String[] arguments) {
        String inputPrefix = System.getenv("PEER_INPUT_PREFIX");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, System.getenv("PEER_GROUP"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("PEER_KAFKA"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, "state");
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, COMMIT_MS);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), BATCH_BYTES);
        KafkaStreams streams = new KafkaStreams(topology(inputPrefix, System.getenv("PEER_OUTPUT")), settings);
        streams.setStateListener((now, before) -> System.out.println("state: " + now));
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(String inputPrefix, String output) {
        Topology topology = new Topology();
        String[] sources = new String[Modality.values().length];
        for (Modality modality : Modality.values()) {
            sources[modality.ordinal()] = modality.wireName;
            topology.addSource(
                    modality.wireName,
                    Serdes.String().deserializer(),
                    Serdes.ByteArray().deserializer(),
                    inputPrefix + "watch." + modality.wireName);
        }
        ProcessorSupplier<String, byte[], String, byte[]> processor = () -> new UserWindows(inputPrefix + "watch.");
        topology.addProcessor("features", processor, sources);
        for (String store : new String[] {UserWindows.OPEN, UserWindows.MEDIANS}) {
            topology.addStateStore(
                    Stores.keyValueStoreBuilder(
                                    Stores.persistentKeyValueStore(store), Serdes.String(), Serdes.ByteArray())
                            .withCachingEnabled(),
                    "features");
        }
        topology.addSink(
                "windows", output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "features");
        return topology;
    }
}
