"""The miner's end of a Stratum V1 connection, sans I/O: bytes in, bytes and events out.

For trying servers and mining at them. It demands nothing of them: whatever they send becomes an event. Texts in events
are the server's own and not yet safe to show. JSON is the standard library's, so that nothing else has to be installed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple, NoReturn

from solominer.engines.stratum.assignment import Assignment, read_job
from solominer.engines.stratum.server_values import (
    Subscription,
    read_difficulty,
    read_extranonce,
    read_mask,
    read_reconnect,
    read_subscription,
)
from solominer.errors import BadValue

MAX_LINE_BYTES = 256 * 1024
MAX_TEXT = 200
MAX_ID = 128
ASKED_MASK = 0x1FFFE000
"""The version bits that BIP 320 leaves to miners."""

_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")


class Foreign(Enum):
    """Something other than Stratum; nothing is read after it."""

    HTTP = auto()
    TLS = auto()
    LONG_LINE = auto()


class Refusal(NamedTuple):
    """An error as the server gave it; `code` is None where it gave none, `text` may be empty."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request `request_id`. `refusal` is None where it says yes; `fault`: it cannot be read."""

    request_id: int
    method: str
    result: Any
    refusal: Refusal | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class JobArrived:
    """A job (mining.notify), with what holds for it."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class DifficultySet:
    """mining.set_difficulty: it holds from the next job on."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the server that was answered, such as a ping."""

    method: str


@dataclass(frozen=True, slots=True)
class Told:
    """A notification that changes nothing here, such as client.show_message; `text` is its first parameter.

    Also an error that answers no request (its id is null); `method` is "error" then, and `text` the reason.
    """

    method: str
    text: str


