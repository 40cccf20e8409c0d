"""Long polling for new tips without ZMQ: `waitfornewblock`, which returns at a new tip or after a timeout.

An open call occupies one of the node's RPC threads (rpcthreads), even after the connection is closed (measured).
getblocktemplate's long poll (BIP 22) ends only with a new tip or a changed mempool: it may occupy the only thread for
hours, while a found block waits. `waitfornewblock` has a timeout. So long polls are short, and a poll in parallel to
each of them checks that other calls are answered meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.node.rpc import RpcClient

FIRST_SECS, LONGEST_SECS = 0.25, 2.0
DOUBT_SECS = 1.0
"""Duration of the next long poll after one that delayed a call: long enough for a clear result."""

BESIDE_SECS = 0.02
"""Delay of the parallel call, so that the node has started the long poll before it."""

BLOCKED_ALLOWED = 2


def wait_for_tip(client: RpcClient, wait_secs: float, patience_secs: float) -> bytes:
    """Wait up to `wait_secs` for a new tip; returns the tip (internal byte order). Raises NodeError."""
    reply = client.ask("waitfornewblock", int(wait_secs * 1000), timeout_secs=wait_secs + patience_secs)
    return reply["hash"].hash_le()


@dataclass(slots=True)
class LongPollTrial:
    """Decides from calls in parallel to long polls whether the node has enough RPC threads. Times are monotonic.

    `wait_secs` is the duration of the next long poll: it grows while other calls are answered.
    """

    wait_secs: float = FIRST_SECS
    _began: float | None = None
    _asked: bool = False
    _passed: bool = False
    _blocked: int = 0
    _idle: int = 0

    def began(self, at: float) -> None:
        """A long poll was sent at `at`."""
        self._began, self._asked, self._passed = at, False, False

    def asked(self, at: float) -> None:
        """Another call was sent at `at`."""
        self._asked |= self._beside(at)

    def answered(self, asked_at: float, at: float) -> None:
        """The call sent at `asked_at` was answered at `at`.

        It was not delayed if the long poll cannot have timed out yet; the order of the two replies is less reliable.
        """
        self._passed |= self._beside(asked_at) and at < (self._began or 0.0) + self.wait_secs

    def ended(self, *, conclusive: bool) -> bool:
        """The long poll returned; returns whether to stop long polling. `conclusive`: it lasted its whole time."""
        self._began = None
        if self._passed:
            self._blocked, self.wait_secs = 0, min(2 * self.wait_secs, LONGEST_SECS)
        elif self._asked and conclusive:
            self._blocked, self.wait_secs = self._blocked + 1, DOUBT_SECS
        return self._blocked >= BLOCKED_ALLOWED

    def pause_secs(self, *, idle: bool) -> float:
        """Delay before the next long poll, 0 to 1.28 s.

        `idle`: the last one returned early without a new tip, as a stopping node does repeatedly.
        """
        self._idle = min(self._idle + 1, 6) if idle else 0
        return BESIDE_SECS * 2**self._idle if idle else 0.0

    def _beside(self, at: float) -> bool:
        return self._began is not None and at >= self._began + BESIDE_SECS
