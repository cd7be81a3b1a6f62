"""The inference service: models, consumer and health page, and their order of shutdown."""

import asyncio
import logging

from services.inference.classifier import Classifier
from services.inference.consumer import WindowConsumer
from services.inference.rollout import RollOutMonitor
from services.inference.settings import InferenceSettings
from shared.kafka.admin import wait_for_broker
from shared.kafka.health import ConsumerHealth
from shared.runtime.clock import system_clock
from shared.runtime.health import health_app
from shared.runtime.http_server import bind, serving
from shared.runtime.service import run_together

log = logging.getLogger("gaitway.inference")


class InferenceService:
    """The worker as a process; raises Stop when the bundle does not fit or its health port is in use."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._health = ConsumerHealth(settings.stalled_after_s, service="inference", topic_prefix=settings.topic_prefix)
        self._health.set_unready("kafka", "not connected yet")
        rollout = RollOutMonitor(settings.rollout, settings.torch_threads) if settings.rollout is not None else None
        classifier = rollout.models.live if rollout is not None else Classifier(settings.model, settings.torch_threads)
        self._models: RollOutMonitor | Classifier = rollout or classifier
        log.info("model %s: %s", classifier.name.name_version, ", ".join(classifier.classes))
        self._consumer = WindowConsumer(settings, classifier, self._health, system_clock, rollout)
        self._socket = bind(settings.health_host, settings.health_port)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop``, then finish the current transaction.

        Raises:
            Stop: a topic does not match the contract, its records cannot be read, or too many were rejected.
        """
        async with serving(health_app(self._health), self._socket):
            try:
                await run_together(stop.wait(), wait_for_broker(self._settings, self._health))
                await self._consumer.run(stop)
            finally:
                self._models.close()
