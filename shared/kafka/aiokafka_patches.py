"""Every use of a private part of aiokafka, tested with the version that `require_tested_aiokafka` names.

- Record headers: a broker accepts any bytes as the name of a header. aiokafka fails on a whole batch if one name is not
  UTF-8, so one faulty producer could stop every consumer at that offset.
- Producers: aiokafka's ``stop`` waits for all acknowledgements, without end while the broker is unavailable.
- Admin: aiokafka reads the id of the controller, which a starting broker does not know yet.
- Sizes: aiokafka has no public function for the size of a record in bytes.
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

_LENGTH = struct.Struct(">q i")  # Every batch starts with its first offset and the number of bytes that follow.


def require_tested_aiokafka() -> None:
    """Raise Stop for another version of aiokafka: its private parts may have changed silently."""
    if not aiokafka.__version__.startswith(TESTED_VERSION + "."):
        raise Stop(
            f"aiokafka {aiokafka.__version__} is installed; shared/kafka/aiokafka_patches.py was tested with "
            f"{TESTED_VERSION} and has to be checked first"
        )


@contextmanager
def rethrow_unknown_controller() -> Iterator[None]:
    """Wrap ``create_topics``: raise RetryLater while the broker has no controller."""
    try:
        yield
    except AttributeError as error:
        raise RetryLater("Kafka has no controller yet") from error


def close_without_flush(producer: Any) -> Sequence[Awaitable[None]]:
    """Stop a producer as ``AIOKafkaProducer.stop`` does, without its flush; await the two steps in order."""
    producer._closed = True
    return producer._sender.close(), producer.client.close()


def record_bytes(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> int:
    """Return an upper bound of the size of a batch with only this record; ``max.message.bytes`` limits batches."""
    return int(DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(headers)))


def tolerate_invalid_header_names() -> None:
    """Let all consumers of this process read such records, with the invalid bytes of names as ``\\xNN``.

    This replaces the fetcher's batch reader. A second call changes nothing.
    """
    fetcher.MemoryRecords = _Batches


class _Batches:
    """aiokafka's MemoryRecords, with a tolerant second attempt for each batch that the strict reader fails on."""

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
    """One batch of aiokafka with another iteration over its records."""

    def __init__(self, strict: Any, raw: memoryview) -> None:
        self._strict = strict
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._strict, name)

    def __next__(self) -> Any:
        return next(self._strict)  # aiokafka reads the single record of a control batch this way.

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._strict))
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # The reader without extensions wraps the UnicodeDecodeError.
            if not isinstance(error, UnicodeDecodeError) and not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            return iter(_TolerantBatch(self._raw))


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """aiokafka's reader in Python, over bytes that always decode."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _TolerantBytes(self._buffer)

    def _read_msg(self) -> Any:
        # The compiled reader of integers accepts only bytearray, no subclass.
        return super()._read_msg(decode_varint_py)


class _TolerantBytes(bytearray):
    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _TolerantBytes(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")
