"""The ingest stage's load: a fleet of `gaitway load` in open loop, and a check of the resulting records."""

import asyncio
import secrets
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.measure import Round, watch
from gaitway.load.fleet import Fleet, Upload, request_head
from gaitway.load.open_loop import OpenLoopSender
from gaitway.load.templates import PERIOD_MS, make_templates
from gaitway.paths import RECORDINGS
from services.ingest.validation import decode_upload
from shared.contracts.modality import MODALITIES
from shared.contracts.samples import decode_samples
from shared.contracts.token import make_token
from shared.contracts.topics import SAMPLE_TOPICS
from shared.contracts.upload import to_records
from shared.runtime.clock import system_clock
from training.datasets import find_sources

CONNECTIONS = 256
LEAD_MS = 1_000
CHECKED_WATCHES = 20


class IngestDiffers(Exception):
    """A contestant has not accepted every upload, or has written other data."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Results of one contestant after the warm-up: uploads accepted, and latencies of the answers in s."""

    round: Round
    p50_s: float
    p99_s: float


def templates() -> list[bytes]:
    """Uploads of real recordings; see gaitway.load.templates."""
    return make_templates((source.read() for source in find_sources(f"recordings={RECORDINGS}")), session="bench")


def make_fleet(library: list[bytes], rate: int, host: str, port: int, jwt_key: str) -> Fleet:
    """Make a fleet that uploads ``rate`` times a second in total, starting in a second."""
    name = secrets.token_hex(3)
    users = [f"bench-{name}-{number}" for number in range(rate * PERIOD_MS // 1000)]
    request_heads = [request_head(host, port, make_token(jwt_key, user)) for user in users]
    return Fleet(users, request_heads, library, system_clock() + LEAD_MS)


def body(fleet: Fleet, upload: Upload) -> bytes:
    """The JSON of an upload."""
    return fleet.request(upload).partition(b"\r\n\r\n")[2]


async def load(pid: int, fleet: Fleet, host: str, port: int, steps: int) -> LoadResult:
    """Send ``steps`` uploads of each watch; CPU and latency count from the second upload, after the warm-up.

    Raises:
        IngestDiffers: an upload was not accepted, or not at once.
    """
    sending = OpenLoopSender(fleet, host, port, steps)
    sent = sending.sent
    running = asyncio.create_task(sending.run(CONNECTIONS))
    while sent.accepted < len(fleet) and not running.done():  # noqa: ASYNC110 - the sender counts and tells nobody
        await asyncio.sleep(0.01)
    warm = sent.accepted
    with watch(pid) as stopwatch:
        await running
    if sent.accepted != steps * len(fleet) or sent.retries:
        raise IngestDiffers(f"of {steps * len(fleet)} uploads {sent.accepted} were accepted: {dict(sent.statuses)}")
    p50_s, p99_s = np.percentile(np.array(sent.latency_ms[warm:]), (50, 99)) / 1000
    return LoadResult(stopwatch.round(sent.accepted - warm), float(p50_s), float(p99_s))


async def check(kafka: str, prefix: str, partitions: int, fleet: Fleet, steps: int) -> None:
    """Check that every upload has its three records, and that those of some watches hold the sent data.

    Raises:
        IngestDiffers: they do not.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        for modality in MODALITIES:
            topic = prefix + SAMPLE_TOPICS[modality.name].name
            consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
            found: dict[tuple[bytes, int], bytes] = {}
            count = 0
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        # A tick has no key.
                        count += record.key is not None
                        if record.key is not None and int(record.key.rpartition(b"-")[2]) < CHECKED_WATCHES:
                            found[record.key, decode_samples(modality, record.value).seq] = record.value
            if count != steps * len(fleet):
                raise IngestDiffers(f"{topic} has {count} records of {steps * len(fleet)} uploads")
            for watch_number, step in np.ndindex(CHECKED_WATCHES, steps):
                sent = decode_upload(body(fleet, Upload(watch_number, step, 0.0)))
                wanted = next(each for each in to_records(sent, sent.sent_at_ms) if each.modality is modality)
                got = decode_samples(modality, found[fleet.users[watch_number].encode(), step])
                if got.t0_ms != wanted.t0_ms or not np.array_equal(got.samples, wanted.samples):
                    raise IngestDiffers(f"{topic}: upload {step} of watch {watch_number} holds something else")
    finally:
        await consumer.stop()
