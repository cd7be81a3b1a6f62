"""The inference service without transactions and otherwise unchanged, to measure what transactions cost.

    python -m benchmarks.untransacted_inference    (environment: that of `gaitway serve inference`)

Only for the benchmark: events, ledger and offsets are not atomic, so a crash would lose or repeat events.
"""

import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer

from services.inference import consumer
from services.inference.producer import MAX_BATCH_BYTES
from services.inference.service import InferenceService
from services.inference.settings import InferenceSettings
from shared.contracts import topics
from shared.runtime.service import run_service


class UntransactedProducer(AIOKafkaProducer):  # type: ignore[misc]
    """Acknowledged by all replicas and idempotent like the service's; it commits no offsets."""

    def transaction(self) -> Any:
        """Do nothing."""
        return contextlib.nullcontext()

    async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
        """Commit no offsets."""


async def open_producer(
    bootstrap_servers: str,
    prefix: str,  # noqa: ARG001
    partition: int,  # noqa: ARG001
    transaction_timeout_ms: int,  # noqa: ARG001
    max_batch_bytes: int = MAX_BATCH_BYTES,
) -> AIOKafkaProducer:
    """Replacement of the service's function: without a transaction id there is no fencing."""
    producer = UntransactedProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=max_batch_bytes,
        max_request_size=topics.MAX_REJECTED_BYTES,
    )
    await producer.start()
    return producer


if __name__ == "__main__":
    consumer.open_producer = open_producer
    run_service("inference", InferenceSettings.read(), InferenceService)
