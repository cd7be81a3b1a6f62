"""/metrics, /healthz and /readyz of the services that have no HTTP of their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared import metrics


@dataclass
class Health:
    """What a service says of itself: alive while its loop makes progress, ready while its dependencies answer."""

    stalled_after_s: float = 60.0
    monotonic: Callable[[], float] = time.monotonic
    not_ready: dict[str, str] = field(default_factory=dict)
    _last_progress: float | None = None

    def progress(self) -> None:
        """Called once per completed loop, also when there was nothing to do."""
        self._last_progress = self.monotonic()
        metrics.PROGRESS_SECONDS.set_to_current_time()

    def waits_for(self, dependency: str, why: str) -> None:
        """Not ready: ``dependency`` does not answer."""
        self.not_ready[dependency] = why

    def has(self, dependency: str) -> None:
        """``dependency`` answers again."""
        self.not_ready.pop(dependency, None)

    @property
    def alive(self) -> bool:
        """False once the loop has made no progress for ``stalled_after_s``; a start-up counts as progress."""
        if self._last_progress is None:
            self._last_progress = self.monotonic()
        return self.monotonic() - self._last_progress < self.stalled_after_s


def health_routes(health: Health) -> list[Route]:
    """The three routes."""

    async def metrics_page(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"alive": health.alive}, status_code=200 if health.alive else 503)

    async def readyz(_: Request) -> Response:
        waiting = dict(health.not_ready)
        return JSONResponse({"ready": not waiting, "waiting": waiting}, status_code=503 if waiting else 200)

    return [Route("/metrics", metrics_page), Route("/healthz", healthz), Route("/readyz", readyz)]


def health_app(health: Health) -> Starlette:
    """An ASGI application with only these routes."""
    return Starlette(routes=health_routes(health))
