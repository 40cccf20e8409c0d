"""The coordinator: a synchronous state machine. Events in, actions out, no I/O, no clock.

Invariants:
- a tip that is not the job's parent stops work at once; only then is new work requested;
- every header from an engine is checked against the network target first, however late it is;
- a job is built, checked by independent code (`job_check`), and only then published;
- ZMQ, polls and templates are hints about the tip: the first one counts, the others change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import Network
from solominer.errors import SolominerError
from solominer.work import notices
from solominer.work.actions import (
    Action,
    Alarm,
    CheckTransactions,
    FetchTipHeader,
    LookAtNode,
    ProposeJob,
    PublishJob,
    Record,
    RefreshTemplate,
    Severity,
    StopWork,
)
from solominer.work.blocks import BlockTracker
from solominer.work.events import (
    Answer,
    BlockRestored,
    BlockSaved,
    BlockSeen,
    Event,
    HashRate,
    HealthSeen,
    JobRestored,
    JobSigned,
    NewTip,
    NodeHealth,
    NodesCompared,
    PauseWanted,
    PolicyChanged,
    ProposalAnswered,
    ResumeWanted,
    ShareFound,
    SubmitAnswered,
    SubmittingTried,
    TemplateFailed,
    TemplateReady,
    Tick,
    TipHeader,
    TransactionsChecked,
    WorkerDied,
    WorkerStarted,
    WrongHit,
)
from solominer.work.forks import ForkWatch
from solominer.work.found import BlockState, FoundBlock
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.jobs import JobMaker
from solominer.work.jobs import record_of as job_record
from solominer.work.judge import Judge
from solominer.work.payout import Payout
from solominer.work.policy import Policy
from solominer.work.selection import NodeChooser, may_have_forgotten
from solominer.work.signing import Signing
from solominer.work.template import Template
from solominer.work.templates import FAILURES_ALLOWED, SHUN_SECS, Templates, failure_actions, no_template, same_work
from solominer.work.templates import record_of as template_record
from solominer.work.tip import Tip


class Coordinator:
    """See the module. `run_id` is two bytes unique to the run, which begin every salt (rule 25).

    Routes events to its parts (`tip`, `templates`, `jobs`, `nodes`, `forks`, `blocks`, `judge` and the signing) and
    combines their actions.
    """

    def __init__(
        self, network: Network, nodes: list[str], payout: Payout, tag: bytes, policy: Policy, run_id: bytes
    ) -> None:
        self.policy = policy
        self.tip = Tip()
        self.templates = Templates(network)
        self.jobs = JobMaker(payout, tag, run_id)
        self.nodes = NodeChooser(nodes, policy.return_secs)
        self.forks = ForkWatch(nodes)
        self.blocks = BlockTracker(nodes, policy.retry, staging=policy.staging)
        self.judge = Judge(policy.keep_job_secs, policy.keep_job_bytes)
        self.job: Job | None = None
        self.working = False
        self.halted_by: set[str] = set()
        self.demo_blocks = 0
        self._signing = Signing()
        self._solved_at: Instant | None = None
        self._handlers: dict[type, Callable[[Any], list[Action]]] = {
            NewTip: self._new_tip,
            TipHeader: self._tip_header,
            TemplateReady: self._template_ready,
            TemplateFailed: self._template_failed,
            TransactionsChecked: self._transactions_checked,
            HealthSeen: self._health_seen,
            NodesCompared: lambda event: self._weigh_chains(self.forks.compared(event), event.at),
            ShareFound: self._share_found,
            WrongHit: notices.wrong_hit,
            WorkerStarted: notices.worker_started,
            WorkerDied: notices.worker_died,
            SubmitAnswered: self._submit_answered,
            SubmittingTried: notices.submitting_tried,
            BlockSeen: self.blocks.seen,
            ProposalAnswered: self._proposal_answered,
            JobSigned: self._job_signed,
            HashRate: self._hash_rate,
            Tick: self._tick,
            PauseWanted: self._pause,
            ResumeWanted: self._resume,
            PolicyChanged: self._policy_changed,
            BlockSaved: lambda event: self.blocks.saved(event.hash_le),
            BlockRestored: lambda event: self.blocks.restore(event.block, event.state, event.at),
            JobRestored: lambda event: self.jobs.restore(event, self.judge),
        }

    def handle(self, event: Event) -> list[Action]:
        """Handle one event; returns the actions in order."""
        return self._handlers[type(event)](event)

    @property
    def tip_le(self) -> bytes:
        """The current tip, in internal order."""
        return self.tip.hash_le

    @property
    def enough(self) -> bool:
        """Whether `max_blocks` is reached."""
        most = self.policy.max_blocks
        return most is not None and (self.demo_blocks or self.blocks.standing) >= most

    @property
    def status(self) -> str:
        """What the miner is doing, as text."""
        if self.halted_by:
            return "paused: " + ", ".join(sorted(self.halted_by))
        if self.working:
            if self.forks.forks:
                return f"mining, but the nodes disagree since height {self.forks.forks[0].height}"
            return "mining" if self.nodes.lost_at is None else "mining, but no node is healthy"
        if self.nodes.current is None:
            return "waiting for a node"
        return "waiting for a template"

    # --- tips ----------------------------------------------------------------------------------------------------

    def _new_tip(self, event: NewTip) -> list[Action]:
        if event.node != self.nodes.current:
            # Another node may have a better chain: check its health, which has its chainwork.
            return [LookAtNode(event.node)] if event.hash_le != self.tip_le else []
        if event.hash_le == self.tip_le:
            return []
        actions = self._move_tip(event.hash_le, event.at, event.source)
        if self._job_parent() == event.hash_le and self.working:
            return actions
        actions += self._stop("new tip")
        if self.policy.empty_first and not self.halted_by:
            actions.append(FetchTipHeader(event.node, event.hash_le))
        return actions + self._refresh(event.at, "new tip")

    def _move_tip(self, hash_le: bytes, at: Instant, source: str) -> list[Action]:
        if self.tip.move(hash_le, at):
            self.blocks.look_now(at)
        self._solved_at, self.templates.empty_only = None, False
        return [Record("tip", {"hash": to_rpc_hex(hash_le), "source": source, "node": self.nodes.current})]

    def _tip_header(self, event: TipHeader) -> list[Action]:
        """Mine an empty block on the new tip until the node's template arrives."""
        tip = event.tip
        is_news = (event.node, tip.hash_le) == (self.nodes.current, self.tip_le) and self._job_parent() != tip.hash_le
        if not is_news or self.templates.latest is None:
            return []
        actions = self._tip_height(tip.height, event.at)
        try:
            template = self.templates.empty_on(tip, event.at)
        except SolominerError as error:
            return [*actions, Record("tip_header_refused", {"node": event.node, "reason": error.what})]
        return actions if template is None else actions + self._publish(template, event.at, event.node)

    def _tip_height(self, height: int, at: Instant) -> list[Action]:
        """Take the tip's height. If it fell, blocks of ours may be gone, and another node may have more work now."""
        fell, self.tip.height = height < self.tip.height, height
        if fell:
            self.blocks.look_now(at)
        return [LookAtNode(name) for name in self.nodes.names if fell]

    # --- templates -----------------------------------------------------------------------------------------------

    def _template_ready(self, event: TemplateReady) -> list[Action]:
        template, at = event.template, event.at
        seen = self.nodes.healths.get(event.node)
        if seen is not None and seen.best_hash_le == template.prevhash_le and seen.height != template.height - 1:
            reason = f"template for height {template.height} on a block at height {seen.height}"
            return self._template_failed(TemplateFailed(at, event.node, reason, refused=True))
        if event.node != self.nodes.current:
            return []
        self.templates.failures = 0
        actions: list[Action] = [template_record(event)]
        if template.prevhash_le != self.tip_le:
            if self.tip.is_old_news("template", template.prevhash_le):
                return actions + self._refresh(at, "template of an older tip")
            actions += self._move_tip(template.prevhash_le, at, "template")
        self.tip.confirmed()
        actions += self._tip_height(template.height - 1, at)
        self.templates.take(template, at, self.policy.refresh_secs)
        as_good = self.working and same_work(self.job, template, self.policy.refresh_secs)
        return actions if as_good or self._solved_at is not None else actions + self._next_job(at)

    def _template_failed(self, event: TemplateFailed) -> list[Action]:
        actions = failure_actions(event)
        if event.node != self.nodes.current:
            return actions  # does not affect the current node
        self.templates.try_later(event.at, self.policy.refresh_secs)
        unsure = self.job is not None and self.job.template.provisional and not self.templates.empty_only
        if event.refused and unsure:
            # The rules of the next block may be the reason: do not mine the empty one without a template (rule S1).
            actions = self._stop("template refused") + actions
        if not self.templates.gone:
            return actions
        if self.nodes.shun(event.node, event.at + SHUN_SECS):
            self.templates.failures = 0
            return actions + self._health_seen(HealthSeen(event.at, self.nodes.healths[event.node]))
        # Reported once; each refused template has its own alarm.
        reported = event.refused or self.templates.failures > FAILURES_ALLOWED
        return actions if reported else [*actions, no_template(event)]

    def _transactions_checked(self, event: TransactionsChecked) -> list[Action]:
        if not event.problem:
            return []
        actions: list[Action] = [Alarm(Severity.CRITICAL, "template-invalid", f"{event.node}: {event.problem}")]
        latest = self.templates.latest
        if latest is not None and latest.template_id == event.template_id and latest.prevhash_le == self.tip_le:
            self.templates.empty_only = True
            actions += self._stop("template withdrawn")
            actions += self._publish(latest.without_transactions(), event.at, event.node)
        return actions

    # --- jobs ----------------------------------------------------------------------------------------------------

    def _next_job(self, at: Instant) -> list[Action]:
        """Publish a new job of the current template."""
        template, node = self.templates.to_mine, self.nodes.current
        return [] if template is None or node is None else self._publish(template, at, node)

    def _publish(self, template: Template, at: Instant, node: str) -> list[Action]:
        if not self._may_work(at) or template.prevhash_le != self.tip_le:
            return []
        try:
            job = self.jobs.make(template, self.policy.roll_secs)
            if self.policy.sign_for is not None:
                asked = self._signing.ask(job, self.policy.sign_for, node, at)
                # Work on an older tip must not continue until the new job is signed.
                return [*(self._stop("new tip") if self._job_parent() != self.tip_le else []), asked]
        except SolominerError as error:
            return [*self._stop("job refused"), Alarm(Severity.CRITICAL, "job-refused", error.what, error.todo)]
        return self._put_to_work(job, at, node)

    def _may_work(self, at: Instant) -> bool:
        """Whether a job may be published now."""
        return not (self.halted_by or self.enough or self._is_stale(at))

    def _is_stale(self, at: Instant) -> bool:
        """Whether no node has been healthy for so long that the tip may be outdated."""
        lost_at = self.nodes.lost_at
        return lost_at is not None and at - lost_at >= self.policy.stale_secs

    def _job_signed(self, event: JobSigned) -> list[Action]:
        if not self._signing.is_wanted(event, self.tip_le):
            return []
        try:
            job = self._signing.finish(event)
        except SolominerError as error:
            return [Alarm(Severity.CRITICAL, "job-refused", error.what, error.todo)]
        if job is None:
            self.templates.try_later(event.at, self.policy.refresh_secs)
            todo = "it is retried; check the wallet with the signet's key"
            return [Alarm(Severity.HIGH, "job-not-signed", f"{event.node}: {event.problem}", todo)]
        return self._put_to_work(job, event.at, event.node) if self._may_work(event.at) else []

    def _put_to_work(self, job: Job, at: Instant, node: str) -> list[Action]:
        self.job, self.working, self._solved_at = job, True, None
        self.judge.keep(job, at)
        actions: list[Action] = [PublishJob(job), job_record(job)]
        if job.template.transactions:
            actions.append(CheckTransactions(node, job.template))
        if self.policy.submit and self.jobs.is_new_shape(job):
            actions.append(ProposeJob(node, job))  # after its publication (rule 40)
        return actions

    def _proposal_answered(self, event: ProposalAnswered) -> list[Action]:
        if event.answer not in (Answer.ACCEPTED, Answer.HELD):
            self.jobs.forget_shapes()  # refused, or not checked
        if event.answer is not Answer.INVALID:
            return [Record("proposal", {"node": event.node, "job": event.job_id, "answer": event.raw})]
        alarm = notices.proposal_failed(event)
        proposed, current = self.judge.kept(event.job_id), self.job
        if proposed is None or current is None or proposed.is_empty or self.templates.empty_only:
            return [alarm]
        if current.template.prevhash_le != self.tip_le:
            return [alarm]  # the tip has changed: the job on it is proposed separately
        self.templates.empty_only = True
        empty = current.template.without_transactions()
        return [alarm, *self._stop("proposal failed"), *self._publish(empty, event.at, event.node)]

    # --- nodes ---------------------------------------------------------------------------------------------------

    def _health_seen(self, event: HealthSeen) -> list[Action]:
        health, at = event.health, event.at
        before, was_lost = self.nodes.current, self.nodes.lost_at is not None
        old = self.nodes.healths.get(health.node)
        self.nodes.credit(health, self.tip_le)
        now = self.nodes.see(health, at)
        actions = self._weigh_chains(self.forks.seen(self.nodes.healths, at), at)
        if old is not None and may_have_forgotten(old, health):
            self.blocks.look_now(at, health.node)
        if old is None or (old.usable, old.problem) != (health.usable, health.problem):
            actions.append(Record("node", {"node": health.node, "problem": health.problem}))
        if now is None:
            other = old is not None and health.reachable > old.reachable  # it is back, on another network perhaps
            return [*actions, self._no_node(health)] if other or not was_lost else actions
        if now == before:
            return actions + (self._tip_by_health(health, at) if health.node == now else [])
        actions.append(Record("node_switch", {"from": before, "to": now}))
        tip_actions = self._tip_by_health(self.nodes.healths[now], at)
        refreshes = any(isinstance(action, RefreshTemplate) for action in tip_actions)
        return actions + tip_actions + ([] if refreshes else self._refresh(at, "node switch"))

    def _no_node(self, health: NodeHealth) -> Alarm:
        self.templates.due_at = None
        text = f"no node is healthy: {health.node}: {health.problem or 'unreachable'}"
        todo = f"work stops in {self.policy.stale_secs:g} s unless a node recovers; it resumes automatically"
        return Alarm(Severity.HIGH, "no-node", text, todo)

    def _weigh_chains(self, actions: list[Action], at: Instant) -> list[Action]:
        """Only blocks on the chain with the most work count."""
        return actions + self.blocks.nodes_beaten(self.forks.beaten, at)

    def _tip_by_health(self, health: NodeHealth, at: Instant) -> list[Action]:
        """Take the tip from a health check of the current node, which may have begun before the tip changed."""
        if health.best_hash_le in (b"", self.tip_le):
            return []
        if self.tip.is_old_news("look", health.best_hash_le):
            return [LookAtNode(health.node)]
        return self._new_tip(NewTip(at, health.node, health.best_hash_le, "health"))

    def _refresh(self, at: Instant, reason: str) -> list[Action]:
        if self.nodes.current is None:
            return []
        # In case the request is never answered; an answer sets the time of the next one.
        self.templates.due_at = at + self.policy.refresh_secs
        return [RefreshTemplate(self.nodes.current, reason)]

    # --- shares and blocks ---------------------------------------------------------------------------------------

    def _share_found(self, event: ShareFound) -> list[Action]:
        actions, found = self.judge.judge(event, self.tip_le)
        return actions if found is None else actions + self._block_found(found, event.at)

    def _block_found(self, found: FoundBlock, at: Instant) -> list[Action]:
        if found.hash_le in self.blocks:
            return []
        if not self.policy.submit:
            self.demo_blocks += 1
            fields = {"height": found.height, "hash": found.hash_hex, "note": "simulation: not submitted"}
            return [Record("block_not_submitted", fields), *self._next_job(at)]
        elder = self.blocks.sibling_of(found, at)
        actions = self.blocks.found(found, at) if elder is None else self.blocks.superseded(found, elder, at)
        if found.prevhash_le == self._job_parent() == self.tip_le:  # a late block must not stop work on a new tip
            self._solved_at = at
            actions += self._stop("block found")
        return actions

    def _submit_answered(self, event: SubmitAnswered) -> list[Action]:
        tracked = self.blocks.open.get(event.hash_le)
        actions = self.blocks.answered(event)
        if self.policy.staging:
            return actions if self._solved_at is None else actions + self._next_job(event.at)
        rejected = tracked is not None and tracked.state is BlockState.REJECTED
        if tracked is None or not rejected or tracked.block.prevhash_le != self.tip_le:
            return actions
        if self.templates.is_doubtful(event.raw):
            actions += self._stop("template withdrawn")
        return actions if self.working else actions + self._next_job(event.at)

    # --- time, pauses, policy ------------------------------------------------------------------------------------

    def _hash_rate(self, event: HashRate) -> list[Action]:
        """Set the share target; a job whose share target is far off, as the first one's is, is replaced."""
        if event.hps <= 0:
            return []
        self.jobs.aim(event.hps, self.policy.shares_per_hour)
        job = self.job
        if not self.working or job is None or not self.jobs.is_off(job):
            return []
        return self._publish(job.template, event.at, self.nodes.current or "")

    def _tick(self, event: Tick) -> list[Action]:
        at, used, refresh_secs = event.at, self.nodes.used, self.policy.refresh_secs
        # The lower of two heights decides whether a block is deep enough to be dropped.
        actions = self.blocks.tick(at, min(self.tip.height, 0 if used is None else used.height))
        actions += self.forks.tick(at)
        if self._is_stale(at):
            actions += self._stop("no healthy node")
        if (alarm := self._signing.overdue(at, refresh_secs)) is not None:
            actions += [alarm, *self._refresh(at, "no signature")]
        due_at = self.templates.due_at
        if due_at is not None and at >= due_at:
            actions += self._refresh(at, "age")
        if self._solved_at is not None and at - self._solved_at >= refresh_secs:
            # Our block was submitted, but no new tip arrived: resume work.
            self._solved_at = None
            actions += self._refresh(at, "no new tip after our block")
        self.judge.forget_old(self.job, at)
        return actions

    def _pause(self, event: PauseWanted) -> list[Action]:
        self.halted_by.add(event.reason)
        return [Record("paused", {"reason": event.reason}), *self._stop("paused: " + event.reason)]

    def _resume(self, event: ResumeWanted) -> list[Action]:
        if event.reason not in self.halted_by:
            return []
        self.halted_by.discard(event.reason)
        actions: list[Action] = [Record("resumed", {"reason": event.reason})]
        return actions if self.halted_by else actions + self._refresh(event.at, "resumed")

    def _policy_changed(self, event: PolicyChanged) -> list[Action]:
        self.policy = event.policy
        return []

    def _stop(self, reason: str) -> list[Action]:
        was_working, self.working = self.working, False
        return [StopWork(reason)] if was_working else []

    def _job_parent(self) -> bytes:
        return self.job.template.prevhash_le if self.job is not None else b""
