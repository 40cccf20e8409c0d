"""Shares on their way to a pool: answers, what is sent again, and when a pool is left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from solominer.config.pools import PoolConfig
from solominer.engines.stratum.client import Refusal
from solominer.upstream import submit
from solominer.upstream.submit import KEPT_SECS, Answered, Outcome, Sent, Submissions
from solominer.upstream.talk import V1Talk
from solominer.work.events import ShareFound
from solominer.work.instant import Instant
from solominer.work.workers import WorkerId
from tests.upstream.scripted import assignment_of


def client_of(extranonce1: bytes = b"\xa1\xa2\xa3\xa4", size: int = 8) -> V1Talk:
    talk = V1Talk(PoolConfig(url="stratum+tcp://h:1", user="rig"), "x", "")
    talk.begin()
    answer = {"id": 2, "result": [[["mining.notify", "s"]], extranonce1.hex(), size], "error": None}
    talk.receive(json.dumps(answer).encode() + b"\n")
    return talk


def sent_of(nonce: int = 1, *, is_block: bool = False, at: float = 100.0) -> Sent:
    share = ShareFound(
        Instant(at, at), WorkerId("cpu", "0"), 1, bytes(8), 0x20002000, 0x65000000, nonce, kernel="k", is_block=is_block
    )
    return Sent(share, assignment_of(), bytes(32), is_block, at)


def request_of(line: bytes) -> tuple[int, list[Any]]:
    value = json.loads(line)
    return value["id"], value["params"]


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (None, Outcome.ACCEPTED),
        (Refusal(21, "Job not found"), Outcome.STALE),
        (Refusal(None, "Stale share"), Outcome.STALE),
        (Refusal(20, "job not found"), Outcome.STALE),
        (Refusal(23, "Low difficulty share"), Outcome.REJECTED),
        (Refusal(22, "Duplicate share"), Outcome.REJECTED),
        (Refusal(None, ""), Outcome.REJECTED),
    ],
)
def test_what_an_answer_means(refusal: Refusal | None, outcome: Outcome) -> None:
    shares = Submissions()
    request_id, params = request_of(shares.send(client_of(), sent_of()))
    assert params == ["rig", "j1", "00" * 8, "65000000", "00000001", "00002000"]
    assert shares.waiting == 1
    answered = shares.answered(request_id, refusal, 100.25)
    assert answered is not None
    assert (answered.outcome, answered.secs, shares.latency_secs) == (outcome, 0.25, 0.25)
    assert shares.counts[outcome] == 1
    assert shares.answered(request_id, None, 101.0) is None, "each is answered once"


def test_unanswered_shares_are_sent_again_when_the_session_resumes() -> None:
    shares = Submissions()
    shares.send(client_of(), sent_of(1))
    shares.keep(sent_of(2))
    shares.lost()
    lines = shares.resumed(client_of(), 110.0)
    assert sorted(request_of(line)[1][4] for line in lines) == ["00000001", "00000002"]
    for line in lines:
        answered = shares.answered(request_of(line)[0], Refusal(22, "Duplicate share"), 110.0)
        assert answered is not None
        assert answered.outcome is Outcome.ACCEPTED, "the first one had arrived"
    assert shares.counts[Outcome.UNANSWERED] == 0


def test_they_are_given_up_with_another_session_or_after_a_while() -> None:
    shares = Submissions()
    shares.keep(sent_of())
    assert shares.resumed(client_of(b"\0\0\0\0"), 110.0) == []
    shares.keep(sent_of())
    assert shares.resumed(client_of(), 100.0 + KEPT_SECS) == []
    assert shares.counts[Outcome.UNANSWERED] == 2


def test_a_block_that_is_given_up_is_told() -> None:
    told: list[Answered] = []
    shares, client = Submissions(told.append), client_of()
    shares.send(client, sent_of(1, is_block=True))
    shares.send(client, sent_of(2))
    shares.lost()
    assert shares.resumed(client_of(b"\0\0\0\0"), 110.0) == []
    (answered,) = told
    assert answered.sent.is_block
    assert (answered.outcome, answered.secs) == (Outcome.UNANSWERED, 10.0)


def test_blocks_without_an_answer_are_waited_for_and_given_up_at_the_end_of_the_run() -> None:
    told: list[Answered] = []
    shares, client = Submissions(told.append), client_of()
    shares.send(client, sent_of(1, is_block=True))
    shares.send(client, sent_of(2))
    shares.keep(sent_of(3, is_block=True))
    shares.keep(sent_of(4))
    assert shares.waiting == 3, "a share that could not be sent is not waited for"
    shares.end(110.0)
    assert {answered.sent.share.nonce for answered in told} == {1, 3}
    assert {(answered.outcome, answered.reason) for answered in told} == {
        (Outcome.UNANSWERED, "the run ended before an answer")
    }
    assert (shares.counts[Outcome.UNANSWERED], shares.waiting) == (4, 0)


def test_a_pool_that_does_not_answer_gets_no_more_but_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "MAX_WAITING", 2)
    shares, client = Submissions(), client_of()
    assert [bool(shares.send(client, sent_of(n))) for n in range(4)] == [True, True, False, False]
    assert shares.send(client, sent_of(9, is_block=True))
    assert shares.counts[Outcome.UNANSWERED] == 2
    shares.lost()
    assert [request_of(line)[1][4][-1] for line in shares.resumed(client, 101.0)] == ["1", "9"]


def test_a_pool_that_refuses_half_of_the_shares_is_complained_about() -> None:
    shares, client = Submissions(), client_of()
    for number in range(40):
        refused = number >= 20 and number % 2
        request_id, _ = request_of(shares.send(client, sent_of(number)))
        assert not shares.complaint
        shares.answered(request_id, Refusal(23, "no\x1b[2J") if refused else None, 101.0)
    assert shares.complaint == "it refused 10 of the last 20 shares, the last with 'no\\\\x1b[2J'"
    shares.lost()
    assert not shares.complaint
