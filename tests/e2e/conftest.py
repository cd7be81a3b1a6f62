"""What the end-to-end tests share: a model, short recordings, the pipeline on the run's broker and Redis."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import random_bundle
from tests.e2e.harness import ABSTAIN_BELOW, Pipeline
from tests.recordings import cut
from tests.stack import Stack


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is not sure of about half of the windows."""
    return random_bundle(tmp_path_factory.mktemp("model") / "random", abstain_below=ABSTAIN_BELOW)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By person: one with heart rate and one without, both without gaps, and the whole Garmin log, which has them.

    The first two begin and end so far from the windows' grid that no window with a margin of silence passes.
    """
    folder = tmp_path_factory.mktemp("recordings")
    cuts = [
        cut("e4-S03", folder, to_s=178),
        cut("wisdm-1600", folder, to_s=175),
        cut("garmin-1", folder),
    ]
    return {path.name: path for path in cuts}


@pytest.fixture
def even(recordings: dict[str, Path]) -> dict[str, Path]:
    """The recordings without gaps, for which live and offline agree in every number."""
    return {person: path for person, path in recordings.items() if person != "garmin-1"}


@pytest.fixture(scope="session")
def two_parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Of the same people: a minute and a half, half a minute of nothing, two and a half minutes."""
    early, late = tmp_path_factory.mktemp("early"), tmp_path_factory.mktemp("late")
    return {
        name: (cut(name, early, to_s=90 - off_s), cut(name, late, from_s=120, to_s=270 - off_s))
        for name, off_s in (("e4-S03", 2), ("wisdm-1600", 5))
    }


@pytest.fixture
def start_pipeline(
    tmp_path: Path, stack: Stack, topic_prefix: str, redis_prefix: str, bundle: Path
) -> Iterator[Callable[..., Pipeline]]:
    """Start the services, with settings of Pipeline; `kafka` and `redis` are the run's unless given."""
    with ExitStack() as running:

        def start(**settings: Any) -> Pipeline:
            for server in {"kafka", "redis"} - settings.keys():
                # Asked for only where it is needed: a server of the run starts at its first use.
                settings[server] = stack.address(server)
            names = {"topic_prefix": topic_prefix, "redis_prefix": redis_prefix}
            return running.enter_context(Pipeline(tmp_path, model=bundle, **names, **settings))

        yield start


@pytest.fixture
def pipeline(start_pipeline: Callable[..., Pipeline]) -> Pipeline:
    return start_pipeline()
