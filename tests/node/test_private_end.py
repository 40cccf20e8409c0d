"""The end of a private node that does not end by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode


def test_a_node_that_ends_just_before_it_is_killed(tmp_path: Path) -> None:
    """Its guard is late, and the pid is of a process that is gone."""
    node = PrivateNode(BitcoindBinary(("bitcoind",), "0", "test"), tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    late = [sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(0.5)"]
    node._guard = subprocess.Popen(late, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    node._pid = gone.pid
    node._end(0.05)
    assert not node.is_running()
