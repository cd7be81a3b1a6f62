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
from shared.runtime.logging import Seldom

logger = logging.getLogger("gaitway.ingest.batching")

RECORD_OVERHEAD_BYTES = 256
"""What a waiting record costs beside its value: key, header, its share of a future."""
FLIGHT_BYTES = 512 * 1024
"""A flight that would grow beyond it leaves at once."""
BATCH_BYTES = 2 * FLIGHT_BYTES
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
class _Flight:
    """What leaves for one partition at a time: a batch per topic, and who waits for their acknowledgement."""

    partition: int
    deadline_s: float
    batches: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0
    passengers: "list[asyncio.Future[None]]" = field(default_factory=list)

    def settle(self, refusal: RetryLater | None) -> None:
        """Tell everybody; one who has gone away meanwhile is not there any more."""
        for passenger in self.passengers:
            if not passenger.done():
                if refusal is None:
                    passenger.set_result(None)
                else:
                    passenger.set_exception(type(refusal)(*refusal.args))


class Batcher:
    """``send`` through one producer. All flights that are open leave together, so that one request takes them."""

    def __init__(
        self, producer: AIOKafkaProducer, linger_s: float, timeout_s: float, flight_bytes: int = FLIGHT_BYTES
    ) -> None:
        self.producer = producer
        self.spent = asyncio.Event()
        """The broker has refused a batch for good: its sequence numbers are missing, so all that follows is refused."""
        self._flight_bytes = flight_bytes
        self._seldom = Seldom(logger)
        self.waiting_bytes = 0
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, _Flight] = {}
        self._departure: asyncio.TimerHandle | None = None
        self._flying: set[asyncio.Task[None]] = set()

    async def send(self, partition: int, messages: Sequence[Message]) -> None:
        """Returns once all replicas have all messages.

        Raises:
            RetryLater: no acknowledgement within the bound, or a refusal (Refused, where no retry helps); some of them
                may have arrived.
        """
        size = sum(message.size for message in messages)
        flight = self._open.get(partition)
        if flight is not None and flight.size + size > self._flight_bytes:
            self._depart(self._open.pop(partition))
            flight = None
        if flight is None:
            flight = self._open[partition] = _Flight(partition, self._loop.time() + self._timeout_s)
            if self._departure is None:
                self._departure = self._loop.call_later(self._linger_s, self._depart_all)
        for message in messages:
            self._board(flight, message)
        flight.size += size
        self.waiting_bytes += size
        acknowledged = self._loop.create_future()
        flight.passengers.append(acknowledged)
        await acknowledged

    def _board(self, flight: _Flight, message: Message) -> None:
        batch = flight.batches.get(message.topic)
        if batch is None:
            batch = flight.batches[message.topic] = self.producer.create_batch()
            flight.sizes[message.topic] = 0
        added = batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers)
        assert added is not None, "a batch holds more than a flight"
        flight.sizes[message.topic] += message.size

    def _depart_all(self) -> None:
        self._departure = None
        flights, self._open = self._open, {}
        for flight in flights.values():
            self._depart(flight)

    def _depart(self, flight: _Flight) -> None:
        task = self._loop.create_task(self._fly(flight))
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    async def _fly(self, flight: _Flight) -> None:
        refusal: RetryLater | None = RetryLater("the gateway stops")
        try:
            async with asyncio.timeout_at(flight.deadline_s):
                await self._deliver(flight)
            refusal = None
        except TimeoutError:
            refusal = RetryLater(f"Kafka has not acknowledged within {self._timeout_s:g} s")
        except KafkaError as error:
            refusal = as_retry(error)
            if not error.retriable:
                self._seldom.log("refused", logging.ERROR, "a batch was refused, a new producer follows: %s", refusal)
                self.spent.set()
        except Exception as error:
            logger.exception("a batch could not be sent")
            refusal = RetryLater(f"the producer failed: {error!r}")
        finally:
            # The producer takes one batch per partition: one that it has no place for is given up here.
            self.waiting_bytes -= sum(flight.sizes.values())
            flight.settle(refusal)

    async def _deliver(self, flight: _Flight) -> None:
        delivered: list[asyncio.Future[Any]] = []
        for topic, batch in flight.batches.items():
            future = await self.producer.send_batch(batch, topic, partition=flight.partition)
            self._release_with(future, flight.sizes.pop(topic))
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
        if self._departure is not None:
            self._departure.cancel()
            self._depart_all()
        if self._flying:
            await asyncio.wait(self._flying)
        await self.producer.flush()
