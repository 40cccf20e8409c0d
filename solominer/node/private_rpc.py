"""The few lines of JSON-RPC that a private node and its scenarios need: cookie, loopback, one connection per call.

Mining itself goes through the full client in `rpc`. A connection per call is safe from any thread and knows no idle
timeout; on loopback it costs a fraction of a millisecond.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from solominer.chain.fields import Field, decode
from solominer.errors import BadValue, NodeAuthFailed, NodeError, NodeNotReady, NodeTimeout, NodeUnreachable, RpcFailed

_WARMING_UP = -28


class CookieRpc:
    """JSON-RPC on `host`:`port` with the credentials that the node wrote to `cookie_file`."""

    def __init__(self, host: str, port: int, cookie_file: Path) -> None:
        self._host, self._port, self._cookie_file = host, port, cookie_file

    def call(self, method: str, *params: object, wallet: str | None = None, timeout_secs: float = 60.0) -> Any:
        """Return the result of one call. Raises RpcFailed, NodeNotReady, NodeUnreachable, NodeTimeout."""
        reply = self._post({"id": 0, "method": method, "params": list(params)}, wallet, timeout_secs)
        return _result(reply, method)

    def batch(self, method: str, params: Sequence[Sequence[object]], *, timeout_secs: float = 60.0) -> list[Any]:
        """Call `method` once for each item of `params` in one request; the first failing call raises."""
        if not params:
            return []
        calls = [{"id": number, "method": method, "params": list(each)} for number, each in enumerate(params)]
        replies = self._post(calls, None, timeout_secs)
        if isinstance(replies.value, dict):  # the request as a whole was refused
            return [_result(replies, method)]
        return [_result(reply, method) for reply in replies.items(len(calls))]

    def _post(self, body: object, wallet: str | None, timeout_secs: float) -> Field:
        path = "/" if wallet is None else f"/wallet/{quote(wallet, safe='')}"
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_secs)
        try:
            connection.request("POST", path, json.dumps(body), self._headers())
            answer = connection.getresponse()
            content, status = answer.read(), answer.status
        except TimeoutError as error:
            raise NodeTimeout(f"the private node did not answer within {timeout_secs:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise NodeUnreachable(f"the private node cannot be reached: {error}") from error
        finally:
            connection.close()
        if status == 401:
            raise NodeAuthFailed("the private node refused its own cookie")
        if status == 503:
            raise NodeNotReady("the private node is starting or stopping")
        try:
            return Field(decode(content), "the private node's reply", NodeError)
        except BadValue as error:
            raise NodeError(f"the private node answered HTTP {status} without JSON") from error

    def _headers(self) -> dict[str, str]:
        credentials = base64.b64encode(self._cookie_file.read_bytes()).decode("ascii")
        return {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}


def _result(reply: Field, method: str) -> Any:
    error = reply.get("error")
    if error is None:
        result = reply.get("result")
        return None if result is None else result.value
    code, message = error["code"].integer(-(1 << 31), 1 << 31), error["message"].text(10_000)
    if code == _WARMING_UP:
        raise NodeNotReady(message)
    raise RpcFailed(f"{method}: {message} ({code})", code=code)
