"""One connection of a miner, sans I/O: bytes and time in, bytes and events out.

Nobody is dropped for refused shares or unknown methods; limits are on bytes, lines and connections. Requests may come
in any order and many in a packet; replies leave in the order of the requests, and nothing leaves before the first. Only
the reply to an accepted block waits until that is on disk (`BlockAccepted`), at a cluster's node also that to a share
which the head wants.
A change of difficulty goes out with a new job, because clients apply it at the next one. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from solominer.engines.stratum import messages, plain_shares
from solominer.engines.stratum.base_session import BaseSession
from solominer.engines.stratum.batch import Taken
from solominer.engines.stratum.configure import configure, suggested_difficulty
from solominer.engines.stratum.difficulty import Difficulty
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockAccepted,
    DifficultyChanged,
    Output,
    Subscribed,
    Tally,
    Worker,
)
from solominer.engines.stratum.extranonces import Held
from solominer.engines.stratum.lines import LineReader
from solominer.engines.stratum.logins import MAX_REFUSED_LOGINS, Login, Logins, parse_login
from solominer.engines.stratum.messages import Errors, Request, StratumError, reply, reply_error, reply_true
from solominer.engines.stratum.names import clean_text, parse_password
from solominer.engines.stratum.shared import PayTo, Shared
from solominer.engines.stratum.shares import Claim, make_claim
from solominer.engines.stratum.submit import parse_submit
from solominer.engines.stratum.work import EXTRANONCE1_SIZE, Audience, Job
from solominer.errors import SolominerError

MAX_BAD_LINES = 32


class Session(BaseSession):
    """One connection. Every input returns an `Output` to be carried out."""

    __slots__ = (
        "_address", "_bad_lines", "_claims", "_known", "_last_notify", "_logins", "_script", "_tip_le", "aimed", "aims",
        "difficulty", "held", "is_mining", "lines", "version_mask", "wants_extranonce",
    )  # fmt: skip

    def __init__(self, shared: Shared, now: float) -> None:
        super().__init__(shared, now)
        self.lines = LineReader()
        self._last_notify = now
        self._bad_lines = 0
        self._claims: list[tuple[int, Claim]] = []  # (place of its reply in _out, claim)
        self.version_mask: int | None = None
        self._logins = Logins()
        self._known: dict[str, tuple[Job, float | None]] = {}  # since the last job, by id
        self._script: bytes | None = None
        self._address = ""
        self.is_mining = False  # it was sent a job
        self._tip_le = b""
        self.held: Held | None = None
        self.difficulty = Difficulty(shared.settings.limits)
        self.wants_extranonce = False
        self.aimed: plain_shares.Aimed | None = None
        """What its last plain shares were; None once that may have changed."""
        self.aims: dict[tuple[bytes, bytes], plain_shares.Aimed] = {}  # likewise, by worker and job

    # Inputs

    def receive(self, data: bytes, now: float) -> Output:
        """Bytes arrived."""
        batch, count = self.shared.checker.batch, 0
        if batch is not None and self.is_mining:
            data = self.lines.unread() + data
            done, count = plain_shares.take(self, batch, data, now)
            data = data[done:]
        if data:
            count += self._take_lines(data, now)
        return self._take(count, now)

    def plain(self, data: bytes) -> tuple[plain_shares.Aimed, bytes] | None:
        """What shares must meet that may be taken with those of other connections, and their bytes; None: none may."""
        return (aimed, data) if (aimed := plain_shares.aimed_of(self)) else None

    def took(self, aimed: plain_shares.Aimed, taken: Taken, now: float) -> Output:
        """Shares at the beginning of a packet were taken for it."""
        plain_shares.count(self, aimed, taken, now)
        return self._take(taken.lines, now)

    def left_of(self, data: bytes, taken: Taken) -> bytes | None:
        """What is to be received yet of a packet; None: nothing."""
        return data[taken.next_at :] or None

    def tick(self, now: float) -> Output:
        """Time passed: to be called every few seconds."""
        settings = self.shared.settings
        if self.shared.board.current is None:
            self.difficulty.pause(now)
        elif self.is_mining:
            if self.difficulty.tick(now):
                self.retarget(now)
            elif now - self._last_notify >= settings.notify_secs:
                self._announce(now)
        elif not (self.held and self.workers) and now - self._opened >= settings.handshake_secs:
            self._close = f"no login within {settings.handshake_secs:.0f} s"
        return self._take()

    def work_changed(self, now: float) -> Output:
        """There is other work: a new tip, or fresh transactions on the same one."""
        if self.held and self.workers:
            self._announce(now)
        return self._take()

    def limits_changed(self, now: float) -> Output:
        """The listener has other bounds of difficulty."""
        if self.difficulty.bound(self.shared.settings.limits, now):
            self.retarget(now)
        return self._take()

    def address_resolved(self, address: str, script: bytes | None, reason: str, now: float) -> Output:
        """The node's answer about an address: its script, or None and why it cannot be paid."""
        for login in self._logins.of(address):
            if script is None:
                self._refuse(login, reason)
            else:
                self._login(login, script, now)
        return self._take()

    def block_answer(self, id_json: bytes, error: StratumError | None) -> bytes:
        """The answer to a BlockAccepted: None if the block is on disk."""
        return reply_true(id_json) if error is None else reply_error(id_json, error, result=b"false")

    def closed(self, now: float) -> None:
        """The connection is gone; its session may be resumed. Not to be called when another one has taken it over."""
        if self.held is not None:
            self.held.difficulty = self.difficulty.announced
            self.shared.table.close(self.held, now)

    # Lines

    def _take_lines(self, data: bytes, now: float) -> int:
        """How many lines these bytes complete."""
        lines = self.lines.feed(data)
        for line in lines:
            if line and line != b"\r":
                self.take_line(line, now)
        self.check_claims(now)
        if self.lines.problem is not None and not self._close:
            self._close, answer = messages.last_words(self.lines.problem)
            self._out.append(answer)
        return len(lines)

    def take_line(self, line: bytes, now: float) -> None:
        """One line of the client, without its end."""
        request = messages.parse_request(line)
        if request is None:
            self._bad_lines += 1
            if self._bad_lines >= MAX_BAD_LINES:
                self._close = f"{MAX_BAD_LINES} lines that are no requests"
            self._out.append(reply_error(b"null", Errors.NOT_JSON))
            return
        self._bad_lines = 0
        if request.method is None:
            return  # the answer to a ping, or to client.get_version
        handler = _HANDLERS.get(request.method)
        if handler is not None:
            handler(self, request, now)
        elif not request.is_notification():
            text = clean_text(request.method, 40)
            self._out.append(reply_error(request.id_json(), StratumError(20, f"Method '{text}' not found")))

    def _submit(self, request: Request, now: float) -> None:
        id_json = request.id_json()
        share = parse_submit(request.params)
        if isinstance(share, StratumError):
            self._out.append(reply_error(id_json, share, result=b"false"))
            return
        worker = self.workers.get(share.username)
        refusal = None if worker else Errors.WORKER_MISMATCH if self.workers else Errors.UNAUTHORIZED
        if self.held is None:
            self._out.append(reply_error(id_json, Errors.NOT_SUBSCRIBED, result=b"false"))
            return
        job, job_difficulty = self.announced(share.job_id, self.held)
        extranonce1 = self.held.extranonce1
        if job is None and self.workers and (before := self.shared.table.elsewhere(self.held.session_id)):
            job, extranonce1 = self.shared.board.find_elsewhere(share.job_id, self._audience()), before
        claim = make_claim(
            id_json,
            share,
            worker=worker,
            job=job,
            extranonce1=extranonce1,
            mask=self.version_mask,
            job_difficulty=job_difficulty,
            tip_le=self.shared.board.tip_le,
            refusal=refusal,
        )
        self._claims.append((len(self._out), claim))
        self._out.append(b"")

    def announced(self, job_id: str, held: Held) -> tuple[Job | None, float | None]:
        """The job of that id, and the difficulty it was announced with; None if it was not announced here."""
        known = self._known.get(job_id)
        if known is not None:
            return known
        audience = self._audience()
        job = self.shared.board.find(job_id, audience if self.workers else None)
        if job is None or job.audience != audience:
            return job, None
        known = self._known[job_id] = job, self.difficulty.of_job(held, job.seq)
        return known

    def answer(self, lines: bytes) -> None:
        """Send these lines, behind what is waiting."""
        self._out.append(lines)

    def check_claims(self, now: float) -> None:
        """Answer the shares that were read since the last time."""
        if not self._claims:
            return
        moved, judged = False, self.judge([claim for _, claim in self._claims])
        for (place, claim), (error, hash_int, hash_le) in zip(self._claims, judged, strict=True):
            if error is not None:
                self._out[place] = reply_error(claim.id_json, error, result=b"false")
            elif hash_le:
                self._events.append(BlockAccepted(claim.id_json, hash_le))
            else:
                self._out[place] = reply_true(claim.id_json)
            if error is None and self.difficulty.share(hash_int, now):
                moved = True
        self._claims = []
        if moved:
            self.retarget(now)

    def _configure(self, request: Request, now: float) -> None:
        work = self.shared.board.current
        agreed = configure(request.params, work.version_mask if work else 0x1FFFE000)
        if agreed.version_mask is not None:
            self.version_mask = agreed.version_mask
        if agreed.least_difficulty is not None and self.difficulty.at_least(agreed.least_difficulty, now):
            self.retarget(now)
        self.aimed = None
        self.aims.clear()
        self.wants_extranonce |= agreed.wants_extranonce
        self._out.append(reply(request.id_json(), agreed.result))

    def _subscribe(self, request: Request, now: float) -> None:
        params = request.params if isinstance(request.params, list) else []
        if self.held is None:
            if params and isinstance(params[0], str):
                self._introduced(params[0])
            wanted = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
            try:
                self.held, resumed = self.shared.table.open(wanted, now)
            except SolominerError as error:
                self._close = error.what
                self._out.append(reply_error(request.id_json(), StratumError(20, error.what)))
                return
            self.difficulty.resume(self.held.difficulty if resumed else 0.0)
            self._events.append(Subscribed(self.held.session_id, self.user_agent, resumed))
            for worker in self.workers.values():  # which logged in before: only now it is known what client they use
                self._begin(worker)
        subscriptions = [["mining.notify", self.held.session_id]]
        split = self.shared.board.split
        extranonce1 = self.held.extranonce1[EXTRANONCE1_SIZE - split.connections :]
        self._out.append(reply(request.id_json(), [subscriptions, extranonce1.hex(), split.miner]))
        if self.workers and not self.is_mining:
            self._announce(now)

    def _authorize(self, request: Request, now: float) -> None:
        login = parse_login(request)
        if login is None:
            self._out.append(reply_error(request.id_json(), Errors.NO_USERNAME, result=b"false"))
        elif login.raw in self.workers:
            self._out.append(reply_true(login.id_json))
        elif self._logins.is_full(self.workers, self.shared.settings.max_workers):
            self._out.append(reply_error(login.id_json, Errors.TOO_MANY_WORKERS, result=b"false"))
        elif self.shared.settings.pay_to is PayTo.CONFIG:
            self._login(login, None, now)
        elif not login.name.address:
            self._refuse(login, "the username must be a Bitcoin address, such as bc1q....worker")
        elif login.name.address in self.shared.scripts:
            self._login(login, self.shared.scripts[login.name.address], now)
        else:
            self._logins.wait(login)
            self._events.append(AddressWanted(login.name.address))

    def _login(self, login: Login, script: bytes | None, now: float) -> None:
        try:
            script, credit = self.shared.payee(script)
        except SolominerError as error:
            self._refuse(login, error.what)
            return
        if self._script not in (None, script):
            self._refuse(login, f"this connection already pays {self._address}: use a second one")
            return
        first = not self.workers
        self._script, self._address = script, login.name.address
        try:
            if self.held and first and self.shared.board.current:
                self._check_size(self.shared.board.job_after(self.held.last_seq, self._audience()))
        except SolominerError as error:
            self._script = None
            self._refuse(login, error.what)
            return
        self._known.clear()
        worker = self.workers[login.raw] = Worker(login.name.name, Tally(), credit)
        if first:
            self.difficulty.ask(parse_password(login.password))
        if self.held:
            self._begin(worker)
        self._out.append(reply_true(login.id_json))
        if self.held and not self.is_mining:
            self._announce(now)

    def _begin(self, worker: Worker) -> None:
        """A worker is subscribed and logged in: its shares count."""
        worker.tally = self.shared.tallies.of(worker.name, self.user_agent)
        self._events.append(Authorized(worker))

    def _refuse(self, login: Login, reason: str) -> None:
        self._logins.refused += 1
        if self._logins.refused >= MAX_REFUSED_LOGINS and not self.workers:
            self._close = f"{MAX_REFUSED_LOGINS} logins that were refused"
        self._events.append(AuthorizeRefused(login.name.name, reason))
        self._out.append(reply_error(login.id_json, StratumError(24, reason), result=b"false"))

    def _suggest(self, request: Request, now: float) -> None:
        """bfgminer sends it with a null id before subscribing and takes the next line for the reply to that."""
        difficulty = suggested_difficulty(request.method, request.params)
        if not request.is_notification():
            id_json = request.id_json()
            self._out.append(reply_true(id_json) if difficulty else reply_error(id_json, Errors.BAD_DIFFICULTY))
        if difficulty and self.difficulty.suggest(difficulty, now):
            self.retarget(now)

    def _agreed(self, request: Request, now: float) -> None:
        self.wants_extranonce |= request.method == "mining.extranonce.subscribe"
        self._out.append(reply_true(request.id_json()))

    def _ping(self, request: Request, now: float) -> None:
        self._out.append(reply(request.id_json(), "pong"))

    def _pong(self, request: Request, now: float) -> None:
        """Bitaxe's answer to a ping has a method."""

    def _get_transactions(self, request: Request, now: float) -> None:
        self._out.append(reply_error(request.id_json(), Errors.NOT_SUPPORTED))

    # Jobs

    def _audience(self) -> Audience:
        if self.shared.settings.pay_to is PayTo.GROUP:
            return Audience(None, self.agent.coinbase_bytes)
        return Audience(self._script)

    def _check_size(self, job: Job) -> None:
        if job.coinbase_bytes > self.agent.coinbase_bytes:
            raise SolominerError(
                f"the payouts make a coinbase of {job.coinbase_bytes} bytes; "
                f"{self.user_agent or 'this client'} takes {self.agent.coinbase_bytes}"
            )

    def retarget(self, now: float) -> None:
        """Announce a job with the difficulty that is in force now."""
        if self.is_mining:
            self._announce(now)

    def _announce(self, now: float) -> None:
        """Send the newest job that this client does not have, behind its difficulty where that changed."""
        board, held = self.shared.board, self.held
        work = board.current
        if work is None or held is None:
            return
        try:
            job = board.job_after(held.last_seq, self._audience())
            self._check_size(job)
        except SolominerError as error:
            self._out.append(messages.notification("client.show_message", [error.what]))
            self._close = error.what
            return
        clean = not self.is_mining or work.prevhash_le != self._tip_le
        before = self.difficulty.announced
        difficulty = self.difficulty.for_job(held, job.seq, self.agent, work.most_difficulty, board.oldest_seq, now)
        if difficulty != before or not self.is_mining:
            self._out.append(messages.set_difficulty(difficulty))
            self._events.append(DifficultyChanged(difficulty))
        if self.version_mask is not None and self.version_mask & ~work.version_mask:
            self.version_mask &= work.version_mask
            self._out.append(messages.set_version_mask(self.version_mask))
        self._out.append(job.notify(clean))
        held.last_seq, self._tip_le, self._last_notify = job.seq, work.prevhash_le, now
        self.is_mining = True
        self._known.clear()
        self.aimed = None
        self.aims.clear()


_HANDLERS: dict[str, Callable[[Session, Request, float], None]] = {
    "mining.submit": Session._submit,
    "mining.configure": Session._configure,
    "mining.subscribe": Session._subscribe,
    "mining.authorize": Session._authorize,
    "mining.auth": Session._authorize,
    "mining.suggest_difficulty": Session._suggest,
    "mining.suggest_target": Session._suggest,
    "mining.extranonce.subscribe": Session._agreed,
    "mining.multi_version": Session._agreed,
    "mining.ping": Session._ping,
    "mining.pong": Session._pong,
    "pong": Session._pong,
    "mining.get_transactions": Session._get_transactions,
}
