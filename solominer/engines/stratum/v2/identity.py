"""Who a server process is: its static key, and a certificate of the authority that it renews by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from solominer.engines.stratum.v2 import curve, noise
from solominer.engines.stratum.v2.certificate import Certificate
from solominer.engines.stratum.v2.curve import Keypair
from solominer.engines.stratum.v2.noise import Ciphers

BEFORE_SECS = 86_400
VALID_SECS = 14 * 86_400
"""A certificate is good for a miner whose clock is up to a day late or, since it is renewed at half of its time, up to
a week early."""

SPARE_KEYS, KEYS_AT_ONCE = 1024, 64
"""Keys for handshakes that are made ahead, for when all miners come at once; 64 take about 2.5 ms."""


class Identity:
    """Answers handshakes with a static key of its own. `clock` is the time of day in Unix seconds."""

    def __init__(self, authority_secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._authority_secret, self._clock = authority_secret, clock
        self._static = curve.keypair()
        self._static_x = curve.x_of(self._static.encoded)
        self._certificate, self._signed_at = b"", -float("inf")
        self._spare: list[Keypair] = []

    def respond(self, act1: bytes) -> tuple[bytes, Ciphers]:
        """Act 2, and the ciphers of the connection. Raises Truncated."""
        ephemeral = self._spare.pop() if self._spare else None
        return noise.respond(act1, self._static, self._current(), ephemeral)

    def prepare(self) -> None:
        """Make some of the keys that handshakes take, each of which is used once. To be called every second."""
        if len(self._spare) < SPARE_KEYS:
            self._spare += [curve.keypair() for _ in range(KEYS_AT_ONCE)]

    def _current(self) -> bytes:
        """The certificate; a new one where the last is half through, or the clock was set back."""
        now = self._clock()
        if not 0 <= now - self._signed_at < VALID_SECS / 2:
            signed = Certificate.sign(
                self._authority_secret, self._static_x, int(now) - BEFORE_SECS, int(now) + VALID_SECS
            )
            self._certificate, self._signed_at = signed.pack(), now
        return self._certificate
