"""From the log to windows: one total order, event-time windows on a fixed grid. Pure objects without Kafka."""
