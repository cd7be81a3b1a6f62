"""One transaction per input partition: events, ledger, rejected records and the input's offset, all or nothing.

The transactional id belongs to the partition, not to the worker: a new owner fences the previous one. This excludes a
paused worker, because aiokafka sends offsets without the group's generation.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import TopicPartition

from services.inference.ledger import Ledger
from shared.contracts import topics
from shared.contracts.errors import LostOwnership
from shared.contracts.ledger import LedgerKey, encode_ledger
from shared.kafka.batches import Record, send_records
from shared.kafka.producer import close_producer, create_producer
from shared.runtime import fault_injection, metrics

MAX_BATCH_BYTES = 256 * 1024
RESTORE_RECORDS = 5_000
"""Records of one transaction, far below its time limit."""


@dataclass(slots=True, eq=False)
class TransactionBatch:
    """The content of one transaction besides the ledger."""

    events: list[Record] = field(default_factory=list)
    """With the user as key."""
    rejected: list[Record] = field(default_factory=list)
    next_offset: int = 0


class TransactionalProducer:
    """Transactional writer of the output of one partition of activity.windows."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str, partition: int, group: str, ledger: Ledger) -> None:
        self._producer = producer
        self._prefix = prefix
        self._partition = partition
        self._group = group
        self.ledger = ledger

    async def write(self, out: TransactionBatch) -> None:
        """Commit ``out`` and the staged ledger.

        Raises:
            LostOwnership: the transaction failed: fenced, timed out or the broker is unavailable. The partition must
                be reopened, which reads the committed state.
        """
        began_s = time.perf_counter()
        try:
            async with self._producer.transaction():
                sent = await self._send(topics.EVENTS, out.events)
                if fault_injection.is_injected("no-transaction"):
                    await fault_injection.commit_early(self._producer)
                sent += await self._send(topics.LEDGER, _ledger_records(self.ledger.staged))
                sent += await self._send(topics.REJECTED, out.rejected)
                for outcome in await asyncio.gather(*sent, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
                source = TopicPartition(self._prefix + topics.WINDOWS.name, self._partition)
                await self._producer.send_offsets_to_transaction({source: out.next_offset}, self._group)
        except (KafkaError, IllegalOperation, AssertionError) as error:
            # The last two: aiokafka's producer was fenced or failed between two calls.
            self.ledger.discard()
            raise LostOwnership(f"transaction of partition {self._partition} failed: {error!r}") from error
        self.ledger.committed()
        metrics.TRANSACTION_SECONDS.observe(time.perf_counter() - began_s)

    async def restore(self, ledger: Ledger) -> None:
        """Write the records of a deleted topic's ledger that the new topic lacks; raises KafkaError."""
        lost = list(ledger.missing_in(self.ledger).items())
        for start in range(0, len(lost), RESTORE_RECORDS):
            some = dict(lost[start : start + RESTORE_RECORDS])
            async with self._producer.transaction():
                await asyncio.gather(*await self._send(topics.LEDGER, _ledger_records(some)))
            for ledger_key, bits in some.items():
                self.ledger.load(ledger_key, bits)

    async def _send(self, topic: topics.TopicSpec, records: Iterable[Record]) -> "list[asyncio.Future[Any]]":
        return await send_records(self._producer, self._prefix + topic.name, self._partition, records)

    async def close(self) -> None:
        """Close the producer; an open transaction is aborted by the next owner."""
        await close_producer(self._producer)


def _ledger_records(changes: Mapping[LedgerKey, int]) -> Iterator[Record]:
    for ledger_key, bits in changes.items():
        key, value = encode_ledger(ledger_key, bits)
        yield key, [], value


async def open_producer(
    bootstrap_servers: str,
    prefix: str,
    partition: int,
    transaction_timeout_ms: int,
    max_batch_bytes: int = MAX_BATCH_BYTES,
) -> AIOKafkaProducer:
    """Start the partition's transactional producer and fence the previous one; raises KafkaError."""
    producer = create_producer(
        bootstrap_servers,
        transactional_id=f"{prefix}inference-{partition}",
        transaction_timeout_ms=transaction_timeout_ms,
        linger_ms=0,
        max_batch_size=max_batch_bytes,
        max_request_size=topics.MAX_REJECTED_BYTES,
        # The next transaction must wait for the commit marker of the last one; the default of 100 ms would delay it.
        retry_backoff_ms=5,
    )
    try:
        await producer.start()
        # The first transaction claims the id; an empty one fences the previous producer now.
        await producer.begin_transaction()
        await producer.abort_transaction()
    except KafkaError:
        await close_producer(producer)
        raise
    return producer


async def close_all(producers: Sequence[TransactionalProducer]) -> None:
    """Close the producers of an assignment."""
    await asyncio.gather(*(producer.close() for producer in producers))
