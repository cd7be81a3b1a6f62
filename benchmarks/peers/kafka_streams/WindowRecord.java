import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/** The record of one window in MessagePack; shared/contracts/window.py. */
record WindowRecord(
        String device,
        long startMs,
        long receivedAtMs,
        int[] baselineMg,
        int baselineBpm,
        Map<Modality, GridSignal> signals,
        Map<Modality, float[][]> features) {

    private static final int WIRE_VERSION = 1;

    byte[] encode() {
        try (MessageBufferPacker out = MessagePack.newDefaultBufferPacker()) {
            out.packMapHeader(13);
            out.packString("v").packInt(WIRE_VERSION);
            out.packString("device").packString(device);
            out.packString("window_start_ms").packLong(startMs);
            out.packString("hop_ms").packLong(UserWindows.HOP_MS);
            out.packString("feature_version").packInt(Features.VERSION);
            out.packString("mask").packMapHeader(signals.size());
            for (var signal : signals.entrySet()) {
                out.packString(signal.getKey().wireName).packBoolean(signal.getValue().passes());
            }
            out.packString("coverage").packMapHeader(signals.size());
            for (var signal : signals.entrySet()) {
                out.packString(signal.getKey().wireName).packDouble(signal.getValue().coverage());
            }
            out.packString("baseline").packMapHeader(2);
            out.packString("accelerometer").packMapHeader(2);
            out.packString("state").packString("stable");
            out.packString("mg").packArrayHeader(3);
            for (int mg : baselineMg) {
                out.packInt(mg);
            }
            out.packString("heart_rate").packMapHeader(2);
            out.packString("state").packString("default");
            out.packString("bpm").packInt(baselineBpm);
            out.packString("source_received_at_ms").packLong(receivedAtMs);
            out.packString("utc_offset_min").packNil();
            for (var feature : features.entrySet()) {
                byte[] bytes = toFloat16(feature.getValue(), signals.get(feature.getKey()).passes());
                out.packString(feature.getKey().wireName).packBinaryHeader(bytes.length);
                out.addPayload(bytes);
            }
            return out.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] toFloat16(float[][] rows, boolean passes) {
        int n = rows[0].length;
        ByteBuffer bytes = ByteBuffer.allocate(2 * rows.length * n).order(ByteOrder.LITTLE_ENDIAN);
        if (passes) {
            short[] half = new short[n];
            for (int row = 0; row < rows.length; row++) {
                for (int i = 0; i < n; i++) {
                    half[i] = Float.floatToFloat16(rows[row][i]);
                }
                bytes.asShortBuffer().put(row * n, half);
            }
        }
        return bytes.array();
    }
}
