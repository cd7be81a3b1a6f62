"""The shadow: a second bundle that classifies every window that has its event, and touches no transaction.

Windows come here when their transaction has committed, so a redelivered one comes once. They wait in a queue of limited
length: a shadow that is too slow skips windows. It computes only while the live path is idle, in parts of ``PART``
windows, so the live path waits for one part at most. A low priority of the thread would not do: a thread that is
not scheduled may hold Python's interpreter lock, and the live path with it.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from services.inference.classifier import Classifier
from services.inference.cloud_events import activity_event, to_message
from services.inference.drift import Drift
from services.inference.settings import InferenceSettings
from services.inference.shadow_producer import ShadowMessage, ShadowProducer
from shared.contracts.event import ActivityEvent
from shared.contracts.window import WindowRecord
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logging import ThrottledLogger

log = logging.getLogger("gaitway.inference")

PART = 32
MAX_WAITING = 4_000
"""Windows in the queue: two of the largest polls by default, about 40 MB."""

_OUTCOMES = {outcome: metrics.SHADOW_WINDOWS.labels(outcome) for outcome in metrics.SHADOW_OUTCOMES}


class PublishedWindow(NamedTuple):
    """A window whose live event has been committed, and the activity of that event."""

    partition: int
    user: str
    window: WindowRecord
    activity: str
    traceparent: str | None


class Shadow:
    """Comparison of a second bundle with the live one; without a bundle it does nothing."""

    def __init__(self, settings: InferenceSettings, clock: Clock) -> None:
        self._clock = clock
        self._producer = ShadowProducer(settings)
        self._classifier: Classifier | None = None
        self._drift = Drift(None)
        self._queue: asyncio.Queue[list[PublishedWindow]] = asyncio.Queue()
        self._waiting = 0
        self._live_idle = asyncio.Event()
        self._live_idle.set()
        self._throttled = ThrottledLogger(log)

    def switch_to(self, classifier: Classifier | None) -> None:
        """Compare with another bundle from now on; what waits for the present one is skipped."""
        if classifier is self._classifier:
            return
        while not self._queue.empty():
            self._skip(self._queue.get_nowait())
        if self._classifier is not None:
            metrics.MODEL_INFO.remove("shadow", self._classifier.name.name_version)
        self._classifier = classifier
        self._drift = Drift(classifier.reference if classifier is not None else None)
        metrics.SHADOW_CLASS_DRIFT.set_function(self._drift.class_psi)
        metrics.SHADOW_CONFIDENCE_DRIFT.set_function(self._drift.confidence_psi)
        if classifier is not None:
            metrics.MODEL_INFO.labels("shadow", classifier.name.name_version).set(1)

    def add(self, windows: Sequence[PublishedWindow]) -> None:
        """Queue the windows of committed transactions, or skip them; never waits."""
        if self._classifier is None or not windows:
            return
        self._waiting += len(windows)
        if self._waiting > MAX_WAITING:
            self._skip(windows)
        else:
            self._queue.put_nowait(list(windows))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Begin no part meanwhile: the live path computes."""
        self._live_idle.clear()
        try:
            yield
        finally:
            self._live_idle.set()

    async def run(self) -> None:
        """Classify what is queued until cancelled."""
        try:
            while True:
                windows = await self._queue.get()
                classifier, drift = self._classifier, self._drift
                for start in range(0, len(windows), PART):
                    part = windows[start : start + PART]
                    await self._live_idle.wait()
                    if classifier is None or classifier is not self._classifier:
                        self._skip(part)
                        continue
                    self._waiting -= len(part)
                    try:
                        await self._compare(classifier, drift, part)
                    except Exception as error:
                        # Whatever it is: the live path goes on.
                        _OUTCOMES["failed"].inc(len(part))
                        text = "the shadow %s failed on %d windows: %r"
                        self._throttled.log(
                            "model", logging.ERROR, text, classifier.name.name_version, len(part), error
                        )
        finally:
            await self._producer.close()

    async def _compare(self, classifier: Classifier, drift: Drift, part: Sequence[PublishedWindow]) -> None:
        probabilities = await classifier.compute([window for _, _, window, _, _ in part])
        if not np.isfinite(probabilities).all():
            raise ValueError("a probability is not finite")
        events: list[ActivityEvent] = []
        messages: list[ShadowMessage] = []
        for (partition, user, window, _, traceparent), row in zip(part, probabilities.tolist(), strict=True):
            by_class = dict(zip(classifier.classes, row, strict=True))
            event = activity_event(user, window, by_class, classifier.name, self._clock())
            events.append(event)
            messages.append(ShadowMessage(partition, user.encode(), *to_message(event, traceparent)))
        written = await self._producer.write(messages)
        # Only what is on the topic counts as compared, so that metrics and topic agree.
        compared = [(event, live.activity) for event, live, done in zip(events, part, written, strict=True) if done]
        _OUTCOMES["failed"].inc(len(part) - len(compared))
        for event, live_activity in compared:
            _OUTCOMES["same" if event.activity == live_activity else "different"].inc()
            metrics.SHADOW_EVENTS.labels(event.activity, event.model).inc()
        drift.add([event.activity for event, _ in compared], [event.confidence for event, _ in compared])

    def _skip(self, windows: Sequence[PublishedWindow]) -> None:
        self._waiting -= len(windows)
        _OUTCOMES["skipped"].inc(len(windows))
