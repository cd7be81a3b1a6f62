"""watch.rejected: a record that a service could not process: its original bytes, and why, as headers."""

Header = tuple[str, bytes]


def rejection_headers(service: str, reason: str, topic: str, partition: int, offset: int) -> list[Header]:
    """Headers of a dead-lettered record."""
    return [
        ("service", service.encode()),
        ("reason", reason.encode()),
        ("origin_topic", topic.encode()),
        ("origin_partition", str(partition).encode()),
        ("origin_offset", str(offset).encode()),
    ]
