"""/metrics, /healthz and /readyz of the services."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.runtime import metrics


@dataclass
class Health:
    """State of a service: alive while it makes progress, ready while its dependencies answer.

    Progress is that of its loop; shared/kafka/health.py adds that of each partition. An unavailable dependency is no
    reason to restart; one that answers and refuses for long is. /metrics shows the metrics of ``service``; without a
    name, all of them.
    """

    stalled_after_s: float = 60.0
    monotonic: Callable[[], float] = time.monotonic
    service: str = ""
    not_ready: dict[str, str] = field(default_factory=dict)
    _last_progress: float | None = None
    _refused_since: dict[str, float] = field(default_factory=dict)

    def heartbeat(self) -> None:
        """Note progress; called once per completed loop, also without work."""
        self._last_progress = self.monotonic()
        metrics.PROGRESS_SECONDS.set_to_current_time()

    def set_unready(self, dependency: str, why: str, *, refused: bool = False) -> None:
        """Note that ``dependency`` does not answer, or refuses in a way that no retry fixes (``refused``)."""
        self.not_ready[dependency] = why
        if refused:
            self._refused_since.setdefault(dependency, self.monotonic())
        else:
            self._refused_since.pop(dependency, None)
        metrics.DEPENDENCY_UP.labels(dependency).set(0)

    def set_ready(self, dependency: str) -> None:
        """Note that ``dependency`` answers."""
        self.not_ready.pop(dependency, None)
        self._refused_since.pop(dependency, None)
        metrics.DEPENDENCY_UP.labels(dependency).set(1)

    @property
    def alive(self) -> bool:
        """False after ``stalled_after_s`` without progress or with a refusing dependency; start-up is progress."""
        if self._last_progress is None:
            self._last_progress = self.monotonic()
        loop_s = self.monotonic() - self._last_progress
        return loop_s < self.stalled_after_s and not self.stalled() and not self.refused()

    def stalled(self) -> list[str]:
        """Return the names of the parts without progress for ``stalled_after_s``."""
        return []

    def report(self) -> None:
        """Set the gauges that change only with time; called for each /metrics."""

    def refused(self) -> dict[str, str]:
        """Return the dependencies that have refused for ``stalled_after_s``, with their errors."""
        now_s = self.monotonic()
        return {
            name: self.not_ready[name]
            for name, since_s in self._refused_since.items()
            if now_s - since_s >= self.stalled_after_s
        }


def health_routes(health: Health) -> list[Route]:
    """Return the three routes."""

    registry = metrics.registry_of(health.service)

    async def metrics_page(_: Request) -> Response:
        health.report()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        content: dict[str, object] = {"alive": health.alive}
        if stalled := health.stalled():
            content["stalled"] = stalled
        if refused := health.refused():
            content["refused"] = refused
        return JSONResponse(content, status_code=200 if content["alive"] else 503)

    async def readyz(_: Request) -> Response:
        waiting = dict(health.not_ready)
        return JSONResponse({"ready": not waiting, "waiting": waiting}, status_code=503 if waiting else 200)

    return [Route("/metrics", metrics_page), Route("/healthz", healthz), Route("/readyz", readyz)]


def health_app(health: Health) -> Starlette:
    """Create an ASGI application with only these routes."""
    return Starlette(routes=health_routes(health))
