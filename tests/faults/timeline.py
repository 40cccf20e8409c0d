"""The whole daemon, with workers that never solve a block and a file that tells when what happened. Run as a program.

    python -m tests.faults.timeline TIMELINE_FILE run --config ...

On regtest every other hash solves a block, and nothing could be seen of how the daemon follows a tip. So the workers
alone are told of a target that no hash meets; templates, jobs, checks and everything else are the daemon's own. Each
line of the file is one JSON object: `what` (tip, stop, publish), `at_ns` (Unix time), and what else belongs to it;
`workers` is the state before it, with times of the same clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson

_UNREACHABLE = 1


class Timeline:
    """Appends lines to a file, each with one write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def tell(self, what: str, **facts: Any) -> None:
        """One event, now."""
        self._file.write(orjson.dumps({"what": what, "at_ns": time.time_ns(), **facts}) + b"\n")


def install(timeline: Timeline) -> None:
    """Put the pool and the node clients that tell in the place of the daemon's own."""
    from solominer.daemon import every_run, nodes
    from solominer.engines.pool.pool import WorkerPool
    from solominer.engines.pool.snapshot import PoolSnapshot
    from solominer.node.client import NodeClient, NodeSettings
    from solominer.work.events import Event, NewTip
    from solominer.work.instant import Clock
    from solominer.work.job import Job

    class TellingPool(WorkerPool):
        """The pool, with a target for its workers that nothing meets."""

        def publish(self, job: Job, *, clean: bool = True) -> None:
            template = job.template
            before = _workers(self.pool_snapshot())
            hopeless = replace(template, target=_UNREACHABLE)
            super().publish(replace(job, template=hopeless, share_target=_UNREACHABLE), clean=clean)
            epoch = self.pool_snapshot().epoch
            facts = {"height": template.height, "provisional": template.provisional, "epoch": epoch}
            timeline.tell("publish", **facts, transactions=len(template.transactions), workers=before)

        def stop_work(self) -> None:
            before = _workers(self.pool_snapshot())
            super().stop_work()
            timeline.tell("stop", epoch=self.pool_snapshot().epoch, workers=before)

    def _workers(snapshot: PoolSnapshot) -> list[dict[str, int]]:
        to_wall_ns = time.time_ns() - time.monotonic_ns()
        return [
            {
                "epoch": worker.epoch,
                "left_ns": worker.left_ns + to_wall_ns if worker.left_ns else 0,
                "started_ns": worker.started_ns + to_wall_ns if worker.started_ns else 0,
                "hashes": worker.hashes,
            }
            for worker in snapshot.workers
        ]

    class TellingClient(NodeClient):
        """The node client, which tells of every new tip before it hands it on."""

        def __init__(self, settings: NodeSettings, post: Callable[[Event], None], clock: Clock) -> None:
            def tell(event: Event) -> None:
                if isinstance(event, NewTip):
                    hash_hex = event.hash_le[::-1].hex()
                    timeline.tell("tip", hash=hash_hex, node=event.node, source=event.source)
                post(event)

            super().__init__(settings, tell, clock)

    patch.object(every_run, "WorkerPool", TellingPool).start()  # raises where they are no longer made
    patch.object(nodes, "NodeClient", TellingClient).start()


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a timeline."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [orjson.loads(line) for line in lines if line.endswith(b"\n")]


def main() -> None:
    """The daemon's command line behind the file's name."""
    install(Timeline(Path(sys.argv[1])))
    sys.argv[:2] = ["solominer"]
    from solominer.cli import main as daemon

    daemon()


if __name__ == "__main__":
    main()
