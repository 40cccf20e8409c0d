"""One GET request to a device: bounded in time and size, redirects are not followed, nothing is kept open."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import httptools

from solominer import __version__
from solominer.config.forms import bracketed
from solominer.web.devices.reading import DeviceFailed, WrongKind

TIMEOUT_SECS = 5.0
MOST_BYTES = 65_536
_CHUNK = 16_384


class _Answer:
    """Callbacks of the parser."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True


async def get_json(host: str, port: int, path: str, timeout_secs: float | None = None) -> dict[str, Any]:
    """The JSON object that is the answer. Raises DeviceFailed; WrongKind if something else answers there."""
    try:
        async with asyncio.timeout(TIMEOUT_SECS if timeout_secs is None else timeout_secs):
            status, body = await _get(host, port, path)
    except TimeoutError:
        raise DeviceFailed("it does not answer", "check its power and network") from None
    except socket.gaierror:
        raise DeviceFailed("its name is unknown", "write its address instead, or check the name") from None
    except ConnectionError:
        raise WrongKind(f"it refuses connections on port {port}", "check its address") from None
    except OSError as error:
        raise DeviceFailed(f"it cannot be reached: {_reason(error)}", "check its power and network") from None
    if status == 401:
        raise WrongKind("it answered 401: it does not talk to this machine", "put both in the same private network")
    if status != 200:
        raise WrongKind(f"it answered with status {status}", "check its address")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WrongKind("its answer is not a JSON object", "check its address")
    return found


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {bracketed(host)}:{port}\r\nAccept: application/json\r\n"
        writer.write(f"{head}User-Agent: solominer/{__version__}\r\nConnection: close\r\n\r\n".encode())
        answer = _Answer()
        parser, size = httptools.HttpResponseParser(answer), 0
        while not answer.is_complete and (data := await reader.read(_CHUNK)):
            size += len(data)
            if size > MOST_BYTES:
                raise WrongKind(f"its answer is longer than {MOST_BYTES} bytes", "check its address")
            parser.feed_data(data)
        if not size:
            raise WrongKind("it closes connections without an answer", "check its address")
        return parser.get_status_code(), bytes(answer.body)
    except httptools.HttpParserError:
        raise WrongKind("its answer is not HTTP", "check its address") from None
    finally:
        writer.transport.abort()


def _reason(error: OSError) -> str:
    return error.strerror or "none of its addresses answers"
