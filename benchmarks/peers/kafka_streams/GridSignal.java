import java.util.List;

/**
 * One modality of one window on its grid: shared/signal/resample.py, with the same operations in the same order.
 *
 * @param values (channels, grid), zeros where the modality does not pass
 */
record GridSignal(double[][] values, double coverage, boolean passes) {
    /** Interpolates the readings within the window; {@code uploads} are those of the modality in the order of time. */
    static GridSignal resample(Modality modality, long startMs, List<Upload> uploads) {
        int most = 0;
        for (Upload upload : uploads) {
            most += upload.n();
        }
        double[] offsetsMs = new double[most];
        double[][] readings = new double[modality.channels][most];
        int count = 0;
        for (Upload upload : uploads) {
            double[][] samples = upload.values();
            double stepMs = upload.stepMs();
            for (int index = 0; index < upload.n(); index++) {
                double offsetMs = upload.t0Ms() + index * stepMs - startMs;
                if (offsetMs < 0 || offsetMs >= UserWindows.WINDOW_MS || !modality.isReading(samples, index)) {
                    continue;
                }
                offsetsMs[count] = offsetMs;
                for (int channel = 0; channel < modality.channels; channel++) {
                    readings[channel][count] = samples[channel][index];
                }
                count++;
            }
        }
        return interpolate(modality, offsetsMs, readings, count);
    }

    private static GridSignal interpolate(Modality modality, double[] offsetsMs, double[][] readings, int count) {
        int n = modality.gridN();
        double[][] values = new double[modality.channels][n];
        if (count == 0) {
            return new GridSignal(values, 0.0, false);
        }
        int covered = 0;
        int right = 0; // the first reading at or after the grid point
        for (int point = 0; point < n; point++) {
            double gridMs = point * (1000.0 / modality.rateHz);
            while (right < count && offsetsMs[right] < gridMs) {
                right++;
            }
            double distanceMs;
            if (right == count) {
                distanceMs = gridMs - offsetsMs[count - 1];
            } else if (right == 0) {
                distanceMs = offsetsMs[0] - gridMs;
            } else {
                distanceMs = offsetsMs[right] == gridMs ? 0 : offsetsMs[right] - offsetsMs[right - 1];
            }
            if (distanceMs <= modality.maxStepMs) {
                covered++;
            }
            for (int channel = 0; channel < modality.channels; channel++) {
                values[channel][point] = valueAt(gridMs, offsetsMs, readings[channel], count, right);
            }
        }
        double coverage = (double) covered / n;
        boolean passes = coverage >= modality.minCoverage && dropoutMs(offsetsMs, count) <= modality.maxDropoutMs;
        return new GridSignal(passes ? values : new double[modality.channels][n], coverage, passes);
    }

    private static double valueAt(double gridMs, double[] offsetsMs, double[] readings, int count, int right) {
        if (right == 0) {
            return readings[0];
        }
        if (right == count) {
            return readings[count - 1];
        }
        if (offsetsMs[right] == gridMs) {
            return readings[right];
        }
        double slope = (readings[right] - readings[right - 1]) / (offsetsMs[right] - offsetsMs[right - 1]);
        return slope * (gridMs - offsetsMs[right - 1]) + readings[right - 1];
    }

    private static double dropoutMs(double[] offsetsMs, int count) {
        double longestMs = Math.max(offsetsMs[0], UserWindows.WINDOW_MS - offsetsMs[count - 1]);
        for (int index = 1; index < count; index++) {
            longestMs = Math.max(longestMs, offsetsMs[index] - offsetsMs[index - 1]);
        }
        return longestMs;
    }
}
