"""Checks of a Stratum server with shares: a valid one if the difficulty is low enough, and invalid ones."""

from __future__ import annotations

import os
import time

from solominer.doctor.check import CheckOutcome, failed, ok, skipped
from solominer.doctor.stratum_talk import Share, Talk, exact_difficulty, refusal_text
from solominer.engines.stratum.assignment import search
from solominer.engines.stratum.client import Reply
from solominer.views.text import rate

LARGEST_DIFFICULTY = 1e-4
"""hashlib finds a share of this difficulty within a few seconds."""

SLICE = 20_000
_NO_SUCH_JOB = "fffffffffffffffe"
_LARGEST_HASH = (1 << 256) - 1


class ShareTrial:
    """The checks with shares, in order: `suggest`, `mine`, `duplicate`, `wrong_job`, `above_target`."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._share: Share | None = None

    def suggest(self) -> CheckOutcome:
        """Suggest a difficulty at which a share can be found here."""
        before = self._talk.work().difficulty
        if before <= LARGEST_DIFFICULTY:
            return skipped("the difficulty is already low enough to find a share here")
        reply = self._talk.ask(
            self._talk.client.request("mining.suggest_difficulty", [LARGEST_DIFFICULTY]), self._talk.patience.quiet_secs
        )
        self._talk.wait(lambda event: self._talk.work().difficulty != before or None, self._talk.patience.quiet_secs)
        after = self._talk.work().difficulty
        asked = f"asked for {exact_difficulty(LARGEST_DIFFICULTY)}"
        if after != before:
            return ok(f"{asked}: the next job has {exact_difficulty(after)}")
        how = "refused" if reply is not None and reply.refusal is not None else "ignored"
        return ok(f"{asked}: {how}, difficulty remains {exact_difficulty(before)}")

    def mine(self) -> CheckOutcome:
        """Find a share and submit it."""
        difficulty = self._talk.work().difficulty
        if difficulty > LARGEST_DIFFICULTY:
            return skipped(
                f"difficulty {exact_difficulty(difficulty)} is too high to find a share here "
                f"(maximum {exact_difficulty(LARGEST_DIFFICULTY)})"
            )
        deadline = time.monotonic() + self._talk.patience.mine_secs
        while True:
            started = time.monotonic()
            share, hashes = self._find(deadline)
            if share is None:
                return skipped(f"no share in {hashes:,} hashes within {self._talk.patience.mine_secs:.0f} s; try again")
            found = f"found after {hashes:,} hashes ({rate(hashes / max(time.monotonic() - started, 1e-6))})"
            reply = self._talk.submit(share)
            if reply is None or reply.refusal is None or not self._is_old(share):
                return self._outcome(share, found, reply)  # otherwise the tip changed meanwhile: try again

    def _outcome(self, share: Share, found: str, reply: Reply | None) -> CheckOutcome:
        rolled = f", version bits {share.bits:08x}" if share.assignment.version_mask else ""
        if reply is not None and reply.refusal is not None:
            return failed(
                f"{found}{rolled}, but rejected: {refusal_text(reply.refusal)}",
                "the hash meets the difficulty: check how the server builds headers and targets",
            )
        problem = self._talk.problem(reply, "mining.submit")
        if problem is not None:
            return problem
        self._share = share
        return ok(f"{found}{rolled}, accepted{'; it is a block' if _is_block(share) else ''}")

    def _find(self, deadline: float) -> tuple[Share | None, int]:
        """A share of the newest job, or None at `deadline`, and the number of hashes computed."""
        hashes = 0
        while time.monotonic() < deadline:
            share = self._search()
            hashes += SLICE if share is None else share.nonce + 1
            self._talk.listen(0.001)
            if share is not None and not self._is_old(share):
                return share, hashes
        return None, hashes

    def _is_old(self, share: Share) -> bool:
        return share.assignment.job.prevhash_le != self._talk.work().job.prevhash_le

    def _search(self) -> Share | None:
        """Search SLICE nonces of a random extranonce2 for a share."""
        assignment = self._talk.work()
        extranonce2, bits = os.urandom(assignment.extranonce2_size), assignment.rolled_bits()
        nonce = search(assignment.header(extranonce2, bits), range(SLICE), assignment.share_target)
        return None if nonce is None else Share(assignment, extranonce2, nonce, bits)

    def duplicate(self) -> CheckOutcome:
        """Submit the accepted share again."""
        if self._share is None:
            return skipped("no share was accepted")
        return self._must_refuse(self._talk.submit(self._share), 22, "the server counts the same work twice")

    def wrong_job(self) -> CheckOutcome:
        """Submit a share with an unknown job id."""
        assignment = self._talk.work()
        share = Share(assignment, bytes(assignment.extranonce2_size), 0, assignment.rolled_bits())
        return self._must_refuse(self._talk.submit(share, _NO_SUCH_JOB), 21, "the server does not check the job id")

    def above_target(self) -> CheckOutcome:
        """Submit a hash above both the share target and the network target."""
        assignment = self._talk.work()
        extranonce2, bits = os.urandom(assignment.extranonce2_size), assignment.rolled_bits()
        above = max(assignment.share_target, assignment.network_target)
        nonce = search(assignment.header(extranonce2, bits), range(SLICE), _LARGEST_HASH, above)
        if nonce is None:
            return skipped("almost every hash is a share at this difficulty")
        share = Share(assignment, extranonce2, nonce, bits)
        return self._must_refuse(self._talk.submit(share), 23, "the server does not check the difficulty of shares")

    def _must_refuse(self, reply: Reply | None, usual: int, why: str) -> CheckOutcome:
        if reply is not None and reply.refusal is not None:
            code = reply.refusal.code
            note = "" if code == usual else f" (ckpool's code is {usual})"
            return ok(f"rejected: {refusal_text(reply.refusal)}{note}")
        return self._talk.problem(reply, "mining.submit") or failed("accepted although it is invalid", why)


def _is_block(share: Share) -> bool:
    header = share.assignment.header(share.extranonce2, share.bits)
    nonces = range(share.nonce, share.nonce + 1)
    return search(header, nonces, share.assignment.network_target) is not None
