"""Transfer of baselines and final windows between memory and Redis: many users of all partitions per round trip."""

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
    """Reader and writer of the users of all partitions of a worker.

    Windows are computed from memory. ``save`` writes the updates of published windows. Before that the input of these
    windows must not be committed.
    """

    def __init__(self, store: BaselineStore) -> None:
        self._store = store
        self._throttled = ThrottledLogger(log)
        self.failure: RetryLater | None = None
        """Error of the last call to Redis; None after a success."""

    async def load(self, caches: Collection[BaselineCache]) -> None:
        """Read the unknown users.

        Raises nothing when Redis is unavailable: they stay unknown, and the next call reads them.
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
            self._throttled.log("load", logging.WARNING, "%s; %d users have no baseline", error, len(unknown))
            return
        for name, cache in unknown:
            cache.adopt(name, stored[name])

    async def save(self, caches: Collection[BaselineCache], *, all_users: bool = False) -> bool:
        """Write the changed users that are due, or all; returns True when nothing that is due is left.

        Raises:
            LostOwnership: another worker has written one of the users meanwhile.
        """
        failure: RetryLater | None = None
        try:
            for some in batches([(name, cache) for cache in caches for name in cache.unsaved(all_users=all_users)]):
                failure = await self._write(some, caches, whole=False) or failure
        except RetryLater as error:
            failure = error
        if failure is not None:
            metrics.REDIS_ERRORS.inc()
            waiting = sum(cache.waiting for cache in caches)
            self._throttled.log("write", logging.WARNING, "%s; %d baseline updates wait", failure, waiting)
        # While users are unknown, keep the error of `load`.
        if failure is not None or not any(cache.unknown() for cache in caches):
            self.failure = failure
        return all(cache.is_saved for cache in caches)

    async def _write(
        self, users: Sequence[_User], caches: Collection[BaselineCache], *, whole: bool
    ) -> RetryLater | None:
        """Write some users; returns an error if Redis did not accept some of them."""
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
                # Some producer writes this user's records into two partitions. Only this user is read again each time;
                # restarting the partitions would end in the same conflict.
                cache.make_unknown(name)
            elif isinstance(outcome, RetryLater):
                failure = failure or outcome
        if empty and not whole:
            # The next call writes a key that was set aside meanwhile.
            self._throttled.log("lost", logging.WARNING, "Redis has lost %d users: writing them again", len(empty))
            failure = await self._write(empty, caches, whole=True) or failure
        return failure
