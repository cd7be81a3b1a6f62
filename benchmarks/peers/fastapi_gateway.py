"""The gateway as the documentation of FastAPI has it (fastapi.tiangolo.com).

Nested pydantic models with constraints (tutorial/body-nested-models, tutorial/body-fields), the token by a dependency
(tutorial/dependencies, tutorial/security/oauth2-jwt), the producer in the lifespan (advanced/events), uvicorn with
uvloop and httptools (deployment/manually).

The same fields, limits and tokens, the same records on the same topics, acknowledged by all replicas before 202. Left
out: gzip, problem+json, metrics, traces, ticks, limits of memory and waiting, reconnection.

    python -m benchmarks.peers.fastapi_gateway    (environment: benchmarks.peers.gateway_settings)
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import jwt
import numpy as np
import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, model_validator

from benchmarks.peers.gateway_settings import GatewaySettings
from shared.contracts.labels import ContextActivity, Intensity
from shared.contracts.modality import ACCELEROMETER, HEART_RATE, MODALITY_BY_NAME, STEPS, Modality
from shared.contracts.quantise import MG_PER_UNIT, accelerometer_mg, heart_rate_bpm, steps_total
from shared.contracts.samples import SampleRecord
from shared.contracts.time_limits import UPLOAD_FUTURE_MS, UPLOAD_PAST_MS
from shared.contracts.topics import SAMPLE_TOPICS
from shared.contracts.upload import INT16_MAX, MAX_SAMPLES
from shared.runtime.clock import system_clock

ALGORITHM = "HS256"
settings = GatewaySettings.read()
bearer = HTTPBearer()
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Stamp = Annotated[int, Field(ge=0, le=253_402_300_799_000)]


class Part(BaseModel):
    model_config = STRICT
    t0_ms: Stamp


def rate_of(modality: Modality) -> Any:
    low, high = modality.upload_rate_hz
    return Field(ge=low, le=high)


def samples() -> Any:
    return Field(min_length=1, max_length=MAX_SAMPLES)


class Accelerometer(Part):
    rate_hz: Annotated[float, rate_of(ACCELEROMETER)]
    unit: Literal["mg", "g", "m/s2"]
    x: Annotated[list[float], samples()]
    y: Annotated[list[float], samples()]
    z: Annotated[list[float], samples()]

    @model_validator(mode="after")
    def same_length(self) -> "Accelerometer":
        if not len(self.x) == len(self.y) == len(self.z):
            raise ValueError("x, y and z differ in length")
        return self


class HeartRate(Part):
    rate_hz: Annotated[float, rate_of(HEART_RATE)]
    bpm: Annotated[list[Annotated[float, Field(ge=0, le=255)] | None], samples()]


class Steps(Part):
    rate_hz: Annotated[float, rate_of(STEPS)]
    total: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)] | None], samples()]


class Context(BaseModel):
    model_config = STRICT
    activity: ContextActivity | None = None
    intensity: Intensity | None = None


class Upload(BaseModel):
    model_config = STRICT
    device: Name
    session: Name
    seq: Annotated[int, Field(ge=0, le=2**63 - 1)]
    sent_at_ms: Stamp
    utc_offset_min: Annotated[int, Field(ge=-1_440, le=1_440)] | None = None
    accelerometer: Accelerometer | None = None
    heart_rate: HeartRate | None = None
    steps: Steps | None = None
    context: Context | None = None

    @model_validator(mode="after")
    def has_a_modality(self) -> "Upload":
        if not any(getattr(self, name) for name in MODALITY_BY_NAME):
            raise ValueError("no modality")
        return self


class Accepted(BaseModel):
    accepted: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True, linger_ms=int(settings.linger_ms)
    ) as producer:
        app.state.producer = producer
        yield


app = FastAPI(lifespan=lifespan)


async def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(credentials.credentials, settings.jwt_key, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from error
    return str(claims["sub"])


async def current_producer(request: Request) -> AIOKafkaProducer:
    return request.app.state.producer


@app.post("/v1/uploads", status_code=202)
async def upload(
    upload: Upload,
    user: Annotated[str, Depends(current_user)],
    producer: Annotated[AIOKafkaProducer, Depends(current_producer)],
) -> Accepted:
    records = records_of(upload, system_clock())
    await asyncio.gather(
        *(
            producer.send_and_wait(
                settings.topic_prefix + SAMPLE_TOPICS[record.modality.name].name, record.encode(), key=user.encode()
            )
            for record in records
        )
    )
    return Accepted(accepted=sum(record.n for record in records))


def records_of(upload: Upload, now_ms: int) -> list[SampleRecord]:
    parts: list[tuple[Modality, Any, Any]] = []
    if part := upload.accelerometer:
        values = np.array([part.x, part.y, part.z])
        if np.abs(values).max() * MG_PER_UNIT[part.unit] > INT16_MAX:
            raise HTTPException(422, "beyond 32.767 g")
        parts.append((ACCELEROMETER, part, accelerometer_mg(values, part.unit)))
    if upload.heart_rate:
        parts.append((HEART_RATE, upload.heart_rate, heart_rate_bpm(upload.heart_rate.bpm)[np.newaxis]))
    if upload.steps:
        parts.append((STEPS, upload.steps, steps_total(upload.steps.total)[np.newaxis]))
    for _, part, values in parts:
        end_ms = part.t0_ms + values.shape[1] * 1000 / part.rate_hz
        if part.t0_ms < now_ms - UPLOAD_PAST_MS or end_ms > now_ms + UPLOAD_FUTURE_MS:
            raise HTTPException(422, "samples from too long ago, or from the future")
    return [
        SampleRecord(
            modality=modality,
            device=upload.device,
            session=upload.session,
            seq=upload.seq,
            t0_ms=part.t0_ms,
            rate_hz=part.rate_hz,
            received_at_ms=now_ms,
            sent_at_ms=upload.sent_at_ms,
            modalities=tuple(each.name for each, _, _ in parts),
            samples=values,
            context=upload.context.model_dump(exclude_none=True) or None if upload.context else None,
            utc_offset_min=upload.utc_offset_min,
        )
        for modality, part, values in parts
    ]


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(settings.port), loop="uvloop", http="httptools", access_log=False)
