"""Baselines and final windows between memory and Redis: many users in one round trip, of whichever partition."""

import logging
from collections.abc import Collection, Sequence

from services.features.baseline_cache import BaselineCache
from services.features.baseline_store import CONFLICT, EMPTY, WRITTEN, BaselineStore, batches
from shared.contracts.errors import LostOwnership, RetryLater
from shared.runtime import metrics
from shared.runtime.logging import ThrottledLogger

log = logging.getLogger("gaitway.features")

_User = tuple[str, BaselineCache]


class BaselineSync:
    """Reads and writes the users of all partitions of a worker.

    Windows are computed with what is in memory. ``save`` writes the updates of windows that are on the bus; until it
    has returned True, nothing that these windows were made of may be acknowledged.
    """

    def __init__(self, store: BaselineStore) -> None:
        self._store = store
        self._throttled = ThrottledLogger(log)
        self.failure: RetryLater | None = None
        """Why Redis did not take or give what it was last asked for; None when it did."""

    async def load(self, caches: Collection[BaselineCache]) -> None:
        """Read the users that are unknown.

        Raises nothing when Redis is away: they stay unknown, and are asked for again next time.
        """
        unknown: list[_User] = sorted(
            ((name, cache) for cache in caches for name in cache.unknown()), key=lambda user: user[0]
        )
        if not unknown:
            return
        try:
            stored = await self._store.load(dict(unknown))
        except RetryLater as error:
            metrics.REDIS_ERRORS.inc()
            self.failure = error
            self._throttled.log("load", logging.WARNING, "%s; %d users go on with no baseline", error, len(unknown))
            return
        for name, cache in unknown:
            cache.adopt(name, stored[name])

    async def save(self, caches: Collection[BaselineCache]) -> bool:
        """Write every user that has changed; True when nothing is left to read or to write.

        Raises:
            LostOwnership: another worker has written one of the users since.
        """
        failure: RetryLater | None = None
        try:
            for some in batches([(name, cache) for cache in caches for name in cache.unsaved()]):
                failure = await self._write(some, caches, whole=False) or failure
        except RetryLater as error:
            failure = error
        if failure is not None:
            metrics.REDIS_ERRORS.inc()
            waiting = sum(cache.waiting for cache in caches)
            self._throttled.log("write", logging.WARNING, "%s; %d baseline updates wait", failure, waiting)
        # Why users could not be read `load` has said.
        if failure is not None or not any(cache.unknown() for cache in caches):
            self.failure = failure
        return all(cache.is_saved for cache in caches)

    async def _write(
        self, users: Sequence[_User], caches: Collection[BaselineCache], *, whole: bool
    ) -> RetryLater | None:
        """Write some users; returns why Redis did not take some of them, if so."""
        writes = [cache.to_write(name, whole=whole) for name, cache in users]
        outcomes = await self._store.write(writes, whole=whole)
        empty: list[_User] = []
        failure: RetryLater | None = None
        for (name, cache), write, outcome in zip(users, writes, outcomes, strict=True):
            if outcome == WRITTEN:
                cache.mark_saved(write, whole=whole)
            elif outcome == EMPTY:
                empty.append((name, cache))
            elif outcome == CONFLICT:
                if not any(name in other for other in caches if other is not cache):
                    raise LostOwnership("another worker has written a user of this partition")
                # Somebody writes this user's records into two partitions. That one user is read again each time; to
                # begin the partitions again would end in the same conflict.
                cache.make_unknown(name)
            elif isinstance(outcome, RetryLater):
                failure = failure or outcome
        if empty and not whole:
            # A key that was set aside meanwhile is written by the next call.
            self._throttled.log("lost", logging.WARNING, "Redis has lost %d users: writing them again", len(empty))
            failure = await self._write(empty, caches, whole=True) or failure
        return failure
