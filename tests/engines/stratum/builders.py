"""A Stratum server without a network: work, sessions, and a miner that speaks the lines of its client."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from solominer.chain.hashes import hash_to_int, root_from_branch, sha256d
from solominer.chain.header import Header
from solominer.chain.target import decode_compact
from solominer.chain.transaction import TxOut
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.duplicates import Duplicates
from solominer.engines.stratum.events import BlockAccepted, Event, Output
from solominer.engines.stratum.extranonces import ExtranonceTable
from solominer.engines.stratum.jobs import JobBoard, Payouts
from solominer.engines.stratum.messages import reply_true
from solominer.engines.stratum.reference import HashlibValidator
from solominer.engines.stratum.session import Session
from solominer.engines.stratum.shared import ListenerSettings, PayTo, Shared
from solominer.engines.stratum.shares import ShareChecker, share_target
from solominer.engines.stratum.work import Audience, Work, swap_words
from solominer.work.workers import ExtranonceRange

P2WPKH = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
P2PKH = bytes.fromhex("76a914751e76e8199196d454941c45d1b3a323f1433bd688ac")
REGTEST_BITS = 0x207FFFFF
HARD_BITS = 0x1D00FFFF  # difficulty 1: no test finds a block by accident
EASY = 2.0**-30  # a share in four hashes
MASK = 0x1FFFE000
TEST_LIMITS = Limits(start=EASY, fractional=True)


def make_work(work_id: int = 1, tip: int = 1, **changes: Any) -> Work:
    """Work on a made-up tip."""
    values: dict[str, Any] = {
        "work_id": work_id,
        "height": 900_000 + tip,
        "prevhash_le": sha256d(tip.to_bytes(4, "little")),
        "version": 0x20000000,
        "version_mask": MASK,
        "nbits": HARD_BITS,
        "ntime": 1_800_000_000,
        "ntime_min": 1_799_999_000,
        "ntime_max": 1_800_007_000,
        "coinbase_value": 312_500_000,
        "commitment": sha256d(b"witness"),
        "merkle_branch": tuple(sha256d(bytes([i])) for i in range(3)),
        "tag": b"/solominer/",
    }
    return Work(**(values | changes))


def pay_config(work: Work, audience: Audience) -> tuple[TxOut, ...]:
    """The configured payout, or the audience's own script."""
    return (TxOut(work.coinbase_value, audience.script or P2WPKH),)


def make_shared(
    work: Work | None = None,
    *,
    payouts: Payouts = pay_config,
    limits: Limits = TEST_LIMITS,
    pay_to: PayTo = PayTo.CONFIG,
    **settings: Any,
) -> Shared:
    """What connections have in common; with `work` published at time 0."""
    board = JobBoard(payouts, 0x1000)
    tokens = itertools.count(1)
    table = ExtranonceTable(ExtranonceRange(0xA1000007, 1 << 24), lambda: f"{next(tokens):032x}")
    checker = ShareChecker(HashlibValidator(), Duplicates())
    shared = Shared(board, table, checker, ListenerSettings(pay_to=pay_to, limits=limits, **settings))
    if work is not None:
        board.publish(work, 0.0)
    return shared


