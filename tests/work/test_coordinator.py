"""The coordinator, race by race: lists of events in, actions out. No clock, no node, no process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.networks import MAINNET, REGTEST, TESTNET4
from solominer.work.actions import (
    Alarm,
    CheckTransactions,
    FetchTipHeader,
    LookAtNode,
    ProposeBlock,
    ProposeJob,
    PublishJob,
    Record,
    RefreshTemplate,
    SaveBlock,
    SaveState,
    SendBlock,
    Severity,
    ShareSeen,
    StopWork,
)
from solominer.work.coordinator import Coordinator
from solominer.work.events import (
    Answer,
    BlockSeen,
    HashRate,
    HealthSeen,
    NewTip,
    PauseWanted,
    ProposalAnswered,
    ResumeWanted,
    SubmitAnswered,
    SubmittingTried,
    TemplateFailed,
    TemplateReady,
    Tick,
    TipFacts,
    TipHeader,
    TransactionsChecked,
    WorkerDied,
    WorkerStarted,
    WrongHit,
)
from solominer.work.found import BlockState
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.templates import same_work
from solominer.work.workers import WorkerId
from tests.work.builders import (
    PAYOUT,
    T0,
    WALL,
    coordinator,
    feed,
    health,
    mining,
    of_type,
    real_template,
    solution,
    template_on,
    tip,
)


def facts(number: int, height: int, nbits: int = 0x170240C3) -> TipFacts:
    return TipFacts(tip(number), height, 0x20000000, int(WALL), int(WALL) - 3000, nbits)


# --- tips -------------------------------------------------------------------------------------------------------------


def test_a_healthy_node_is_asked_for_a_template_and_the_job_goes_out() -> None:
    machine = coordinator()
    assert machine.status == "waiting for a node"
    actions = feed(machine, HealthSeen(T0, health(best=tip(1))))
    assert of_type(RefreshTemplate, actions) == [RefreshTemplate("a", "new tip")]
    assert machine.status == "waiting for a template"
    actions = feed(machine, TemplateReady(T0, "a", template_on(tip(1), 261)))
    (published,) = of_type(PublishJob, actions)
    assert published.job.template.height == 261
    assert machine.status == "mining"


def test_a_new_tip_stops_the_work_before_anything_else() -> None:
    machine, _ = mining()
    actions = feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    kinds = [type(action) for action in actions if not isinstance(action, Record)]
    assert kinds == [StopWork, FetchTipHeader, RefreshTemplate]
    assert not machine.working


@pytest.mark.parametrize("source", ["zmq", "poll", "longpoll"])
def test_the_same_tip_again_changes_nothing(source: str) -> None:
    machine, _ = mining()
    assert feed(machine, NewTip(T0 + 5, "a", tip(1), source)) == []
    assert machine.working


def test_a_template_that_is_ahead_of_the_tip_events_is_taken() -> None:
    machine, _ = mining()
    actions = feed(machine, TemplateReady(T0 + 5, "a", template_on(tip(2), 262)))
    assert of_type(PublishJob, actions)[0].job.template.prevhash_le == tip(2)
    # The ZMQ message that comes behind it must not stop the right work.
    assert of_type(StopWork, feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))) == []
    assert machine.working


def test_a_template_of_an_older_tip_is_not_mined_but_asked_for_again() -> None:
    machine, _ = mining()
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    actions = feed(machine, TemplateReady(T0 + 5, "a", template_on(tip(1), 261)))
    assert of_type(PublishJob, actions) == []
    assert [action.reason for action in of_type(RefreshTemplate, actions)] == ["template of an older tip"]


def test_a_reorganization_back_to_a_tip_that_was_left_is_followed() -> None:
    machine, _ = mining()
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"), TemplateReady(T0 + 5, "a", template_on(tip(2), 262)))
    actions = feed(machine, NewTip(T0 + 6, "a", tip(1), "zmq"), TemplateReady(T0 + 6, "a", template_on(tip(1), 261)))
    assert len(of_type(StopWork, actions)) == 1
    assert of_type(PublishJob, actions)[-1].job.template.prevhash_le == tip(1)


def test_a_same_height_reorganization_is_followed() -> None:
    machine, _ = mining()
    actions = feed(machine, NewTip(T0 + 5, "a", tip(9), "poll"), TemplateReady(T0 + 5, "a", template_on(tip(9), 261)))
    assert len(of_type(StopWork, actions)) == 1
    assert of_type(PublishJob, actions)[-1].job.template.prevhash_le == tip(9)


def test_a_look_that_began_before_the_tip_moved_does_not_take_the_work_back() -> None:
    machine, _ = mining()
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    late = HealthSeen(T0 + 5, health(best=tip(1)))
    assert feed(machine, late) == [LookAtNode("a")]
    assert machine.tip_le == tip(2)
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 5, "a", template_on(tip(2), 262))))
    # On a tip that is doubted, a look of the right tip comes first: the next doubt begins anew.
    feed(machine, HealthSeen(T0 + 6, health(best=tip(2))))
    assert feed(machine, late) == [LookAtNode("a")]
    actions = feed(machine, late)
    assert of_type(StopWork, actions), "a look that was asked for since says the same: the node went back"
    assert machine.tip_le == tip(1)


def test_templates_that_go_on_naming_an_older_tip_are_believed() -> None:
    machine, _ = mining()
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    old = TemplateReady(T0 + 5, "a", template_on(tip(1), 261))
    assert of_type(PublishJob, feed(machine, old)) == []
    assert of_type(PublishJob, feed(machine, old))[0].job.template.prevhash_le == tip(1)
    assert machine.tip_le == tip(1)


def test_a_node_that_takes_over_with_an_old_look_does_not_take_the_work_back() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"), TemplateReady(T0 + 5, "a", template_on(tip(2), 262)))
    actions = feed(machine, HealthSeen(T0 + 6, health("a", problem="connection refused", reachable=False)))
    assert LookAtNode("b") in actions
    assert of_type(RefreshTemplate, actions) == [RefreshTemplate("b", "node switch")]
    assert machine.tip_le == tip(2)
    assert machine.working


@pytest.mark.parametrize("proposal", [True, False])
def test_an_answer_about_a_job_that_the_tip_overtook_puts_no_old_work_back(proposal: bool) -> None:
    machine = coordinator()
    full = real_template()
    feed(machine, HealthSeen(T0, health(best=full.prevhash_le)))
    (publish,) = of_type(PublishJob, feed(machine, TemplateReady(T0, "a", full)))
    feed(machine, NewTip(T0 + 1, "a", tip(7), "zmq"))
    actions = feed(
        machine,
        ProposalAnswered(T0 + 1, "a", publish.job.job_id, Answer.INVALID, "bad-cb-amount")
        if proposal
        else TransactionsChecked(T0 + 1, "a", full.template_id, "transaction 3 has another txid"),
    )
    assert [type(action) for action in actions] == [Alarm]
    assert not machine.working
    on_new_tip = feed(machine, TemplateReady(T0 + 1, "a", replace(full, prevhash_le=tip(7), template_id="y")))
    assert not of_type(PublishJob, on_new_tip)[0].job.is_empty


def test_an_empty_block_is_mined_until_the_template_is_in() -> None:
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    actions = feed(machine, TipHeader(T0 + 5, "a", facts(2, 261)))
    (published,) = of_type(PublishJob, actions)
    template = published.job.template
    assert published.job.is_empty
    assert template.provisional
    assert (template.height, template.prevhash_le) == (262, tip(2))
    assert template.coinbase_value == MAINNET.subsidy(262)
    assert template.mintime == int(WALL) - 3000 + 1
    assert template.curtime >= template.mintime
    full = replace(template_on(tip(2), 262, MAINNET), template_id="full")
    actions = feed(machine, TemplateReady(T0 + 5.1, "a", full))
    assert not of_type(PublishJob, actions)[0].job.template.provisional


def test_no_empty_block_where_the_bits_may_change() -> None:
    """At a retarget height, and anywhere on testnet, only the node knows the bits."""
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    assert of_type(PublishJob, feed(machine, TipHeader(T0 + 5, "a", facts(2, 2015)))) == []
    machine, _ = mining(TESTNET4)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    assert of_type(PublishJob, feed(machine, TipHeader(T0 + 5, "a", facts(2, 300)))) == []


def test_the_nodes_own_empty_template_is_mined_anywhere() -> None:
    """Its bits are right at a retarget, too; one on another tip than was asked for is not mined."""
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "ipc"))
    own = replace(template_on(tip(2), 2016, MAINNET), provisional=True)
    other = replace(own, prevhash_le=tip(3))
    assert of_type(PublishJob, feed(machine, TipHeader(T0 + 5, "a", replace(facts(2, 2015), empty=other)))) == []
    (published,) = of_type(PublishJob, feed(machine, TipHeader(T0 + 5, "a", replace(facts(2, 2015), empty=own))))
    assert published.job.template is own


def test_an_empty_block_at_a_periods_start_is_not_too_far_behind_its_parent() -> None:
    """BIP 94, which a regtest node may enforce; elsewhere no empty block is made at such a height."""
    machine, _ = mining()
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    ahead = replace(facts(2, 287, nbits=0x207FFFFF), time=int(WALL) + 7000)
    (published,) = of_type(PublishJob, feed(machine, TipHeader(T0 + 5, "a", ahead)))
    assert published.job.template.height == 288
    assert published.job.space.ntime_min == int(WALL) + 6400


def test_a_header_that_no_block_may_have_gives_no_job_and_ends_nothing() -> None:
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    actions = feed(machine, TipHeader(T0 + 5, "a", facts(2, 261, nbits=0x207FFFFF)))
    assert [action.kind for action in of_type(Record, actions)] == ["tip_header_refused"]
    assert not machine.working


def test_a_refused_template_takes_back_the_empty_block_that_no_template_vouches_for() -> None:
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"), TipHeader(T0 + 5, "a", facts(2, 261)))
    assert machine.working
    actions = feed(machine, TemplateFailed(T0 + 6, "a", "it demands !blake2b", refused=True))
    assert of_type(StopWork, actions) == [StopWork("template refused")]
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 7, "a", template_on(tip(2), 262, MAINNET))))
    # A job that the node's own template made goes on: a later template of the same tip takes nothing away from it.
    assert of_type(StopWork, feed(machine, TemplateFailed(T0 + 8, "a", "fees are wrong", refused=True))) == []


def test_a_late_header_does_not_replace_the_full_job() -> None:
    machine, _ = mining(MAINNET)
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"), TemplateReady(T0 + 5, "a", template_on(tip(2), 262, MAINNET)))
    assert feed(machine, TipHeader(T0 + 6, "a", facts(2, 261))) == []


def test_the_setting_turns_the_empty_block_off() -> None:
    machine, _ = mining(MAINNET, Policy(empty_first=False))
    assert of_type(FetchTipHeader, feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))) == []


# --- templates --------------------------------------------------------------------------------------------------------


def test_the_same_content_does_not_restart_the_work_until_its_time_is_old() -> None:
    machine, _ = mining()
    again = template_on(tip(1), 261, curtime=int(WALL) + 30)
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 30, "a", again))) == []
    later = template_on(tip(1), 261, curtime=int(WALL) + 200)
    assert len(of_type(PublishJob, feed(machine, TemplateReady(T0 + 200, "a", later)))) == 1


def test_new_content_restarts_the_work() -> None:
    machine, _ = mining()
    richer = replace(template_on(tip(1), 261), template_id="other")
    assert len(of_type(PublishJob, feed(machine, TemplateReady(T0 + 30, "a", richer)))) == 1


def test_a_template_is_fetched_anew_when_it_is_old() -> None:
    machine, _ = mining()
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 29))) == []
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 31))) == [RefreshTemplate("a", "age")]


def test_failures_are_retried_ever_more_slowly_and_the_node_is_looked_at() -> None:
    machine = coordinator()
    feed(machine, HealthSeen(T0, health(best=tip(1))))
    waits = []
    at = T0
    for _ in range(8):
        actions = feed(machine, TemplateFailed(at, "a", "connection refused"))
        assert of_type(LookAtNode, actions) == [LookAtNode("a")]
        wait = 0.0
        while not of_type(RefreshTemplate, feed(machine, Tick(at + wait))):
            wait += 0.25
        waits.append(wait)
        at += wait
    assert waits == sorted(waits)
    assert waits[0] <= 0.5
    assert waits[-1] == 30


def test_a_refused_template_raises_an_alarm() -> None:
    machine, _ = mining()
    (alarm,) = of_type(Alarm, feed(machine, TemplateFailed(T0, "a", "it demands !blake2b", refused=True)))
    assert alarm.code == "template-refused"


def test_a_template_for_another_height_than_the_node_s_own_is_refused() -> None:
    machine = coordinator()
    feed(machine, HealthSeen(T0, health(best=tip(1))))
    actions = feed(machine, TemplateReady(T0, "a", template_on(tip(1), 300)))
    assert [alarm.code for alarm in of_type(Alarm, actions)] == ["template-refused"]
    assert not of_type(PublishJob, actions)
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(1), 261))))


@pytest.mark.parametrize(
    ("answer", "asked_again"),
    [(Answer.ACCEPTED, False), (Answer.HELD, False), (Answer.RETRY, True), (Answer.UNKNOWN, True)],
)
def test_a_shape_that_nobody_has_checked_is_asked_about_again_with_the_next_job(
    answer: Answer, asked_again: bool
) -> None:
    machine, job = mining()
    feed(machine, ProposalAnswered(T0, "a", job.job_id, answer, ""))
    actions = feed(machine, TemplateReady(T0 + 30, "a", replace(template_on(tip(1), 261), template_id="other")))
    assert bool(of_type(ProposeJob, actions)) is asked_again


def test_transactions_are_checked_behind_the_job_and_a_lie_withdraws_it() -> None:
    machine = coordinator()
    full = real_template()
    feed(machine, HealthSeen(T0, health(best=full.prevhash_le)))
    actions = feed(machine, TemplateReady(T0, "a", full))
    assert of_type(CheckTransactions, actions) == [CheckTransactions("a", full)]
    assert actions.index(of_type(PublishJob, actions)[0]) < actions.index(of_type(CheckTransactions, actions)[0])
    assert feed(machine, TransactionsChecked(T0, "a", full.template_id)) == []
    actions = feed(machine, TransactionsChecked(T0, "a", full.template_id, "transaction 3 has another txid"))
    assert of_type(Alarm, actions)[0].severity is Severity.CRITICAL
    assert of_type(PublishJob, actions)[0].job.is_empty
    # Its successor on the same tip is not trusted either; on the next tip all is forgiven.
    assert of_type(PublishJob, feed(machine, TemplateReady(T0, "a", replace(full, template_id="x"))))[0].job.is_empty
    feed(machine, NewTip(T0, "a", tip(7), "zmq"))
    next_full = replace(full, prevhash_le=tip(7), template_id="y")
    assert not of_type(PublishJob, feed(machine, TemplateReady(T0, "a", next_full)))[0].job.is_empty


def test_each_coinbase_shape_is_proposed_once_and_behind_its_publication() -> None:
    machine = coordinator()
    full = real_template()
    feed(machine, HealthSeen(T0, health(best=full.prevhash_le)))
    actions = feed(machine, TemplateReady(T0, "a", full))
    assert [type(a) for a in actions if isinstance(a, PublishJob | ProposeJob)] == [PublishJob, ProposeJob]
    again = feed(machine, TemplateReady(T0, "a", replace(full, template_id="x")))
    assert of_type(ProposeJob, again) == []


def test_a_failed_proposal_falls_back_to_an_empty_block_and_raises_an_alarm() -> None:
    machine = coordinator()
    full = real_template()
    feed(machine, HealthSeen(T0, health(best=full.prevhash_le)))
    (publish,) = of_type(PublishJob, feed(machine, TemplateReady(T0, "a", full)))
    answer = ProposalAnswered(T0, "a", publish.job.job_id, Answer.INVALID, "bad-witness-merkle-match")
    actions = feed(machine, answer)
    assert of_type(Alarm, actions)[0].code == "proposal-failed"
    empty = of_type(PublishJob, actions)[0].job
    assert empty.is_empty
    assert sum(out.value_sats for out in empty.coinbase.outputs) == REGTEST.subsidy(261)
    assert of_type(ProposeJob, actions), "the empty block is a new shape and is asked about too"


@pytest.mark.parametrize("answer", [Answer.ACCEPTED, Answer.UNKNOWN, Answer.RETRY])
def test_a_slow_or_good_proposal_changes_nothing(answer: Answer) -> None:
    machine, job = mining()
    actions = feed(machine, ProposalAnswered(T0, "a", job.job_id, answer, "null"))
    assert [type(action) for action in actions] == [Record]
    assert machine.working


def test_a_job_that_fails_its_own_check_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, _ = mining()
    thief = replace(PAYOUT, script_pubkey=b"\x00\x14" + b"\x66" * 20)
    real_build = __import__("solominer.work.jobs", fromlist=["build_job"]).build_job
    monkeypatch.setattr(
        "solominer.work.jobs.build_job", lambda template, payout, **kw: real_build(template, thief, **kw)
    )
    actions = feed(machine, TemplateReady(T0, "a", replace(template_on(tip(1), 261), template_id="x")))
    assert of_type(PublishJob, actions) == []
    assert of_type(Alarm, actions)[0].code == "job-refused"
    assert not machine.working


# --- shares and blocks ------------------------------------------------------------------------------------------------


def test_a_block_is_saved_and_sent_to_every_node_at_once() -> None:
    machine, job = mining(nodes=("a", "b"))
    actions = feed(machine, solution(job))
    assert [action.node for action in of_type(SendBlock, actions)] == ["a", "b"]
    assert len(of_type(SaveBlock, actions)) == 1
    assert len(of_type(StopWork, actions)) == 1, "its parent's work is done"
    sends = [i for i, action in enumerate(actions) if isinstance(action, SendBlock | SaveBlock)]
    assert sends == list(range(sends[0], sends[0] + 3)), "nothing stands between them"


def test_a_late_solution_is_a_block_all_the_same() -> None:
    """Its job is old, its tip is gone: it is judged against the network target and sent (rule 41)."""
    machine, job = mining()
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"), TemplateReady(T0 + 1, "a", template_on(tip(2), 262)))
    actions = feed(machine, solution(job, at=T0 + 2))
    assert len(of_type(SendBlock, actions)) == 1
    assert of_type(ShareSeen, actions)[0].stale
    assert machine.working, "the work on the new tip goes on"


def test_a_late_solution_does_not_hold_up_the_work_on_the_new_tip() -> None:
    machine, job = mining()
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"))
    assert of_type(SendBlock, feed(machine, solution(job)))
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(2), 262))))
    assert machine.working


def test_a_block_below_the_share_target_is_still_a_block() -> None:
    machine, job = mining()
    machine.judge.keep(replace(job, share_target=0), T0)
    assert len(of_type(SendBlock, feed(machine, solution(job)))) == 1


def test_what_misses_the_share_target_is_counted_and_not_believed() -> None:
    machine, job = mining()
    actions = feed(machine, solution(job, solves=False))
    assert [action.kind for action in of_type(Record, actions)] == ["share_misses_target"]
    assert machine.judge.shares == 0


def test_a_share_of_a_forgotten_job_is_recorded() -> None:
    machine, job = mining()
    actions = feed(machine, replace(solution(job), job_id=999))
    assert [action.kind for action in of_type(Record, actions)] == ["share_of_unknown_job"]


def test_the_same_share_twice_counts_once() -> None:
    machine, job = mining()
    first, second = feed(machine, solution(job)), feed(machine, solution(job))
    assert (len(of_type(ShareSeen, first)), len(of_type(ShareSeen, second))) == (1, 0)
    assert of_type(SendBlock, second) == []


def test_a_second_block_of_our_own_on_the_same_parent_is_not_sent_against_the_first() -> None:
    machine, job = mining()
    first = solution(job)
    feed(machine, first)
    actions = feed(machine, solution(job, start=first.nonce + 1))
    assert of_type(SendBlock, actions) == []
    assert len(of_type(SaveBlock, actions)) == 1
    assert [action.state for action in of_type(SaveState, actions)] == [BlockState.SUPERSEDED]


def test_a_rejected_block_raises_the_alarm_and_work_goes_on_without_transactions() -> None:
    machine, job = mining()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    answer = SubmitAnswered(T0 + 1, "a", send.block.hash_le, Answer.INVALID, "bad-txns-nonfinal", 1, 0.01)
    actions = feed(machine, answer)
    assert of_type(Alarm, actions)[0].code == "block-rejected"
    assert of_type(PublishJob, actions)[0].job.is_empty


def mining_full() -> tuple[Coordinator, Job]:
    """A coordinator that mines a template with transactions, and its job."""
    machine, full = coordinator(), real_template()
    seen = HealthSeen(T0, health("a", best=full.prevhash_le))
    [publish] = of_type(PublishJob, feed(machine, seen, TemplateReady(T0, "a", full)))
    assert not publish.job.is_empty
    return machine, publish.job


def rejected(send: SendBlock, raw: str, secs: float = 1.0) -> SubmitAnswered:
    return SubmitAnswered(T0 + secs, "a", send.block.hash_le, Answer.INVALID, raw, 1, 0.01)


@pytest.mark.parametrize("raw", ["bad-version(0x3fffe000)", "time-too-old", "high-hash", "bad-diffbits, wrong bits"])
def test_a_block_rejected_for_its_header_leaves_the_transactions_of_the_tip(raw: str) -> None:
    machine, job = mining_full()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    actions = feed(machine, rejected(send, raw))
    assert [alarm.code for alarm in of_type(Alarm, actions)] == ["block-rejected"]
    [published] = of_type(PublishJob, actions)
    assert published.job.template.transactions == job.template.transactions


def test_a_block_on_an_older_tip_that_is_rejected_leaves_the_transactions_of_this_one() -> None:
    machine, job = mining()
    (late,) = of_type(SendBlock, feed(machine, solution(job)))
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"))
    [published] = of_type(PublishJob, feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(2), 262))))
    (send,) = of_type(SendBlock, feed(machine, solution(published.job)))
    assert of_type(PublishJob, feed(machine, rejected(late, "bad-txns-nonfinal", 2))) == []
    actions = feed(machine, rejected(send, "bad-version(0x00000001)", 2))
    assert of_type(PublishJob, actions)
    assert not machine.templates.empty_only


def test_a_rejection_that_comes_after_work_was_taken_up_again_withdraws_the_template() -> None:
    machine, job = mining_full()
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    feed(machine, SubmitAnswered(T0 + 1, "a", send.block.hash_le, Answer.UNKNOWN, "timeout", 1, 0.01))
    feed(machine, Tick(T0 + 60))
    [again] = of_type(PublishJob, feed(machine, TemplateReady(T0 + 60, "a", real_template())))
    assert not again.job.is_empty
    actions = feed(machine, rejected(send, "bad-txns-inputs-missingorspent", 61))
    assert of_type(StopWork, actions)
    assert [publish.job.is_empty for publish in of_type(PublishJob, actions)] == [True]


def test_work_is_taken_up_again_if_no_tip_follows_our_block() -> None:
    machine, job = mining()
    feed(machine, solution(job))
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 5))) == []
    actions = feed(machine, Tick(T0 + 60))
    assert of_type(RefreshTemplate, actions)
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 60, "a", template_on(tip(1), 261))))


def test_staging_proposes_and_never_submits() -> None:
    machine, job = mining(policy=Policy(staging=True))
    actions = feed(machine, solution(job))
    assert of_type(SendBlock, actions) == []
    (proposal,) = of_type(ProposeBlock, actions)
    good = SubmitAnswered(T0 + 2, "a", proposal.block.hash_le, Answer.ACCEPTED, "null", 1, 0.01)
    actions = feed(machine, good)
    (published,) = of_type(PublishJob, actions)
    assert published.job.salt != job.salt, "another search on the same tip"
    assert machine.blocks.accepted_count == 1


def test_a_demo_neither_submits_nor_proposes() -> None:
    machine, job = mining(policy=Policy(submit=False))
    actions = feed(machine, solution(job))
    assert not [action for action in actions if isinstance(action, SendBlock | ProposeBlock | ProposeJob)]
    assert "block_not_submitted" in [action.kind for action in of_type(Record, actions)]
    assert len(of_type(PublishJob, actions)) == 1


def test_enough_blocks_are_enough() -> None:
    machine, job = mining(policy=Policy(max_blocks=1))
    (send,) = of_type(SendBlock, feed(machine, solution(job)))
    actions = feed(
        machine,
        NewTip(T0 + 1, "a", send.block.hash_le, "zmq"),
        TemplateReady(T0 + 1, "a", template_on(send.block.hash_le, 262)),
    )
    assert of_type(PublishJob, actions) == []
    # Beaten after all: one more is wanted.
    feed(machine, SubmitAnswered(T0 + 1, "a", send.block.hash_le, Answer.ACCEPTED, "null", 1, 0.0))
    feed(machine, BlockSeen(T0 + 2, "a", send.block.hash_le, -1, "ff" * 32))
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 2, "a", template_on(tip(8), 262))))


# --- nodes ------------------------------------------------------------------------------------------------------------


def test_another_nodes_tip_is_a_reason_to_look_at_its_work() -> None:
    machine, _ = mining(nodes=("a", "b"))
    assert feed(machine, NewTip(T0 + 1, "b", tip(5), "zmq")) == [LookAtNode("b")]
    assert machine.working
    actions = feed(machine, HealthSeen(T0 + 1, health("b", best=tip(5), work=2)))
    assert [type(a) for a in actions if not isinstance(a, Record)] == [StopWork, FetchTipHeader, RefreshTemplate]
    assert of_type(RefreshTemplate, actions)[0].node == "b"


def test_a_block_that_both_nodes_have_does_not_move_the_work_to_the_one_that_was_looked_at_first() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"), TemplateReady(T0 + 1, "a", template_on(tip(2), 262)))
    feed(machine, HealthSeen(T0 + 2, health("b", best=tip(2), work=2)))
    assert machine.nodes.current == "a"
    feed(machine, HealthSeen(T0 + 3, health("b", best=tip(3), work=3)))
    assert machine.nodes.current == "b", "more work wins at once"


@pytest.mark.parametrize("first", ["template", "header"])
def test_a_node_that_goes_back_is_compared_with_the_others_at_once(first: str) -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, HealthSeen(T0 + 1, health("b", best=tip(1))), NewTip(T0 + 2, "a", tip(9), "zmq"))
    header = TipHeader(T0 + 2, "a", facts(9, 258))
    template = TemplateReady(T0 + 2, "a", template_on(tip(9), 259))
    actions = feed(machine, *([template] if first == "template" else [header, template]))
    assert of_type(LookAtNode, actions) == [LookAtNode("a"), LookAtNode("b")]
    feed(machine, HealthSeen(T0 + 2, replace(health("a", best=tip(9), work=0), height=258)))
    assert machine.nodes.current == "b"


def test_a_template_is_believed_although_another_node_was_looked_at_first_on_the_new_tip() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"), HealthSeen(T0 + 2, health("b", best=tip(2), work=2)))
    actions = feed(machine, TemplateReady(T0 + 2, "a", template_on(tip(2), 262)))
    assert of_type(Alarm, actions) == []
    assert of_type(PublishJob, actions)
    assert machine.nodes.used is not None
    assert machine.nodes.used.height == 261


def test_a_node_that_looks_well_but_gives_no_template_is_left_for_another() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 1, "a", tip(2), "zmq"), HealthSeen(T0 + 1, health("b", best=tip(2), work=2)))
    refused = TemplateFailed(T0 + 2, "a", "fees are wrong", refused=True)
    feed(machine, refused, refused, refused)
    assert machine.nodes.current == "a", "it may be over in a moment"
    assert of_type(RefreshTemplate, feed(machine, refused)) == [RefreshTemplate("b", "node switch")]
    feed(machine, HealthSeen(T0 + 60, health("a", best=tip(2), work=3)))
    assert machine.nodes.current == "b"
    feed(machine, HealthSeen(T0 + 61, health("b", problem="gone", reachable=False)))
    assert machine.nodes.current == "a", "rather it than none"


def test_a_lone_node_without_templates_is_asked_on() -> None:
    machine, _ = mining()
    told = [alarm for _ in range(10) for alarm in of_type(Alarm, feed(machine, TemplateFailed(T0 + 2, "a", "busy")))]
    assert [alarm.code for alarm in told] == ["no-template"], "once, and not at the first failure"
    assert machine.nodes.current == "a"
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 60))) == [RefreshTemplate("a", "age")]


def test_templates_of_a_node_that_is_not_in_use_are_ignored() -> None:
    machine, _ = mining(nodes=("a", "b"))
    assert feed(machine, TemplateReady(T0 + 1, "b", template_on(tip(5), 262))) == []


def test_failures_of_a_node_that_is_not_in_use_change_nothing_for_the_one_that_is() -> None:
    machine, _ = mining(nodes=("a", "b"))
    failed = TemplateFailed(T0 + 29, "b", "busy")
    actions = feed(machine, *[failed] * 10)
    assert of_type(Alarm, actions) == []
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 30))) == [RefreshTemplate("a", "age")], "not put off"
    feed(machine, TemplateFailed(T0 + 31, "a", "busy"))
    assert machine.nodes.current == "a", "its first failure"


def test_an_answer_of_another_node_does_not_excuse_the_one_in_use() -> None:
    machine, _ = mining(nodes=("a", "b"))
    for _ in range(4):
        feed(machine, TemplateFailed(T0 + 2, "a", "busy"), TemplateReady(T0 + 2, "b", template_on(tip(1), 261)))
    assert machine.nodes.current == "b"


def test_a_refusal_by_another_node_does_not_stop_the_empty_block() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"), TipHeader(T0 + 5, "a", facts(2, 261, nbits=0x207FFFFF)))
    assert machine.working
    feed(machine, TemplateFailed(T0 + 6, "b", "fees are wrong", refused=True))
    assert machine.working


def test_a_header_that_comes_from_a_node_no_longer_in_use_gives_no_job() -> None:
    machine, _ = mining(nodes=("a", "b"))
    feed(machine, NewTip(T0 + 5, "a", tip(2), "zmq"))
    assert feed(machine, TipHeader(T0 + 6, "b", facts(2, 261, nbits=0x207FFFFF))) == []


@pytest.mark.parametrize("proposal", [True, False])
def test_an_answer_after_every_node_is_long_lost_puts_nothing_to_work(proposal: bool) -> None:
    machine = coordinator()
    feed(machine, HealthSeen(T0, replace(health(best=real_template().prevhash_le), height=260)))
    (published,) = of_type(PublishJob, feed(machine, TemplateReady(T0, "a", real_template())))
    feed(machine, HealthSeen(T0 + 1, health(problem="gone", reachable=False)), Tick(T0 + 61))
    assert not machine.working
    late = (
        ProposalAnswered(T0 + 62, "a", published.job.job_id, Answer.INVALID, "bad")
        if proposal
        else TransactionsChecked(T0 + 62, "a", published.job.template.template_id, "a lie")
    )
    assert of_type(PublishJob, feed(machine, late)) == []
    assert not machine.working


@pytest.mark.parametrize("step_secs", [365 * 86_400.0, -365 * 86_400.0])
def test_the_empty_block_has_a_time_that_nodes_take_though_the_wall_clock_was_set(step_secs: float) -> None:
    machine, _ = mining()
    at = replace(T0 + 5, wall=WALL + 5 + step_secs)
    header = TipHeader(at, "a", facts(2, 261, nbits=0x207FFFFF))
    (published,) = of_type(PublishJob, feed(machine, NewTip(at, "a", tip(2), "zmq"), header))
    assert int(WALL) - 3000 < published.job.space.ntime_min <= int(WALL) + 5


def test_a_spare_block_that_is_handed_in_again_is_not_saved_again() -> None:
    """Its elder was accepted meanwhile, so that the spare is not kept in memory any more."""
    machine, job = mining()
    first, second = solution(job), solution(job, start=100)
    (send,) = of_type(SendBlock, feed(machine, first))
    assert len(of_type(SaveBlock, feed(machine, second))) == 1
    feed(machine, SubmitAnswered(T0 + 2, "a", send.block.hash_le, Answer.ACCEPTED, "null", 1, 0.01))
    assert of_type(SaveBlock, feed(machine, second)) == []


def test_losing_the_node_hands_the_work_to_the_next_one() -> None:
    machine, _ = mining(nodes=("a", "b"))
    actions = feed(machine, HealthSeen(T0 + 1, health("a", problem="connection refused", reachable=False)))
    assert of_type(RefreshTemplate, actions) == [RefreshTemplate("b", "node switch")]
    assert machine.working, "the tip is the same: the job at hand is still right"


def test_without_any_node_work_goes_on_for_a_while_then_stops_then_resumes_by_itself() -> None:
    machine, _ = mining()
    lost = HealthSeen(T0 + 1, health("a", problem="connection refused", reachable=False))
    (alarm,) = of_type(Alarm, feed(machine, lost))
    assert alarm.code == "no-node"
    assert of_type(Alarm, feed(machine, lost)) == [], "said once"
    assert of_type(StopWork, feed(machine, Tick(T0 + 59))) == []
    assert machine.status == "mining, but no node is healthy"
    assert of_type(StopWork, feed(machine, Tick(T0 + 61.5))) == [StopWork("no healthy node")]
    actions = feed(machine, HealthSeen(T0 + 90, health(best=tip(1))))
    assert of_type(RefreshTemplate, actions)
    assert of_type(PublishJob, feed(machine, TemplateReady(T0 + 90, "a", template_on(tip(1), 261))))


def test_a_node_that_is_back_and_still_cannot_be_used_says_why() -> None:
    machine, _ = mining()
    feed(machine, HealthSeen(T0 + 1, health("a", problem="connection refused", reachable=False)))
    syncing = [HealthSeen(T0 + n, health("a", problem=f"the node is behind: {n} of 99")) for n in (2, 3)]
    (alarm,) = of_type(Alarm, feed(machine, syncing[0]))
    assert (alarm.code, "behind: 2 of 99" in alarm.message) == ("no-node", True)
    assert of_type(Alarm, feed(machine, syncing[1])) == [], "said once"


def test_health_that_shows_another_tip_counts_as_news() -> None:
    machine, _ = mining()
    actions = feed(machine, HealthSeen(T0 + 1, health(best=tip(4))))
    assert of_type(StopWork, actions)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_pauses_add_up() -> None:
    machine, _ = mining()
    assert of_type(StopWork, feed(machine, PauseWanted(T0, "asked for")))
    feed(machine, PauseWanted(T0, "too hot"))
    assert machine.status == "paused: asked for, too hot"
    assert of_type(PublishJob, feed(machine, TemplateReady(T0, "a", template_on(tip(2), 262)))) == []
    assert of_type(RefreshTemplate, feed(machine, ResumeWanted(T0, "too hot"))) == []
    assert of_type(RefreshTemplate, feed(machine, ResumeWanted(T0, "asked for")))
    assert feed(machine, ResumeWanted(T0, "asked for")) == []
    assert of_type(PublishJob, feed(machine, TemplateReady(T0, "a", template_on(tip(2), 262))))


def test_shares_get_as_hard_as_the_hash_rate_allows() -> None:
    machine, job = mining(MAINNET)
    assert job.share_target == job.template.target
    (published,) = of_type(PublishJob, feed(machine, HashRate(T0 + 2, 1e6)))
    expected = (1 << 256) / (1e6 * 3.6)
    assert published.job.share_target == pytest.approx(expected, rel=1e-9)
    assert feed(machine, HashRate(T0 + 3, 1.1e6)) == [], "a little more is no reason to begin anew"
    assert feed(machine, HashRate(T0 + 3, 0.0)) == []


def test_extranonces_differ_from_job_to_job() -> None:
    machine, first = mining()
    (second,) = of_type(PublishJob, feed(machine, TemplateReady(T0, "a", template_on(tip(2), 262))))
    assert first.salt[:2] == second.job.salt[:2] == b"\x01\x02"
    assert first.salt != second.job.salt


def test_old_jobs_are_forgotten_but_never_the_current_one() -> None:
    machine, first = mining(policy=Policy(keep_job_secs=100))
    feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(2), 262)), Tick(T0 + 50))
    assert machine.judge.kept(first.job_id) is first
    feed(machine, Tick(T0 + 500))
    assert machine.judge.kept(first.job_id) is None
    assert machine.job is not None
    assert machine.judge.kept(machine.job.job_id) is machine.job


def test_a_winning_header_counts_however_many_jobs_came_after_its_own() -> None:
    """A template every few seconds is no reason to forget a young job: dropping it would lose the block."""
    machine, first = mining()
    for number in range(1, 120):
        at, template = T0 + 4 * number, replace(template_on(tip(1), 261), template_id=f"{number}")
        feed(machine, TemplateReady(at, "a", template), Tick(at))
    assert machine.job is not None
    assert machine.job.job_id > 100
    assert of_type(SendBlock, feed(machine, solution(first, at=T0 + 480)))


def test_jobs_kept_are_bounded() -> None:
    machine, first = mining(policy=Policy(keep_job_bytes=100_000))
    for number in range(2, 100):
        feed(machine, TemplateReady(T0, "a", template_on(tip(number), 260 + number)), Tick(T0))
    assert 10 < len(machine.judge._jobs) < 30
    assert machine.job is not None
    assert machine.judge.kept(machine.job.job_id) is machine.job
    assert machine.judge.kept(first.job_id) is None


def test_a_block_for_a_job_that_is_forgotten_is_an_alarm() -> None:
    machine, first = mining(policy=Policy(keep_job_secs=100))
    feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(2), 262)), Tick(T0 + 500))
    share = replace(solution(first, at=T0 + 501), is_block=True)
    (alarm,) = of_type(Alarm, feed(machine, share))
    assert (alarm.severity, alarm.code) == (Severity.CRITICAL, "block-without-job")
    assert not of_type(Alarm, feed(machine, replace(share, is_block=False)))


def test_workers_come_and_go_in_the_records() -> None:
    machine, _ = mining()
    assert of_type(Record, feed(machine, WorkerStarted(T0, WorkerId("cpu", "0"), 7, "k")))[0].kind == "worker_started"
    assert (
        of_type(Alarm, feed(machine, WorkerDied(T0, WorkerId("cpu", "0"), 7, "was killed", 1.0)))[0].severity
        is Severity.MEDIUM
    )
    assert of_type(Alarm, feed(machine, WrongHit(T0, WorkerId("cpu", "0"), "k", 2)))[0].code == "wrong-hit"


def test_a_node_that_would_not_take_a_block_is_an_alarm() -> None:
    machine, _ = mining()
    (alarm,) = of_type(Alarm, feed(machine, SubmittingTried(T0, "a", "HTTP 403")))
    assert (alarm.severity, alarm.code) == (Severity.CRITICAL, "cannot-submit")
    assert "a would not accept a block now: submitblock: HTTP 403" in alarm.message
    assert machine.working
    assert not of_type(Alarm, feed(machine, SubmittingTried(T0, "a", "")))


def test_a_template_of_another_tip_in_the_same_second_is_other_work() -> None:
    """Also where its content looks the same, and where a signed job would go on until its time is another."""
    machine, first = mining()
    other = replace(template_on(tip(2), 262), template_id=first.template.template_id)
    (published,) = of_type(PublishJob, machine.handle(TemplateReady(T0, "a", other)))
    assert published.job.template.prevhash_le == machine.tip_le == tip(2)
    signed = replace(first, signed_extranonce=bytes(12))
    assert not same_work(signed, replace(other, curtime=first.template.curtime), 30.0)
