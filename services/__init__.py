"""The three services on the Kafka bus: ingest, features, inference. No one of them imports another."""
