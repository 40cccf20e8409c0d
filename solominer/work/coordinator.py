"""The coordinator: one synchronous state machine that decides everything. Events in, actions out, no I/O, no clock.

What it holds to:
- a tip that is not the job's parent stops the work at once; only then is new work asked for;
- every header that an engine hands in is judged against the network target before anything else, however late it is;
- a job is built, checked by code of its own kind (guard), and only then published;
- ZMQ, polls and templates are all just hints about the tip: whichever comes first wins, the others change nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.networks import Network
from solominer.chain.target import HASH_SPACE, difficulty
from solominer.errors import SolominerError
from solominer.work.blocks import BlockTracker, RetryPolicy
from solominer.work.events import (
    Action,
    Alarm,
    Answer,
    BlockRestored,
    BlockSaved,
    BlockSeen,
    CheckTransactions,
    Event,
    FetchTipHeader,
    HashRate,
    HealthSeen,
    JobSigned,
    LookAtNode,
    NewTip,
    NodeHealth,
    NodesCompared,
    PauseWanted,
    PolicyChanged,
    ProposalAnswered,
    ProposeJob,
    PublishJob,
    Record,
    RefreshTemplate,
    ResumeWanted,
    Severity,
    ShareFound,
    SignJob,
    StopWork,
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
from solominer.work.found import FoundBlock
from solominer.work.instant import Instant
from solominer.work.job import SALT_SIZE, Job, Payout, build_job
from solominer.work.job_check import check_job
from solominer.work.judge import Judge
from solominer.work.selection import NodeChooser
from solominer.work.signed import signed, to_be_signed
from solominer.work.template import Template, empty_template

FAILURES_ALLOWED, SHUN_SECS = 4, 600.0
"""After so many failures in a row to give a template a node is left for another one, and for how long."""

TIMEWARP_SECS = 600
"""How far a period's first block may lie before its parent (BIP 94, MAX_TIMEWARP)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How the coordinator behaves; times in seconds.

    `refresh_secs`: age at which a template is fetched anew. `stale_secs`: how long work goes on while no node is
    healthy. `shares_per_hour`: how hard shares are made. `empty_first`: mine an empty block until the full template
    of a new tip is in. `staging`: a found block is proposed and never submitted. `submit` False (demo): neither.
    `max_blocks`: no more work once that many blocks are found and not lost again. `sign_for`: every job is
    signed for this extranonce1 and these searched bits before it is published (signet; None: no signatures).
    """

    refresh_secs: float = 30.0
    stale_secs: float = 60.0
    return_secs: float = 30.0
    shares_per_hour: float = 1000.0
    empty_first: bool = True
    staging: bool = False
    submit: bool = True
    max_blocks: int | None = None
    sign_for: tuple[bytes, int] | None = None
    roll_secs: int = 600
    keep_job_secs: float = 600.0
    keep_job_bytes: int = 64 << 20
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Coordinator:
    """See the module. `run_id` is two bytes that differ from run to run; they begin every salt (rule 25)."""

    def __init__(
        self, network: Network, nodes: list[str], payout: Payout, tag: bytes, policy: Policy, run_id: bytes
    ) -> None:
        self.network = network
        self.policy = policy
        self.nodes = NodeChooser(nodes, policy.return_secs)
        self.forks = ForkWatch(nodes)
        self.blocks = BlockTracker(nodes, policy.retry, staging=policy.staging)
        self.tip_le = b""
        self.tip_at: Instant | None = None
        self.tip_height = 0
        self.template: Template | None = None
        self.template_at: Instant | None = None
        self.job: Job | None = None
        self.working = False
        self.halted_by: set[str] = set()
        self.judge = Judge(policy.keep_job_secs, policy.keep_job_bytes)
        self.demo_blocks = 0
        self._unsigned: Job | None = None
        self._payout = payout
        self._tag = tag
        self._run_id = run_id
        self._last_job_id = 0
        self._share_target = 0
        self._curtime_offset = 0.0
        self._node_lost_at: Instant | None = None
        self._refresh_at: Instant | None = None
        self._failures = 0
        self._proposed: set[tuple[bool, tuple[bytes, ...], int]] = set()
        self._empty_only = False
        self._solved_at: Instant | None = None
        self._left_tips: OrderedDict[bytes, None] = OrderedDict()
        self._doubted: set[tuple[str, bytes]] = set()
        self._handlers: dict[type, Callable[..., list[Action]]] = {
            NewTip: self._new_tip,
            TipHeader: self._tip_header,
            TemplateReady: self._template_ready,
            TemplateFailed: self._template_failed,
            TransactionsChecked: self._transactions_checked,
            HealthSeen: self._health_seen,
            NodesCompared: self._nodes_compared,
            ShareFound: self._share_found,
            WrongHit: self._wrong_hit,
            WorkerStarted: self._worker_started,
            WorkerDied: self._worker_died,
            SubmitAnswered: self._submit_answered,
            SubmittingTried: self._submitting_tried,
            BlockSeen: lambda event: self.blocks.seen(event),
            ProposalAnswered: self._proposal_answered,
            JobSigned: self._job_signed,
            HashRate: self._hash_rate,
            Tick: self._tick,
            PauseWanted: self._pause,
            ResumeWanted: self._resume,
            PolicyChanged: self._policy_changed,
            BlockSaved: self._block_saved,
            BlockRestored: lambda event: self.blocks.restore(event.block, event.state, event.at),
        }

    def handle(self, event: Event) -> list[Action]:
        """Take one event, give what is to be done, in order."""
        return self._handlers[type(event)](event)

    @property
    def enough(self) -> bool:
        """Whether `max_blocks` are found."""
        most = self.policy.max_blocks
        return most is not None and (self.demo_blocks or self.blocks.standing) >= most

    @property
    def status(self) -> str:
        """What the miner is doing, in words."""
        if self.halted_by:
            return "paused: " + ", ".join(sorted(self.halted_by))
        if self.working:
            if self.forks.forks:
                return f"mining, but the nodes disagree since height {self.forks.forks[0].height}"
            return "mining" if self._node_lost_at is None else "mining, but no node is healthy"
        if self.nodes.current is None:
            return "waiting for a node"
        return "waiting for a template"

    # --- tips ----------------------------------------------------------------------------------------------------

    def _new_tip(self, event: NewTip) -> list[Action]:
        if event.node != self.nodes.current:
            # Another node may be ahead of ours: its work decides, not its word.
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
        if self.tip_le:
            self._left_tips[self.tip_le] = None
            while len(self._left_tips) > 16:
                self._left_tips.popitem(last=False)
        if hash_le in self._left_tips:
            del self._left_tips[hash_le]
            self.blocks.look_now(at)
        self._doubted.clear()
        self.tip_le, self.tip_at, self._solved_at, self._empty_only = hash_le, at, None, False
        return [Record("tip", {"hash": to_rpc_hex(hash_le), "source": source, "node": self.nodes.current})]

    def _is_old_news(self, source: str, hash_le: bytes) -> bool:
        """Whether this names a tip that was left: asked for before the tip moved, perhaps, so it is asked for again.

        What says so again was asked for since, and is believed.
        """
        if hash_le not in self._left_tips or (source, hash_le) in self._doubted:
            return False
        self._doubted.add((source, hash_le))
        return True

    def _tip_header(self, event: TipHeader) -> list[Action]:
        """An empty block on the new tip, until the node's template is in."""
        tip, last = event.tip, self.template
        if tip.hash_le != self.tip_le or self._job_parent() == tip.hash_le or last is None:
            return []
        self.tip_height = tip.height
        height = tip.height + 1
        network = self.network
        bits_may_change = network.is_retarget_height(height) or network.min_difficulty_blocks
        if bits_may_change and not network.no_retarget:
            return []
        mintime = tip.median_time + 1
        if network.is_retarget_height(height):
            mintime = max(mintime, tip.time - TIMEWARP_SECS)
        try:
            template = empty_template(
                network,
                height=height,
                prevhash_le=tip.hash_le,
                version=last.version,
                version_mask=last.version_mask,
                nbits=tip.nbits,
                curtime=int(event.at.wall + self._curtime_offset),
                mintime=mintime,
                coinbase_aux=last.coinbase_aux,
            )
        except SolominerError as error:
            return [Record("tip_header_refused", {"node": event.node, "reason": error.what})]
        return self._publish(template, event.at, event.node)

    # --- templates -----------------------------------------------------------------------------------------------

    def _template_ready(self, event: TemplateReady) -> list[Action]:
        template = event.template
        seen = self.nodes.healths.get(event.node)
        if seen is not None and seen.best_hash_le == template.prevhash_le and seen.height != template.height - 1:
            reason = f"a template for height {template.height} on a block that the node has at height {seen.height}"
            return self._template_failed(TemplateFailed(event.at, event.node, reason, refused=True))
        self._failures = 0
        if event.node != self.nodes.current:
            return []
        fields = {
            "node": event.node,
            "height": template.height,
            "prevhash": template.prevhash_hex,
            "transactions": len(template.transactions),
            "fees_sats": template.fees_sats,
            "rpc_secs": round(event.rpc_secs, 6),
            "parse_secs": round(event.parse_secs, 6),
        }
        actions: list[Action] = [Record("template", fields)]
        if template.prevhash_le != self.tip_le:
            if self._is_old_news("template", template.prevhash_le):
                return actions + self._refresh(event.at, "template of an older tip")
            actions += self._move_tip(template.prevhash_le, event.at, "template")
        self._doubted.clear()
        self._refresh_at = event.at + self.policy.refresh_secs
        if template.height <= self.tip_height:
            self.blocks.look_now(event.at)
        self.tip_height = template.height - 1
        self._curtime_offset = template.curtime - event.at.wall
        self.template, self.template_at = template, event.at
        if self._solved_at is not None or (self.working and self._same_work(template)):
            return actions
        if self._empty_only:
            template = template.without_transactions()
        return actions + self._publish(template, event.at, event.node)

    def _same_work(self, template: Template) -> bool:
        """Whether the job at hand is as good: same content, and its time not far behind."""
        job = self.job
        if job is not None and job.signed_extranonce is not None:
            return template.curtime == job.template.curtime  # it has one nonce range only: a new time gives the next
        return (
            job is not None
            and job.template.template_id == template.template_id
            and job.template.nbits == template.nbits
            and template.curtime - job.template.curtime < 4 * self.policy.refresh_secs
        )

    def _template_failed(self, event: TemplateFailed) -> list[Action]:
        self._failures += 1
        self._refresh_at = event.at + min(0.25 * float(1 << min(self._failures, 10)), self.policy.refresh_secs)
        return self._failure_told(event) + self._leave_node_without_templates(event)

    def _leave_node_without_templates(self, event: TemplateFailed) -> list[Action]:
        if event.node != self.nodes.current or self._failures < FAILURES_ALLOWED:
            return []
        if not self.nodes.shun(event.node, event.at + SHUN_SECS):
            return self._no_template(event)
        self._failures = 0
        return self._health_seen(HealthSeen(event.at, self.nodes.healths[event.node]))

    def _no_template(self, event: TemplateFailed) -> list[Action]:
        """There is no other node to ask; said once, and what is refused has said so each time."""
        if self._failures > FAILURES_ALLOWED or event.refused:
            return []
        todo = "it is asked on; until it gives one, work ends with the next block. See the node's debug.log"
        return [Alarm(Severity.HIGH, "no-template", f"{event.node} gives no template: {event.reason}", todo)]

    def _failure_told(self, event: TemplateFailed) -> list[Action]:
        if event.refused:
            alarm = Alarm(Severity.HIGH, "template-refused", f"{event.node}: {event.reason}", "see the rule it names")
            unsure = self.job is not None and self.job.template.provisional and not self._empty_only
            # The rules of that block may be the reason: without a template nothing vouches for the empty one (rule S1).
            return [*(self._stop("template refused") if unsure else []), alarm, LookAtNode(event.node)]
        return [Record("template_failed", {"node": event.node, "reason": event.reason}), LookAtNode(event.node)]

    def _transactions_checked(self, event: TransactionsChecked) -> list[Action]:
        if not event.problem:
            return []
        actions: list[Action] = [Alarm(Severity.CRITICAL, "template-invalid", f"{event.node}: {event.problem}")]
        lying = self.template if self.template and self.template.template_id == event.template_id else None
        if lying is not None and lying.prevhash_le == self.tip_le:
            self._empty_only = True
            actions += self._stop("template withdrawn")
            actions += self._publish(lying.without_transactions(), event.at, event.node)
        return actions

    def _publish(self, template: Template, at: Instant, node: str) -> list[Action]:
        if self.halted_by or self.enough or template.prevhash_le != self.tip_le:
            return []
        self._last_job_id += 1
        salt = self._run_id + (self._last_job_id & 0xFFFF).to_bytes(SALT_SIZE - 2, "big")
        try:
            job = build_job(
                template,
                self._payout,
                job_id=self._last_job_id,
                salt=salt,
                tag=self._tag,
                share_target=self._share_target,
                roll_secs=self.policy.roll_secs,
            )
            check_job(job, [(self._payout.script_pubkey, template.coinbase_value)])
            if self.policy.sign_for is not None:
                self._unsigned = to_be_signed(job, job.extranonce(*self.policy.sign_for))
                return [SignJob(node, self._unsigned)]
        except SolominerError as error:
            return [*self._stop("job refused"), Alarm(Severity.CRITICAL, "job-refused", error.what, error.todo)]
        return self._put_to_work(job, at, node)

    def _job_signed(self, event: JobSigned) -> list[Action]:
        """A signature came; it may be for a job that the tip or a newer one has overtaken."""
        job = self._unsigned
        if job is None or job.job_id != event.job_id or job.template.prevhash_le != self.tip_le:
            return []
        self._unsigned = None
        if event.problem:
            self._failures += 1
            self._refresh_at = event.at + min(0.25 * float(1 << min(self._failures, 10)), self.policy.refresh_secs)
            todo = "it is tried again; see the wallet that holds the signet's key"
            return [Alarm(Severity.HIGH, "job-not-signed", f"{event.node}: {event.problem}", todo)]
        if self.halted_by or self.enough:
            return []
        try:
            job = signed(job, event.solution)
        except SolominerError as error:
            return [Alarm(Severity.CRITICAL, "job-refused", error.what, error.todo)]
        return self._put_to_work(job, event.at, event.node)

    def _put_to_work(self, job: Job, at: Instant, node: str) -> list[Action]:
        template = job.template
        self.job, self.working, self._solved_at = job, True, None
        self.judge.keep(job, at)
        fields = {
            "job": job.job_id,
            "height": template.height,
            "prevhash": template.prevhash_hex,
            "template": template.template_id,
            "transactions": len(template.transactions),
            "value_sats": template.coinbase_value,
            "share_difficulty": difficulty(job.share_target),
        }
        actions: list[Action] = [PublishJob(job), Record("job", fields)]
        if template.transactions:
            actions.append(CheckTransactions(node, template))
        return actions + self._propose(job, node)

    def _propose(self, job: Job, node: str) -> list[Action]:
        """Each new coinbase shape is put to the node once (rule 40), behind its publication."""
        shape = (job.is_empty, tuple(out.script_pubkey for out in job.coinbase.outputs[:-1]), job.coinbase.weight)
        if shape in self._proposed or not self.policy.submit:
            return []
        self._proposed.add(shape)
        return [ProposeJob(node, job)]

    def _proposal_answered(self, event: ProposalAnswered) -> list[Action]:
        if event.answer is not Answer.INVALID:
            if event.answer not in (Answer.ACCEPTED, Answer.HELD):
                self._proposed.clear()  # nobody has judged this shape yet: the next job is asked about again
            return [Record("proposal", {"node": event.node, "job": event.job_id, "answer": event.raw})]
        alarm = Alarm(
            Severity.CRITICAL,
            "proposal-failed",
            f"{event.node} would reject our block: {event.raw}",
            "mining goes on with empty blocks; report this with the log",
        )
        proposed = self.judge.kept(event.job_id)
        current = self.job
        self._proposed.clear()  # nothing is taken for granted any more: the next job is asked about again
        if proposed is None or current is None or proposed.is_empty or self._empty_only:
            return [alarm]
        if current.template.prevhash_le != self.tip_le:
            return [alarm]  # the tip has moved: its own job will be asked about
        self._empty_only = True
        return [
            alarm,
            *self._stop("proposal failed"),
            *self._publish(current.template.without_transactions(), event.at, event.node),
        ]

    # --- nodes ---------------------------------------------------------------------------------------------------

    def _health_seen(self, event: HealthSeen) -> list[Action]:
        before = self.nodes.current
        old = self.nodes.healths.get(event.health.node)
        self._credit_current(event.health)
        now = self.nodes.see(event.health, event.at)
        actions = self._judge_chains(self.forks.seen(self.nodes.healths, event.at), event.at)
        if old is not None and _may_have_forgotten(old, event.health):
            self.blocks.look_now(event.at, event.health.node)
        if old is None or (old.usable, old.problem) != (event.health.usable, event.health.problem):
            actions.append(Record("node", {"node": event.health.node, "problem": event.health.problem}))
        if now is None:
            if before is not None or self._node_lost_at is None:
                self._node_lost_at = event.at
                self._refresh_at = None
                actions.append(
                    Alarm(
                        Severity.HIGH,
                        "no-node",
                        f"no node is healthy: {event.health.node}: {event.health.problem or 'unreachable'}",
                        f"work stops in {self.policy.stale_secs:g} s unless one comes back; it resumes by itself",
                    )
                )
            return actions
        self._node_lost_at = None
        if now == before:
            return actions + (self._tip_by_look(event.health, event.at) if event.health.node == now else [])
        actions.append(Record("node_switch", {"from": before, "to": now}))
        news = self._tip_by_look(self.nodes.healths[now], event.at)
        asked = any(isinstance(action, RefreshTemplate) for action in news)
        return actions + news + ([] if asked else self._refresh(event.at, "node switch"))

    def _nodes_compared(self, event: NodesCompared) -> list[Action]:
        return self._judge_chains(self.forks.compared(event), event.at)

    def _judge_chains(self, said: list[Action], at: Instant) -> list[Action]:
        """Blocks count on the chain with the most work."""
        return said + self.blocks.judge_by(self.forks.beaten, at)

    def _credit_current(self, health: NodeHealth) -> None:
        """Another node shows the tip that the node in use has named already: its own last look is merely older."""
        name = self.nodes.current
        used = self.nodes.healths.get(name) if name is not None else None
        if used is None or health.node == name or health.best_hash_le != self.tip_le:
            return
        if used.chainwork < health.chainwork:
            self.nodes.healths[used.node] = replace(used, best_hash_le=self.tip_le, chainwork=health.chainwork)

    def _tip_by_look(self, health: NodeHealth, at: Instant) -> list[Action]:
        """What a look at the node in use says of the tip. It may have begun before the tip moved."""
        if health.best_hash_le in (b"", self.tip_le):
            return []
        if self._is_old_news("look", health.best_hash_le):
            return [LookAtNode(health.node)]
        return self._new_tip(NewTip(at, health.node, health.best_hash_le, "health"))

    def _refresh(self, at: Instant, reason: str) -> list[Action]:
        if self.nodes.current is None:
            return []
        # An answer sets the real time of the next one; this is for a request that is never answered.
        self._refresh_at = at + self.policy.refresh_secs
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
            return [Record("block_not_submitted", fields), *self._next_job_on_same_tip(at)]
        elder = self.blocks.sibling_of(found, at)
        actions = self.blocks.found(found, at) if elder is None else self.blocks.superseded(found, elder, at)
        if found.prevhash_le == self._job_parent() == self.tip_le:  # a late find must not hold up work on a new tip
            self._solved_at = at
            actions += self._stop("block found")
        return actions

    def _submit_answered(self, event: SubmitAnswered) -> list[Action]:
        actions = self.blocks.answered(event)
        if self._solved_at is None:
            return actions
        if self.policy.staging:
            return actions + self._next_job_on_same_tip(event.at)
        if event.answer is Answer.INVALID and event.hash_le not in self.blocks.open:
            # Whatever made it invalid may sit in a transaction: go on with the coinbase alone.
            self._empty_only = True
            return actions + self._next_job_on_same_tip(event.at)
        return actions

    def _submitting_tried(self, event: SubmittingTried) -> list[Action]:
        actions: list[Action] = [Record("submission_trial", {"node": event.node, "problem": event.problem})]
        if event.problem:
            text = f"{event.node} would not take a block of ours now: submitblock: {event.problem}"
            todo = "mining goes on; a found block is kept and sent again until a node has it on its chain"
            actions.append(Alarm(Severity.CRITICAL, "cannot-submit", text, todo))
        return actions

    def _next_job_on_same_tip(self, at: Instant) -> list[Action]:
        """The job at hand is solved and the tip will not move for it: the same template with a new extranonce."""
        if self.template is None or self.nodes.current is None:
            return []
        template = self.template.without_transactions() if self._empty_only else self.template
        return self._publish(template, at, self.nodes.current)

    def _wrong_hit(self, event: WrongHit) -> list[Action]:
        fields = {"worker": str(event.worker), "kernel": event.kernel, "count": event.count}
        alarm = Alarm(
            Severity.HIGH,
            "wrong-hit",
            f"worker {event.worker} reported a hash that is not one (kernel {event.kernel}, {event.count} so far)",
            "the kernel is changed after three; if it goes on, test the memory and the processor",
        )
        return [Record("wrong_hit", fields), alarm]

    # --- engines, time, pauses -----------------------------------------------------------------------------------

    def _worker_started(self, event: WorkerStarted) -> list[Action]:
        return [Record("worker_started", {"worker": str(event.worker), "pid": event.pid, "kernel": event.kernel})]

    def _worker_died(self, event: WorkerDied) -> list[Action]:
        text = f"worker {event.worker} (process {event.pid}) {event.reason}"
        again = f"it is started again in {event.restart_secs:g} s"
        return [Alarm(Severity.MEDIUM, "worker-died", text, again)]

    def _hash_rate(self, event: HashRate) -> list[Action]:
        """Sets how hard shares are; a job whose shares are far off, as the very first is, is replaced."""
        if event.hps <= 0:
            return []
        hashes_per_share = event.hps * 3600.0 / self.policy.shares_per_hour
        self._share_target = min(int(HASH_SPACE / max(hashes_per_share, 1.0)), HASH_SPACE - 1)
        job = self.job
        if not self.working or job is None:
            return []
        wanted = max(self._share_target, job.template.target)
        if wanted <= 2 * job.share_target and job.share_target <= 2 * wanted:
            return []
        return self._publish(job.template, event.at, self.nodes.current or "")

    def _tick(self, event: Tick) -> list[Action]:
        at = event.at
        seen = self.nodes.healths.get(self.nodes.current or "")
        # Two answers must agree before a block is deep enough to be let go.
        actions = self.blocks.tick(at, min(self.tip_height, 0 if seen is None else seen.height))
        actions += self.forks.tick(at)
        if self._node_lost_at is not None and self.working and at - self._node_lost_at >= self.policy.stale_secs:
            actions += self._stop("no healthy node")
        if self._refresh_at is not None and at >= self._refresh_at:
            actions += self._refresh(at, "age")
        if self._solved_at is not None and at - self._solved_at >= self.policy.refresh_secs:
            # Our block is with the nodes and yet no new tip came: rather search on than stand still.
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

    def _block_saved(self, event: BlockSaved) -> list[Action]:
        self.blocks.saved(event.hash_le)
        return []

    def _stop(self, reason: str) -> list[Action]:
        was_working, self.working = self.working, False
        return [StopWork(reason)] if was_working else []

    def _job_parent(self) -> bytes:
        return self.job.template.prevhash_le if self.job is not None else b""


def _may_have_forgotten(old: NodeHealth, new: NodeHealth) -> bool:
    """Whether a node may have been restarted without blocks that it had accepted (rule S2)."""
    return new.reachable and (not old.reachable or new.chainwork < old.chainwork)
