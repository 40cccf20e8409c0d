"""The electricity price from an HTTP endpoint with a JSON reply: cached, retried with backoff, marked when stale.

There is no network access unless `electricity.price_url` is set. Only the URL's host is logged, since the rest may
contain a key.
"""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import NoReturn
from urllib.error import HTTPError
from urllib.parse import urlsplit

from solominer.chain.fields import Field, decode
from solominer.errors import BadValue, PriceError

log = logging.getLogger("solominer.governor.prices")

TIMEOUT_SECS = 10.0
MOST_BYTES = 1 << 20
FIRST_WAIT_SECS = 10.0
MOST_PRICE = 1e12
"""Upper bound of a price per kWh, before `scale`, in any currency; prices may be negative."""

Fetch = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Price:
    """A price per kWh, in the configured currency; `at` is when it was fetched (Unix seconds)."""

    per_kwh: float
    at: float
    stale: bool = False


def http_get(url: str) -> bytes:
    """The body of the reply, at most 1 MiB. Raises PriceError."""
    host = urlsplit(url).hostname
    request = urllib.request.Request(url, headers={"Accept": "application/json", "User-Agent": "solominer"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECS) as reply:
            body: bytes = reply.read(MOST_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        kind = getattr(error, "code", None) or getattr(error, "reason", None) or type(error).__name__
        raise PriceError(f"no price from {host}: {kind}", "check electricity.price_url") from error
    if len(body) > MOST_BYTES:
        raise PriceError(f"the reply of {host} is larger than 1 MiB", "check electricity.price_url")
    return body


def value_at(document: object, path: str) -> float:
    """The number at a path like `data.0.price`. Raises PriceError, naming the missing part."""
    value = document
    for part in filter(None, path.split(".")):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError):
            raise PriceError(f"the price reply has no {part!r} of {path}", "check price_json_path") from None
    return Field(value, f"the price at {path or 'the root'}", _refuse).number(-MOST_PRICE, MOST_PRICE)


def _refuse(what: str) -> PriceError:
    return PriceError(f"unusable: {what}", "check electricity.price_json_path")


class PriceSource:
    """One endpoint. `scale` converts its number to a price per kWh (0.001 for a price per MWh).

    Polled every `refresh_secs`; a price older than `stale_secs` is marked as stale.
    """

    def __init__(
        self, url: str, json_path: str, *, scale: float, refresh_secs: float, stale_secs: float, fetch: Fetch = http_get
    ) -> None:
        self._url, self._path, self._scale = url, json_path, scale
        self._refresh_secs, self._stale_secs = refresh_secs, stale_secs
        self._fetch = fetch
        self._last: Price | None = None

    def current(self, at: float) -> Price | None:
        """The last price fetched, however old; None before the first."""
        last = self._last
        if last is None:
            return None
        return Price(last.per_kwh, last.at, at - last.at > self._stale_secs)

    def fetch(self) -> Price:
        """Fetch the price now. Raises PriceError."""
        try:
            document = decode(self._fetch(self._url))
        except BadValue:
            raise PriceError("the price reply is not JSON", "check electricity.price_url") from None
        self._last = Price(value_at(document, self._path) * self._scale, time.time())
        return self._last

    async def keep_fresh(self) -> NoReturn:
        """Poll forever; after a failure with exponential backoff, up to the usual interval."""
        wait_secs, logged = FIRST_WAIT_SECS, ""
        while True:
            try:
                await asyncio.to_thread(self.fetch)
            except PriceError as error:
                if error.what != logged:
                    log.warning("%s -> %s; it is retried", error.what, error.todo)
                    logged = error.what
                await asyncio.sleep(min(wait_secs, self._refresh_secs))
                wait_secs *= 2
                continue
            if logged:
                log.info("the electricity price is available again")
            wait_secs, logged = FIRST_WAIT_SECS, ""
            await asyncio.sleep(self._refresh_secs)