@dataclass
class Client:
    """A miner at the other end of a session. It applies difficulty and mask at the next notify, as Bitaxe does."""

    shared: Shared | None = None
    now: float = 0.0
    session: Session = field(init=False)
    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    closed: str = ""
    extranonce1: bytes = b""
    session_id: str = ""
    difficulty: float = 1.0
    job: list[Any] = field(default_factory=list)
    jobs: list[list[Any]] = field(default_factory=list)
    job_difficulties: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.shared is not None
        self.session = Session(self.shared, self.now)

    def take(self, output: Output) -> list[dict[str, Any]]:
        """Read what the server sent; the new lines."""
        self.events += output.events
        self.closed = output.close or self.closed
        fresh = [json.loads(each) for each in output.data.splitlines()]
        # The server that this stands for has each block on disk at once.
        fresh += [json.loads(reply_true(each.id_json)) for each in output.events if isinstance(each, BlockAccepted)]
        self.note(fresh)
        return fresh

    def note(self, fresh: list[dict[str, Any]]) -> None:
        """Lines that the server sent."""
        self.lines += fresh
        for each in fresh:
            if each.get("method") == "mining.set_difficulty":
                self.difficulty = each["params"][0]
            elif each.get("method") == "mining.notify":
                self.job = each["params"]
                self.jobs.append(self.job)
                self.job_difficulties[self.job[0]] = self.difficulty
            elif isinstance(each.get("result"), list) and len(each["result"]) == 3:
                subscriptions, extranonce1, _ = each["result"]
                self.session_id, self.extranonce1 = subscriptions[0][1], bytes.fromhex(extranonce1)

    def send(self, *lines: str) -> list[dict[str, Any]]:
        """Lines in one packet; what came back."""
        return self.take(self.session.receive("".join(each + "\n" for each in lines).encode(), self.now))

    def login(self, agent: str = "test/1", user: str = "rig.1", password: str = "x") -> list[dict[str, Any]]:
        """Subscribe and authorize."""
        return self.send(
            line(1, "mining.subscribe", agent),
            line(2, "mining.authorize", user, password),
        )

    def publish(self, work: Work) -> list[dict[str, Any]]:
        """New work for this client."""
        assert self.shared is not None
        self.shared.board.publish(work, self.now)
        return self.take(self.session.work_changed(self.now))

    def tick(self, secs: float) -> list[dict[str, Any]]:
        """Time passes."""
        self.now += secs
        return self.take(self.session.tick(self.now))

    def header(self, job: list[Any], extranonce2: bytes, ntime: int, nonce: int, version: int) -> Header:
        """The header that a miner makes of a notify: from the wire alone."""
        txid = sha256d(bytes.fromhex(job[2]) + self.extranonce1 + extranonce2 + bytes.fromhex(job[3]))
        root = root_from_branch(txid, [bytes.fromhex(node) for node in job[4]])
        return Header(version, swap_words(bytes.fromhex(job[1])), root, ntime, int(job[6], 16), nonce)

    def mine(
        self,
        job: list[Any] | None = None,
        *,
        target: int | None = None,
        above: int = -1,
        extranonce2: bytes = bytes(8),
        ntime: int | None = None,
        bits: int = 0,
        start: int = 0,
    ) -> tuple[list[str], Header]:
        """Parameters of a submit (without the user) whose hash is at most `target` and above `above`, by trying."""
        job = job or self.job
        target = share_target(self.job_difficulties[job[0]]) if target is None else target
        when = int(job[7], 16) if ntime is None else ntime
        version = int(job[5], 16) | bits
        for nonce in itertools.count(start):
            header = self.header(job, extranonce2, when, nonce, version)
            if above < hash_to_int(header.hash_le()) <= target:
                break
        return [job[0], extranonce2.hex(), f"{when:08x}", f"{nonce:08x}"], header

    def submit(self, params: list[str], *, user: str = "rig.1", bits: str | None = None) -> dict[str, Any]:
        """Hand in a share; its reply."""
        whole = [user, *params] + ([bits] if bits is not None else [])
        fresh = self.send(line(77, "mining.submit", *whole))
        return next(each for each in fresh if each.get("id") == 77)

    def of(self, kind: type) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def line(id_value: object, method: str, *params: object) -> str:
    """A request as a client sends it, without its end of line."""
    return json.dumps({"id": id_value, "method": method, "params": list(params)})


def network_target(work: Work) -> int:
    """The target of a block."""
    return decode_compact(work.nbits)


def methods(lines: list[dict[str, Any]]) -> list[str]:
    """What kind of lines these are: methods, or `reply`."""
    return [each.get("method", "reply") for each in lines]
