"""The ledger: windows of a partition that already have an event; read again when the partition is assigned."""

import logging
from collections.abc import Iterable

from aiokafka.structs import TopicPartition

from shared.contracts import topics
from shared.contracts.errors import InvalidRecord
from shared.contracts.ledger import LedgerKey, decode_ledger, place_of
from shared.contracts.time_limits import FINAL_KEPT_MS, HOUR_MS, WINDOW_FUTURE_MS
from shared.contracts.window import WindowRecord
from shared.kafka.consumer import create_reader
from shared.runtime import fault_injection

log = logging.getLogger("gaitway.inference")


class Ledger:
    """Content of activity.ledger for one partition; changes count only when their transaction has committed."""

    def __init__(self, model: str, *, any_model: bool = False) -> None:
        """Create an empty ledger; with ``any_model`` an event of any model counts, else only one of ``model``."""
        self._model = model
        self._any_model = any_model
        self._others: set[str] = set()
        """Other models with windows here."""
        self._bits: dict[LedgerKey, int] = {}
        self._staged: dict[LedgerKey, int] = {}
        self._newest_hour = 0

    def load(self, key: LedgerKey, bits: int) -> None:
        """Take a record of the topic; the latest one of a key replaces all earlier ones."""
        self._bits[key] = bits
        if key[2] != self._model:
            self._others.add(key[2])
        self._newest_hour = max(self._newest_hour, key[4])

    def stage(self, user: str, window: WindowRecord) -> bool:
        """Mark a window as part of the next transaction; returns False if it already has an event."""
        key, bit = place_of(user, window.device, self._model, window.hop_ms, window.window_start_ms)
        bits = self._staged.get(key, self._bits.get(key, 0))
        if (bits | self._bits_of_others(key)) & bit and not fault_injection.is_injected("no-ledger"):
            return False
        self._staged[key] = bits | bit
        return True

    def _bits_of_others(self, key: LedgerKey) -> int:
        """Return the windows that other models have published. Those are few: a look-up each costs no memory."""
        found = 0
        if self._any_model:
            user, device, _, hop_ms, hour = key
            for model in self._others:
                found |= self._bits.get((user, device, model, hop_ms, hour), 0)
        return found

    def switch_to(self, model: str) -> None:
        """Stage for another model from now on, between two transactions."""
        assert not self._staged, "a transaction has one model"
        self._others = (self._others | {self._model}) - {model}
        self._model = model

    def unstage(self, user: str, window: WindowRecord) -> None:
        """Remove one staged window, because it gets no event."""
        key, bit = place_of(user, window.device, self._model, window.hop_ms, window.window_start_ms)
        bits = self._staged[key] & ~bit
        if bits == self._bits.get(key, 0):
            del self._staged[key]
        else:
            self._staged[key] = bits

    @property
    def staged(self) -> dict[LedgerKey, int]:
        """The records that the transaction must write."""
        return self._staged

    def committed(self) -> None:
        """Apply the staged changes: the transaction has committed."""
        for key, bits in self._staged.items():
            self.load(key, bits)
        self._staged = {}
        self._forget_old()

    def missing_in(self, other: "Ledger") -> dict[LedgerKey, int]:
        """Return the records to write so that ``other`` holds all windows of this ledger."""
        whole = {key: bits | other._bits.get(key, 0) for key, bits in self._bits.items()}
        return {key: bits for key, bits in whole.items() if bits != other._bits.get(key, 0)}

    def discard(self) -> None:
        """Drop the staged changes: the transaction was aborted."""
        self._staged = {}

    def _forget_old(self) -> None:
        """Forget windows older than 8 days; none can arrive, because ingest refuses samples older than 7."""
        oldest = self._newest_hour - FINAL_KEPT_MS // HOUR_MS
        if any(key[4] < oldest for key in self._bits):
            self._bits = {key: bits for key, bits in self._bits.items() if key[4] >= oldest}


async def read_ledgers(
    bootstrap_servers: str, prefix: str, partitions: Iterable[int], model: str, any_model: bool = False
) -> dict[int, Ledger]:
    """Read the committed ledgers of these partitions; raises KafkaError."""
    name = prefix + topics.LEDGER.name
    ledgers = {partition: Ledger(model, any_model=any_model) for partition in partitions}
    assigned = [TopicPartition(name, partition) for partition in ledgers]
    consumer = create_reader(bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        await consumer.seek_to_beginning(*assigned)
        while any([await consumer.position(tp) < ends[tp] for tp in assigned]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    try:
                        key, bits = decode_ledger(record.key, record.value)
                        if key[4] * HOUR_MS > record.timestamp + WINDOW_FUTURE_MS:
                            raise InvalidRecord(f"hour {key[4]} is too far ahead of record time {record.timestamp}")
                        ledgers[tp.partition].load(key, bits)
                    except InvalidRecord as error:
                        # An unreadable record protects no window; it is logged once per assignment.
                        log.error("ignored %s %d@%d: %s", name, tp.partition, record.offset, error)
    finally:
        await consumer.stop()
    return ledgers
