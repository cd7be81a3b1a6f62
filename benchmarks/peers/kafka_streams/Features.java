/** Features of one window: shared/signal/features.py, with the same operations in the same order and precision. */
final class Features {
    static final int VERSION = 1;

    private static final float HEART_RATE_SCALE_BPM = 220f;
    private static final float FLOAT16_MAX = 65_504f;
    private static final double[] GAUSSIAN = gaussian(1.0, 4);

    private Features() {}

    /** (3, n) mg to (9, n): debiased and smoothed x, y, z in g, their first and second derivatives. */
    static float[][] accelerometer(double[][] mg, int[] baselineMg) {
        float[][] features = new float[9][];
        for (int axis = 0; axis < 3; axis++) {
            int n = mg[axis].length;
            float[] g = new float[n];
            for (int i = 0; i < n; i++) {
                g[i] = (float) ((mg[axis][i] - baselineMg[axis]) / 1000.0);
            }
            features[axis] = smooth(g);
            features[axis + 3] = difference(features[axis]);
            features[axis + 6] = difference(features[axis + 3]);
        }
        return features;
    }

    /** (n) bpm to (3, n): debiased / 220, first and second derivative of the debiased. */
    static float[][] heartRate(double[] bpm, int baselineBpm) {
        float[] debiased = new float[bpm.length];
        float[] scaled = new float[bpm.length];
        for (int i = 0; i < bpm.length; i++) {
            debiased[i] = (float) (bpm[i] - baselineBpm);
            scaled[i] = debiased[i] / HEART_RATE_SCALE_BPM;
        }
        float[] first = difference(debiased);
        return new float[][] {scaled, first, difference(first)};
    }

    /** (n) steps since midnight to (2, n): first and second derivative; a total that falls is a reset. */
    static float[][] steps(double[] total) {
        float[] first = new float[total.length];
        for (int i = 1; i < total.length; i++) {
            first[i] = (float) Math.max(total[i] - total[i - 1], 0.0);
        }
        float[][] features = {first, difference(first)};
        for (float[] row : features) {
            for (int i = 0; i < row.length; i++) {
                row[i] = Math.clamp(row[i], -FLOAT16_MAX, FLOAT16_MAX);
            }
        }
        return features;
    }

    private static float[] difference(float[] x) {
        float[] difference = new float[x.length];
        for (int i = 1; i < x.length; i++) {
            difference[i] = x[i] - x[i - 1];
        }
        return difference;
    }

    /** scipy.ndimage.gaussian_filter1d: weights and sums in double, reflected at both ends. */
    private static float[] smooth(float[] x) {
        int radius = GAUSSIAN.length / 2;
        int n = x.length;
        double[] line = new double[n + 2 * radius];
        for (int i = 0; i < n; i++) {
            line[i + radius] = x[i];
        }
        for (int i = 0; i < radius; i++) {
            line[radius - 1 - i] = x[i];
            line[radius + n + i] = x[n - 1 - i];
        }
        float[] smooth = new float[n];
        for (int i = 0; i < n; i++) {
            double sum = line[i + radius] * GAUSSIAN[radius];
            for (int j = radius; j > 0; j--) {
                sum += (line[i + radius - j] + line[i + radius + j]) * GAUSSIAN[radius - j];
            }
            smooth[i] = (float) sum;
        }
        return smooth;
    }

    private static double[] gaussian(double sigma, int radius) {
        double[] weights = new double[2 * radius + 1];
        double sum = 0;
        for (int i = -radius; i <= radius; i++) {
            weights[i + radius] = Math.exp(-0.5 / (sigma * sigma) * i * i);
            sum += weights[i + radius];
        }
        for (int i = 0; i < weights.length; i++) {
            weights[i] /= sum;
        }
        return weights;
    }
}
