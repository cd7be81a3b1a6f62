"""Reading activity.ledger back when partitions are assigned."""

import logging
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from services.inference.ledger import AHEAD_MS, Ledger
from shared.contracts import topics
from shared.contracts.errors import InvalidRecord
from shared.contracts.ledger import decode_ledger
from shared.windows.final_windows import HOUR_MS

log = logging.getLogger("gaitway.inference")


async def read_ledgers(bootstrap_servers: str, prefix: str, partitions: Iterable[int], model: str) -> dict[int, Ledger]:
    """What has been published in each of these partitions, as committed. Raises KafkaError."""
    name = prefix + topics.LEDGER.name
    ledgers = {partition: Ledger(model) for partition in partitions}
    assigned = [TopicPartition(name, partition) for partition in ledgers]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
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
                        if key[4] * HOUR_MS > record.timestamp + AHEAD_MS:
                            raise InvalidRecord(f"hour {key[4]} in a record of {record.timestamp}")
                        ledgers[tp.partition].load(key, bits)
                    except InvalidRecord as error:
                        # A record that nobody can read protects no window; the log names it once per assignment.
                        log.error("%s %d@%d: %s", name, tp.partition, record.offset, error)
    finally:
        await consumer.stop()
    return ledgers
