"""Records collected for some milliseconds and sent as one batch per topic and partition, with one answer for all.

aiokafka collects too, but record by record: a coroutine, a future and its callbacks for each.
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
"""What a waiting record costs beside its value: key, header, its share of a future."""
MAX_PENDING_BYTES = 512 * 1024
"""A flight that would grow beyond it leaves at once."""
BATCH_BYTES = 2 * MAX_PENDING_BYTES
"""For the producer's ``max_batch_size``: no flight fills a batch."""


class Message(NamedTuple):
    """One record on its way to a partition that its sender knows."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self.value) + RECORD_OVERHEAD_BYTES


@dataclass(slots=True, eq=False)
class _PendingBatch:
    """What leaves for one partition at a time: a batch per topic, and who waits for their acknowledgement."""

    partition: int
    deadline_s: float
    batches: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0
    waiters: "list[asyncio.Future[None]]" = field(default_factory=list)

    def resolve(self, failure: RetryLater | None) -> None:
        """Tell everybody; one who has gone away meanwhile is not there any more."""
        for waiter in self.waiters:
            if not waiter.done():
                if failure is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(type(failure)(*failure.args))


class Batcher:
    """``send`` through one producer. All flights that are open leave together, so that one request takes them."""

    def __init__(
        self, producer: AIOKafkaProducer, linger_s: float, timeout_s: float, max_pending_bytes: int = MAX_PENDING_BYTES
    ) -> None:
        self.producer = producer
        self.spent = asyncio.Event()
        """The broker has refused a batch for good: its sequence numbers are missing, so all that follows is refused."""
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
        """Returns once all replicas have all messages.

        Raises:
            RetryLater: no acknowledgement within the bound, or a refusal (Refused, where no retry helps); some of them
                may have arrived.
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
        assert added is not None, "a batch holds more than a flight"
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
                    "refused", logging.ERROR, "a batch was refused, a new producer follows: %s", failure
                )
                self.spent.set()
        except Exception as error:
            logger.exception("a batch could not be sent")
            failure = RetryLater(f"the producer failed: {error!r}")
        finally:
            # The producer takes one batch per partition: one that it has no place for is given up here.
            self.waiting_bytes -= sum(pending.sizes.values())
            pending.resolve(failure)

    async def _deliver(self, pending: _PendingBatch) -> None:
        delivered: list[asyncio.Future[Any]] = []
        for topic, batch in pending.batches.items():
            future = await self.producer.send_batch(batch, topic, partition=pending.partition)
            self._release_with(future, pending.sizes.pop(topic))
            delivered.append(future)
        # Not gather: running out of time must not cancel the futures, they tell how much is waiting.
        await asyncio.wait(delivered)
        for future in delivered:
            future.result()

    def _release_with(self, future: "asyncio.Future[Any]", size: int) -> None:
        """Take ``size`` off what is waiting once ``future`` is settled."""

        def settled(done: "asyncio.Future[Any]") -> None:
            self.waiting_bytes -= size
            # Fetched so that asyncio does not report an error that nobody waits for any more.
            if not done.cancelled():
                done.exception()

        future.add_done_callback(settled)

    async def flush(self) -> None:
        """Send what is being collected, and wait for what Kafka has not acknowledged."""
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_all()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        await self.producer.flush()
