from collections.abc import AsyncIterator, Iterator

import pytest

from gaitway.embedded import ValkeyServer
from services.features.baseline_store import BaselineStore


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A server of the test's own, which it may stop and flush."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[BaselineStore]:
    """The run's Redis under a prefix of the test's own."""
    store = BaselineStore(redis_url, redis_prefix)
    yield store
    await store.delete_all()
    await store.close()


@pytest.fixture
async def own_store(valkey: ValkeyServer) -> AsyncIterator[BaselineStore]:
    store = BaselineStore(valkey.url, "own:")
    yield store
    await store.close()
