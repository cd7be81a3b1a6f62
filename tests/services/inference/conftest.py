from collections.abc import Iterator
from pathlib import Path

import pytest

from services.inference.classifier import Classifier
from tests.bundles import random_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("model") / "random")


@pytest.fixture
def classifier(bundle: Path) -> Iterator[Classifier]:
    classifier = Classifier(bundle, threads=1)
    yield classifier
    classifier.close()
