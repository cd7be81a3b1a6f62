"""`python -m gaitway.embedded` downloads Kafka's jars before their first use; with --lock it rewrites their lock."""

import argparse
import logging
import sys

from gaitway.embedded.errors import StackError
from gaitway.embedded.jars import jar_folder, kafka_jars
from gaitway.embedded.lock import LOCK_PATH, write_lock


def main() -> None:
    """Fetch the jars and print their folder, or write the lock."""
    parser = argparse.ArgumentParser(prog="python -m gaitway.embedded", description="The jars of Apache Kafka.")
    parser.add_argument("--lock", action="store_true", help=f"resolve the jars again and rewrite {LOCK_PATH.name}")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if arguments.lock:
            write_lock()
        else:
            kafka_jars()
    except StackError as error:
        sys.exit(str(error))
    print(LOCK_PATH if arguments.lock else jar_folder())


if __name__ == "__main__":
    main()
