"""Detection of deleted topics while a service runs; aiokafka reports none and waits without end."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.contracts.errors import RetryLater, TopicMismatch
from shared.contracts.topics import TopicSpec
from shared.kafka.admin import REQUEST_TIMEOUT_MS, ensure_topics
from shared.runtime.health import Health
from shared.runtime.logging import ThrottledLogger
from shared.runtime.settings import ServiceSettings

log = logging.getLogger("gaitway.topics")

ASK_EVERY_S = 2.0
CREATE_AFTER_S = 30.0
"""An operator who deleted a topic may recreate it with other settings; the monitor then only checks them."""


def _nothing(_names: frozenset[str]) -> None:
    """Do nothing."""


class TopicMonitor:
    """Monitor that reports deleted topics, sets the service unready and recreates them after a while.

    ``gone`` and ``back`` are called with names without the prefix.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        specs: tuple[TopicSpec, ...],
        health: Health,
        *,
        gone: Callable[[frozenset[str]], None] = _nothing,
        back: Callable[[frozenset[str]], None] = _nothing,
    ) -> None:
        self._settings = settings
        self._specs = {spec.name: spec for spec in specs}
        self._health = health
        self._gone = gone
        self._back = back
        self._throttled = ThrottledLogger(log)
        self._absent_before: frozenset[str] = frozenset()
        self._since_s = 0.0
        self.missing: frozenset[str] = frozenset()
        """Topics missing in two checks in a row: one of several brokers may not know a new topic yet."""

    async def run(self) -> None:
        """Check until cancelled.

        Raises:
            TopicMismatch: a topic has another partition count than this service, or was recreated with other settings.
        """
        admin: Any = None
        try:
            while True:
                await asyncio.sleep(ASK_EVERY_S)
                try:
                    if admin is None:
                        admin = AIOKafkaAdminClient(
                            bootstrap_servers=self._settings.kafka, request_timeout_ms=REQUEST_TIMEOUT_MS
                        )
                        await admin.start()
                    await self.look(admin)
                except (KafkaError, TimeoutError, RetryLater) as error:
                    # Other parts report that the broker is unavailable.
                    log.debug("cannot list the topics: %r", error)
                    await _close(admin)
                    admin = None
        finally:
            await _close(admin)

    async def look(self, admin: Any) -> None:
        """Check once; raises KafkaError, TimeoutError, RetryLater and TopicMismatch."""
        settings = self._settings
        # A request by name would create a missing topic on a broker with auto-creation.
        found = {topic["topic"]: topic for topic in await admin.describe_topics()}
        absent = frozenset(name for name in self._specs if not _exists(found.get(settings.topic_prefix + name)))
        for name in self._specs.keys() - absent:
            count = len(found[settings.topic_prefix + name]["partitions"])
            # To add partitions, stop the services first (docs/operations.md).
            if count != settings.partitions:
                raise TopicMismatch(f"{settings.topic_prefix}{name} has {count} partitions, not {settings.partitions}")
        back = self.missing - absent
        if back:
            # Another creator may have used other settings.
            await self._ensure(back)
        new = (absent & self._absent_before) - self.missing
        if new and not self.missing:
            self._since_s = time.monotonic()
        self._absent_before, self.missing = absent, (self.missing & absent) | new
        if new:
            self._gone(new)
        if self.missing:
            names = ", ".join(settings.topic_prefix + name for name in sorted(self.missing))
            self._health.set_unready("topics", f"deleted: {names}")
            text = "%s deleted while this service runs: waiting for it, creating it in %.0f s"
            left_s = max(0.0, self._since_s + CREATE_AFTER_S - time.monotonic())
            self._throttled.log("missing", logging.ERROR, text, names, left_s)
            if not left_s:
                await self._ensure(self.missing)
        else:
            self._health.set_ready("topics")
        if back:
            log.warning("%s exists again", ", ".join(settings.topic_prefix + name for name in sorted(back)))
            self._back(back)

    async def _ensure(self, names: frozenset[str]) -> None:
        settings = self._settings
        specs = tuple(self._specs[name] for name in sorted(names))
        await ensure_topics(
            settings.kafka, settings.topic_prefix, settings.partitions, settings.replication_factor, specs
        )


def _exists(described: Any) -> bool:
    return described is not None and bool(described["partitions"])


async def _close(admin: Any) -> None:
    if admin is not None:
        try:
            await admin.close()
        except (KafkaError, TimeoutError) as error:
            log.debug("error while closing a Kafka client: %r", error)