@dataclass(frozen=True, slots=True)
class Redirected:
    """client.reconnect: connect to `host` and `port` ("" and 0: to the same) after `wait_secs`."""

    host: str
    port: int
    wait_secs: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that a miner could not use, and why; `line` is its beginning."""

    why: str
    line: bytes


@dataclass(frozen=True, slots=True)
class NotStratum:
    """The server speaks something else; `began` is what it sent first."""

    kind: Foreign
    began: bytes


Event = Reply | JobArrived | DifficultySet | Asked | Told | Redirected | Fault | NotStratum


@dataclass(slots=True)
class Received:
    """The result of received bytes: events, and `data` to send back."""

    events: list[Event] = field(default_factory=list)
    data: bytes = b""


class StratumClient:
    """The state of one connection to a server. Requests return bytes to send; `receive` takes what came back."""

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._rest = b""
        self._anything_read = False
        self._foreign = False
        self._next_id = 1
        self._waiting: dict[int, str] = {}
        self.subscription: Subscription | None = None
        self.extranonce1 = b""
        self.extranonce2_size = 0
        self.version_mask = 0
        self.difficulty: float | None = None

    # Requests

    def request(self, method: str, params: list[object]) -> tuple[int, bytes]:
        """Any request: its id and its line."""
        request_id = self._next_id
        self._next_id += 1
        self._waiting[request_id] = method
        return request_id, _line({"id": request_id, "method": method, "params": params})

    def configure(self) -> tuple[int, bytes]:
        """Ask for version rolling (BIP 310)."""
        options: dict[str, object] = {
            "version-rolling.mask": f"{ASKED_MASK:08x}",
            "version-rolling.min-bit-count": 2,
        }
        return self.request("mining.configure", [["version-rolling"], options])

    def subscribe(self, session_id: str = "") -> tuple[int, bytes]:
        """Ask for an extranonce1, that of an earlier connection if `session_id` is its session's."""
        return self.request("mining.subscribe", [self._agent, *([session_id] if session_id else [])])

    def authorize(self, user: str, password: str) -> tuple[int, bytes]:
        """Log in."""
        return self.request("mining.authorize", [user, password])

    def submit(
        self, user: str, assignment: Assignment, extranonce2: bytes, nonce: int, bits: int, job_id: str = ""
    ) -> tuple[int, bytes]:
        """Hand in a share. Its version bits are named if some may be rolled; `job_id` stands for that of the job."""
        job = assignment.job
        params: list[object] = [user, job_id or job.job_id, extranonce2.hex(), f"{job.ntime:08x}", f"{nonce:08x}"]
        if assignment.version_mask:
            params.append(f"{bits:08x}")
        return self.request("mining.submit", params)

    # What the server sends

    def receive(self, data: bytes) -> Received:
        """Bytes arrived. A last line without its end waits for the rest."""
        received = Received()
        if self._foreign:
            return received
        data = self._rest + data
        if not self._anything_read and data:
            kind = _foreign(data)
            if kind is not None:
                return self._give_up(kind, data, received)
            self._anything_read = b"\n" in data
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            if len(line) > MAX_LINE_BYTES:
                return self._give_up(Foreign.LONG_LINE, line, received)
            if line.strip():
                self._read(line, received)
        if len(self._rest) > MAX_LINE_BYTES:
            return self._give_up(Foreign.LONG_LINE, self._rest, received)
        return received

    def _give_up(self, kind: Foreign, data: bytes, received: Received) -> Received:
        self._foreign, self._rest = True, b""
        received.events.append(NotStratum(kind, data[:MAX_TEXT]))
        return received

    def _read(self, line: bytes, received: Received) -> None:
        try:
            value = json.loads(line.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            received.events.append(Fault("a line that is no JSON", line[:MAX_TEXT]))
            return
        if not isinstance(value, dict):
            received.events.append(Fault("a line that is no JSON object", line[:MAX_TEXT]))
        elif isinstance(value.get("method"), str):
            self._called(value["method"], value, line, received)
        else:
            self._answered(value, line, received)

    def _answered(self, value: dict[str, Any], line: bytes, received: Received) -> None:
        request_id = value.get("id")
        method = self._waiting.pop(request_id, None) if type(request_id) is int else None
        if method is None:
            said = _refusal(value) if request_id is None else None
            known = Told("error", said.text) if said is not None and said.text else None
            received.events.append(known or Fault("an answer to nothing that was asked", line[:MAX_TEXT]))
            return
        assert isinstance(request_id, int)
        result, refusal, fault = value.get("result"), _refusal(value), ""
        if refusal is None:
            try:
                self._agree(method, result)
            except BadValue as error:
                fault = error.what
        received.events.append(Reply(request_id, method, result, refusal, fault))

    def _agree(self, method: str, result: Any) -> None:
        """Take over what an answer settles. Raises BadValue."""
        if method == "mining.subscribe":
            self.subscription = read_subscription(result)
            _, self.extranonce1, self.extranonce2_size = self.subscription
        elif method == "mining.configure":
            if not isinstance(result, dict):
                raise BadValue("the answer to mining.configure is no object")
            if result.get("version-rolling") is True:
                mask = read_mask(result.get("version-rolling.mask"))
                if mask & ~ASKED_MASK:
                    raise BadValue(f"the mask {mask:08x} has bits that were not asked for ({ASKED_MASK:08x})")
                self.version_mask = mask

    def _called(self, method: str, value: dict[str, Any], line: bytes, received: Received) -> None:
        params, id_value = value.get("params"), value.get("id")
        try:
            if method == "mining.notify":
                received.events.append(JobArrived(self._assignment(params)))
            elif method == "mining.set_difficulty":
                self.difficulty = read_difficulty(params)
                received.events.append(DifficultySet(self.difficulty))
            elif method == "mining.set_version_mask":
                self.version_mask = ASKED_MASK & read_mask(params[0] if isinstance(params, list) and params else None)
            elif method == "mining.set_extranonce":
                self.extranonce1, self.extranonce2_size = read_extranonce(params)
            elif method == "client.reconnect":
                received.events.append(Redirected(*read_reconnect(params)))
            elif id_value is not None:
                received.data += _line({"id": _echoed(id_value), **self._answer(method)})
                received.events.append(Asked(method[:MAX_TEXT]))
            else:
                first = params[0] if isinstance(params, list) and params else ""
                received.events.append(Told(method[:MAX_TEXT], str(first)[:MAX_TEXT] if isinstance(first, str) else ""))
        except BadValue as error:
            received.events.append(Fault(error.what, line[:MAX_TEXT]))

    def _answer(self, method: str) -> dict[str, object]:
        if method in ("mining.ping", "client.ping", "ping"):
            return {"result": "pong", "error": None}
        if method == "client.get_version":
            return {"result": self._agent, "error": None}
        return {"result": None, "error": [20, "Method not found", None]}

    def _assignment(self, params: object) -> Assignment:
        if self.subscription is None:
            raise BadValue("a job came before the answer to mining.subscribe")
        difficulty = 1.0 if self.difficulty is None else self.difficulty
        return Assignment(read_job(params), difficulty, self.extranonce1, self.extranonce2_size, self.version_mask)


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _echoed(id_value: Any) -> Any:
    """The id of a server's request as it is sent back: a number or a short text, else null."""
    if isinstance(id_value, str):
        return id_value if len(id_value) <= MAX_ID else None
    if isinstance(id_value, int):
        return id_value if id_value.bit_length() <= 64 else None
    return id_value if isinstance(id_value, float) else None


def _foreign(data: bytes) -> Foreign | None:
    """The other protocol that the first bytes of a connection belong to, or None."""
    if data.startswith(_TLS_RECORDS):
        return Foreign.TLS
    return Foreign.HTTP if data.startswith(b"HTTP/") or data[:15].lower() == b"<!doctype html>" else None


def _refusal(value: dict[str, Any]) -> Refusal | None:
    """Why a reply says no: [code, text, ...], an object, or a text; None where it says yes.

    A result that is false or null is a no without an error too; ckpool gives its reason as `reject-reason`.
    """
    error, result = value.get("error"), value.get("result")
    if error in (None, False, [], {}, "") and result is not None and result is not False:
        return None
    code: Any = None
    text: Any = value.get("reject-reason", "")
    if isinstance(error, list):
        code = error[0] if error else None
        text = error[1] if len(error) > 1 else text
    elif isinstance(error, dict):
        code, text = error.get("code"), error.get("message", text)
    elif isinstance(error, str):
        text = error
    is_code = type(code) is int and abs(code) < 1 << 31
    return Refusal(code if is_code else None, text[:MAX_TEXT] if isinstance(text, str) else "")
