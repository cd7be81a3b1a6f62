import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Collects the uploads of each user, and sends a window when all three modalities have reached its end.
 *
 * <p>The computation is that of benchmarks/peers/features_job.py, and leaves out what that leaves out: quality checks,
 * gaps, late samples, repeated uploads, dead letters, metrics. The accelerometer's baseline is the median of the
 * medians of the last hour's windows.
 *
 * <p>A user's value in the store {@link #OPEN}: the start of the next window, how far each modality has come, then
 * the uploads that later windows need. In {@link #MEDIANS}: x, y, z of each window of the last hour.
 */
final class UserWindows implements Processor<String, byte[], String, byte[]> {
    static final String OPEN = "open";
    static final String MEDIANS = "medians";
    static final long WINDOW_MS = 20_000;
    static final long HOP_MS = 10_000;

    private static final int DEFAULT_BPM = 70;
    private static final int KEPT_MEDIANS = 360;
    private static final int HEAD_BYTES = 4 * Long.BYTES;

    private final String topicPrefix;
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> open;
    private KeyValueStore<String, byte[]> medians;

    UserWindows(String topicPrefix) {
        this.topicPrefix = topicPrefix;
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        open = context.getStateStore(OPEN);
        medians = context.getStateStore(MEDIANS);
    }

    @Override
    public void process(Record<String, byte[]> record) {
        if (record.key() == null) {
            return; // a tick
        }
        String user = record.key();
        Upload upload = Upload.decode(modalityOf(context.recordMetadata().orElseThrow().topic()), record.value());
        byte[] before = open.get(user);
        byte[] state = Arrays.copyOf(before == null ? head(upload) : before, size(before) + upload.storedBytes());
        ByteBuffer bytes = ByteBuffer.wrap(state);
        upload.store(bytes.position(size(before)));
        bytes.putDouble(Long.BYTES * (1 + upload.modality().ordinal()), upload.endMs());
        long nextMs = bytes.getLong(0);
        double completeMs = Double.MAX_VALUE;
        for (int modality = 0; modality < 3; modality++) {
            completeMs = Math.min(completeMs, bytes.getDouble(Long.BYTES * (1 + modality)));
        }
        open.put(user, nextMs + WINDOW_MS <= completeMs ? close(user, record, bytes, completeMs) : state);
    }

    private static int size(byte[] state) {
        return state == null ? HEAD_BYTES : state.length;
    }

    private static byte[] head(Upload first) {
        return ByteBuffer.allocate(HEAD_BYTES).putLong(0, Math.floorDiv(first.t0Ms(), HOP_MS) * HOP_MS).array();
    }

    private Modality modalityOf(String topic) {
        return switch (topic.substring(topicPrefix.length())) {
            case "accelerometer" -> Modality.ACCELEROMETER;
            case "heart_rate" -> Modality.HEART_RATE;
            case "steps" -> Modality.STEPS;
            default -> throw new IllegalArgumentException(topic);
        };
    }

    /** Sends all windows that are complete; returns the state without the uploads that lie before the next window. */
    private byte[] close(String user, Record<String, byte[]> record, ByteBuffer state, double completeMs) {
        List<Upload> uploads = new ArrayList<>();
        state.position(HEAD_BYTES);
        while (state.hasRemaining()) {
            uploads.add(Upload.restore(state));
        }
        uploads.sort(Comparator.comparingLong(Upload::t0Ms));
        long nextMs = state.getLong(0);
        for (; nextMs + WINDOW_MS <= completeMs; nextMs += HOP_MS) {
            byte[] window = window(user, nextMs, uploads);
            if (window != null) {
                context.forward(record.withValue(window));
            }
        }
        long keptFromMs = nextMs;
        uploads.removeIf(upload -> upload.endMs() <= keptFromMs);
        int kept = uploads.stream().mapToInt(Upload::storedBytes).sum();
        ByteBuffer after = ByteBuffer.allocate(HEAD_BYTES + kept).put(0, state, 0, HEAD_BYTES).putLong(0, nextMs);
        after.position(HEAD_BYTES);
        uploads.forEach(upload -> upload.store(after));
        return after.array();
    }

    /** The record of one window; null where its accelerometer does not pass. Adds to the user's medians. */
    private byte[] window(String user, long startMs, List<Upload> uploads) {
        Map<Modality, GridSignal> signals = new EnumMap<>(Modality.class);
        long receivedAtMs = 0;
        String device = "";
        for (Modality modality : Modality.values()) {
            List<Upload> mine = new ArrayList<>();
            for (Upload upload : uploads) {
                if (upload.modality() == modality
                        && upload.endMs() > startMs
                        && upload.t0Ms() < startMs + WINDOW_MS) {
                    mine.add(upload);
                    receivedAtMs = Math.max(receivedAtMs, upload.receivedAtMs());
                    device = upload.device();
                }
            }
            signals.put(modality, GridSignal.resample(modality, startMs, mine));
        }
        if (!signals.get(Modality.ACCELEROMETER).passes()) {
            return null;
        }
        double[][] mg = signals.get(Modality.ACCELEROMETER).values();
        int[] baselineMg = updateBaseline(user, mg);
        Map<Modality, float[][]> features = new EnumMap<>(Modality.class);
        features.put(Modality.ACCELEROMETER, Features.accelerometer(mg, baselineMg));
        features.put(
                Modality.HEART_RATE, Features.heartRate(signals.get(Modality.HEART_RATE).values()[0], DEFAULT_BPM));
        features.put(Modality.STEPS, Features.steps(signals.get(Modality.STEPS).values()[0]));
        return new WindowRecord(device, startMs, receivedAtMs, baselineMg, DEFAULT_BPM, signals, features).encode();
    }

    /** The baseline for this window, from the windows before it; its own medians where there is none. */
    private int[] updateBaseline(String user, double[][] mg) {
        byte[] before = medians.get(user);
        int size = before == null ? 0 : before.length;
        int windowBytes = 3 * Double.BYTES;
        int from = size / windowBytes >= KEPT_MEDIANS ? windowBytes : 0;
        byte[] after = before == null
                ? new byte[windowBytes]
                : Arrays.copyOfRange(before, from, size + windowBytes);
        ByteBuffer bytes = ByteBuffer.wrap(after);
        int windows = after.length / windowBytes - 1;
        int[] baselineMg = new int[3];
        for (int axis = 0; axis < 3; axis++) {
            double own = median(mg[axis].clone());
            bytes.putDouble(windows * windowBytes + axis * Double.BYTES, own);
            double[] earlier = new double[size / windowBytes];
            for (int i = 0; i < earlier.length; i++) {
                earlier[i] = ByteBuffer.wrap(before).getDouble(i * windowBytes + axis * Double.BYTES);
            }
            baselineMg[axis] = (int) Math.rint(earlier.length == 0 ? own : median(earlier));
        }
        medians.put(user, after);
        return baselineMg;
    }

    private static double median(double[] values) {
        Arrays.sort(values);
        int middle = values.length / 2;
        return values.length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
}
