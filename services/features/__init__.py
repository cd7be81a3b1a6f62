"""features: event-time windows from the watch topics, per-user baselines in Redis, window features."""
