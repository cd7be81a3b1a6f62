"""A real Apache Kafka and a real Valkey from Python packages alone: no Docker, no installed Java.

    with KafkaBroker() as kafka, ValkeyServer() as valkey:
        print(kafka.bootstrap_servers, valkey.url)

Needs the extra `embedded` and Linux. Every failure is a StackError with a message of one line.
"""

from gaitway.embedded.errors import StackError
from gaitway.embedded.kafka import FAST_RESTART, ONE_NODE, KafkaBroker
from gaitway.embedded.lock import KAFKA_VERSION
from gaitway.embedded.ports import free_port
from gaitway.embedded.valkey import ValkeyServer

__all__ = ["FAST_RESTART", "KAFKA_VERSION", "ONE_NODE", "KafkaBroker", "StackError", "ValkeyServer", "free_port"]
