import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from gaitway.embedded import free_port

ROOT = Path(__file__).parents[3]
UNWRITABLE = "/proc"
"""Nobody can make a file there, root neither."""


def test_it_starts_in_a_folder_that_it_cannot_write_to():
    port, nobody = free_port(), free_port()
    variables = {
        "GAITWAY_KAFKA": f"127.0.0.1:{nobody}",
        "GAITWAY_REDIS": f"redis://127.0.0.1:{nobody}/0",
        "GAITWAY_HEALTH_PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "gaitway", "serve", "features"],
        cwd=UNWRITABLE,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
    )
    try:
        deadline_s = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline_s:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.1)
        assert process.poll() is None, "it has ended by itself"
    finally:
        process.terminate()
        _, log = process.communicate()
    assert process.returncode == 0, log.decode()
