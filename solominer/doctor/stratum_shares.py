"""Shares for a Stratum server on trial: a good one if the difficulty allows that, and wrong ones to be refused."""

from __future__ import annotations

import os
import time

from solominer.doctor.check import CheckOutcome, failed, ok, skipped
from solominer.doctor.stratum_talk import Share, Talk, exact_difficulty, refusal_text
from solominer.engines.stratum.assignment import search
from solominer.engines.stratum.client import Reply
from solominer.views.text import rate

LARGEST_DIFFICULTY = 1e-4
"""At which hashlib finds a share within a few seconds."""

_SLICE = 20_000
_NO_SUCH_JOB = "fffffffffffffffe"
_LARGEST_HASH = (1 << 256) - 1


class ShareTrial:
    """The steps about shares, in their order: `suggest`, `mine`, `duplicate`, `wrong_job`, `above_target`."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._share: Share | None = None

    def suggest(self) -> CheckOutcome:
        """Ask for a difficulty at which a share can be found here."""
        before = self._talk.work().difficulty
        if before <= LARGEST_DIFFICULTY:
            return skipped("it is low enough to find a share here")
        reply = self._talk.ask(
            self._talk.client.request("mining.suggest_difficulty", [LARGEST_DIFFICULTY]), self._talk.patience.quiet_secs
        )
        self._talk.wait(lambda event: self._talk.work().difficulty != before or None, self._talk.patience.quiet_secs)
        after = self._talk.work().difficulty
        asked = f"asked for {exact_difficulty(LARGEST_DIFFICULTY)}"
        if after != before:
            return ok(f"{asked}: the next job has {exact_difficulty(after)}")
        how = "refused" if reply is not None and reply.refusal is not None else "not followed"
        return ok(f"{asked}: {how}, it stays at {exact_difficulty(before)}")

    def mine(self) -> CheckOutcome:
        """Find a share and hand it in."""
        difficulty = self._talk.work().difficulty
        if difficulty > LARGEST_DIFFICULTY:
            return skipped(
                f"difficulty {exact_difficulty(difficulty)} is too high to find one here in time "
                f"(up to {exact_difficulty(LARGEST_DIFFICULTY)})"
            )
        deadline = time.monotonic() + self._talk.patience.mine_secs
        while True:
            started = time.monotonic()
            share, hashes = self._find(deadline)
            if share is None:
                return skipped(
                    f"none found in {hashes:,} hashes within {self._talk.patience.mine_secs:.0f} s: bad luck, try again"
                )
            found = f"found after {hashes:,} hashes ({rate(hashes / max(time.monotonic() - started, 1e-6))})"
            reply = self._talk.submit(share)
            if reply is None or reply.refusal is None or not self._is_old(share):
                return self._outcome(share, found, reply)  # else the tip moved while it was on its way

    def _outcome(self, share: Share, found: str, reply: Reply | None) -> CheckOutcome:
        rolled = f", version bits {share.bits:08x}" if share.assignment.version_mask else ""
        if reply is not None and reply.refusal is not None:
            return failed(
                f"{found}{rolled}, and refused: {refusal_text(reply.refusal)}",
                "its hash meets the difficulty: server and miner understand the job differently",
            )
        problem = self._talk.problem(reply, "mining.submit")
        if problem is not None:
            return problem
        self._share = share
        return ok(f"{found}{rolled}, accepted{', and it is a block' if _is_block(share) else ''}")

    def _find(self, deadline: float) -> tuple[Share | None, int]:
        """A share of the newest job and how many hashes it took; None if there was none until `deadline`."""
        hashes = 0
        while time.monotonic() < deadline:
            share = self._search()
            hashes += _SLICE if share is None else share.nonce + 1
            self._talk.listen(0.001)
            if share is not None and not self._is_old(share):
                return share, hashes
        return None, hashes

    def _is_old(self, share: Share) -> bool:
        return share.assignment.job.prevhash_le != self._talk.work().job.prevhash_le

    def _search(self) -> Share | None:
        """A share among the headers of one fresh extranonce2 and _SLICE nonces."""
        assignment = self._talk.work()
        extranonce2, bits = os.urandom(assignment.extranonce2_size), assignment.rolled_bits()
        nonce = search(assignment.header(extranonce2, bits), range(_SLICE), assignment.share_target)
        return None if nonce is None else Share(assignment, extranonce2, nonce, bits)

    def duplicate(self) -> CheckOutcome:
        """Hand in the accepted share again."""
        if self._share is None:
            return skipped("no share was accepted that could be sent again")
        return self._must_refuse(self._talk.submit(self._share), 22, "the same work counts twice here")

    def wrong_job(self) -> CheckOutcome:
        """Hand in a share of a job that there is not."""
        assignment = self._talk.work()
        share = Share(assignment, bytes(assignment.extranonce2_size), 0, assignment.rolled_bits())
        return self._must_refuse(self._talk.submit(share, _NO_SUCH_JOB), 21, "it cannot know what was hashed")

    def above_target(self) -> CheckOutcome:
        """Hand in a share that is none, and no block either."""
        assignment = self._talk.work()
        extranonce2, bits = os.urandom(assignment.extranonce2_size), assignment.rolled_bits()
        above = max(assignment.share_target, assignment.network_target)
        nonce = search(assignment.header(extranonce2, bits), range(_SLICE), _LARGEST_HASH, above)
        if nonce is None:
            return skipped("nearly every hash is a share at this difficulty")
        share = Share(assignment, extranonce2, nonce, bits)
        return self._must_refuse(self._talk.submit(share), 23, "it does not check the work, or has another difficulty")

    def _must_refuse(self, reply: Reply | None, usual: int, why: str) -> CheckOutcome:
        if reply is not None and reply.refusal is not None:
            code = reply.refusal.code
            note = "" if code == usual else f" (ckpool's code is {usual})"
            return ok(f"refused: {refusal_text(reply.refusal)}{note}")
        return self._talk.problem(reply, "mining.submit") or failed("accepted, though it is wrong", why)


def _is_block(share: Share) -> bool:
    header = share.assignment.header(share.extranonce2, share.bits)
    nonces = range(share.nonce, share.nonce + 1)
    return search(header, nonces, share.assignment.network_target) is not None
