"""The findings of `solominer doctor`, which runs as a process of its own with the daemon's configuration."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from enum import StrEnum

import orjson
from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.errors import printable
from solominer.web.problems import REFUSALS, Unavailable
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["doctor"], responses=REFUSALS)

KEPT_SECS = 60
MOST_SECS = 120.0
"""A run that takes longer is given up."""

BY_HAND = "run `solominer doctor` in a terminal"


class FindingStatus(StrEnum):
    """Result of a check; `skipped` is not a failure."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Finding(BaseModel):
    """One check: its result, the evidence, and what to do. `subject` is the node's name, or empty."""

    check: str
    status: FindingStatus
    evidence: str
    todo: str
    subject: str
    secs: float


class Findings(BaseModel):
    """All checks, made `at`; `ok` if none failed."""

    at: float
    ok: bool
    findings: list[Finding]


@router.get("/doctor", response_model=Findings)
async def doctor(site: TheSite) -> Response:
    """Check this machine, the nodes and the listeners as `solominer doctor` does; takes seconds, kept for a minute."""
    command = _command(site)
    return Response(await _kept(command), media_type="application/json")


def _command(site: Site) -> tuple[str, ...]:
    """The command line with what is known of the daemon's configuration. Raises Unavailable."""
    status, file = site.feed.status, site.setup.config_file
    if file is None and status is None:
        raise Unavailable("the daemon's configuration is not known while it is not running", BY_HAND)
    options = [] if file is None else ["--config", str(file)]
    if status is not None:
        options += ["--mode", str(status["mode"]), "--data-dir", str(status["data_dir"])]
    return (sys.executable, "-m", "solominer", "doctor", "--json", *options)


_runs: dict[tuple[str, ...], tuple[float, asyncio.Task[bytes]]] = {}


async def _kept(command: tuple[str, ...]) -> bytes:
    begun_mono, run = _runs.get(command, (float("-inf"), None))
    if run is None or (run.done() and time.monotonic() - begun_mono >= KEPT_SECS):
        run = asyncio.create_task(_run(command))
        _runs.clear()
        _runs[command] = time.monotonic(), run
    return await asyncio.shield(run)


async def _run(command: tuple[str, ...]) -> bytes:
    """The findings as JSON. Raises Unavailable."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(MOST_SECS):
            output, problem = await process.communicate()
    except TimeoutError:
        raise Unavailable(f"the checks were given up after {MOST_SECS:.0f} s", BY_HAND) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
    try:
        findings = Findings(at=time.time(), **orjson.loads(output))
    except (ValueError, TypeError):
        said = problem.decode("utf-8", "replace").strip().splitlines()
        raise Unavailable(f"the checks could not be made: {printable(said[0] if said else '', 300)}", BY_HAND) from None
    return findings.model_dump_json().encode()
