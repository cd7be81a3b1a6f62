# One target for each service: docker build --target ingest (or features, inference, canary) .
#
# Python comes by tag; whoever wants a digest or a mirror gives --build-arg PYTHON_IMAGE=python@sha256:...
# Packages come as wheels in the versions and with the hashes of requirements.lock: no compiler is ever needed.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PATH=/opt/uv/bin:$PATH \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/gaitway
WORKDIR /src
COPY requirements.lock pyproject.toml ./
RUN awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > /tmp/uv.lock \
    && python3 -m venv /opt/uv \
    && pip install --quiet --no-cache-dir --require-hashes -r /tmp/uv.lock \
    && uv venv --quiet --python python3 "$VIRTUAL_ENV"

# The code runs from a copy of the tree. The editable install adds the command, the version and the path of the tree.
FROM build AS app
WORKDIR /opt/gaitway/app
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY gaitway gaitway
COPY services services
COPY shared shared
COPY training training
COPY models models
COPY examples/recordings examples/recordings
RUN uv pip install --quiet --no-deps --build-constraints /src/requirements.lock --editable . \
    && python3 -m compileall -q --invalidation-mode unchecked-hash gaitway services shared training \
    && chmod -R a+rX .

FROM build AS ingest-env
RUN uv pip install --quiet --no-build -c requirements.lock -r pyproject.toml --extra ingest

FROM build AS features-env
RUN uv pip install --quiet --no-build -c requirements.lock -r pyproject.toml --extra features

FROM build AS inference-env
# The CPU build of torch is in PyTorch's own index, with other hashes than PyPI's: of torch the lock says the version only.
RUN uv pip install --quiet --no-build --no-deps --torch-backend=cpu "$(grep -o '^torch==[^ ]*' requirements.lock)"
RUN uv pip install --quiet --no-build -c requirements.lock -r pyproject.toml --extra inference

FROM build AS canary-env
RUN uv pip install --quiet --no-build -c requirements.lock -r pyproject.toml --extra client

FROM ${PYTHON_IMAGE} AS runtime
ARG PYTHON_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="The Gaitway authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
# Threads of BLAS beside the event loop only get in its way.
ENV PATH=/opt/gaitway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    GAITWAY_LOG_FORMAT=json \
    GAITWAY_HEALTH_HOST=0.0.0.0
WORKDIR /opt/gaitway
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from os import environ as e; from urllib.request import urlopen; urlopen('http://127.0.0.1:%s/healthz' % (e.get('GAITWAY_PORT') or e['GAITWAY_HEALTH_PORT']), timeout=4)"]
ENTRYPOINT ["gaitway"]

FROM runtime AS ingest
LABEL org.opencontainers.image.title="gaitway-ingest" \
      org.opencontainers.image.description="Gaitway's HTTP gateway: uploads of watches to Kafka"
COPY --from=ingest-env /opt/gaitway /opt/gaitway
COPY --from=app /opt/gaitway /opt/gaitway
ENV GAITWAY_HOST=0.0.0.0 GAITWAY_PORT=8080
EXPOSE 8080
CMD ["serve", "ingest"]

FROM runtime AS features
LABEL org.opencontainers.image.title="gaitway-features" \
      org.opencontainers.image.description="Gaitway's windows, baselines and features"
COPY --from=features-env /opt/gaitway /opt/gaitway
COPY --from=app /opt/gaitway /opt/gaitway
ENV GAITWAY_HEALTH_PORT=8082
EXPOSE 8082
CMD ["serve", "features"]

FROM runtime AS inference
LABEL org.opencontainers.image.title="gaitway-inference" \
      org.opencontainers.image.description="Gaitway's model: one activity event per window"
COPY --from=inference-env /opt/gaitway /opt/gaitway
COPY --from=app /opt/gaitway /opt/gaitway
ENV GAITWAY_HEALTH_PORT=8083
EXPOSE 8083
CMD ["serve", "inference"]

# The canary watch; the same image replays recordings: docker run ... gaitway/canary replay --url http://...
FROM runtime AS canary
LABEL org.opencontainers.image.title="gaitway-canary" \
      org.opencontainers.image.description="Gaitway's canary watch, and its other clients"
COPY --from=canary-env /opt/gaitway /opt/gaitway
COPY --from=app /opt/gaitway /opt/gaitway
ENV GAITWAY_HEALTH_PORT=8084
EXPOSE 8084
CMD ["canary"]
