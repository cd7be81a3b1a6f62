"""A roll-out during the run, again and again: a shadow is set, promoted, and rolled back, while faults come down."""

import asyncio
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
import numpy as np
from safetensors.numpy import load, save

from gaitway.rollout import create, promote, roll_back, set_shadow
from shared.model.rollout import RollOut, folder_of
from tests.chaos.pipeline import Pipeline

STEPS = ("shadow", "promote", "rollback")
QUIET_S = (3.0, 9.0)
FOLLOWED_S = 45.0
"""A worker that is killed or paused follows when it is back."""


def make_candidate(model: Path, folder: Path) -> Path:
    """Write a bundle that answers otherwise than ``model``: each class has the next one's weights."""
    shutil.copytree(model, folder)
    weights = load((folder / "weights.safetensors").read_bytes())
    for name in ("classifier.3.weight", "classifier.3.bias"):
        weights[name] = np.roll(weights[name], 1, axis=0)
    data = save(weights)
    (folder / "weights.safetensors").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"name": "candidate", "version": "9.0.0", "weights_sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def make_rollout(model: Path, folder: Path) -> tuple[Path, Path]:
    """Write a roll-out file with ``model`` live, and the candidate beside it; returns both."""
    folder.mkdir(parents=True)
    file = folder / "rollout.json"
    create(file, shutil.copytree(model, folder / "default"))
    return file, make_candidate(model, folder / "candidate")


@dataclass(slots=True)
class Step:
    """One step that was done: ``followed`` by every worker, after so many seconds, or not at all (None)."""

    name: str
    began_ms: float
    followed_s: float | None


@dataclass(slots=True)
class RollOutOperator:
    """It does the steps as an operator would, and waits after each until every worker's /metrics tells of it."""

    pipeline: Pipeline
    file: Path
    candidate: Path
    seed: int
    steps: list[Step] = field(default_factory=list)

    async def run(self, is_over: Callable[[int], bool]) -> None:
        """Do steps until ``is_over``, which is called with their number."""
        random = Random(f"roll-out {self.seed}")
        while not is_over(len(self.steps)):
            await asyncio.sleep(random.uniform(*QUIET_S))
            name = STEPS[len(self.steps) % len(STEPS)]
            began_s, began_ms = time.monotonic(), time.time() * 1000
            rollout = await asyncio.to_thread(self._change, name)
            followed = await self._until_followed(rollout)
            self.steps.append(Step(name, began_ms, time.monotonic() - began_s if followed else None))

    def _change(self, name: str) -> RollOut:
        if name == "shadow":
            return set_shadow(self.file, self.candidate)
        return promote(self.file) if name == "promote" else roll_back(self.file)

    async def _until_followed(self, rollout: RollOut) -> bool:
        wanted = {("live", self._name(rollout.live))}
        if rollout.shadow is not None:
            wanted.add(("shadow", self._name(rollout.shadow)))
        deadline_s = time.monotonic() + FOLLOWED_S
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            for name, service in self.pipeline.services.items():
                while name.startswith("inference"):
                    try:
                        if _models((await client.get(f"{service.url}/metrics")).text) == wanted:
                            break
                    except httpx.HTTPError:
                        pass
                    if time.monotonic() > deadline_s:
                        return False
                    await asyncio.sleep(0.2)
        return True

    def _name(self, bundle: str) -> str:
        manifest = json.loads((folder_of(self.file, bundle) / "manifest.json").read_text())
        return f"{manifest['name']}@{manifest['version']}"

    @property
    def failures(self) -> list[str]:
        """What an operator would report."""
        return [f"step {step.name}: not every worker followed it" for step in self.steps if step.followed_s is None]


def _models(page: str) -> set[tuple[str, str]]:
    """Role and model of every ``gaitway_inference_model_info`` of a /metrics page."""
    found = re.findall(r'^gaitway_inference_model_info\{model="([^"]+)",role="([^"]+)"\} 1', page, re.MULTILINE)
    return {(role, model) for model, role in found}
