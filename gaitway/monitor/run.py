"""`gaitway monitor` from start to answers: pipeline, watches, a canary and Prometheus, all on this machine."""

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from gaitway.demo.processes import ServiceProcess
from gaitway.demo.stack import EMBEDDED, Stack, running_stack
from gaitway.embedded.prometheus import PrometheusServer, find_prometheus
from gaitway.load.run import LoadOptions, passed, run_load
from gaitway.monitor.faulty_watches import make_faulty_watches
from gaitway.monitor.queries import Questions, print_answers
from gaitway.replay import replay
from shared.contracts.modality import WINDOW_MS
from shared.runtime.clock import system_clock

CONNECTIONS = 64
REAL_TIME = 1.0


def run_monitor(
    console: Console, *, watches: int, minutes: float, recordings: Path, model: Path, pictures: Path | None
) -> bool:
    """Run it and print the answers; True when every upload was accepted and every window of the fleet has one event.

    ``watches`` is the size of a fleet without gaps, which sends beside the people of the recordings. ``pictures`` is a
    folder, or None.

    Raises:
        StackError: a part cannot start, or Prometheus is missing or does not answer.
        CommandError, DatasetError: the recordings cannot be used, or the gateway refuses an upload.
    """
    find_prometheus()  # Fail before the other parts start, which takes half a minute.
    # 60 s by default; with that a short run would end before the grace period of its first gap.
    grace_s = min(10.0, max(2.0, minutes * 10))
    interval_s = max(1, min(5, round(minutes * 2)))
    with running_stack(EMBEDDED, EMBEDDED, model=model, grace_s=grace_s) as stack:
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
        with canary, PrometheusServer(targets, interval_s=interval_s) as prometheus:
            console.print(f"Prometheus {prometheus.url}, gateway {stack.url}: all up", soft_wrap=True)
            # Without the first windows: the watches' start cuts them, so that all of them are gaps at once.
            begin_s = time.time() + WINDOW_MS / 1000 + grace_s + 2 * interval_s
            all_passed = _send(stack, console, watches, minutes, recordings)
            # The last events have to be scraped. The gaps that the watches' end causes come later and are left out.
            time.sleep(interval_s + 0.5)
            end_s = time.time()
            questions = Questions(prometheus.query, math.ceil(end_s - begin_s))
            print_answers(questions.answers(), console)
            if pictures is not None:
                from gaitway.monitor.pictures import draw_all

                for path in draw_all(prometheus.url, pictures, begin_s, end_s, interval_s):
                    console.print(f"{path}: {path.stat().st_size / 1024:.0f} KB")
                _draw_browser(prometheus.url, pictures, console)
    return all_passed


def _send(stack: Stack, console: Console, watches: int, minutes: float, recordings: Path) -> bool:
    """Send the fleet's uploads and those of the people at the same time."""
    people = make_faulty_watches(recordings, stack.jwt_key, system_clock(), minutes * 60)
    console.print(f"{watches} watches without gaps and {len(people)} people for {minutes * 60:.0f} s")
    load = LoadOptions(
        url=stack.url,
        jwt_key=stack.jwt_key,
        kafka=stack.kafka,
        topic_prefix=stack.topic_prefix,
        watches=watches,
        minutes=minutes,
        connections=CONNECTIONS,
        recordings=recordings,
    )
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(lambda: asyncio.run(replay(people, stack.url, REAL_TIME)))
        summary = run_load(load, console)
        try:
            replaying.result()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    console.print(
        f"{summary['uploads_accepted']} uploads of the fleet, {summary['events']} events: {summary['missing']} "
        f"missing, {summary['twice']} twice; {sum(watch.sent for watch in people)} uploads of people",
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
