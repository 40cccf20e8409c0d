"""The bounds of an end that has several steps."""

from __future__ import annotations

import subprocess
import sys
import time

from solominer.daemon.deadline import Deadline

STUCK = """
import threading
from solominer.daemon.deadline import exit_after

exit_after(0.1, 3)
threading.Thread(target=threading.Event().wait).start()  # as one that waits for a disk that hangs
"""


def test_steps_share_what_is_left() -> None:
    deadline = Deadline(60.0)
    assert deadline.left(0.1) == 0.1
    first = deadline.left(100.0)
    time.sleep(0.001)
    assert 0.1 < deadline.left(100.0) < first <= 60.0
    deadline = Deadline(0.001)
    time.sleep(0.002)
    assert deadline.left(10.0) == 0.0


def test_a_process_with_a_thread_that_never_ends_is_gone_in_time() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3
    assert "not all parts of the daemon ended within 0.1 s: it exits now" in done.stderr
