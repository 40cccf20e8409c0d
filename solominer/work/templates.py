"""Templates of the current node: the latest one, when the next is due, and empty ones until it arrives."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.networks import Network
from solominer.work.actions import Action, Alarm, LookAtNode, Record, Severity
from solominer.work.events import TemplateFailed, TemplateReady, TipFacts
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.template import Template, empty_template

FAILURES_ALLOWED, SHUN_SECS = 4, 600.0
"""After this many failed requests in a row another node is used, and for how long."""

TIMEWARP_SECS = 600
"""How much earlier than its parent the first block of a period may be (BIP 94, MAX_TIMEWARP)."""

_OF_THE_HEADER = ("high-hash", "bad-diffbits", "bad-prevblk", "bad-version", "time-", "bad-signet-blksig")
"""Beginnings of reject reasons of a block's header (src/validation.cpp); version, ntime and nonce are the miner's."""


@dataclass(slots=True)
class Templates:
    """`latest` arrived at `at`; the next is requested at `due_at`. `failures` counts failed requests in a row.

    `empty_only`: only empty blocks are mined on this tip, as a transaction of the template may be invalid.
    """

    network: Network
    latest: Template | None = None
    at: Instant | None = None
    due_at: Instant | None = None
    failures: int = 0
    empty_only: bool = False
    _curtime_offset: float = 0.0

    @property
    def to_mine(self) -> Template | None:
        """The latest template, without transactions if `empty_only`."""
        return self.latest.without_transactions() if self.latest and self.empty_only else self.latest

    @property
    def gone(self) -> bool:
        """Whether so many requests in a row failed that another node should be asked."""
        return self.failures >= FAILURES_ALLOWED

    def is_doubtful(self, raw: str) -> bool:
        """Whether our block on this tip was rejected (the node's words) for what the template holds: empty blocks then.

        A fault of the header is its miner's, and an empty block would have it too.
        """
        if raw.startswith(_OF_THE_HEADER):
            return False
        self.empty_only = True
        return True

    def take(self, template: Template, at: Instant, refresh_secs: float) -> None:
        """Take a new template for the tip."""
        self.latest, self.at, self.due_at = template, at, at + refresh_secs
        self._curtime_offset = template.curtime - at.wall

    def try_later(self, at: Instant, refresh_secs: float) -> None:
        """Record a failure and delay the next request, twice as long after each failure."""
        self.failures += 1
        self.due_at = at + min(0.25 * float(1 << min(self.failures, 10)), refresh_secs)

    def empty_on(self, tip: TipFacts, at: Instant) -> Template | None:
        """An empty template on a new tip, or None if its bits are unknown. Raises SolominerError for invalid facts."""
        if tip.empty is not None:
            return tip.empty
        last, network, height = self.latest, self.network, tip.height + 1
        if last is None or self.at is None or network.may_change_bits(height):
            return None
        new_period = network.is_retarget_height(height)
        mintime = tip.median_time + 1
        return empty_template(
            network,
            height=height,
            prevhash_le=tip.hash_le,
            version=last.version,
            version_mask=last.version_mask,
            nbits=tip.nbits,
            # The wall clock may have been set since; the earlier time is never too new for the node.
            curtime=min(int(at.wall + self._curtime_offset), last.curtime + int(at - self.at)),
            mintime=max(mintime, tip.time - TIMEWARP_SECS) if new_period else mintime,
            coinbase_aux=last.coinbase_aux,
        )


def same_work(job: Job | None, template: Template, refresh_secs: float) -> bool:
    """Whether the current job is equivalent: same parent, same content, and its time not far behind."""
    if job is None or job.template.prevhash_le != template.prevhash_le:
        return False
    if job.signed_extranonce is not None:
        return template.curtime == job.template.curtime  # it has only one nonce range; a new time provides another
    return (
        job.template.template_id == template.template_id
        and job.template.nbits == template.nbits
        and template.curtime - job.template.curtime < 4 * refresh_secs
    )


def record_of(event: TemplateReady) -> Record:
    """The ledger's record of a template."""
    template = event.template
    fields = {
        "node": event.node,
        "height": template.height,
        "prevhash": template.prevhash_hex,
        "transactions": len(template.transactions),
        "fees_sats": template.fees_sats,
        "rpc_secs": round(event.rpc_secs, 6),
        "parse_secs": round(event.parse_secs, 6),
    }
    return Record("template", fields)


def failure_actions(event: TemplateFailed) -> list[Action]:
    """Report a failed request, and check the node's health."""
    if event.refused:
        todo = "check the node's version; if it is current, report this with the log"
        alarm = Alarm(Severity.HIGH, "template-refused", f"{event.node}: {event.reason}", todo)
        return [alarm, LookAtNode(event.node)]
    return [Record("template_failed", {"node": event.node, "reason": event.reason}), LookAtNode(event.node)]


def no_template(event: TemplateFailed) -> Alarm:
    """The alarm if the node provides no template and there is no other node."""
    todo = "it is retried; without a template, work stops at the next block. See the node's debug.log"
    return Alarm(Severity.HIGH, "no-template", f"no template from {event.node}: {event.reason}", todo)
