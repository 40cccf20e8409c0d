"""The templates of the node in use: the latest one, when the next is due, and an empty one where none is to be had."""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.networks import Network
from solominer.work.actions import Action, Alarm, LookAtNode, Record, Severity
from solominer.work.events import TemplateFailed, TemplateReady, TipFacts
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.template import Template, empty_template

FAILURES_ALLOWED, SHUN_SECS = 4, 600.0
"""After so many failures in a row to give a template a node is left for another one, and for how long."""

TIMEWARP_SECS = 600
"""How far a period's first block may lie before its parent (BIP 94, MAX_TIMEWARP)."""


@dataclass(slots=True)
class Templates:
    """`latest` came at `at`; the next is asked for at `due_at`. `failures` counts requests in a row that gave none.

    `empty_only`: on this tip the coinbase alone is mined, since something about the transactions is wrong.
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
        """The latest one as it may be mined."""
        return self.latest.without_transactions() if self.latest and self.empty_only else self.latest

    @property
    def gone(self) -> bool:
        """Whether so many requests in a row failed that another node should be asked."""
        return self.failures >= FAILURES_ALLOWED

    def take(self, template: Template, at: Instant, refresh_secs: float) -> None:
        """A new one for the tip."""
        self.latest, self.at, self.due_at = template, at, at + refresh_secs
        self._curtime_offset = template.curtime - at.wall

    def try_later(self, at: Instant, refresh_secs: float) -> None:
        """There is no work to be had at the moment: the next request waits, twice as long after each failure."""
        self.failures += 1
        self.due_at = at + min(0.25 * float(1 << min(self.failures, 10)), refresh_secs)

    def empty_on(self, tip: TipFacts, at: Instant) -> Template | None:
        """An empty template on a new tip, where its facts say all that it needs. Raises SolominerError if they lie."""
        last, network, height = self.latest, self.network, tip.height + 1
        new_period = network.is_retarget_height(height)
        bits_may_change = (new_period or network.min_difficulty_blocks) and not network.no_retarget
        if last is None or self.at is None or bits_may_change:
            return None
        mintime = tip.median_time + 1
        return empty_template(
            network,
            height=height,
            prevhash_le=tip.hash_le,
            version=last.version,
            version_mask=last.version_mask,
            nbits=tip.nbits,
            # Our wall clock may have been set since; the earlier time is never too new for the node.
            curtime=min(int(at.wall + self._curtime_offset), last.curtime + int(at - self.at)),
            mintime=max(mintime, tip.time - TIMEWARP_SECS) if new_period else mintime,
            coinbase_aux=last.coinbase_aux,
        )


def same_work(job: Job | None, template: Template, refresh_secs: float) -> bool:
    """Whether the job at hand is as good: same parent, same content, and its time not far behind."""
    if job is None or job.template.prevhash_le != template.prevhash_le:
        return False
    if job.signed_extranonce is not None:
        return template.curtime == job.template.curtime  # it has one nonce range only: a new time gives the next
    return (
        job.template.template_id == template.template_id
        and job.template.nbits == template.nbits
        and template.curtime - job.template.curtime < 4 * refresh_secs
    )


def record_of(event: TemplateReady) -> Record:
    """A template came, for the ledger."""
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


def failure_told(event: TemplateFailed) -> list[Action]:
    """No template came: said, and the node is looked at."""
    if event.refused:
        alarm = Alarm(Severity.HIGH, "template-refused", f"{event.node}: {event.reason}", "see the rule it names")
        return [alarm, LookAtNode(event.node)]
    return [Record("template_failed", {"node": event.node, "reason": event.reason}), LookAtNode(event.node)]


def no_template(event: TemplateFailed) -> Alarm:
    """The node gives none, and there is no other one to ask."""
    todo = "it is retried; without a template, work stops at the next block. See the node's debug.log"
    return Alarm(Severity.HIGH, "no-template", f"{event.node} gives no template: {event.reason}", todo)
