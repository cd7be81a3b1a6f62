"""How much of its input a service may reject before it stops: a bad record is one watch's fault, a flood is ours."""

from shared.contracts.errors import Stop


class DeadLetterLimit:
    """Counts records and those of them that were rejected; ticks are no records.

    To be told once the dead letters are on the bus: a stop loses none. What may be committed then is committed, and the
    next worker has a count of its own: a handful never needs a human. A flood does. inference gets past it piece by
    piece, a stop for each; features' commit may not pass an open window, so that it rejects and stops again until the
    share is raised (1 lets everything through). A dead letter that is written again has the same origin.

    >>> share = DeadLetterLimit(0.5, min_records=4)
    >>> share.count(3, rejected=3)
    >>> share.count(3, rejected=0)
    """

    def __init__(self, limit: float, min_records: int) -> None:
        self._limit = limit
        self._min_records = min_records
        self._records = 0.0
        self._rejected = 0.0

    def count(self, records: int, rejected: int) -> None:
        """Add what was read and what of it was rejected.

        Raises:
            Stop: of at least ``min_records`` records more than the share ``limit`` was rejected.
        """
        self._records += records
        self._rejected += rejected
        if self._records < self._min_records:
            return
        if self._rejected > self._limit * self._records:
            raise Stop(
                f"{self._rejected / self._records:.0%} of the last {self._records:.0f} records were rejected, "
                f"{self._limit:.0%} may be: watch.rejected holds them and says why"
            )
        # The past fades: neither does a storm that was survived stop a later worker, nor do good years hide a new one.
        while self._records >= 2 * self._min_records:
            self._records /= 2
            self._rejected /= 2
