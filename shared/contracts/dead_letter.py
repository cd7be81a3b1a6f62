"""watch.rejected: a record that a service could not process, in its original bytes, with the reason in headers."""

Header = tuple[str, bytes]
MAX_REASON = 500
"""A reason that quotes its record must not make the dead letter larger than its topic allows."""


def rejection_headers(service: str, reason: str, topic: str, partition: int, offset: int) -> list[Header]:
    """Return the headers of a dead letter."""
    return [
        ("service", service.encode()),
        ("reason", reason[:MAX_REASON].encode()),
        ("origin_topic", topic.encode()),
        ("origin_partition", str(partition).encode()),
        ("origin_offset", str(offset).encode()),
    ]
