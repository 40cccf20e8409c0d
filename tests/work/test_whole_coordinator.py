"""The whole coordinator under any events in any order: nodes that come, go and fork, answers that come late, twice or
never, headers of any job, pauses, settings, and a wall clock that jumps by years while the monotonic one goes on.

The nodes' clocks go right all the while, and so does `mono`; only this machine's wall clock jumps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from solominer.work.actions import (
    Action,
    CompareNodes,
    LocateBlock,
    ProposeJob,
    PublishJob,
    SaveBlock,
    SaveState,
    SendBlock,
    SignJob,
)
from solominer.work.events import (
    Answer,
    BlockSaved,
    BlockSeen,
    Event,
    HashRate,
    HealthSeen,
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
    TemplateFailed,
    TemplateReady,
    Tick,
    TipFacts,
    TipHeader,
    TransactionsChecked,
)
from solominer.work.found import BlockState
from solominer.work.instant import Instant
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.workers import WorkerId
from tests.work.builders import PAYOUT, T0, WALL, coordinator, of_type, solution, template_on, tip

YEAR = 365 * 86_400.0
WALL_STEPS = [0.0, 0.0, 0.0, 600.0, -600.0, 86_400.0, YEAR, -YEAR, 5 * YEAR, -5 * YEAR]
SOLUTION = b"\x00\x02\x01\xaa\x01\xbb"
ENGINES = [WorkerId("cpu", "0"), WorkerId("gpu", "0"), WorkerId("stratum", "rack1.s1")]
NEVER = "never"


class Whole(RuleBasedStateMachine):
    """Up to three nodes with chains of their own, three engines, and the coordinator between them."""

    @initialize(nodes=st.integers(2, 3), signet=st.booleans(), empty_first=st.booleans())
    def begin(self, nodes: int, signet: bool, empty_first: bool) -> None:
        self.names = ["a", "b", "c"][:nodes]
        self.policy = Policy(sign_for=(bytes(4), 0) if signet else None, empty_first=empty_first, keep_job_secs=120.0)
        self.machine = coordinator(*self.names, policy=self.policy)
        self.mono, self.wall_off = T0.mono, 0.0
        self.parents: dict[bytes, bytes] = {tip(1): b""}
        self.best = dict.fromkeys(self.names, tip(1))
        self.told: dict[str, list[bytes]] = {name: [] for name in self.names}
        self.were_current: set[str] = set()
        self.usable: dict[str, bool] = {}
        self.lost_at: float | None = None
        self.jobs: list[tuple[Job, float]] = []
        self.shares: list[ShareFound] = []
        self.unsigned: list[SignJob] = []
        self.proposed: list[ProposeJob] = []
        self.sends: list[SendBlock] = []
        self.looks: list[LocateBlock] = []
        self.compares: list[CompareNodes] = []
        self.saved: Counter[bytes] = Counter()
        self.final: set[bytes] = set()
        self.behind: set[bytes] = set()
        self.halted: set[str] = set()
        for name in self.names:
            self.see(name, "")
        self.give_template("a", tip(1))

    # --- what is true ------------------------------------------------------------------------------------------------

    @property
    def at(self) -> Instant:
        return Instant(self.node_time + self.wall_off, self.mono)

    @property
    def node_time(self) -> float:
        return WALL + self.mono - T0.mono

    def chain(self, hash_le: bytes) -> list[bytes]:
        blocks = []
        while hash_le:
            blocks.append(hash_le)
            hash_le = self.parents[hash_le]
        return blocks[::-1]

    def height(self, hash_le: bytes) -> int:
        return 259 + len(self.chain(hash_le))

    def health(self, node: str, *, problem: str = "", reachable: bool = True) -> NodeHealth:
        best = self.best[node]
        height = self.height(best)
        return NodeHealth(node, reachable, problem, height=height, best_hash_le=best, chainwork=height)

    # --- every step --------------------------------------------------------------------------------------------------

    def do(self, event: Event) -> list[Action]:
        self.were_current.add(self.machine.nodes.current or "")
        actions = self.machine.handle(event)
        self.were_current.add(self.machine.nodes.current or "")
        for published in of_type(PublishJob, actions):
            self.check_job(published.job)
            self.jobs.append((published.job, self.mono))
        saves = Counter(save.block.hash_le for save in of_type(SaveBlock, actions))
        for send in of_type(SendBlock, actions):
            hash_le = send.block.hash_le
            assert self.saved[hash_le] or saves[hash_le], "what is sent was saved, or is in the same step"
        self.saved += saves
        for state in of_type(SaveState, actions):
            if state.final:
                self.final.add(state.block.hash_le)
            if state.state is BlockState.SUPERSEDED:
                self.behind.add(state.block.hash_le)
        self.unsigned += of_type(SignJob, actions)
        self.proposed += of_type(ProposeJob, actions)
        self.sends += of_type(SendBlock, actions)
        self.looks += of_type(LocateBlock, actions)
        self.compares += of_type(CompareNodes, actions)
        return actions

    def check_job(self, job: Job) -> None:
        template = job.template
        assert not self.halted
        assert self.lost_at is None or self.mono - self.lost_at < self.policy.stale_secs
        assert not self.jobs or job.job_id > self.jobs[-1][0].job_id
        assert job.coinbase.outputs[:-1] == PAYOUT.outputs(template.coinbase_value)
        assert template.prevhash_le == self.machine.tip_le
        assert any(template.prevhash_le in self.told[name] for name in self.were_current if name)
        assert template.height == self.height(template.prevhash_le) + 1
        assert job.space.ntime_max <= self.node_time + 7200, "no node takes it"
        assert (job.signed_extranonce is not None) == (self.policy.sign_for is not None)

    def tell(self, node: str) -> bytes:
        if self.best[node] not in self.told[node]:
            self.told[node].append(self.best[node])
        return self.best[node]

    # --- nodes -------------------------------------------------------------------------------------------------------

    @rule(data=st.data(), said=st.booleans())
    def block_comes(self, data: st.DataObject, said: bool) -> None:
        """On the node's own tip, beside it, or on another node's chain."""
        node = data.draw(st.sampled_from(self.names))
        parent = data.draw(st.sampled_from([self.best[node], *self.best.values(), self.older(node, 1)]))
        if len(self.parents) < 200:
            new = tip(len(self.parents) + 1)
            self.parents[new] = parent
            if self.height(new) >= self.height(self.best[node]):
                self.best[node] = new
        if said:
            self.do(NewTip(self.at, node, self.tell(node), "zmq"))

    @rule(data=st.data(), said=st.booleans())
    def node_follows(self, data: st.DataObject, said: bool) -> None:
        """A node takes over another one's chain, or goes back to an old block."""
        node, other = data.draw(st.sampled_from(self.names)), data.draw(st.sampled_from(self.names))
        self.best[node] = self.older(other, data.draw(st.integers(0, 2)))
        if said:
            self.do(NewTip(self.at, node, self.tell(node), "poll"))

    def older(self, node: str, back: int) -> bytes:
        chain = self.chain(self.best[node])
        return chain[max(len(chain) - 1 - back, 0)]

    @rule(data=st.data(), problem=st.sampled_from(["", "", "", "behind", "gone"]))
    def look(self, data: st.DataObject, problem: str) -> None:
        self.see(data.draw(st.sampled_from(self.names)), problem)

    @rule()
    def all_are_lost(self) -> None:
        for name in self.names:
            self.see(name, "gone")

    def see(self, node: str, problem: str) -> None:
        self.tell(node)
        self.usable[node] = not problem
        if any(self.usable.values()):
            self.lost_at = None
        elif self.lost_at is None:
            self.lost_at = self.mono
        self.do(HealthSeen(self.at, self.health(node, problem=problem, reachable=problem != "gone")))

    @rule(data=st.data(), late=st.booleans())
    def template(self, data: st.DataObject, late: bool) -> None:
        node = data.draw(st.sampled_from([self.machine.nodes.current or "a", *self.names]))
        parent = self.tell(node)
        if late:
            parent = data.draw(st.sampled_from(self.told[node]))
        self.give_template(node, parent)

    def give_template(self, node: str, parent: bytes) -> None:
        template = template_on(parent, self.height(parent) + 1, curtime=int(self.node_time))
        self.do(TemplateReady(self.at, node, replace(template, template_id=f"{node}{int(self.mono) // 10}")))

    @rule(data=st.data(), refused=st.booleans())
    def no_template(self, data: st.DataObject, refused: bool) -> None:
        self.do(TemplateFailed(self.at, data.draw(st.sampled_from(self.names)), "busy", refused=refused))

    @rule(data=st.data())
    def header(self, data: st.DataObject) -> None:
        node = data.draw(st.sampled_from([self.machine.nodes.current or "a", *self.names]))
        hash_le = data.draw(st.sampled_from([self.machine.tip_le, self.machine.tip_le, *self.told[node]]))
        now = int(self.node_time)
        facts = TipFacts(hash_le, self.height(hash_le), 0x20000000, now, now - 3000, 0x207FFFFF)
        self.do(TipHeader(self.at, node, facts))

    @precondition(lambda self: self.machine.templates.latest)
    @rule(lie=st.booleans())
    def transactions(self, lie: bool) -> None:
        latest = self.machine.templates.latest
        assert latest is not None
        self.do(TransactionsChecked(self.at, self.names[0], latest.template_id, "txid" if lie else ""))

    @precondition(lambda self: self.proposed)
    @rule(data=st.data(), answer=st.sampled_from(Answer))
    def proposal(self, data: st.DataObject, answer: Answer) -> None:
        asked = data.draw(st.sampled_from(self.proposed))
        self.proposed.remove(asked)
        self.do(ProposalAnswered(self.at, asked.node, asked.job.job_id, answer, answer.value))

    @precondition(lambda self: self.unsigned)
    @rule(data=st.data(), problem=st.sampled_from(["", "", "the wallet is locked"]))
    def signature(self, data: st.DataObject, problem: str) -> None:
        asked = data.draw(st.sampled_from(self.unsigned[-2:]))
        self.do(JobSigned(self.at, asked.node, asked.job.job_id, b"" if problem else SOLUTION, problem))

    @precondition(lambda self: self.compares)
    @rule()
    def comparison(self) -> None:
        asked = self.compares.pop()
        one, other = self.health(asked.one), self.health(asked.other)
        both = set(self.chain(one.best_hash_le)) & set(self.chain(other.best_hash_le))
        self.do(NodesCompared(self.at, one, other, 259 + len(both)))

    # --- headers and blocks ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), wins=st.booleans(), start=st.integers(0, 3000), engine=st.sampled_from(ENGINES))
    def share(self, data: st.DataObject, wins: bool, start: int, engine: WorkerId) -> None:
        """Of any job that ever went out: the current one, an old one, one that is forgotten."""
        job, published = data.draw(st.one_of(st.just(self.jobs[-1]), st.sampled_from(self.jobs)))
        share = replace(solution(job, at=self.at, solves=wins, start=start), worker=engine, is_block=wins)
        self.shares.append(share)
        self.hand_in(share, job, published)

    @precondition(lambda self: self.shares)
    @rule(data=st.data(), engine=st.sampled_from(ENGINES))
    def share_again(self, data: st.DataObject, engine: WorkerId) -> None:
        share = data.draw(st.sampled_from(self.shares))
        job, published = next(pair for pair in self.jobs if pair[0].job_id == share.job_id)
        self.hand_in(replace(share, at=self.at, worker=engine), job, published)

    def hand_in(self, share: ShareFound, job: Job, published: float) -> None:
        hash_le = job.header(share.extranonce, share.version, share.ntime, share.nonce).hash_le()
        self.do(share)
        if not share.is_block:
            assert not self.saved[hash_le]
        elif self.mono - published < self.policy.keep_job_secs:
            assert self.saved[hash_le] == 1
        assert self.saved[hash_le] <= 1, "saved and counted once, however often it is handed in"

    @precondition(lambda self: self.sends)
    @rule(data=st.data(), answer=st.sampled_from([*Answer, NEVER]))
    def answer(self, data: st.DataObject, answer: Answer | str) -> None:
        send = self.sends.pop(data.draw(st.integers(0, len(self.sends) - 1)))
        if isinstance(answer, Answer):
            self.answered(send, answer)

    def answered(self, send: SendBlock, answer: Answer) -> None:
        self.do(SubmitAnswered(self.at, send.node, send.block.hash_le, answer, answer.value, send.attempt, 0.01))

    @precondition(lambda self: self.looks)
    @rule(data=st.data(), confirmations=st.sampled_from([None, -1, 1, 2, 100]))
    def located(self, data: st.DataObject, confirmations: int | None) -> None:
        look = self.looks.pop(data.draw(st.integers(0, len(self.looks) - 1)))
        rival = "rival" if confirmations == -1 else ""
        self.do(BlockSeen(self.at, look.node, look.hash_le, confirmations, rival))

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def on_disk(self, data: st.DataObject) -> None:
        self.do(BlockSaved(self.at, data.draw(st.sampled_from(sorted(self.saved)))))

    # --- time, pauses, settings --------------------------------------------------------------------------------------

    @rule(secs=st.sampled_from([0.0, 0.25, 1.0, 5.0, 31.0, 61.0, 130.0]), step=st.sampled_from(WALL_STEPS))
    def time_passes(self, secs: float, step: float = 0.0) -> None:
        """The wall clock may be set meanwhile."""
        self.mono += secs
        self.wall_off += step
        self.do(Tick(self.at))
        if self.lost_at is not None and self.mono - self.lost_at >= self.policy.stale_secs:
            assert not self.machine.working

    @rule(reason=st.sampled_from(["hand", "heat", "price"]), pause=st.booleans())
    def pause(self, reason: str, pause: bool) -> None:
        (self.halted.add if pause else self.halted.discard)(reason)
        self.do(PauseWanted(self.at, reason) if pause else ResumeWanted(self.at, reason))

    @rule(
        refresh=st.sampled_from([5.0, 30.0]),
        stale=st.sampled_from([10.0, 60.0]),
        most=st.sampled_from([None, None, 1, 3]),
        empty_first=st.booleans(),
    )
    def settings_change(self, refresh: float, stale: float, most: int | None, empty_first: bool) -> None:
        self.policy = replace(
            self.policy, refresh_secs=refresh, stale_secs=stale, max_blocks=most, empty_first=empty_first
        )
        self.do(PolicyChanged(self.at, self.policy))

    @rule(hps=st.sampled_from([0.0, 1.0, 1e6, 1e12]))
    def hash_rate(self, hps: float) -> None:
        self.do(HashRate(self.at, hps))

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def a_pause_is_a_pause(self) -> None:
        assert self.machine.halted_by == self.halted
        assert not (self.halted and self.machine.working)
        assert self.machine.status

    @invariant()
    def work_is_on_the_tip(self) -> None:
        if self.machine.working:
            assert self.machine.job is not None
            assert self.machine.job.template.prevhash_le == self.machine.tip_le

    @invariant()
    def every_block_is_cared_for(self) -> None:
        blocks = self.machine.blocks
        for hash_le in self.saved:
            assert hash_le in blocks.open or hash_le in self.final or hash_le in self.behind
        for tracked in blocks.open.values():
            due = [(there.in_flight, there.send_at, there.look_at) for there in tracked.nodes.values()]
            assert all(flying or send or look for flying, send, look in due)

    def teardown(self) -> None:
        """When all nodes are well, on one chain, and answer, there is work on their tip within a minute."""
        if not hasattr(self, "machine"):
            return
        for reason in sorted(self.halted):
            self.pause(reason, pause=False)
        self.settings_change(30.0, 60.0, None, empty_first=True)
        best = max(self.best.values(), key=self.height)
        for _ in range(12):
            self.time_passes(5.0)
            for name in self.names:
                self.best[name] = best
                self.see(name, "")
                self.give_template(name, best)
            for asked in self.unsigned[-1:]:
                self.do(JobSigned(self.at, asked.node, asked.job.job_id, SOLUTION))
        assert self.machine.tip_le == best
        assert self.machine.working


TestWhole = Whole.TestCase
TestWhole.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
