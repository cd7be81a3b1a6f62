"""The limit of rejected records: a bad record is the fault of one watch, a flood is a fault of the service."""

from shared.contracts.errors import Stop


class DeadLetterLimit:
    """Counter of records and rejected records that stops the service above a ratio; ticks are not records.

    Call it when the dead letters are in Kafka, so that a stop loses none. The service then commits as far as it may,
    and the next worker starts its own count: a few rejected records never need a human, a flood does. inference passes
    a flood in parts, with a stop for each; features may not commit past an open window, so it rejects and stops again
    until the limit is raised (1 accepts everything). A dead letter that is written twice has the same origin.

    >>> limit = DeadLetterLimit(0.5, min_records=4)
    >>> limit.count(3, rejected=3)
    >>> limit.count(3, rejected=0)
    """

    def __init__(self, limit: float, min_records: int) -> None:
        self._limit = limit
        self._min_records = min_records
        self._records = 0.0
        self._rejected = 0.0

    def count(self, records: int, rejected: int) -> None:
        """Add the numbers of records read and of those rejected.

        Raises:
            Stop: of at least ``min_records`` records, more than the ratio ``limit`` was rejected.
        """
        self._records += records
        self._rejected += rejected
        if self._records < self._min_records:
            return
        if self._rejected > self._limit * self._records:
            raise Stop(
                f"{self._rejected / self._records:.0%} of the last {self._records:.0f} records were rejected, "
                f"{self._limit:.0%} are allowed: see the reasons in the headers of watch.rejected"
            )
        # Old counts fade: a past flood does not stop the service later, and a long good time does not hide a new flood.
        while self._records >= 2 * self._min_records:
            self._records /= 2
            self._rejected /= 2
