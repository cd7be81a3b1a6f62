"""Replay recordings as watches: the uploads of `training.upload_simulator` over HTTP, in real time or faster."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from gaitway.errors import CommandError
from shared.contracts.modality import WINDOW_MS
from shared.contracts.upload import Upload
from training.datasets.recording import Recording
from training.upload_simulator import as_name, uploads

FIRST_RETRY_S = 0.25
LAST_RETRY_S = 4.0
ANSWER_WITHIN_S = 4.0
"""Real watches give up on an answer after 4 s."""


class ReplayError(CommandError):
    """The gateway refuses an upload, or does not answer for longer than the watch waits."""


@dataclass
class Watch:
    """The replay of one recording: ``sent`` of ``uploads`` are acknowledged; ``now_ms`` is its device time."""

    recording: Recording
    token: str
    shift_ms: int
    uploads: list[Upload] = field(default_factory=list)
    sent: int = 0
    retries: int = 0
    now_ms: int = 0
    user: str | None = None

    @property
    def name(self) -> str:
        """The user of all uploads; by default the person."""
        return self.user or self.recording.person


def users_of(recordings: Iterable[Recording]) -> list[str]:
    """A user id for each recording: the person's name, with a number for a person's second recording.

    Recordings are replayed at the same time, so those of one person need different users.
    """
    users: list[str] = []
    for recording in recordings:
        user = as_name(recording.person)
        while user in users:
            user = as_name(f"{recording.person} {len(users)}")
        users.append(user)
    return users


def shift_of(recording: Recording, now_ms: int, speed: float) -> int:
    """The time shift, a multiple of 20 s, that makes a recording end when its replay does.

    At speed 1 and below the first sample is from now, so that no sample lies in the future.
    """
    begin_ms, end_ms = _span_ms(recording)
    target_end_ms = now_ms + (end_ms - begin_ms) / max(speed, 1.0)
    return int((target_end_ms - end_ms) // WINDOW_MS) * WINDOW_MS


def _span_ms(recording: Recording) -> tuple[float, float]:
    times = [t for t in (recording.accelerometer_t_ms, recording.heart_rate_t_ms, recording.steps_t_ms) if len(t)]
    return min(float(t[0]) for t in times), max(float(t[-1]) for t in times)


def make_watch(recording: Recording, token: str, now_ms: int, speed: float, user: str | None = None) -> Watch:
    """Make a watch that is ready to send; ``token`` is that of ``user``."""
    shift_ms = shift_of(recording, now_ms, speed)
    return Watch(recording, token, shift_ms, list(uploads(recording, shift_ms=shift_ms)), user=user)


async def replay(
    watches: list[Watch],
    url: str,
    speed: float,
    *,
    give_up_after_s: float = 60.0,
    on_sent: Callable[[], Any] | None = None,
) -> None:
    """Send all uploads of all watches; each watch waits for the answer to one before it sends the next.

    ``speed`` 1 is real time, infinity as fast as the gateway answers.

    Raises:
        ReplayError: an upload is refused, or gets no answer for ``give_up_after_s``.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        httpx.AsyncClient(base_url=url, timeout=ANSWER_WITHIN_S, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as group,
    ):
        for watch in watches:
            group.create_task(_send_all(client, watch, speed, give_up_after_s, on_sent or (lambda: None)))


async def _send_all(
    client: httpx.AsyncClient, watch: Watch, speed: float, give_up_after_s: float, on_sent: Callable[[], Any]
) -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    first_ms = watch.uploads[0].sent_at_ms if watch.uploads else 0
    for upload in watch.uploads:
        wait_s = began_s + (upload.sent_at_ms - first_ms) / 1000 / speed - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await _send(client, watch, upload, give_up_after_s)
        watch.sent += 1
        watch.now_ms = upload.sent_at_ms
        on_sent()


async def _send(client: httpx.AsyncClient, watch: Watch, upload: Upload, give_up_after_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + give_up_after_s
    pause_s = FIRST_RETRY_S
    headers = {"Authorization": f"Bearer {watch.token}", "Content-Type": "application/json"}
    body = msgspec.json.encode(upload)
    while True:
        try:
            answer = await client.post("/v1/uploads", content=body, headers=headers)
        except httpx.UnsupportedProtocol as error:
            raise ReplayError(f"{client.base_url} is not the address of a gateway: {error}") from error
        except httpx.TransportError as error:
            reason = f"{type(error).__name__} {error}".strip()
        else:
            if answer.status_code == httpx.codes.ACCEPTED:
                return
            reason = f"{answer.status_code} {answer.text[:300]}"
            if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                raise ReplayError(f"{client.base_url} refuses upload {upload.seq} of {watch.name}: {reason}")
        if loop.time() + pause_s > deadline_s:
            raise ReplayError(f"{client.base_url} accepts no upload of {watch.name}: {reason}")
        watch.retries += 1
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_RETRY_S)
