"""Test a Stratum server as a miner: log in, read a job, submit valid and invalid shares, and report the replies.

Only what miners rely on is required, so that it works with any server: error codes are shown, but not checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ms, ok, run_checks, skipped, warning
from solominer.doctor.stratum_link import Server
from solominer.doctor.stratum_shares import ShareTrial
from solominer.doctor.stratum_talk import Login, Patience, Talk, exact_difficulty, refusal_text
from solominer.doctor.stratum_work import coinbase_outcome, job_outcome, payouts_outcome, target_outcome, time_outcome
from solominer.engines.stratum.assignment import Assignment, CoinbaseView, read_coinbase
from solominer.engines.stratum.client import JobArrived
from solominer.errors import BadValue, printable


def try_server(server: Server, login: Login, patience: Patience | None = None) -> Iterator[Finding]:
    """Run all checks and yield each finding at once. The connection is closed at the end."""
    talk = Talk(server, login, patience or Patience())
    with closing(talk.link):
        yield from run_checks(Trial(talk, payouts_outcome).checks())


class Trial:
    """One connection to a server, step by step. `payouts` checks the payees of the coinbase, given the username."""

    def __init__(self, talk: Talk, payouts: Callable[[Assignment, CoinbaseView, str], CheckOutcome]) -> None:
        self._talk, self._payouts = talk, payouts
        self._view: CoinbaseView | None = None
        self._login_at = 0.0

    def job_checks(self) -> list[Check]:
        """The steps from connecting to the checks of the first job; no share is submitted."""
        login = ("connect", "subscribe", "authorize")
        job = (*login, "first job")
        whole = (*job, "coinbase")
        return [
            Check("connect", self._connect),
            self._step("configure", self._configure, ("connect",)),
            self._step("subscribe", self._subscribe, ("connect",)),
            self._step("authorize", self._authorize, ("connect", "subscribe")),
            self._step("first job", self._first_job, login),
            self._step("difficulty", self._difficulty, job),
            self._step("coinbase", self._coinbase, job),
            self._step("outputs", self._outputs, whole),
            self._step("network target", lambda: target_outcome(self._talk.work()), job),
            self._step("ntime", lambda: time_outcome(self._talk.work(), time.time()), job),
        ]

    def checks(self) -> list[Check]:
        """All steps in order."""
        shares = ShareTrial(self._talk)
        job = ("connect", "subscribe", "authorize", "first job")
        whole = (*job, "coinbase")
        return [
            *self.job_checks(),
            self._step("lower difficulty", shares.suggest, whole),
            self._step("share", shares.mine, whole),
            self._step("duplicate share", shares.duplicate, whole),
            self._step("wrong job id", shares.wrong_job, whole),
            self._step("share above target", shares.above_target, whole),
            self._step("unknown method", self._unknown_method, ("connect",)),
            self._step("another job", self._another_job, job),
            Check("lines", self._lines, ("connect",)),
        ]

    def _step(self, name: str, run: Callable[[], CheckOutcome], needs: tuple[str, ...]) -> Check:
        """A check that requires an open connection."""
        return Check(name, lambda: run() if self._talk.link.is_open else skipped("the connection is closed"), needs)

    # Logging in

    def _connect(self) -> CheckOutcome:
        started = time.monotonic()
        tls = self._talk.link.open()
        return ok(f"{self._talk.link.server} in {ms(time.monotonic() - started)}{f', {tls}' if tls else ''}")

    def _configure(self) -> CheckOutcome:
        reply = self._talk.ask(self._talk.client.configure(), self._talk.patience.quiet_secs)
        if reply is None:
            return warning(
                f"no answer within {self._talk.patience.quiet_secs:.0f} s",
                "miners that roll the version may wait for a reply: see the server's log",
            )
        if reply.fault:
            return failed(reply.fault, "miners that roll the version cannot use this reply")
        if reply.refusal is not None:
            return ok(f"refused: {refusal_text(reply.refusal)}; no version rolling")
        mask = self._talk.client.version_mask
        return ok(f"version rolling with mask {mask:08x}, {mask.bit_count()} bits" if mask else "no version rolling")

    def _subscribe(self) -> CheckOutcome:
        reply = self._talk.ask(self._talk.client.subscribe())
        problem = self._talk.problem(reply, "mining.subscribe")
        if problem is not None:
            return problem
        subscription = self._talk.client.subscription
        assert subscription is not None
        name, extranonce1, size = subscription
        session = f"session {printable(name, 40)}" if name else "no session id"
        first = f"extranonce1 {extranonce1.hex() or '(empty)'} of {len(extranonce1)} bytes"
        said = f"{first}, extranonce2 of {size}, {session}"
        if size > 8:
            return warning(said, "some miners support at most 8 bytes of extranonce2")
        if size < 2:
            return warning(said, "use 4 to 8 bytes of extranonce2: fast miners exhaust a smaller one at once")
        return ok(said)

    def _authorize(self) -> CheckOutcome:
        self._login_at = time.monotonic()
        reply = self._talk.ask(self._talk.client.authorize(self._talk.login.user, self._talk.login.password))
        name = printable(self._talk.login.user, 120)
        if reply is not None and reply.refusal is not None:
            messages = "; ".join(printable(each.text, 200) for each in self._talk.link.told if each.text)
            return failed(
                f"{name} is refused: {refusal_text(reply.refusal)}{f' ({messages})' if messages else ''}",
                "set --user to a username of this server, often ADDRESS.WORKER",
            )
        return self._talk.problem(reply, "mining.authorize") or ok(f"{name} is accepted")

    # The job

    def _first_job(self) -> CheckOutcome:
        if self._talk.assignment is None:
            self._talk.wait(lambda event: isinstance(event, JobArrived) or None, self._talk.patience.first_job_secs)
        if self._talk.assignment is None:
            fault = next((each.why for each in self._talk.link.faults), "")
            return failed(
                f"no job within {self._talk.patience.first_job_secs:.0f} s{f': {fault}' if fault else ''}",
                "check that the server's node is synced: miners are idle without a job",
            )
        return job_outcome(self._talk.assignment, self._talk.job_at - self._login_at)

    def _difficulty(self) -> CheckOutcome:
        difficulty = self._talk.client.difficulty
        if difficulty is None:
            return warning(
                "none was set before the first job", "send mining.set_difficulty before the first job: miners assume 1"
            )
        return ok(exact_difficulty(difficulty))

    def _coinbase(self) -> CheckOutcome:
        try:
            self._view = read_coinbase(self._talk.work())
        except BadValue as error:
            return failed(error.what, "do not mine here: no block of this job can be valid")
        return coinbase_outcome(self._view)

    def _outputs(self) -> CheckOutcome:
        assert self._view is not None
        return self._payouts(self._talk.work(), self._view, self._talk.login.user)

    # The connection

    def _unknown_method(self) -> CheckOutcome:
        reply = self._talk.ask(self._talk.client.request("mining.no_such_method", []), self._talk.patience.quiet_secs)
        self._talk.listen(0.2)  # the server may close the connection after its reply
        if reply is None:
            return warning(
                f"no answer within {self._talk.patience.quiet_secs:.0f} s; the connection is open",
                "some miners wait for a reply",
            )
        if reply.refusal is None:
            return ok("answered with a result; the connection is open")
        return ok(f"refused: {refusal_text(reply.refusal)}; the connection is open")

    def _another_job(self) -> CheckOutcome:
        secs = self._talk.login.wait_secs
        if secs <= 0:
            return skipped("disabled by --seconds 0")
        started = time.monotonic()
        arrived = self._talk.wait(lambda event: event if isinstance(event, JobArrived) else None, secs)
        asked = f"{self._talk.link.asked} server requests answered"
        if arrived is None:
            return warning(f"none within {secs:.0f} s; {asked}", "some miners disconnect after 120 s without a message")
        clean = "clean_jobs" if arrived.assignment.job.clean else "older jobs remain valid"
        return ok(f"after {time.monotonic() - started:.1f} s, {clean}; {self._talk.jobs} jobs in total; {asked}")

    def _lines(self) -> CheckOutcome:
        if not self._talk.link.fault_count:
            messages = [f"{printable(each.method, 40)} {printable(each.text, 100)!r}" for each in self._talk.link.told]
            return ok("; ".join(["all lines valid", *messages]))
        first = self._talk.link.faults[0]
        return failed(
            f"{self._talk.link.fault_count} invalid lines; the first: {printable(first.why, 200)}: "
            f"{printable(first.line, 80)}",
            "report it to the server's developers",
        )
