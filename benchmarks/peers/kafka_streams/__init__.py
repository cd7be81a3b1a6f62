"""The features stage in Java on Kafka Streams, of the version of the embedded broker."""
