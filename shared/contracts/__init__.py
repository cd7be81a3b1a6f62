"""The Kafka records, one kind per module, each with its versions and its golden bytes in tests/data."""
