"""Jobs that must be signed before they are searched: nothing unsigned goes out, and signatures that come late or not
at all change nothing.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from solominer.chain.networks import SIGNET
from solominer.chain.signet import SIGNET_HEADER
from solominer.errors import BadValue, TemplateError
from solominer.work.actions import Alarm, PublishJob, Record, RefreshTemplate, SendBlock, SignJob, StopWork
from solominer.work.coordinator import Coordinator
from solominer.work.events import Event, HealthSeen, JobSigned, NewTip, PauseWanted, ShareFound, TemplateReady, Tick
from solominer.work.job import Job
from solominer.work.policy import Policy
from solominer.work.signing import data_to_sign, signed
from tests.work.builders import T0, WALL, coordinator, feed, health, mining, of_type, solution, template_on, tip

POLICY = Policy(sign_for=(bytes(4), 0), empty_first=False)
SOLUTION = b"\x00\x02\x01\xaa\x01\xbb"


def asked() -> tuple[Coordinator, Job]:
    """A coordinator that waits for a signature, and the job that is to be signed."""
    machine = coordinator(policy=POLICY)
    actions = feed(machine, HealthSeen(T0, health(best=tip(1))), TemplateReady(T0, "a", template_on(tip(1), 261)))
    assert of_type(PublishJob, actions) == []
    (request,) = of_type(SignJob, actions)
    return machine, request.job


def test_only_a_signed_job_goes_out_and_nothing_but_the_nonce_is_free() -> None:
    machine, unsigned = asked()
    assert machine.status == "waiting for a template"
    (published,) = of_type(PublishJob, feed(machine, JobSigned(T0, "a", unsigned.job_id, SOLUTION)))
    job = published.job
    assert job.coinbase.outputs[-1].script_pubkey[38:] == b"\x0a" + SIGNET_HEADER + SOLUTION
    assert job.space.version_mask == 0
    assert job.space.ntime_min == job.space.ntime_max
    assert machine.status == "mining"


def test_what_is_signed_is_the_block_without_its_solution() -> None:
    _, unsigned = asked()
    data = data_to_sign(unsigned)
    assert data[:4] == unsigned.space.version.to_bytes(4, "little")
    assert data[4:36] == tip(1)
    assert data[36:68] == unsigned.merkle_root_le(unsigned.extranonce())
    assert data[68:] == unsigned.space.ntime_min.to_bytes(4, "little")


@pytest.mark.parametrize("overtaken_by", ["a new tip", "a newer job", "a pause"])
def test_late_signature_puts_nothing_to_work(overtaken_by: str) -> None:
    machine, unsigned = asked()
    events: dict[str, Event] = {
        "a new tip": NewTip(T0 + 1, "a", tip(2), "zmq"),
        "a newer job": TemplateReady(T0 + 1, "a", template_on(tip(1), 261, curtime=int(WALL) + 5)),
        "a pause": PauseWanted(T0 + 1, "test"),
    }
    feed(machine, events[overtaken_by])
    assert of_type(PublishJob, feed(machine, JobSigned(T0 + 2, "a", unsigned.job_id, SOLUTION))) == []


def test_no_signature_is_an_alarm_and_asked_for_again() -> None:
    machine, unsigned = asked()
    (alarm,) = of_type(Alarm, feed(machine, JobSigned(T0, "a", unsigned.job_id, problem="the wallet is locked")))
    assert alarm.code == "job-not-signed"
    assert "the wallet is locked" in alarm.message
    assert of_type(RefreshTemplate, feed(machine, Tick(T0 + 1))) == [RefreshTemplate("a", "age")]


def test_signature_that_no_block_can_hold_is_an_alarm_and_ends_nothing() -> None:
    machine, unsigned = asked()
    actions = feed(machine, JobSigned(T0, "a", unsigned.job_id, bytes(70_000)))
    assert [alarm.code for alarm in of_type(Alarm, actions)] == ["job-refused"]
    assert not machine.working


def test_template_of_another_second_is_signed_anew() -> None:
    """One signature leaves 2**32 headers; a fast worker is through with them before the usual age."""
    machine, unsigned = asked()
    feed(machine, JobSigned(T0, "a", unsigned.job_id, SOLUTION))
    same = feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(1), 261)))
    assert of_type(SignJob, same) == []
    later = feed(machine, TemplateReady(T0 + 30, "a", template_on(tip(1), 261, curtime=int(WALL) + 30)))
    assert len(of_type(SignJob, later)) == 1
    assert of_type(StopWork, later) == []  # the old one is good until the new one is signed


def test_a_template_of_another_tip_ends_work_on_the_old_one_at_once() -> None:
    """No new tip was announced, and the wallet may be locked: the old tip is not searched all night."""
    machine, unsigned = asked()
    feed(machine, JobSigned(T0, "a", unsigned.job_id, SOLUTION))
    actions = feed(machine, TemplateReady(T0 + 1, "a", template_on(tip(2), 262)))
    assert of_type(StopWork, actions) == [StopWork("new tip")]
    assert len(of_type(SignJob, actions)) == 1
    assert not machine.working


def test_other_extranonce_is_no_block_however_good_its_hash() -> None:
    machine, unsigned = asked()
    (published,) = of_type(PublishJob, feed(machine, JobSigned(T0, "a", unsigned.job_id, SOLUTION)))
    job = published.job
    good = solution(job)
    assert len(of_type(SendBlock, feed(machine, replace_extranonce2(good)))) == 0
    (record,) = of_type(Record, feed(machine, replace_extranonce2(good)))
    assert record.kind == "share_outside_signature"
    assert len(of_type(SendBlock, feed(machine, good))) == 1


def replace_extranonce2(share: ShareFound) -> ShareFound:
    return replace(share, extranonce=share.extranonce[:-1] + b"\1")


def test_job_without_a_fixed_extranonce_cannot_be_signed() -> None:
    _, job = mining()
    with pytest.raises(TemplateError, match="cannot be signed"):
        data_to_sign(job)


def test_job_that_its_signature_makes_too_heavy_is_refused() -> None:
    _, unsigned = asked()
    weight = signed(unsigned, SOLUTION).coinbase.weight + 4 * 81
    exact = replace(unsigned, template=replace(unsigned.template, weight_limit=weight))
    signed(exact, SOLUTION)
    with pytest.raises(TemplateError, match="weight with its signature"):
        signed(exact, SOLUTION + b"\0")


def test_job_that_would_change_under_its_signature_is_refused() -> None:
    _, unsigned = asked()
    plain = replace(unsigned.coinbase, outputs=unsigned.coinbase.outputs[:-1])
    with pytest.raises(BadValue, match="does not end with its outputs"):
        signed(replace(unsigned, coinbase=plain), SOLUTION)


def test_signet_itself() -> None:
    machine = coordinator(network=SIGNET, policy=POLICY)
    template = template_on(tip(1), 261, SIGNET)
    actions = feed(machine, HealthSeen(T0, health(best=tip(1))), TemplateReady(T0, "a", template))
    assert of_type(SignJob, actions)[0].job.signed_extranonce is not None


def test_a_wallet_that_never_answers_is_an_alarm_and_asked_again() -> None:
    machine, unsigned = asked()
    assert of_type(Alarm, feed(machine, Tick(T0 + 29))) == []
    actions = feed(machine, Tick(T0 + 31))
    assert [alarm.code for alarm in of_type(Alarm, actions)] == ["job-not-signed"]
    assert RefreshTemplate("a", "no signature") in actions
    assert of_type(Alarm, feed(machine, Tick(T0 + 32))) == [], "said once for each try"
    assert of_type(PublishJob, feed(machine, JobSigned(T0 + 33, "a", unsigned.job_id, SOLUTION))), "late, and good"
    assert of_type(Alarm, feed(machine, Tick(T0 + 100))) == []


def test_newer_jobs_do_not_hide_that_no_signature_ever_comes() -> None:
    machine, _ = asked()
    feed(machine, TemplateReady(T0 + 25, "a", template_on(tip(1), 261, curtime=int(WALL) + 25)))
    assert of_type(Alarm, feed(machine, Tick(T0 + 31)))


def test_a_signature_that_comes_after_every_node_is_long_lost_puts_nothing_to_work() -> None:
    machine, unsigned = asked()
    feed(machine, HealthSeen(T0 + 1, health(problem="gone", reachable=False)))
    assert of_type(PublishJob, feed(machine, JobSigned(T0 + 62, "a", unsigned.job_id, SOLUTION))) == []
    assert not machine.working
