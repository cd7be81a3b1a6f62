"""The command line of operators. Commands only parse their options here; each has a module that does its work."""

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console

from gaitway.cli import options
from gaitway.cli.options import between
from gaitway.cli.research import Dataset, People, split_names
from gaitway.cli.research import app as research_app
from gaitway.cli.rollout import bundle_app, rollout_app
from gaitway.errors import CommandError
from gaitway.paths import DEFAULT_MODEL, RECORDINGS

app = typer.Typer(
    name="gaitway",
    help="From smartwatch streams to live activity events.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
serve_app = typer.Typer(help="Run one service. Its settings are GAITWAY_* variables.", no_args_is_help=True)
app.add_typer(serve_app, name="serve")
app.add_typer(research_app)
app.add_typer(bundle_app, name="bundle")
app.add_typer(rollout_app, name="rollout")

MIN_SPEED = 0.01
MAX_MINUTES = 7 * 24 * 60
MAX_HOURS = 10 * 365 * 24

Kafka = Annotated[
    str, typer.Option(help="Kafka's bootstrap servers, HOST:PORT.", envvar="GAITWAY_KAFKA", callback=options.brokers)
]
Prefix = Annotated[
    str, typer.Option(help="Prefix of all topics.", envvar="GAITWAY_TOPIC_PREFIX", callback=options.topic_prefix)
]
Model = Annotated[Path, typer.Option(help="Folder of a model bundle.")]
SpeedText = Annotated[str, typer.Option(help="1 is real time, 20 is twenty times as fast, max is as fast as possible.")]
Summary = Annotated[
    Path | None, typer.Option(help="Write the summary as JSON to this file.", callback=options.output_file)
]
PhasePerUser = Annotated[
    bool,
    typer.Option(help="Whether each user's windows have their own phase of the hop.", envvar="GAITWAY_PHASE_PER_USER"),
]
JwtKey = Annotated[str, typer.Option(help="HS256 key that signs the gateway's tokens.", envvar="GAITWAY_JWT_KEY")]


def _speed(text: str) -> float:
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise CommandError(f"--speed: {text!r} is neither a positive number nor max")
    if speed < MIN_SPEED:
        raise CommandError(f"--speed: {text!r} is below {MIN_SPEED:g}")
    return speed


@serve_app.command("ingest")
def serve_ingest() -> None:
    """The HTTP gateway: POST /v1/uploads."""
    from services.ingest.service import IngestService
    from services.ingest.settings import IngestSettings
    from shared.runtime.service import run_service

    run_service("ingest", IngestSettings.read(), IngestService)


@serve_app.command("features")
def serve_features() -> None:
    """Windows, baselines and features."""
    from services.features.service import FeaturesService
    from services.features.settings import FeaturesSettings
    from shared.runtime.service import run_service

    run_service("features", FeaturesSettings.read(), FeaturesService)


@serve_app.command("inference")
def serve_inference() -> None:
    """The model: one event per window."""
    from services.inference.service import InferenceService
    from services.inference.settings import InferenceSettings
    from shared.runtime.service import run_service

    default = {} if "GAITWAY_MODEL" in os.environ else {"model": DEFAULT_MODEL}
    run_service("inference", InferenceSettings.read(**default), InferenceService)


@app.command()
def demo(
    watches: Annotated[
        int | None, typer.Option(help="Number of recordings to replay; all by default.", callback=between(1, 10**6))
    ] = None,
    speed: SpeedText = "20",
    broker: Annotated[
        str, typer.Option(help="embedded, or HOST:PORT of a Kafka broker.", callback=options.brokers)
    ] = "embedded",
    redis: Annotated[
        str, typer.Option(help="embedded, or the URL of a Redis server.", callback=options.redis_url)
    ] = "embedded",
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")] = RECORDINGS,
    model: Model = DEFAULT_MODEL,
    summary: Summary = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
) -> None:
    """Start the whole pipeline on this machine, replay recordings as watches, check every event."""
    from gaitway.demo.run import run_demo

    passed = run_demo(
        Console(),
        watches=watches,
        speed=_speed(speed),
        broker=broker,
        redis=redis,
        recordings=recordings,
        model=model,
        summary=summary,
        keep=keep,
    )
    if not passed:
        raise typer.Exit(1)


@app.command()
def replay(
    dataset: Dataset = f"recordings={RECORDINGS}",
    people: People = None,
    url: Annotated[str, typer.Option(help="URL of the gateway.", callback=options.http_url)] = "http://127.0.0.1:8080",
    speed: SpeedText = "1",
    jwt_key: JwtKey = "",
) -> None:
    """Send recordings to a gateway as if they were watches."""
    from gaitway.replay import make_watch, replay, users_of
    from shared.contracts.token import make_token
    from shared.runtime.clock import system_clock
    from training.datasets import find_sources

    pace = _speed(speed)
    sources = find_sources(dataset, split_names(people))
    make_token(jwt_key, "nobody")  # reject a wrong key before anything is read
    recordings = [source.read() for source in sources]
    now_ms = system_clock()
    fleet = [
        make_watch(recording, make_token(jwt_key, user), now_ms, pace, user)
        for recording, user in zip(recordings, users_of(recordings), strict=True)
    ]
    total = sum(len(watch.uploads) for watch in fleet)
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{len(fleet)} watches", total=total)
        uvloop.run(replay(fleet, url, pace, on_sent=lambda: progress.advance(task)))
    typer.echo(f"{total} uploads of {len(fleet)} watches accepted, {sum(watch.retries for watch in fleet)} retries")


@app.command()
def load(
    watches: Annotated[
        int, typer.Option(help="Number of watches; each uploads every 5 s.", callback=between(1, 10**6))
    ] = 1000,
    minutes: Annotated[
        float, typer.Option(help="How long each watch uploads.", callback=between(0.1, MAX_MINUTES))
    ] = 1.0,
    ramp_s: Annotated[
        float, typer.Option(help="Time over which the watches join, in s.", callback=between(0, 86_400))
    ] = 0.0,
    url: Annotated[
        str | None,
        typer.Option(
            help="URL of a running gateway; by default the pipeline is started on this machine.",
            callback=options.http_url,
        ),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option(
            help="Kafka that has the gateway's events; without it events are not checked.", callback=options.brokers
        ),
    ] = None,
    topic_prefix: Prefix = "",
    features_workers: Annotated[
        int, typer.Option(help="Number of features workers to start, without --url.", callback=between(1, 4))
    ] = 1,
    connections: Annotated[
        int, typer.Option(help="Number of keep-alive connections to the gateway.", callback=between(1, 65_535))
    ] = 256,
    phase_per_user: PhasePerUser = True,
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")] = RECORDINGS,
    model: Model = DEFAULT_MODEL,
    summary: Summary = None,
    jwt_key: JwtKey = "",
) -> None:
    """Replay recordings as thousands of watches in open loop; check that every window gets one event."""
    from gaitway.demo.stack import EMBEDDED, running_stack
    from gaitway.load.run import LoadOptions, passed, run_load

    console = Console()

    def run_on(url: str, jwt_key: str, kafka: str | None) -> dict[str, Any]:
        chosen = LoadOptions(
            url,
            jwt_key,
            kafka,
            topic_prefix,
            watches,
            minutes,
            connections,
            recordings,
            ramp_s,
            summary,
            phase_per_user,
        )
        return run_load(chosen, console)

    if url is not None:
        result = run_on(url, jwt_key, kafka)
    else:
        with running_stack(
            EMBEDDED,
            EMBEDDED,
            model=model,
            grace_s=60.0,
            features_workers=features_workers,
            phase_per_user=phase_per_user,
        ) as stack:
            result = run_on(stack.url, stack.jwt_key, stack.kafka)
    typer.echo(json.dumps(result, indent=2))
    if not passed(result):
        raise typer.Exit(1)


@app.command()
def monitor(
    watches: Annotated[
        int,
        typer.Option(
            help="Number of watches without gaps, besides those of the recordings.", callback=between(1, 10**6)
        ),
    ] = 200,
    minutes: Annotated[
        float, typer.Option(help="How long all watches send.", callback=between(0.5, MAX_MINUTES))
    ] = 4.0,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Write graphs of Prometheus's data to this folder.", callback=options.output_folder),
    ] = None,
    recordings: Annotated[Path, typer.Option(help="Folder of recordings.")] = RECORDINGS,
    model: Model = DEFAULT_MODEL,
) -> None:
    """Start the whole pipeline and a Prometheus on this machine; answer five questions of an operator from it."""
    from gaitway.monitor.run import run_monitor

    if not run_monitor(
        Console(), watches=watches, minutes=minutes, recordings=recordings, model=model, pictures=pictures
    ):
        raise typer.Exit(1)


