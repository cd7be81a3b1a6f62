"""inference: the fused model on micro-batches of windows, one event per window."""
