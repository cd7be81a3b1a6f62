"""Users as the bus knows them: a pseudonymous id, and the partition that all of a user's records go to."""

import re
from functools import lru_cache

from aiokafka.partitioner import murmur2

USER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@lru_cache(maxsize=131_072)
def partition_of(user: str, partitions: int) -> int:
    """The partition of a user's records in every topic: that of Kafka's default partitioner (murmur2 of the key)."""
    return int((murmur2(user.encode()) & 0x7FFF_FFFF) % partitions)
