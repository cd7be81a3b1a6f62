"""The HTTP application: POST /v1/uploads, its OpenAPI document, metrics and health."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.ingest.auth import TokenVerifier
from services.ingest.openapi import document
from services.ingest.problem_details import internal_error_response, problem
from services.ingest.producer import SampleProducer
from services.ingest.upload_endpoint import UploadEndpoint
from shared.runtime.clock import Clock, system_clock
from shared.runtime.health import Health, health_routes

UPLOADS_PATH = "/v1/uploads"


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _bug(_: Request, __: Exception) -> Response:
    return internal_error_response()


def create_app(
    producer: SampleProducer,
    verifier: TokenVerifier,
    health: Health,
    *,
    max_body_bytes: int = 1024**2,
    max_in_flight_per_user: int = 64,
    clock: Clock = system_clock,
) -> ASGIApp:
    """Create the gateway's ASGI application: uploads bypass Starlette, everything else goes through it."""
    uploads = UploadEndpoint(producer, verifier, max_body_bytes, max_in_flight_per_user, clock)
    openapi = document(max_body_bytes)

    async def openapi_page(_: Request) -> Response:
        return Response(openapi, media_type="application/json")

    others = Starlette(
        routes=[
            # Answers other methods than POST.
            Route(UPLOADS_PATH, uploads, methods=["POST"]),
            Route("/openapi.json", openapi_page),
            *health_routes(health),
        ],
        exception_handlers={HTTPException: _http_problem, Exception: _bug},
    )
    # A watch does not follow a redirect: /v1/uploads/ is an unknown path.
    others.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == UPLOADS_PATH and scope["method"] == "POST":
            await uploads(scope, receive, send)
        else:
            await others(scope, receive, send)

    return app
