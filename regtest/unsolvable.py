"""The real daemon on a real regtest node, with jobs as hard as mainnet's, for measuring.

On its way to the workers every job gets the target of mainnet, and no shares, so that nothing is ever solved and the
node's chain stands still, as a mainnet node's does between blocks.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from regtest.coins import coins_address
from solominer.chain.target import decode_compact
from solominer.cli import main
from solominer.engines.pool.pool import WorkerPool
from solominer.node.demo import DEMO_BITS
from solominer.node.private.node import PrivateNode
from solominer.work.job import Job


@contextmanager
def unsolvable_daemon(node: PrivateNode, folder: Path, **values: Any) -> Iterator[psutil.Process]:
    """The daemon as a program of its own, ended with the context; `values` go into its config, its log to `folder`."""
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {
                "mode": "regtest",
                "bitcoin_rpc": {"host": node.rpc_host, "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
                "zmq": {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence},
                "payout_address": coins_address(node),
                "data_dir": str(folder / "data"),
                **values,
            }
        )
    )
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "regtest.unsolvable", "run", "--config", str(config), "--plain"]
        process = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[1])
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _harden() -> None:
    publish = WorkerPool.publish
    target = decode_compact(DEMO_BITS)

    def publish_hard(pool: WorkerPool, job: Job, *, clean: bool = True) -> None:
        hard = replace(job, template=replace(job.template, target=target), share_target=0)
        publish(pool, hard, clean=clean)

    WorkerPool.publish = publish_hard  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    _harden()
    sys.argv[0] = "solominer"
    main()
