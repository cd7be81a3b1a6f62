"""Batching: records of some milliseconds become one batch per topic and partition, with one answer for all.

aiokafka also batches, but with a coroutine, a future and callbacks per record.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.contracts.errors import RetryLater
from shared.kafka.errors import as_retry
from shared.runtime.logging import ThrottledLogger

logger = logging.getLogger("gaitway.ingest.batching")

RECORD_OVERHEAD_BYTES = 256
"""Memory of a waiting record besides its value: key, header, its share of a future."""
MAX_PENDING_BYTES = 512 * 1024
"""A pending batch that would exceed it is sent at once."""
BATCH_BYTES = 2 * MAX_PENDING_BYTES
"""The producer's ``max_batch_size``, which no pending batch reaches."""


class Message(NamedTuple):
    """One record for a partition that its sender has chosen."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Memory in bytes while it waits."""
        return len(self.value) + RECORD_OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class _PendingBatch:
    """The next send to one partition: a batch per topic, and the futures that wait for acknowledgement."""

    partition: int
    deadline_s: float
    batches: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0
    waiters: "list[asyncio.Future[None]]" = field(default_factory=list)

    def resolve(self, failure: RetryLater | None) -> None:
        """Set the result of all waiting futures, except those already cancelled."""
        for waiter in self.waiters:
            if not waiter.done():
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(type(failure)(*failure.args))


class Batcher:
    """Batching sender on one producer. All open batches are sent together, so that one request carries them."""

    def __init__(
        self, producer: AIOKafkaProducer, linger_s: float, timeout_s: float, max_pending_bytes: int = MAX_PENDING_BYTES
    ) -> None:
        self.producer = producer
        self.spent = asyncio.Event()
        """Set when the broker has refused a batch: it refuses all later ones, because sequence numbers are missing."""
        self._max_pending_bytes = max_pending_bytes
        self._throttled = ThrottledLogger(logger)
        self.waiting_bytes = 0
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, _PendingBatch] = {}
        self._send_timer: asyncio.TimerHandle | None = None
        self._in_flight: set[asyncio.Task[None]] = set()

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """Send messages and wait until all replicas have them.

        Raises:
            RetryLater: no acknowledgement within the time limit, or a refusal (Refused if no retry helps); some
                messages may have arrived.
        """
        size = sum(message.size for message in messages)
        pending = self._open.get(partition)
        if pending is not None and pending.size + size > self._max_pending_bytes:
            self._send(self._open.pop(partition))
            pending = None
        if pending is None:
            pending = self._open[partition] = _PendingBatch(partition, self._loop.time() + self._timeout_s)
            if self._send_timer is None:
                self._send_timer = self._loop.call_later(self._linger_s, self._send_all)
        for message in messages:
            self._append(pending, message)
        pending.size += size
        self.waiting_bytes += size
        acknowledged = self._loop.create_future()
        pending.waiters.append(acknowledged)
        await acknowledged

    def _append(self, pending: _PendingBatch, message: Message) -> None:
        batch = pending.batches.get(message.topic)
        if batch is None:
            batch = pending.batches[message.topic] = self.producer.create_batch()
            pending.sizes[message.topic] = 0
        added = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
        assert added is not None, "a producer batch is larger than a pending batch"
        pending.sizes[message.topic] += message.size

    def _send_all(self) -> None:
        self._send_timer = None
        batches_to_send, self._open = self._open, {}
        for pending in batches_to_send.values():
            self._send(pending)

    def _send(self, pending: _PendingBatch) -> None:
        task = self._loop.create_task(self._deliver_batch(pending))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _deliver_batch(self, pending: _PendingBatch) -> None:
        failure: RetryLater | None = RetryLater("the gateway stops")
        try:
            async with asyncio.timeout_at(pending.deadline_s):
                await self._deliver(pending)
            failure = None
        except TimeoutError:
            failure = RetryLater(f"Kafka has not acknowledged within {self._timeout_s:g} s")
        except KafkaError as error:
            failure = as_retry(error)
            if not error.retriable:
                self._throttled.log(
                    "refused", logging.ERROR, "Kafka refused a batch, a new producer will be started: %s", failure
                )
                self.spent.set()
        except Exception as error:
            logger.exception("a batch could not be sent")
            failure = RetryLater(f"the producer failed: {error!r}")
        finally:
            # The producer takes one batch per partition; batches that it has not taken in time are dropped here.
            self.waiting_bytes -= sum(pending.sizes.values())
            pending.resolve(failure)

    async def _deliver(self, pending: _PendingBatch) -> None:
        delivered: list[asyncio.Future[Any]] = []
        for topic, batch in pending.batches.items():
            future = await self.producer.send_batch(batch, topic, partition=pending.partition)
            self._release_with(future, pending.sizes.pop(topic))
            delivered.append(future)
        # Not gather: a timeout must not cancel the futures, which count the waiting bytes.
        await asyncio.wait(delivered)
        for future in delivered:
            future.result()

    def _release_with(self, future: "asyncio.Future[Any]", size: int) -> None:
        """Subtract ``size`` from the waiting bytes when ``future`` is done."""

        def settled(done: "asyncio.Future[Any]") -> None:
            self.waiting_bytes -= size
            # Fetched so that asyncio does not report it as never retrieved.
            if not done.cancelled():
                done.exception()

        future.add_done_callback(settled)

    async def flush(self) -> None:
        """Send the open batches and wait for all acknowledgements."""
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_all()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self.producer.flush()
