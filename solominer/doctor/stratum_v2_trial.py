"""Test a Stratum V2 server as a miner: handshake, channels of both kinds, the job's coinbase, and shares."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple, TypeVar

from solominer.chain.header import Header
from solominer.chain.target import DIFFICULTY_1_TARGET, decode_compact
from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ms, ok, run_checks, skipped, warning
from solominer.doctor.stratum_link import READ_BYTES, SEND_SECS, Server, connect
from solominer.doctor.stratum_shares import LARGEST_DIFFICULTY, SLICE
from solominer.doctor.stratum_talk import Login, Patience, exact_difficulty
from solominer.doctor.stratum_work import coinbase_outcome, payouts_outcome, target_outcome, time_outcome
from solominer.engines.stratum.assignment import Assignment, CoinbaseView, ServerJob, read_coinbase, search
from solominer.engines.stratum.v2.client import ClientChannel, HeaderWork, V2Client
from solominer.engines.stratum.v2.messages import (
    Message,
    NewExtendedMiningJob,
    OpenExtendedMiningChannel,
    OpenExtendedMiningChannelSuccess,
    OpenMiningChannelError,
    OpenStandardMiningChannel,
    OpenStandardMiningChannelSuccess,
    SetupConnection,
    SetupConnectionError,
    SetupConnectionSuccess,
    SubmitSharesError,
    SubmitSharesSuccess,
)
from solominer.errors import BadValue, DecodeError, SolominerError, printable

EXTRANONCE_SIZE = 4
_ANY_TARGET = b"\xff" * 32
_LOW_RATE_HPS = LARGEST_DIFFICULTY * 2**32 / 10
_EXTENDED, _STANDARD = 1, 2

M = TypeVar("M")
N = TypeVar("N")


class _Share(NamedTuple):
    """A header of a job, and its answer is still to come."""

    work: HeaderWork
    header: Header
    extranonce: bytes


def try_v2_server(server: Server, key: bytes, login: Login, patience: Patience | None = None) -> Iterator[Finding]:
    """Run all checks and yield each finding at once; `key` is the authority key. The connection is closed at the end.

    Needs the packages of the extra `stratum2`.
    """
    with closing(V2Trial(server, key, login, patience or Patience(), payouts_outcome)) as trial:
        yield from run_checks(trial.checks())


class V2Trial:
    """One connection, step by step. `payouts` checks the payees of the coinbase, given the username."""

    def __init__(
        self,
        server: Server,
        key: bytes,
        login: Login,
        patience: Patience,
        payouts: Callable[[Assignment, CoinbaseView, str], CheckOutcome],
    ) -> None:
        self._server, self._login, self._patience, self._payouts = server, login, patience, payouts
        self._client = V2Client(key)
        self._socket: socket.socket | None = None
        self._messages: list[Message] = []
        self._share: _Share | None = None

    def job_checks(self) -> list[Check]:
        """The steps from connecting to the checks of the first job; no share is submitted."""
        job = ("connect", "handshake", "set-up", "extended channel")
        return [
            Check("connect", self._connect),
            Check("handshake", self._handshake, ("connect",)),
            Check("set-up", self._set_up, job[:2]),
            Check("extended channel", self._extended, job[:3]),
            Check("coinbase", lambda: coinbase_outcome(read_coinbase(self._assignment())), job),
            Check("outputs", self._outputs, (*job, "coinbase")),
            Check("network target", lambda: target_outcome(self._assignment()), job),
            Check("ntime", lambda: time_outcome(self._assignment(), time.time()), job),
            Check("standard channel", self._standard, job[:3]),
        ]

    def checks(self) -> list[Check]:
        """All steps in order."""
        job = ("connect", "handshake", "set-up", "extended channel")
        return [
            *self.job_checks(),
            Check("share", self._mine, job),
            Check("duplicate share", self._duplicate, (*job, "share")),
            Check("wrong job id", self._wrong_job, job),
            Check("another job", self._another_job, job),
        ]

    def close(self) -> None:
        """Leave."""
        if self._socket is not None:
            self._socket.close()

    # The connection

    def _connect(self) -> CheckOutcome:
        started = time.monotonic()
        self._socket = connect(self._server)
        self._send(self._server.greeting)
        return ok(f"{self._server} in {ms(time.monotonic() - started)}")

    def _handshake(self) -> CheckOutcome:
        started = time.monotonic()
        self._send(self._client.act1)
        while not self._client.is_secure:
            if time.monotonic() - started > self._patience.answer_secs:
                return failed(
                    f"no answer within {self._patience.answer_secs:.0f} s", "check that this port speaks Stratum V2"
                )
            self._read(self._patience.answer_secs)
        return ok(f"in {ms(time.monotonic() - started)}; the authority key vouches for the server")

    def _set_up(self) -> CheckOutcome:
        setup = SetupConnection(0, 2, 2, 0, self._server.host, self._server.port, self._login.agent, "", "", "")
        answer = self._ask(setup, SetupConnectionSuccess, SetupConnectionError)
        if isinstance(answer, SetupConnectionError):
            return failed(f"refused: {printable(answer.error_code)}, flags {answer.flags:#x}", "see the server's log")
        fixed = "; versions are fixed" if answer.flags & 1 else ""
        return ok(f"version {answer.used_version}{fixed}")

    # Channels

    def _extended(self) -> CheckOutcome:
        asked = OpenExtendedMiningChannel(_EXTENDED, self._login.user, _LOW_RATE_HPS, _ANY_TARGET, EXTRANONCE_SIZE)
        answer = self._ask(asked, OpenExtendedMiningChannelSuccess, OpenMiningChannelError)
        if isinstance(answer, OpenMiningChannelError):
            return failed(f"refused: {printable(answer.error_code)}", "set --user to a username of this server")
        self._first_work(answer.channel_id)
        assignment = self._assignment()
        said = f"extranonce of {answer.extranonce_size} bytes behind {len(answer.extranonce_prefix)}, "
        said += f"difficulty {exact_difficulty(assignment.difficulty)}, {len(assignment.job.branch)} hashes of path"
        if answer.extranonce_size != EXTRANONCE_SIZE:
            return warning(said, f"{EXTRANONCE_SIZE} bytes were asked for: some firmware uses no more and no fewer")
        return ok(said)

    def _standard(self) -> CheckOutcome:
        asked = OpenStandardMiningChannel(_STANDARD, self._login.user, _LOW_RATE_HPS, _ANY_TARGET)
        answer = self._ask(asked, OpenStandardMiningChannelSuccess, OpenMiningChannelError)
        if isinstance(answer, OpenMiningChannelError):
            return failed(f"refused: {printable(answer.error_code)}", "small miners have only standard channels")
        work = self._first_work(answer.channel_id)
        return ok(f"a job with Merkle root {work.header().merkle_root_le[::-1].hex()[:16]}…")

    def _outputs(self) -> CheckOutcome:
        assignment = self._assignment()
        return self._payouts(assignment, read_coinbase(assignment), self._login.user)

    # Shares

    def _mine(self) -> CheckOutcome:
        difficulty = self._assignment().difficulty
        if difficulty > LARGEST_DIFFICULTY:
            return skipped(f"difficulty {exact_difficulty(difficulty)} is too high to find a share here")
        deadline, count = time.monotonic() + self._patience.mine_secs, 0
        while time.monotonic() < deadline:
            self._read(0.0)
            work = self._work()
            size = work.extranonce_size or 0
            extranonce = (count % 256**size).to_bytes(size)
            count += 1
            nonce = search(work.header(0, extranonce), range(SLICE), work.target)
            if nonce is not None:
                share = _Share(work, work.header(nonce, extranonce), extranonce)
                error = self._submit(share)
                if error and work.prev_hash != self._work().prev_hash:
                    continue  # the tip changed meanwhile
                if error:
                    return failed(
                        f"rejected: {error}", "the hash meets the target: check how the server builds headers"
                    )
                self._share = share
                return ok("found and accepted")
        return skipped(f"no share within {self._patience.mine_secs:.0f} s; try again")

    def _duplicate(self) -> CheckOutcome:
        if self._share is None:
            return skipped("no share was found")
        error = self._submit(self._share)
        return ok(f"refused: {error}") if error else warning("accepted", "the server counts a share twice")

    def _wrong_job(self) -> CheckOutcome:
        work = self._work()
        wrong = work._replace(job=work.job._replace(job_id=work.job.job_id ^ 0x80000000))
        error = self._submit(_Share(wrong, work.header(0, bytes(EXTRANONCE_SIZE)), bytes(EXTRANONCE_SIZE)))
        return ok(f"refused: {error}") if error else warning("accepted", "the server accepts what it cannot check")

    def _another_job(self) -> CheckOutcome:
        secs = self._login.wait_secs
        if secs <= 0:
            return skipped("disabled by --seconds 0")
        started, before = time.monotonic(), self._work().job
        while self._work().job == before:
            left = secs - (time.monotonic() - started)
            if left <= 0:
                return warning(f"none within {secs:.0f} s", "some miners disconnect after 120 s without a message")
            self._read(left)
        return ok(f"after {time.monotonic() - started:.1f} s")

    def _submit(self, share: _Share) -> str:
        """Why it is refused, or ""."""
        extranonce = share.extranonce[: share.work.extranonce_size or 0].ljust(share.work.extranonce_size or 0, b"\0")
        message = share.work.share(len(self._messages), share.header, extranonce)
        answer = self._ask(message, SubmitSharesSuccess, SubmitSharesError)
        return "" if isinstance(answer, SubmitSharesSuccess) else printable(answer.error_code, 200) or "no reason given"

    # Messages

    def _channel(self) -> ClientChannel:
        channel = next(iter(self._client.channels.values()), None)
        if channel is None:
            raise SolominerError("the server has closed the channel", "see the server's log")
        return channel

    def _work(self) -> HeaderWork:
        work = self._channel().work
        assert work is not None
        return work

    def _assignment(self) -> Assignment:
        """The extended job in the words of V1, for the checks that both have in common."""
        work = self._work()
        job = work.job
        if not isinstance(job, NewExtendedMiningJob) or not decode_compact(work.nbits):
            raise BadValue("an extended channel got a standard job, or one with a target of zero")
        as_v1 = ServerJob(
            job_id=str(job.job_id),
            prevhash_le=work.prev_hash,
            coinbase1=job.coinbase_tx_prefix,
            coinbase2=job.coinbase_tx_suffix,
            branch=job.merkle_path,
            version=job.version,
            nbits=work.nbits,
            ntime=work.ntime,
            clean=True,
        )
        difficulty = DIFFICULTY_1_TARGET / max(work.target, 1)
        return Assignment(as_v1, difficulty, work.extranonce_prefix, work.extranonce_size or 0, 0)

    def _first_work(self, channel_id: int) -> HeaderWork:
        deadline = time.monotonic() + self._patience.first_job_secs
        while (channel := self._client.channels.get(channel_id)) is None or channel.work is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise SolominerError("the channel is open, but no job came", "check that the server's node is synced")
            self._read(left)
        return channel.work

    def _ask(self, message: Message, yes: type[M], no: type[N]) -> M | N:
        """Send a message; the first answer of either kind. Raises SolominerError without one."""
        start, deadline = len(self._messages), time.monotonic() + self._patience.answer_secs
        self._send(self._client.sealed(message))
        while True:
            for answer in self._messages[start:]:
                if isinstance(answer, yes | no):
                    return answer
            left = deadline - time.monotonic()
            if left <= 0:
                name = type(message).__name__
                raise SolominerError(f"no answer to {name} within {self._patience.answer_secs:.0f} s")
            self._read(left)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(SEND_SECS)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise SolominerError(f"{self._server} closed the connection: {error.strerror}", "see its log") from None

    def _read(self, secs: float) -> None:
        """Read what comes within that time. Raises SolominerError at the end of the connection."""
        assert self._socket is not None
        self._socket.settimeout(max(secs, 0.001))
        try:
            data = self._socket.recv(READ_BYTES)
        except TimeoutError:
            return
        except OSError as error:
            raise SolominerError(f"{self._server} closed the connection: {error.strerror}", "see its log") from None
        if not data:
            raise SolominerError(
                f"{self._server} closed the connection", "check that this port speaks Stratum V2, and see its log"
            )
        try:
            self._messages += self._client.receive(data)
        except DecodeError as error:
            raise SolominerError(error.what, error.todo or "report it to the server's developers") from None
