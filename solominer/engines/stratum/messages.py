"""Lines of the Stratum V1 protocol: requests in, replies and notifications out. JSON as msgspec reads it.

An id is echoed byte by byte as the client wrote it, whatever it is: number, string, fraction, null. Error codes and
texts are ckpool's, because miners' own pages explain exactly those.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from solominer.engines.stratum.lines import Problem

MAX_ID_BYTES = 256
MAX_NESTING = 64
_SHORT_LINE = 512
_BRACKETS = b"[{"
_NULL = msgspec.Raw(b"null")


class Request(msgspec.Struct, gc=False):
    """One line of a client. Without a `method` it is the client's answer to a request of ours."""

    method: str | None = None
    id: msgspec.Raw = _NULL
    params: Any = None

    def id_json(self) -> bytes:
        """The id as JSON text for the reply. A list, an object or a very long one becomes null."""
        raw = bytes(self.id)
        return b"null" if len(raw) > MAX_ID_BYTES or raw[0] in _BRACKETS else raw

    def is_notification(self) -> bool:
        """Whether the client expects no answer: its id is null or missing (JSON-RPC)."""
        return bytes(self.id) == b"null"


class StratumError(NamedTuple):
    """An error as it goes on the wire: [code, text, null]."""

    code: int
    text: str


class Errors:
    """The errors of this server. ckpool's numbers and words where it has them."""

    INVALID_NONCE2 = StratumError(20, "Invalid nonce2 length")
    WORKER_MISMATCH = StratumError(20, "Worker mismatch")
    NO_NONCE = StratumError(20, "No nonce")
    NO_NTIME = StratumError(20, "No ntime")
    NO_NONCE2 = StratumError(20, "No nonce2")
    NO_JOB_ID = StratumError(20, "No job_id")
    NO_USERNAME = StratumError(20, "No username")
    INVALID_SIZE = StratumError(20, "Invalid array size")
    NOT_ARRAY = StratumError(20, "Params not array")
    NTIME_RANGE = StratumError(20, "Ntime out of range")
    VERSION_MASK = StratumError(20, "Invalid version mask")
    INVALID_JOB_ID = StratumError(21, "Invalid JobID")
    STALE = StratumError(21, "Stale")
    DUPLICATE = StratumError(22, "Duplicate")
    ABOVE_TARGET = StratumError(23, "Above target")
    UNAUTHORIZED = StratumError(24, "Unauthorized worker")
    NOT_SUBSCRIBED = StratumError(25, "Not subscribed")
    NOT_JSON = StratumError(20, "Not a JSON request")
    NOT_SUPPORTED = StratumError(20, "Not supported.")
    TOO_MANY_WORKERS = StratumError(20, "Too many workers on one connection")
    BAD_DIFFICULTY = StratumError(20, "Invalid difficulty")


_decode = msgspec.json.Decoder(Request).decode


def parse_request(line: bytes) -> Request | None:
    """The request in `line`, or None for what is no JSON object of that form. Deep nesting is refused cheaply."""
    if len(line) > _SHORT_LINE and line.count(b"[") + line.count(b"{") > MAX_NESTING:
        return None
    try:
        if not line.isascii():
            line.decode()  # msgspec takes any bytes in an id, which would be echoed, and in fields that it skips
        return _decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, ValueError):
        return None


def reply_true(id_json: bytes) -> bytes:
    """The line that says yes."""
    return b'{"id":' + id_json + b',"result":true,"error":null}\n'


def reply(id_json: bytes, result: object) -> bytes:
    """A line with a result."""
    return b'{"id":' + id_json + b',"result":' + msgspec.json.encode(result) + b',"error":null}\n'


def reply_error(id_json: bytes, error: StratumError, *, result: bytes = b"null") -> bytes:
    """A line with an error; `result` is `false` for a refused share or login, as ckpool has it."""
    text = msgspec.json.encode(error.text)
    return b'{"id":%b,"result":%b,"error":[%d,%b,null]}\n' % (id_json, result, error.code, text)


def notification(method: str, params: list[object]) -> bytes:
    """A line that expects no answer."""
    return b'{"id":null,"method":"%b","params":%b}\n' % (method.encode(), msgspec.json.encode(params))


@lru_cache(maxsize=1024)
def set_difficulty(difficulty: float) -> bytes:
    """mining.set_difficulty: a whole number without a fraction, since some firmware reads only that."""
    value: float = int(difficulty) if difficulty >= 1 and difficulty == int(difficulty) else difficulty
    return b'{"id":null,"method":"mining.set_difficulty","params":[%b]}\n' % json.dumps(value).encode()


def set_version_mask(mask: int) -> bytes:
    """mining.set_version_mask (BIP 310)."""
    return notification("mining.set_version_mask", [f"{mask:08x}"])


def last_words(problem: Problem) -> tuple[str, bytes]:
    """Why a connection is closed whose bytes cannot be read, and what it is sent before: a line that helps a person."""
    if problem is Problem.HTTP:
        body = b"This port speaks Stratum V1. Point a miner at it: stratum+tcp://HOST:PORT\n"
        head = (
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        )
        return "an HTTP request", head % len(body) + body
    if problem is Problem.TLS:
        text = "This port speaks Stratum V1 without TLS: use stratum+tcp://"
        return "a TLS connection to a port without TLS", reply_error(b"null", StratumError(20, text))
    return "a line of more than 16 KB", reply_error(b"null", StratumError(20, "Line too long"))