@app.command()
def canary() -> None:
    """Send a known recording all day and check that its events arrive, right and in time.

    Settings are GAITWAY_* variables.
    """
    from gaitway.canary.run import CanaryService
    from gaitway.canary.settings import CanarySettings
    from shared.runtime.service import run_service

    run_service("canary", CanarySettings.read(), CanaryService)


@app.command()
def predict(
    dataset: Dataset,
    model: Model = DEFAULT_MODEL,
    people: People = None,
    summary: Summary = None,
    windows: Annotated[
        Path | None, typer.Option(help="Write one line per window to this CSV file.", callback=options.output_file)
    ] = None,
    phase_per_user: PhasePerUser = True,
) -> None:
    """Classify recordings offline: minutes per activity and person; UAR and a confusion matrix where labels exist.

    Exit code 1 if there is no window at all; the reason is printed.
    """
    from gaitway.predict.run import run_predict

    console = Console(markup=False, emoji=False, highlight=False)
    if not run_predict(
        console,
        dataset=dataset,
        model=model,
        people=split_names(people),
        summary=summary,
        windows=windows,
        phase_per_user=phase_per_user,
    ):
        raise typer.Exit(1)


@app.command()
def events(
    kafka: Kafka = "127.0.0.1:9092",
    topic_prefix: Prefix = "",
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest event in the topic.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="The events of the shadow model.")] = False,
) -> None:
    """Print activity events as they come, until Ctrl-C."""
    from gaitway.cli.tail import tail

    uvloop.run(tail(kafka, topic_prefix, user=user, from_start=from_start, as_json=as_json, shadow=shadow))


