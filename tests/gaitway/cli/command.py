"""The command line in tests: as a process of its own, or in this one."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from unittest import mock

from gaitway.__main__ import main

KEY = "a key for tests, of 32 bytes and more"
NOBODY = "127.0.0.1:1"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def environment(**variables: object) -> dict[str, str]:
    """GAITWAY_* variables, none but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GAITWAY_")}
    return inherited | {f"GAITWAY_{name.upper()}": str(value) for name, value in variables.items()}


def gaitway(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """As a process: what starts services, changes the process, or must be seen from outside."""
    command = [sys.executable, "-m", "gaitway", *map(str, arguments)]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=120)


def gaitway_here(*arguments: object, **variables: object) -> subprocess.CompletedProcess[str]:
    """In this process, which has torch loaded already: a new one takes seconds for that."""
    command = ["gaitway", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    # Only the main thread may have handlers, and change them.
    signals = _SIGNALS if threading.current_thread() is threading.main_thread() else ()
    handlers = [(number, signal.getsignal(number)) for number in signals]
    try:
        with (
            mock.patch.dict(os.environ, environment(**variables), clear=True),
            mock.patch.object(sys, "argv", command),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
    if isinstance(code, str):  # as the interpreter does
        err.write(f"{code}\n")
        code = 1
    return subprocess.CompletedProcess(command, int(code or 0), out.getvalue(), err.getvalue())


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed command says, below what a service has logged."""
    assert done.returncode not in (0, 2), done
    *log, last = done.stderr.splitlines()
    assert last.startswith("gaitway: "), done.stderr
    assert not [line for line in log if line.startswith(("gaitway: ", "Traceback", " "))], done.stderr
    return last.removeprefix("gaitway: ")
