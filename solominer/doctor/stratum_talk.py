"""A conversation with a Stratum server: requests and their answers, and the newest job that came meanwhile."""

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
    """The code and the reason that a server gave, as they may be shown."""
    text = printable(refusal.text, 200) or "no reason given"
    return text if refusal.code is None else f"{refusal.code} {text}"


def exact_difficulty(difficulty: float) -> str:
    """A difficulty for people: exact below a million."""
    return f"{difficulty:.10g}" if difficulty < 1e6 else scaled(difficulty, "").rstrip()


@dataclass(frozen=True, slots=True)
class Login:
    """What the trial logs in with, and for how many seconds it waits for another job at the end."""

    user: str
    password: str
    agent: str
    wait_secs: float


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds are waited: for an answer, for one that may be left out, for the first job, for a share."""

    answer_secs: float = 10.0
    quiet_secs: float = 3.0
    first_job_secs: float = 30.0
    mine_secs: float = 30.0


@dataclass(frozen=True, slots=True)
class Share:
    """A share of ours: what a submit names, and of which job."""

    assignment: Assignment
    extranonce2: bytes
    nonce: int
    bits: int


class Talk:
    """One connection, with what was learned of the server. `job_at` is when the first job came, monotonic seconds."""

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
            raise SolominerError("there is no job")
        return self.assignment

    def ask(self, request: tuple[int, bytes], secs: float | None = None) -> Reply | None:
        """Send a request; its reply, or None if none came in `secs` (`answer_secs` if left out).

        Raises SolominerError as `Link` does.
        """
        wanted, line = request
        secs = self.patience.answer_secs if secs is None else secs
        self.link.send(line)
        return self.wait(lambda event: event if isinstance(event, Reply) and event.request_id == wanted else None, secs)

    def submit(self, share: Share, job_id: str = "") -> Reply | None:
        """Hand in a share; `job_id` stands for that of its job."""
        assignment, extranonce2, nonce, bits = share.assignment, share.extranonce2, share.nonce, share.bits
        return self.ask(self.client.submit(self.login.user, assignment, extranonce2, nonce, bits, job_id))

    def wait(self, wanted: Callable[[Event], T | None], secs: float) -> T | None:
        """As `Link.wait`; jobs are taken note of."""

        def watch(event: Event) -> T | None:
            if isinstance(event, JobArrived):
                self.jobs += 1
                self.job_at = self.job_at or time.monotonic()
                self.assignment = event.assignment
            return wanted(event)

        return self.link.wait(watch, secs)

    def listen(self, secs: float) -> None:
        """Take what comes within `secs`."""
        self.wait(lambda event: None, secs)

    def problem(self, reply: Reply | None, method: str) -> CheckOutcome | None:
        """What is wrong with an answer that should be a yes; None if nothing is."""
        if reply is None:
            return failed(
                f"no answer to {method} within {self.patience.answer_secs:.0f} s",
                "is it a Stratum V1 port? Look at its log",
            )
        if reply.fault:
            return failed(reply.fault, "no miner could work with this")
        if reply.refusal is not None:
            return failed(f"refused: {refusal_text(reply.refusal)}", "look at the server's log")
        return None
