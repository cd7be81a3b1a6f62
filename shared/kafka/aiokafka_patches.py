"""Every use of a private part of aiokafka, tested with the version that `require_tested_aiokafka` names.

- Record headers: a broker takes any bytes as a header's name. aiokafka gives up on a whole batch that holds a name
  which is not UTF-8, so that one careless producer could stop every consumer at that offset.
- Producers: aiokafka's ``stop`` waits for what the broker has not acknowledged, without end when it is away.
- Admin: aiokafka reads the id of a controller that a broker which is just starting does not know yet.
- Sizes: aiokafka tells nobody how many bytes a record takes.
"""

import struct
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py

from shared.contracts.errors import RetryLater, Stop

TESTED_VERSION = "0.14"

_LENGTH = struct.Struct(">q i")  # Every batch begins with its first offset and the count of the bytes that follow.


def require_tested_aiokafka() -> None:
    """Raises Stop where another version of aiokafka is installed: what is used below may have changed silently."""
    if not aiokafka.__version__.startswith(TESTED_VERSION + "."):
        raise Stop(
            f"aiokafka {aiokafka.__version__} is installed; shared/kafka/aiokafka_patches.py was tested with "
            f"{TESTED_VERSION} and has to be checked first"
        )


@contextmanager
def rethrow_unknown_controller() -> Iterator[None]:
    """Around ``create_topics``; raises RetryLater where the broker has no controller yet."""
    try:
        yield
    except AttributeError as error:
        raise RetryLater("Kafka has no controller yet") from error


def close_without_flush(producer: Any) -> Sequence[Awaitable[None]]:
    """What ``AIOKafkaProducer.stop`` does besides flushing; the two steps are to be awaited in order."""
    producer._closed = True
    return producer._sender.close(), producer.client.close()


def record_bytes(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """At most what a record takes in a batch of its own, which is what ``max.message.bytes`` limits."""
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers)))


def tolerate_invalid_header_names() -> None:
    """From now on, consumers of this process get such records, the names' odd bytes as ``\\xNN``.

    The fetcher's batch reader is replaced. A second call changes nothing.
    """
    fetcher.MemoryRecords = _Batches


class _Batches:
    """aiokafka's MemoryRecords, whose batches are read again in a tolerant way where the strict one fails."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._strict: Any = MemoryRecords(fetched)
        self._begin = 0

    def size_in_bytes(self) -> int:
        return len(self._fetched)

    def has_next(self) -> bool:
        return bool(self._strict.has_next())

    def next_batch(self) -> Any:
        batch = self._strict.next_batch()
        if batch is None:
            return None
        length = _LENGTH.size + _LENGTH.unpack_from(self._fetched, self._begin)[1]
        raw = memoryview(self._fetched)[self._begin : self._begin + length]
        self._begin += length
        return _Batch(batch, raw)


class _Batch:
    """One batch: everything as in aiokafka's own, but for the iteration over its records."""

    def __init__(self, strict: Any, raw: memoryview) -> None:
        self._strict = strict
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strict, name)

    def __next__(self) -> Any:
        return next(self._strict)  # aiokafka reads the one record of a control batch so.

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._strict))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # The reader without extensions wraps the UnicodeDecodeError.
            if not isinstance(error, UnicodeDecodeError) and not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            return iter(_TolerantBatch(self._raw))


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's reader in Python, over bytes that decode whatever they hold."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _TolerantBytes(self._buffer)

    def _read_msg(self) -> Any:
        # The compiled reader of integers takes a bytearray only, none of its subclasses.
        return super()._read_msg(decode_varint_py)


class _TolerantBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _TolerantBytes(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
