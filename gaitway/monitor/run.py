"""One observation from start to answers: pipeline, watches, people, a canary and Prometheus, all on this machine."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from gaitway.demo.processes import ServiceProcess
from gaitway.demo.stack import EMBEDDED, Stack, running_stack
from gaitway.embedded.prometheus import PrometheusServer, find_prometheus
from gaitway.load.run import LoadOptions, passed, run_load
from gaitway.monitor.faulty_watches import people
from gaitway.monitor.queries import Questions, print_answers
from gaitway.replay import replay
from shared.contracts.modality import WINDOW_MS
from shared.runtime.clock import system_clock

CONNECTIONS = 64
REAL_TIME = 1.0


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """``watches`` of a fleet without holes, beside the people of the recordings; ``pictures``: a folder, or None."""

    watches: int
    minutes: float
    recordings: Path
    model: Path
    pictures: Path | None

    @property
    def seconds(self) -> float:
        """How long everybody sends."""
        return self.minutes * 60

    @property
    def grace_s(self) -> float:
        """A minute in life; here a run would end before a gap has been waited for."""
        return min(10.0, max(2.0, self.seconds / 6))

    @property
    def lead_s(self) -> float:
        """What is left out at the start: windows that the watches' beginning cuts are gaps, all of them at once."""
        return WINDOW_MS / 1000 + self.grace_s + 2 * self.interval_s

    @property
    def interval_s(self) -> int:
        """Between two scrapes."""
        return max(1, min(5, round(self.seconds / 30)))


def run_monitor(options: MonitorOptions, console: Console) -> bool:
    """Run it, print the answers; True when every upload was taken and every window of the fleet has one event.

    Raises:
        StackError: a part cannot start; no Prometheus, or one that does not answer.
        CommandError, DatasetError: nothing can be made of the recordings, or the gateway refuses what is sent.
    """
    find_prometheus()  # Before half a minute goes into the start of the others.
    with running_stack(EMBEDDED, EMBEDDED, model=options.model, grace_s=options.grace_s) as stack:
        canary = ServiceProcess(
            "canary",
            {
                "gateway": stack.url,
                "kafka": stack.kafka,
                "topic_prefix": stack.topic_prefix,
                "jwt_key": stack.jwt_key,
                "late_after_s": 1,
                "missing_after_s": 10,
            },
        )
        urls = stack.health | {"canary": canary.url}
        targets = {job: [url.removeprefix("http://")] for job, url in urls.items()}
        with canary, PrometheusServer(targets, interval_s=options.interval_s) as prometheus:
            console.print(f"Prometheus {prometheus.url}, gateway {stack.url}: all up", soft_wrap=True)
            begin_s = time.time() + options.lead_s
            everything = _send(options, stack, console)
            # Until the last events are scraped, and not until the wait for what the watches' end has cut is over.
            time.sleep(options.interval_s + 0.5)
            end_s = time.time()
            questions = Questions(prometheus.query, math.ceil(end_s - begin_s))
            print_answers(questions.answers(), console)
            if options.pictures is not None:
                from gaitway.monitor.pictures import draw_all

                for path in draw_all(prometheus.url, options.pictures, begin_s, end_s, options.interval_s):
                    console.print(f"{path}: {path.stat().st_size / 1024:.0f} KB")
                _draw_browser(prometheus.url, options.pictures, console)
    return everything


def _send(options: MonitorOptions, stack: Stack, console: Console) -> bool:
    """The fleet and the people, side by side."""
    watches = people(options.recordings, stack.jwt_key, system_clock(), options.seconds)
    console.print(f"{options.watches} watches without holes and {len(watches)} people for {options.seconds:.0f} s")
    load = LoadOptions(
        url=stack.url,
        jwt_key=stack.jwt_key,
        kafka=stack.kafka,
        topic_prefix=stack.topic_prefix,
        watches=options.watches,
        minutes=options.minutes,
        connections=CONNECTIONS,
        recordings=options.recordings,
    )
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(lambda: asyncio.run(replay(watches, stack.url, REAL_TIME)))
        summary = run_load(load, console)
        try:
            replaying.result()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    console.print(
        f"{summary['uploads_accepted']} uploads of the fleet, {summary['events']} events: {summary['missing']} "
        f"missing, {summary['twice']} twice; {sum(watch.sent for watch in watches)} uploads of people",
        soft_wrap=True,
    )
    return passed(summary)


def _draw_browser(url: str, folder: Path, console: Console) -> None:
    from gaitway.monitor.browser import draw_page, find_browser

    if (browser := find_browser()) is None:
        console.print("no picture of Prometheus's own page: no chromium on the PATH (apt-get install chromium)")
        return
    path = draw_page(browser, url, folder / "prometheus.png")
    console.print(f"{path}: {path.stat().st_size / 1024:.0f} KB")
