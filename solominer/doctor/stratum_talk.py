"""Requests to a Stratum server and their replies, and the newest job received."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from solominer.doctor.check import CheckOutcome, failed
from solominer.doctor.stratum_link import Link, Server
from solominer.engines.stratum.assignment import Assignment
from solominer.engines.stratum.client import Event, JobArrived, Refusal, Reply, StratumClient
from solominer.errors import SolominerError, printable
from solominer.views.text import scaled

T = TypeVar("T")


def refusal_text(refusal: Refusal) -> str:
    """Code and reason of a refusal, escaped for display."""
    text = printable(refusal.text, 200) or "no reason given"
    return text if refusal.code is None else f"{refusal.code} {text}"


def exact_difficulty(difficulty: float) -> str:
    """A difficulty as text, exact below a million."""
    return f"{difficulty:.10g}" if difficulty < 1e6 else scaled(difficulty, "").rstrip()


@dataclass(frozen=True, slots=True)
class Login:
    """Username, password and user agent; `wait_secs` is how long to wait for another job at the end."""

    user: str
    password: str
    agent: str
    wait_secs: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts in seconds: of a reply, of an optional reply, of the first job, of the search for a share."""

    answer_secs: float = 10.0
    quiet_secs: float = 3.0
    first_job_secs: float = 30.0
    mine_secs: float = 30.0


@dataclass(frozen=True, slots=True)
class Share:
    """The parameters of a mining.submit. `bits` are the rolled version bits."""

    assignment: Assignment
    extranonce2: bytes
    nonce: int
    bits: int


class Talk:
    """One connection and the state of its session. `job_at` is the arrival of the first job, monotonic seconds."""

    def __init__(self, server: Server, login: Login, patience: Patience) -> None:
        self.login, self.patience = login, patience
        self.client = StratumClient(login.agent)
        self.link = Link(server, self.client)
        self.assignment: Assignment | None = None
        self.jobs = 0
        self.job_at = 0.0

    def work(self) -> Assignment:
        """The newest job. Raises SolominerError if none came."""
        if self.assignment is None:
            raise SolominerError("the server sent no job")
        return self.assignment

    def ask(self, request: tuple[int, bytes], secs: float | None = None) -> Reply | None:
        """Send a request and return its reply, or None after `secs` (default `answer_secs`).

        Raises SolominerError as `Link` does.
        """
        wanted, line = request
        secs = self.patience.answer_secs if secs is None else secs
        self.link.send(line)
        return self.wait(lambda event: event if isinstance(event, Reply) and event.request_id == wanted else None, secs)

    def submit(self, share: Share, job_id: str = "") -> Reply | None:
        """Submit a share; `job_id` replaces that of its job."""
        assignment, extranonce2, nonce, bits = share.assignment, share.extranonce2, share.nonce, share.bits
        return self.ask(self.client.submit(self.login.user, assignment, extranonce2, nonce, bits, job_id))

    def wait(self, wanted: Callable[[Event], T | None], secs: float) -> T | None:
        """As `Link.wait`; also keeps the newest job."""

        def watch(event: Event) -> T | None:
            if isinstance(event, JobArrived):
                self.jobs += 1
                self.job_at = self.job_at or time.monotonic()
                self.assignment = event.assignment
            return wanted(event)

        return self.link.wait(watch, secs)

    def listen(self, secs: float) -> None:
        """Process events for `secs`."""
        self.wait(lambda event: None, secs)

    def problem(self, reply: Reply | None, method: str) -> CheckOutcome | None:
        """The failure if `reply` is not a success, else None."""
        if reply is None:
            return failed(
                f"no answer to {method} within {self.patience.answer_secs:.0f} s",
                "check that this is a Stratum V1 port, and see the server's log",
            )
        if reply.fault:
            return failed(reply.fault, "report it to the server's developers: miners cannot use this reply")
        if reply.refusal is not None:
            return failed(f"refused: {refusal_text(reply.refusal)}", "see the server's log")
        return None
