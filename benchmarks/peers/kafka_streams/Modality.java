/** The three modalities, as shared/contracts/modality.py has them. */
enum Modality {
    ACCELEROMETER("accelerometer", 3, 2, 25, 250, 0.9, 1_000),
    HEART_RATE("heart_rate", 1, 1, 1, 10_000, 0.5, 10_000),
    STEPS("steps", 1, 4, 1, 2_500, 0.5, 20_000);

    final String wireName;
    final int channels;
    final int sampleBytes;
    final int rateHz;
    final double maxStepMs;
    final double minCoverage;
    final double maxDropoutMs;

    Modality(
            String wireName,
            int channels,
            int sampleBytes,
            int rateHz,
            double maxStepMs,
            double minCoverage,
            double maxDropoutMs) {
        this.wireName = wireName;
        this.channels = channels;
        this.sampleBytes = sampleBytes;
        this.rateHz = rateHz;
        this.maxStepMs = maxStepMs;
        this.minCoverage = minCoverage;
        this.maxDropoutMs = maxDropoutMs;
    }

    int gridN() {
        return (int) UserWindows.WINDOW_MS / 1000 * rateHz;
    }

    /** False where the watch sent null, or zeros for a missing sample. */
    boolean isReading(double[][] samples, int index) {
        return switch (this) {
            case ACCELEROMETER -> samples[0][index] != 0 || samples[1][index] != 0 || samples[2][index] != 0;
            case HEART_RATE -> samples[0][index] != 0;
            case STEPS -> samples[0][index] != -1;
        };
    }
}
