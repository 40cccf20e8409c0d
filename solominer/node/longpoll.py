"""Long polls for new tips where there is no ZMQ: `waitfornewblock`, answered at a new tip or after a time that we set.

An open call takes one of the node's RPC threads (rpcthreads), and the node goes on with it after the connection is
closed [measured]. getblocktemplate's own long poll (BIP 22) may take that thread for hours: it ends with a new tip or a
changed mempool alone, and where it is the only thread a found block waits behind it. `waitfornewblock` ends when the
caller says. So long polls here are short, and the poll beside each of them proves that other calls get through.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.node.rpc import RpcClient

FIRST_SECS, LONGEST_SECS = 0.25, 2.0
DOUBT_SECS = 1.0
"""How long the next long poll takes after one behind which a call waited: long enough to be sure."""

BESIDE_SECS = 0.02
"""How long after a long poll a call must be sent to say anything of it: the node has begun the long poll by then."""

BLOCKED_ALLOWED = 2


def wait_for_tip(client: RpcClient, wait_secs: float, patience_secs: float) -> bytes:
    """The node's tip (internal byte order) once it changes, or as it is after `wait_secs`. Raises NodeError."""
    reply = client.ask("waitfornewblock", int(wait_secs * 1000), timeout_secs=wait_secs + patience_secs)
    return reply["hash"].hash_le()


@dataclass(slots=True)
class LongPollTrial:
    """Judges from the polls beside long polls whether the node has a thread to spare. Pure; times in one steady clock.

    `wait_secs` is how long the next long poll takes: it grows as long as other calls pass.
    """

    wait_secs: float = FIRST_SECS
    _began: float | None = None
    _asked: bool = False
    _passed: bool = False
    _blocked: int = 0
    _idle: int = 0

    def began(self, at: float) -> None:
        """A long poll is sent now."""
        self._began, self._asked, self._passed = at, False, False

    def asked(self, at: float) -> None:
        """Another call is sent now."""
        self._asked |= self._beside(at)

    def answered(self, asked_at: float, at: float) -> None:
        """The call that was sent then is answered now.

        It passed the long poll if that cannot have ended by itself yet; which of two answers is heard first says less.
        """
        self._passed |= self._beside(asked_at) and at < (self._began or 0.0) + self.wait_secs

    def ended(self, *, conclusive: bool) -> bool:
        """The long poll is answered; whether long polls are to be given up. `conclusive`: it took all its time."""
        self._began = None
        if self._passed:
            self._blocked, self.wait_secs = 0, min(2 * self.wait_secs, LONGEST_SECS)
        elif self._asked and conclusive:
            self._blocked, self.wait_secs = self._blocked + 1, DOUBT_SECS
        return self._blocked >= BLOCKED_ALLOWED

    def pause_secs(self, *, idle: bool) -> float:
        """How long to wait before the next long poll, 0 to 1.28 s.

        `idle`: the last one was answered early and with nothing new. A node that tells of one tip twice does so once, a
        stopping node again and again.
        """
        self._idle = min(self._idle + 1, 6) if idle else 0
        return BESIDE_SECS * 2**self._idle if idle else 0.0

    def _beside(self, at: float) -> bool:
        return self._began is not None and at >= self._began + BESIDE_SECS
