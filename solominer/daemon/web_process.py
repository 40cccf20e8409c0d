"""Starts the web server beside the daemon, and again when it ends. Mining never waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import NoReturn

from solominer.engines.pool.processes import python_command
from solominer.web.setup import WebSetup

FIRST_BACKOFF_SECS, MAX_BACKOFF_SECS, HEALTHY_SECS = 1.0, 60.0, 60.0
STOP_SECS = 3.0

log = logging.getLogger("solominer.daemon.daemon")


class WebProcess:
    """The web server's process. Why it cannot serve is logged once, until it can again."""

    def __init__(self, setup: WebSetup) -> None:
        self._setup = setup
        self._problem = ""

    async def run(self) -> NoReturn:
        """Keep it running until cancelled."""
        backoff = FIRST_BACKOFF_SECS
        while True:
            began = time.monotonic()
            reason = await self._serve()
            if time.monotonic() - began > HEALTHY_SECS:
                backoff = FIRST_BACKOFF_SECS
            if reason != self._problem:
                self._problem = reason
                log.error("no web page: %s", reason)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF_SECS)

    async def _serve(self) -> str:
        """One run of the process; returns why it ended."""
        command, environment = python_command("solominer.web")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            return f"it cannot be started: {error}"
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        last_words = asyncio.create_task(_last_line(process.stderr))
        problem = ""
        try:
            process.stdin.write(self._setup.line())
            with suppress(ConnectionError):
                await process.stdin.drain()
            while line := await process.stdout.readline():
                problem = self._take(line) or problem
            code = await process.wait()
            words = await last_words
            return problem or f"it ended with exit code {code}{': ' if words else ''}{words}"
        finally:
            last_words.cancel()
            if process.returncode is None:
                process.stdin.close()
                await _end(process)

    def _take(self, line: bytes) -> str:
        """One message; returns the error in it."""
        try:
            message = json.loads(line)
        except ValueError:
            return ""
        if "url" in message:
            self._problem = ""
            log.info("the web page is at %s", message["url"])
        elif "log" in message:
            log.log(message["level"], "web: %s", message["log"])
        elif "error" in message:
            return f"{message['error']} -> {message['todo']}"
        return ""


async def _last_line(stream: asyncio.StreamReader) -> str:
    """The last line of a stream, at its end."""
    last = ""
    with suppress(ValueError):  # an overlong line
        while line := await stream.readline():
            last = line.decode(errors="replace").strip() or last
    return last


async def _end(process: asyncio.subprocess.Process) -> None:
    """Its standard input is closed: wait for it, and end it by force if it takes too long."""
    with suppress(ProcessLookupError):
        try:
            await asyncio.wait_for(process.wait(), STOP_SECS)
        except TimeoutError:
            process.kill()
            await process.wait()
