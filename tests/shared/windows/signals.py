"""A made-up wearer: three signals, cut into uploads anywhere, delivered to the log in any order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

import msgspec
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.contracts.modality import MODALITIES, MODALITY_NAMES
from shared.contracts.samples import SampleRecord
from shared.windows.assembler import Assembler, AssemblyResult
from shared.windows.merge import TOPICS, LogRecord

BASE_MS = 1_668_000_000_000
"""A multiple of 20 s and of an hour's slots: windows start on whole tens of seconds after it."""
HOP_MS = 10_000
GRACE_MS = 60_000
DEVICE = "watch"
Upload = list[SampleRecord]


@dataclass(frozen=True, slots=True, eq=False)
class Wearer:
    """``samples[topic]``: (channels, n) from ``BASE_MS + phases_ms[topic]`` on, at ``rates_hz[topic]``."""

    rates_hz: tuple[int, int, int]
    phases_ms: tuple[int, int, int]
    samples: tuple[NDArray[np.generic], ...]
    context: dict[str, str] | None = None

    def upload(self, from_ms: int, to_ms: int, seq: int, *, received_at_ms: int = BASE_MS) -> Upload:
        """The samples in [from, to), relative to BASE_MS; a part starts on the first sample with a whole stamp."""
        spans = [self._span(topic, from_ms, to_ms) for topic in TOPICS]
        announced = tuple(name for name, (low, high) in zip(MODALITY_NAMES, spans, strict=True) if high > low)
        return [
            SampleRecord(
                modality=modality,
                device=DEVICE,
                session="s",
                seq=seq,
                t0_ms=BASE_MS + phase_ms + low * 1000 // rate_hz,
                rate_hz=float(rate_hz),
                received_at_ms=received_at_ms,
                sent_at_ms=received_at_ms,
                modalities=announced,
                samples=samples[:, low:high],
                context=self.context,
                utc_offset_min=60,
            )
            for modality, (low, high), rate_hz, phase_ms, samples in zip(
                MODALITIES, spans, self.rates_hz, self.phases_ms, self.samples, strict=True
            )
            if high > low
        ]

    def _span(self, topic: int, from_ms: int, to_ms: int) -> tuple[int, int]:
        rate_hz, n = self.rates_hz[topic], self.samples[topic].shape[1]
        whole = rate_hz // gcd(1000, rate_hz)
        low, high = (
            -(-(edge_ms - self.phases_ms[topic]) * rate_hz // (1000 * whole)) * whole for edge_ms in (from_ms, to_ms)
        )
        return min(max(low, 0), n), min(max(high, 0), n)


def wearer(
    seed: int,
    *,
    seconds: int = 70,
    rate_hz: int = 25,
    phases_ms: tuple[int, int, int] = (0, 0, 0),
    context: dict[str, str] | None = None,
) -> Wearer:
    """Walks of an accelerometer with gravity, a heart rate with nulls, a step count with nulls and one reset."""
    rng = np.random.default_rng(seed)
    mg = np.array([[0], [-30], [980]]) + rng.normal(0, 200, (3, seconds * rate_hz)).cumsum(axis=1) * 0.05
    bpm = np.clip(70 + rng.normal(0, 3, (1, seconds)).cumsum(axis=1), 40, 200)
    bpm[rng.random((1, seconds)) < 0.15] = 0
    total = 4000 + rng.integers(0, 3, (1, seconds)).cumsum(axis=1)
    total[:, rng.integers(seconds) :] -= 4000
    total[rng.random((1, seconds)) < 0.1] = -1
    samples = (np.clip(mg, -8000, 8000).astype("<i2"), bpm.astype("u1"), total.astype("<i4"))
    return Wearer((rate_hz, 1, 1), phases_ms, samples, context)


def delivered(
    uploads: Sequence[Upload],
    arrivals_ms: Sequence[int],
    delays_ms: Sequence[Sequence[int]],
    *,
    users: Sequence[str] = (),
) -> list[LogRecord]:
    """The merged log: upload i is there at ``arrivals_ms[i]``, its part of a topic ``delays_ms[i][topic]`` later."""
    topics = {modality.name: topic for topic, modality in enumerate(MODALITIES)}
    log: list[LogRecord] = []
    newest_ms, offsets = [0, 0, 0], [0, 0, 0]
    users = users or ["u"] * len(uploads)
    for user, upload, arrival_ms, delay_ms in zip(users, uploads, arrivals_ms, delays_ms, strict=True):
        for samples in upload:
            topic = topics[samples.modality.name]
            newest_ms[topic] = max(newest_ms[topic], BASE_MS + arrival_ms + delay_ms[topic])
            log.append(LogRecord(newest_ms[topic], topic, offsets[topic], user, samples))
            offsets[topic] += 1
    return sorted(log, key=place)


def with_ticks(log: Sequence[LogRecord], every_ms: int) -> list[LogRecord]:
    """The same log with a tick per topic and period, as ingest writes them."""
    times_ms = range(log[0].log_ms, log[-1].log_ms + 1, every_ms)
    ticks = [LogRecord(log_ms, topic, -1) for log_ms in times_ms for topic in TOPICS]
    offsets = [0, 0, 0]
    mixed = []
    for record in sorted([*log, *ticks], key=place):
        mixed.append(msgspec.structs.replace(record, offset=offsets[record.topic]))
        offsets[record.topic] += 1
    return mixed


def place(record: LogRecord) -> tuple[int, int, int]:
    """What the merge sorts by."""
    return record.log_ms, record.topic, record.offset


def fold(log: Sequence[LogRecord], *, hop_ms: int = HOP_MS, assembler: Assembler | None = None) -> AssemblyResult:
    """All that a log closes, with its end: nothing more comes for longer than the grace period."""
    assembler = assembler or Assembler(hop_ms, GRACE_MS)
    whole = AssemblyResult()
    for record in log:
        whole.extend(assembler.fold(record))
    whole.extend(assembler.advance(log[-1].log_ms + 2 * GRACE_MS))
    return whole


def pieces(edges_ms: Sequence[int], lost: frozenset[int] = frozenset()) -> Iterator[tuple[int, int]]:
    """Neighbouring edges as (from, to), without the lost ones."""
    yield from (edge for index, edge in enumerate(pairwise(edges_ms)) if index not in lost)


@st.composite
def edges_ms(draw: st.DrawFn, *, seconds: int = 70, phase_ms: int = 0) -> list[int]:
    """Where a stream is cut into uploads of 2 to 12 s, on any 10 ms but close to a window's edge.

    Rule (a) bridges 250 ms: an upload of which less lies in a window is not waited for, by contract. So that a gap
    that an upload leaves can be distinguished from that, no cut is nearer than 450 ms to a window's edge, except on it.
    """
    edges = [0]
    while True:
        edge = edges[-1] + 10 * draw(st.integers(220, 1_200))
        within = (edge - phase_ms) % HOP_MS
        if 0 < within < 450:
            edge += 450 - within
        elif within > HOP_MS - 450:
            edge -= within - (HOP_MS - 450)
        if edge > seconds * 1000 - 3_000:
            return [*edges, seconds * 1000 + 10_000]
        edges.append(edge)


@st.composite
def delays_ms(draw: st.DrawFn, uploads: int) -> list[tuple[int, int, int]]:
    """How the three topics interleave: each part of an upload is up to 3 s behind."""
    delay = st.integers(0, 3_000)
    return draw(st.lists(st.tuples(delay, delay, delay), min_size=uploads, max_size=uploads))


@st.composite
def wearers(draw: st.DrawFn, *, seconds: int = 70) -> Wearer:
    """Any signal at the rates that watches have, whose modalities begin at different times."""
    phases = (draw(st.integers(0, 200)), draw(st.integers(0, 900)), draw(st.integers(0, 900)))
    return wearer(
        draw(st.integers(0, 2**16)),
        seconds=seconds,
        rate_hz=draw(st.sampled_from([20, 25, 30, 32, 50])),
        phases_ms=phases,
        context=draw(st.sampled_from([None, {"activity": "resting"}])),
    )
