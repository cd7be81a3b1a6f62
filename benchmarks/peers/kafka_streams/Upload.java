import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;

/** One modality of one upload: as the watch topics have it (MessagePack), and in the store (without the other fields). */
record Upload(Modality modality, String device, long t0Ms, double rateHz, long receivedAtMs, int n, ByteBuffer samples) {
    /** Reads a record of a watch topic; shared/contracts/samples.py. */
    static Upload decode(Modality modality, byte[] value) {
        String device = "";
        long t0Ms = 0;
        double rateHz = 0;
        long receivedAtMs = 0;
        int n = 0;
        byte[] data = {};
        try (MessageUnpacker unpacker = MessagePack.newDefaultUnpacker(value)) {
            for (int left = unpacker.unpackMapHeader(); left > 0; left--) {
                switch (unpacker.unpackString()) {
                    case "device" -> device = unpacker.unpackString();
                    case "t0_ms" -> t0Ms = unpacker.unpackLong();
                    case "rate_hz" -> rateHz = unpacker.unpackDouble();
                    case "received_at_ms" -> receivedAtMs = unpacker.unpackLong();
                    case "n" -> n = unpacker.unpackInt();
                    case "data" -> data = unpacker.readPayload(unpacker.unpackBinaryHeader());
                    default -> unpacker.skipValue();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return new Upload(modality, device, t0Ms, rateHz, receivedAtMs, n, littleEndian(ByteBuffer.wrap(data)));
    }

    int storedBytes() {
        return 1 + 1 + device.length() + 8 + 8 + 8 + 4 + n * modality.channels * modality.sampleBytes;
    }

    void store(ByteBuffer out) {
        out.put((byte) modality.ordinal()).put((byte) device.length());
        out.put(device.getBytes(StandardCharsets.US_ASCII));
        out.putLong(t0Ms).putDouble(rateHz).putLong(receivedAtMs).putInt(n).put(samples.duplicate());
    }

    static Upload restore(ByteBuffer in) {
        Modality modality = MODALITIES[in.get()];
        byte[] device = new byte[in.get()];
        in.get(device);
        long t0Ms = in.getLong();
        double rateHz = in.getDouble();
        long receivedAtMs = in.getLong();
        int n = in.getInt();
        int size = n * modality.channels * modality.sampleBytes;
        ByteBuffer samples = littleEndian(in.slice(in.position(), size));
        in.position(in.position() + size);
        String name = new String(device, StandardCharsets.US_ASCII);
        return new Upload(modality, name, t0Ms, rateHz, receivedAtMs, n, samples);
    }

    double stepMs() {
        return 1000.0 / rateHz;
    }

    /** End of the span that the samples stand for. */
    double endMs() {
        return t0Ms + n * 1000.0 / rateHz;
    }

    /** (channels, n) samples. */
    double[][] values() {
        double[][] values = new double[modality.channels][n];
        switch (modality) {
            case ACCELEROMETER -> {
                short[] mg = new short[3 * n];
                samples.asShortBuffer().get(mg);
                for (int i = 0; i < mg.length; i++) {
                    values[i / n][i % n] = mg[i];
                }
            }
            case HEART_RATE -> {
                for (int i = 0; i < n; i++) {
                    values[0][i] = samples.get(i) & 0xFF;
                }
            }
            case STEPS -> {
                for (int i = 0; i < n; i++) {
                    values[0][i] = samples.getInt(Integer.BYTES * i);
                }
            }
        }
        return values;
    }

    private static final Modality[] MODALITIES = Modality.values();

    private static ByteBuffer littleEndian(ByteBuffer bytes) {
        return bytes.order(ByteOrder.LITTLE_ENDIAN);
    }
}
