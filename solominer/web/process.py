"""The web server as a process of the daemon: `python -m solominer.web`, started by it and ended with it.

The first line on standard input is a WebSetup as JSON; the end of standard input ends the process. On standard output
are JSON lines: `{"url": ...}` once it serves, `{"error": ..., "todo": ...}` if it cannot, `{"level": ..., "log": ...}`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

from solominer.engines.pool.processes import die_with
from solominer.errors import EngineError, printable_lines
from solominer.web.app import create_app
from solominer.web.connection import is_ours
from solominer.web.server import WebServer
from solominer.web.setup import WebSetup
from solominer.web.site import Site


class _Lines(logging.Handler):
    """Passes log records to the daemon."""

    def emit(self, record: logging.LogRecord) -> None:
        _say({"level": record.levelno, "log": printable_lines(self.format(record))})


def main() -> int:
    """Serve until standard input ends; returns the exit code."""
    die_with(os.getppid())
    setup = WebSetup.model_validate(json.loads(sys.stdin.buffer.readline()))
    root = logging.getLogger()
    root.addHandler(_Lines())
    logging.getLogger("solominer").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addFilter(is_ours)
    try:
        asyncio.run(serve(setup))
    except EngineError as error:
        _say({"error": error.what, "todo": error.todo})
        return 1
    return 0


async def serve(setup: WebSetup) -> None:
    """Serve until standard input ends. Raises EngineError if the address cannot be used."""
    server = WebServer(create_app(Site.of(setup)), setup.web)
    stdin = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin.buffer)
    ended = asyncio.create_task(stdin.read())
    ended.add_done_callback(lambda task: server.stop())
    await server.serve(lambda: _say({"url": server.url}))
    ended.cancel()


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
