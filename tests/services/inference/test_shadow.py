"""The shadow in its queue: what it computes when, and what it counts. tests/integration has it on a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.inference import shadow as shadow_module
from services.inference.classifier import Classifier
from services.inference.settings import InferenceSettings
from services.inference.shadow import PART, PublishedWindow, Shadow
from services.inference.shadow_producer import ShadowMessage
from shared.contracts.errors import LostOwnership
from shared.runtime.metrics import SHADOW_OUTCOMES
from tests.bundles import random_bundle
from tests.services.inference.test_processor import Worker
from tests.services.inference.windows import TRACE, kafka_window, window


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Classifier]:
    classifier = Classifier(random_bundle(tmp_path / "other", version="0.0.2", seed=1), threads=1)
    yield classifier
    classifier.close()


class RecordingShadow(Shadow):
    """Keeps what reaches its topic, in place of a broker."""

    def __init__(self) -> None:
        super().__init__(InferenceSettings(), lambda: 0)
        self.written: list[ShadowMessage] = []
        self.at_first_write: Callable[[], object] = lambda: None
        self._producer.write = self._keep  # type: ignore[method-assign]

    async def _keep(self, messages: Sequence[ShadowMessage]) -> list[bool]:
        if not self.written:
            self.at_first_write()
        self.written += messages
        return [True] * len(messages)


@asynccontextmanager
async def running(shadow: Shadow) -> AsyncIterator[None]:
    task = asyncio.create_task(shadow.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def published(count: int) -> list[PublishedWindow]:
    return [PublishedWindow(0, "u1", window(index), "walking", TRACE) for index in range(count)]


def outcomes() -> dict[str, float]:
    name = "gaitway_inference_shadow_windows_total"
    return {outcome: REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0.0 for outcome in SHADOW_OUTCOMES}


def rise(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in outcomes().items() if count != before[outcome]}


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(100):
        await asyncio.sleep(0)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_no_part_begins_while_the_live_path_works(other):
    shadow = RecordingShadow()
    shadow.switch_to(other)
    sizes: list[int] = []
    compute = other.compute

    async def counted(windows: Any) -> Any:
        sizes.append(len(windows))
        return await compute(windows)

    other.compute = counted
    async with running(shadow):
        with shadow.pause():
            shadow.add(published(PART + 3))
            await settle()
            assert sizes == []
        await until(lambda: len(shadow.written) == PART + 3)
    assert sizes == [PART, 3]


async def test_a_pause_in_the_middle_waits_for_one_part_at_most(other):
    shadow = RecordingShadow()
    shadow.switch_to(other)
    with ExitStack() as paused:
        # The live path wants to compute while the shadow is at its first part.
        shadow.at_first_write = lambda: paused.enter_context(shadow.pause())
        async with running(shadow):
            shadow.add(published(3 * PART))
            await until(lambda: shadow.written)
            await asyncio.get_running_loop().run_in_executor(other._thread, int)
            await settle()
            assert len(shadow.written) == PART
            paused.close()
            await until(lambda: len(shadow.written) == 3 * PART)


async def test_what_waits_when_the_shadow_is_replaced_is_skipped(classifier, other):
    shadow = RecordingShadow()
    shadow.switch_to(other)
    before = outcomes()
    shadow.add(published(5))
    shadow.switch_to(classifier)
    assert rise(before) == {"skipped": 5}
    async with running(shadow):
        shadow.add(published(2))
        await until(lambda: len(shadow.written) == 2)
    assert {dict(message.headers)["traceparent"] for message in shadow.written} == {TRACE.encode()}
    shadow.switch_to(None)
    shadow.add(published(2))
    assert sum(rise(before).values()) == 7


async def test_the_queue_is_limited_and_free_again(other, monkeypatch):
    monkeypatch.setattr(shadow_module, "MAX_WAITING", 4)
    shadow = RecordingShadow()
    shadow.switch_to(other)
    before = outcomes()
    shadow.add(published(3))
    shadow.add(published(2))
    assert rise(before) == {"skipped": 2}
    async with running(shadow):
        await until(lambda: len(shadow.written) == 3)
        shadow.add(published(4))
        await until(lambda: len(shadow.written) == 7)


async def test_a_batch_with_a_number_that_is_not_finite_has_no_shadow_event(other):
    shadow = RecordingShadow()
    shadow.switch_to(other)
    before = outcomes()
    compute = other.compute

    async def spoiled(windows: Any) -> Any:
        rows = await compute(windows)
        rows[0] = float("nan")
        return rows

    other.compute = spoiled
    async with running(shadow):
        shadow.add(published(2))
        await until(lambda: rise(before) == {"failed": 2})
    assert shadow.written == []


async def test_only_committed_windows_reach_the_shadow(classifier, other):
    shadow = RecordingShadow()
    shadow.switch_to(other)
    worker = Worker(classifier, partitions=2)
    worker.processor._shadow = shadow
    worker.producers[0].fenced = True
    with pytest.raises(LostOwnership):
        await worker.process(*(kafka_window(0, window(0).encode(), b"u%d" % p, partition=p) for p in (0, 1)))
    worker.producers[0].fenced = False
    # The windows of partition 0 are delivered again; those of partition 1 too, and are repeats.
    await worker.process(*(kafka_window(0, window(0).encode(), b"u%d" % p, partition=p) for p in (0, 1)))
    async with running(shadow):
        await until(lambda: len(shadow.written) == 2)
        await settle()
    assert [(message.partition, message.key) for message in shadow.written] == [(1, b"u1"), (0, b"u0")]


async def test_a_switch_changes_model_and_ledger_together(classifier, other):
    worker = Worker(classifier)
    await worker.process(kafka_window(0, window(0).encode()))
    worker.processor.switch_to(other)
    writer = await worker.process(kafka_window(1, window(1).encode()))
    assert [event["model"] for event in writer.events] == ["random@0.0.1", "random@0.0.2"]
    assert {key[2] for key in writer.ledger._bits} == {"random@0.0.1", "random@0.0.2"}
    for model, value in (("random@0.0.1", None), ("random@0.0.2", 1)):
        assert REGISTRY.get_sample_value("gaitway_inference_model_info", {"role": "live", "model": model}) == value
