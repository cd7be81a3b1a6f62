"""Screenshot of Prometheus's own web page."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from gaitway.embedded.errors import StackError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (1200, 800)
LOAD_MS = 15_000
TIMEOUT_S = 90.0
GRAPH = "histogram_quantile(0.99, sum by (le, stage) (rate(gaitway_event_latency_seconds_bucket[30s])))"


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, PROGRAMS) if path is not None), None)


def draw_page(browser: str, url: str, path: Path) -> Path:
    """Write a PNG of Prometheus's graph page at ``url`` with one graph of the last minutes.

    Raises:
        StackError: the browser does not draw it.
    """
    fields = {"g0.expr": GRAPH, "g0.tab": "0", "g0.stacked": "0", "g0.range_input": "5m"}
    with tempfile.TemporaryDirectory(prefix="gaitway-") as profile:
        command = [
            browser,
            "--headless=new",
            "--no-sandbox",  # As root Chromium refuses to start with a sandbox; the page is trusted.
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
            f"--virtual-time-budget={LOAD_MS}",
            f"--screenshot={path.resolve()}",
            f"{url}/graph?{urlencode(fields)}",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{browser} has not drawn {url} within {TIMEOUT_S:.0f} s") from error
    if done.returncode != 0 or not path.exists():
        raise StackError(f"{browser} does not draw {url}: {done.stderr.strip().splitlines()[-1:]}")
    return path