@app.command()
def explain(
    event_id: Annotated[str, typer.Argument(help="The event's CloudEvents id (ce_id).")],
    kafka: Kafka = "127.0.0.1:9092",
    topic_prefix: Prefix = "",
    model: Model = DEFAULT_MODEL,
    grace_s: Annotated[
        float, typer.Option(help="GAITWAY_GRACE_S of the features service, in s.", callback=between(0.1, 86_400))
    ] = 60.0,
    hours: Annotated[
        float | None,
        typer.Option(
            help="Read only this much of the log before the window's receipt; all by default.",
            callback=between(0, MAX_HOURS),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recompute one event from the log: records, samples, baseline, probabilities.

    Exit code 0 if the event equals its recomputation, else 1.
    """
    from gaitway.explain.run import explain as explain_event
    from shared.model.bundle import load_bundle

    bundle = load_bundle(model)
    found = uvloop.run(explain_event(kafka, topic_prefix, event_id, bundle, grace_s=grace_s, hours=hours))
    if as_json:
        typer.echo(found.to_json().decode())
    else:
        console = Console(markup=False, emoji=False, highlight=False)
        for part in found.render():
            console.print(part)
    if not found.equal:
        raise typer.Exit(1)


@app.command()
def broker(
    kafka_port: Annotated[int, typer.Option(help="Port of Kafka.", callback=options.port)] = 9092,
    redis_port: Annotated[int, typer.Option(help="Port of Valkey.", callback=options.port)] = 6379,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Keep the data in this folder; by default it is deleted at the end.", callback=options.output_folder
        ),
    ] = None,
) -> None:
    """Run only the embedded Kafka and Valkey, until Ctrl-C."""
    from gaitway.embedded import KafkaBroker, ValkeyServer

    if kafka_port == redis_port:
        raise CommandError(f"--redis-port: {redis_port} is Kafka's port already")
    kafka_data, redis_data = (data / "kafka", data / "valkey") if data else (None, None)
    persistence = {"appendonly": "yes"} if data else {}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        KafkaBroker(kafka_data, port=kafka_port) as kafka,
        ValkeyServer(redis_data, port=redis_port, properties=persistence) as valkey,
    ):
        typer.echo(f"Kafka at {kafka.bootstrap_servers}, Redis at {valkey.url}; Ctrl-C ends them")
        signal.pause()


@app.command()
def metrics() -> None:
    """Print every metric: name, kind, unit, meaning, and what to do when it changes (docs/metrics.md)."""
    from gaitway.cli.metrics_doc import make_page

    typer.echo(make_page(), nl=False)


@app.command()
def settings() -> None:
    """Print every setting: variable, default, range and meaning (docs/configuration.md)."""
    from gaitway.cli.settings_doc import make_page

    typer.echo(make_page(), nl=False)


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="Pseudonymous user id.")],
    jwt_key: JwtKey = "",
    hours: Annotated[
        float, typer.Option(help="Hours until the token expires.", callback=between(1 / 3600, MAX_HOURS))
    ] = 24.0,
) -> None:
    """Print a bearer token for a user, signed with the gateway's development key."""
    from shared.contracts.token import make_token

    typer.echo(make_token(jwt_key, user, ttl_s=round(hours * 3600)))
