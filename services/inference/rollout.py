"""Bundles as the roll-out file says, followed while the worker runs (architecture.md, section 10)."""

import asyncio
import logging
from pathlib import Path
from typing import Literal, NamedTuple

from services.inference.classifier import Classifier
from shared.contracts.errors import BundleError
from shared.model.bundle import MANIFEST, WEIGHTS, read_manifest
from shared.model.rollout import RollOut, decode_rollout, folder_of, read_rollout
from shared.runtime import metrics

log = logging.getLogger("gaitway.inference")

POLL_S = 2.0

Role = Literal["live", "shadow"]


class Models(NamedTuple):
    """The bundles of a worker."""

    live: Classifier
    shadow: Classifier | None


class RollOutMonitor:
    """Monitor of the roll-out file; it loads bundles beside the event loop, and the consumer takes them when it may.

    A bundle that does not load or fit is refused: the live one stays, or there is no shadow. The file counts as
    changed when its content has, or a file of a bundle that it names: a bundle that was repaired is tried again.
    """

    def __init__(self, path: Path, threads: int) -> None:
        """Load the live bundle; raises BundleError. The shadow is loaded later, as a fault of it stops nothing."""
        self._path = path
        self._threads = threads
        live = Classifier(folder_of(path, read_rollout(path).live), threads)
        self.models = Models(live, None)
        """Those that the worker runs now."""
        self._next: Models | None = None
        self._loaded = {live}
        self._seen: object = None
        self._refused = False

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Load what the file names, if anything has changed since the last look."""
        try:
            data, stamp = await asyncio.to_thread(_read, self._path)
            rollout = decode_rollout(self._path, data)
        except (BundleError, OSError) as error:
            if self._seen != str(error):
                self._seen = str(error)
                self._refuse("live", str(error))
            return
        # Those that the consumer has switched away from since the last look.
        self._close_unused()
        if stamp == self._seen:
            return
        self._seen = stamp
        self._refused = False
        live = await self._load("live", rollout.live) or self.models.live
        shadow = await self._load("shadow", rollout.shadow) if rollout.shadow is not None else None
        if shadow is not None and shadow.name.name_version == live.name.name_version:
            if not self._refused:
                self._refuse("shadow", f"{rollout.shadow}: {shadow.name.name_version} is the live bundle already")
            shadow = None
        self._next = Models(live, shadow)

    def take(self) -> Models | None:
        """Return the bundles to switch to, or None; the caller is between two transactions and switches now."""
        if self._next is None:
            return None
        before, self.models, self._next = self.models, self._next, None
        metrics.ROLLOUT_APPLIED.set(0 if self._refused else 1)
        names = [model.name.name_version if model is not None else "none" for model in (*before, *self.models)]
        if names[:2] != names[2:]:
            log.info("roll-out: live %s, shadow %s; before: live %s, shadow %s", *names[2:], *names[:2])
        return self.models

    def close(self) -> None:
        """End the threads of all bundles."""
        for classifier in self._loaded:
            classifier.close()

    async def _load(self, role: Role, bundle: str) -> Classifier | None:
        """Return the bundle, or None if it is refused; one that is loaded already is not loaded again."""
        folder = folder_of(self._path, bundle)
        try:
            manifest = await asyncio.to_thread(read_manifest, folder)
            for classifier in self._loaded:
                if classifier.manifest == manifest:
                    return classifier
                if (classifier.manifest.name, classifier.manifest.version) == (manifest.name, manifest.version):
                    raise BundleError(f"{folder}: another model than the {classifier.name.name_version} that is loaded")
            classifier = await asyncio.to_thread(Classifier, folder, self._threads)
        except Exception as error:
            self._refuse(role, str(error) if isinstance(error, BundleError) else f"{folder}: {error!r}")
            return None
        self._loaded.add(classifier)
        return classifier

    def _refuse(self, role: Role, why: str) -> None:
        self._refused = True
        kept = f"{self.models.live.name.name_version} stays" if role == "live" else "there is no shadow"
        log.error("roll-out: %s bundle refused, %s: %s", role, kept, why)
        metrics.REFUSED_BUNDLES.labels(role).inc()
        metrics.ROLLOUT_APPLIED.set(0)

    def _close_unused(self) -> None:
        used = {*self.models, *(self._next or ())}
        for classifier in [classifier for classifier in self._loaded if classifier not in used]:
            self._loaded.remove(classifier)
            classifier.close()


def _read(path: Path) -> tuple[bytes, object]:
    """Return the file's content, and a value that differs once it or a bundle that it names has changed."""
    data = path.read_bytes()
    rollout: RollOut = decode_rollout(path, data)
    folders = [folder_of(path, bundle) for bundle in (rollout.live, rollout.shadow) if bundle is not None]
    return data, (data, *(_stamp(folder / name) for folder in folders for name in (MANIFEST, WEIGHTS)))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
