"""Python's cyclic garbage collector, set for a process with hundreds of thousands of live objects and few cycles."""

import gc

YOUNG, MIDDLE, OLD = 50_000, 20, 50
"""The defaults (700, 10, 10) walk through every user's state many times a minute and find nothing."""


def settle() -> None:
    """To be called once a service is set up: what is there now stays, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
