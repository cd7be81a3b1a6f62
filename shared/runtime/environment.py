"""All GAITWAY_ variables. A mistyped one would silently leave its default in place."""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from shared.contracts.errors import SettingsError

PREFIX = "GAITWAY_"

SETTINGS = frozenset(
    [
        "BODY_TIMEOUT_S",
        "BUFFER_BYTES",
        "COMMIT_INTERVAL_MS",
        "GATEWAY",
        "HEAD_TIMEOUT_S",
        "HEALTH_HOST",
        "HEALTH_PORT",
        "HOP_MS",
        "HOST",
        "IDLE_AFTER_S",
        "IDLE_TIMEOUT_S",
        "INSTANCE",
        "JWT_KEY",
        "KAFKA",
        "LATE_AFTER_S",
        "LINGER_MS",
        "GRACE_S",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MAX_BODY_BYTES",
        "MAX_CONNECTIONS",
        "MAX_HEADERS",
        "MAX_HEAD_BYTES",
        "MAX_POLL_RECORDS",
        "DLQ_MAX_RATIO",
        "MAX_BUFFERED_BYTES",
        "MAX_UNSAVED_BASELINES",
        "MAX_IN_FLIGHT_PER_USER",
        "MAX_BUFFERED_RECORDS",
        "MISSING_AFTER_S",
        "MODEL",
        "PARTITIONS",
        "PHASE_PER_USER",
        "PORT",
        "PUBLISH_TIMEOUT_MS",
        "RECORDING",
        "REDIS",
        "REDIS_PREFIX",
        "DLQ_MIN_RECORDS",
        "REPLICATION_FACTOR",
        "ROLLOUT",
        "SAVE_AFTER_S",
        "SESSION_TIMEOUT_MS",
        "STALLED_AFTER_S",
        "TICK_MS",
        "TOKEN",
        "TOKEN_CACHE_SIZE",
        "TOPIC_PREFIX",
        "TORCH_THREADS",
        "TRANSACTION_INTERVAL_MS",
        "TRANSACTION_TIMEOUT_MS",
        "WRITE_TIMEOUT_S",
    ]
)
"""Settings of all services, because they may share one environment. A test checks that the set is complete."""

OTHERS = frozenset(["BUILD_STATE", "DEMO_SPEED", "LISTEN", "INJECT_FAULT", "TEST_KAFKA", "TEST_REDIS", "VERSION"])
"""Variables of docker-compose.yml, the scripts in deploy/, the tests and the chaos run."""

# Variables that Kubernetes and Docker links set for a Service named gaitway or gaitway-ingest.
_SERVICE_LINK = re.compile(r".*SERVICE_(HOST|PORT(_.*)?)|.*PORT_\d+_(TCP|UDP|SCTP)(_.*)?")


def check_variables(also: Iterable[str] = (), environment: Mapping[str, str] = os.environ) -> None:
    """Refuse unknown variables that begin with GAITWAY_. ``also``: further known names, without prefix.

    Raises:
        SettingsError: names each of them and the most similar known name.
    """
    known = SETTINGS | OTHERS | {name.upper() for name in also}
    wrong = []
    for variable, value in sorted(environment.items()):
        name = variable.upper().removeprefix(PREFIX)
        linked = _SERVICE_LINK.fullmatch(name) or (name.endswith("PORT") and "://" in value)
        if not variable.upper().startswith(PREFIX) or name in known or linked:
            continue
        near = get_close_matches(name, sorted(known), n=1)
        wrong.append(f"{variable} is not a setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else ""))
    if wrong:
        raise SettingsError(", ".join(wrong))
