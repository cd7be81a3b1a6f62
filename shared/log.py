"""Logging of the services: one line per event, on standard error."""

import logging

from shared import plant
from shared.quiet import quieten


def configure_logging(service: str, level: str) -> logging.Logger:
    """Set the root handler up and return the service's logger."""
    line = f"%(asctime)s %(levelname)-7s {service} %(name)s: %(message)s"
    logging.basicConfig(level=level, format=line, datefmt="%H:%M:%S", force=True)
    # These report every routine step (a rebalance, a started child service, a request) at INFO.
    for library in ("aiokafka", "faust", "mode", "uvicorn", "httpx"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    quieten("aiokafka")
    logger = logging.getLogger(f"gaitway.{service}")
    plant.warn(logger)
    return logger
