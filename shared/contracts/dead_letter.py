"""watch.rejected: a record that a service could not process: its original bytes, and why, as headers."""

Header = tuple[str, bytes]
MAX_REASON = 500
"""A reason that quotes its record must not make the dead letter larger than its topic takes."""


def rejection_headers(service: str, reason: str, topic: str, partition: int, offset: int) -> list[Header]:
    """Headers of a dead-lettered record."""
    return [
        ("service", service.encode()),
        ("reason", reason[:MAX_REASON].encode()),
        ("origin_topic", topic.encode()),
        ("origin_partition", str(partition).encode()),
        ("origin_offset", str(offset).encode()),
    ]
