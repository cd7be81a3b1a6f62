"""The three services: ingest, features, inference. They communicate only through Kafka; none imports another."""
