"""End a server when its parent process ends for any reason: `parent_watchdog.py PARENT_PID CHILD_PID [FOLDER]`.

This is a separate process because PR_SET_PDEATHSIG fires when the *thread* that started the child ends.
The temporary FOLDER is then removed. The watchdog also ends when the server does.
"""

import contextlib
import os
import select
import shutil
import signal
import sys


def watch(parent_pid: int, child_pid: int, folder: str | None) -> None:
    """Wait until either process ends; if it is the parent, kill the child and remove the folder."""
    with contextlib.suppress(ProcessLookupError):  # one of them has ended already
        child = os.pidfd_open(child_pid)
        if _ended_alone(child, parent_pid):
            return
        signal.pidfd_send_signal(child, signal.SIGKILL)
        select.select([child], [], [])
    if folder and os.getppid() != parent_pid:
        shutil.rmtree(folder, ignore_errors=True)


def _ended_alone(child: int, parent_pid: int) -> bool:
    try:
        parent = os.pidfd_open(parent_pid)
    except ProcessLookupError:
        return False
    if os.getppid() != parent_pid:  # the parent ended before it could be watched; its pid may be reused
        return False
    ended, _, _ = select.select([parent, child], [], [])
    return parent not in ended


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
