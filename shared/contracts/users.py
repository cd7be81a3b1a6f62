"""Users in Kafka: a pseudonymous id, and the partition of all of a user's records."""

import re
from functools import lru_cache

from aiokafka.partitioner import murmur2

USER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@lru_cache(maxsize=131_072)
def partition_of(user: str, partitions: int) -> int:
    """Return the partition of a user's records, the same in every topic: Kafka's default (murmur2 of the key)."""
    return int((murmur2(user.encode()) & 0x7FFF_FFFF) % partitions)
