import logging

from services.ingest.ticks import send_ticks
from shared.contracts.errors import RetryLater
from shared.runtime.health import Health
from shared.runtime.logging import RepeatFilter


class Ticker:
    """Does what its script says, once per tick, then fails for ever."""

    def __init__(self, *script: int | Exception) -> None:
        self.script = list(script)
        self.ready: list[bool] = []
        self.health = Health()

    async def __call__(self) -> int:
        self.ready.append(not self.health.not_ready)
        outcome = self.script.pop(0) if self.script else RetryLater("away")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_a_failed_tick_ends_nothing_and_shows_in_readiness(caplog):
    tick = Ticker(3, RetryLater("away"), KeyError("a bug"), 3, 3)
    await send_ticks(tick, tick.health, 0.001, lost_after_s=1)
    assert tick.ready[:6] == [True, True, False, False, True, True]
    assert len(tick.ready) > 6
    assert tick.health.not_ready == {"kafka": "away"}
    own = [record for record in caplog.records if record.name == "gaitway.ingest.ticks"]
    assert [record.message for record in own if record.levelno >= logging.WARNING] == [
        "tick failed: away",
        "tick failed",
        "tick failed: away",
    ]


def test_of_a_librarys_repeated_lines_the_first_is_printed():
    quiet = RepeatFilter("aiokafka")

    def passes(name: str, text: str, level: int = logging.ERROR, *args: object) -> bool:
        return quiet.filter(logging.LogRecord(name, level, "file", 1, text, args, None))

    assert passes("aiokafka", "cannot connect: %s", logging.ERROR, 1)
    assert not passes("aiokafka.conn", "cannot connect: %s", logging.ERROR, 2)
    assert passes("aiokafka", "something else")
    assert passes("aiokafka", "something else", logging.CRITICAL)
    assert [passes("gaitway", "cannot connect: %s") for _ in range(2)] == [True, True]
