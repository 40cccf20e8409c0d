"""The miner's end without sockets: against the server's sessions, and against every kind of wrong line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.engines.stratum.client import (
    MAX_LINE_BYTES,
    Asked,
    DifficultySet,
    Fault,
    Foreign,
    JobArrived,
    NotStratum,
    Refusal,
    Reply,
    StratumClient,
    Told,
)
from solominer.engines.stratum.session import Session
from tests.engines.stratum.builders import make_shared, make_work

SUBSCRIBED = [[["mining.set_difficulty", "d1"], ["mining.notify", "s1"]], "a1000007", 8]
JOB = ["j1", "00" * 32, "01", "02", ["11" * 32], "20000000", "1d00ffff", "6b49d200", True]


def text(**values: object) -> bytes:
    return json.dumps(values).encode() + b"\n"


def subscribed() -> StratumClient:
    """A client with an extranonce1; its next request has the id 2."""
    client = StratumClient("test/1")
    client.subscribe()
    client.receive(text(id=1, result=SUBSCRIBED, error=None))
    return client


def test_a_whole_conversation_with_the_server() -> None:
    session = Session(make_shared(make_work()), 0.0)
    client = StratumClient("test/1")
    sent = b"".join(line for _, line in (client.configure(), client.subscribe(), client.authorize("rig", "x")))
    events = client.receive(session.receive(sent, 0.0).data).events
    assert [event.method for event in events[:3] if isinstance(event, Reply)] == [
        "mining.configure",
        "mining.subscribe",
        "mining.authorize",
    ]
    assert isinstance(events[3], DifficultySet)
    assert isinstance(events[4], JobArrived)
    assert (client.extranonce2_size, client.version_mask) == (8, 0x1FFFE000)
    assignment = events[4].assignment
    assert (assignment.difficulty, assignment.extranonce1) == (client.difficulty, client.extranonce1)
    number, line = client.submit("rig", assignment, bytes(8), 5, 0x2000)
    assert json.loads(line) == {
        "id": number,
        "method": "mining.submit",
        "params": ["rig", assignment.job.job_id, "00" * 8, f"{assignment.job.ntime:08x}", "00000005", "00002000"],
    }
    (answer,) = client.receive(session.receive(line, 0.0).data).events
    assert isinstance(answer, Reply)
    assert answer.request_id == number


@given(st.lists(st.integers(1, 200), max_size=30))
def test_lines_come_in_any_pieces(sizes: list[int]) -> None:
    data = text(id=None, method="mining.set_difficulty", params=[5]) + text(id=None, method="mining.notify", params=JOB)
    client, events = subscribed(), []
    for size in sizes:
        events += client.receive(data[:size]).events
        data = data[size:]
    events += client.receive(data).events
    assert [type(event) for event in events] == [DifficultySet, JobArrived]


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        ({"result": True, "error": None}, None),
        ({"result": True}, None),
        ({"result": True, "error": []}, None),
        ({"result": False, "error": None}, Refusal(None, "")),
        ({"result": None, "error": None}, Refusal(None, "")),
        ({"result": False, "error": [23, "Above target", None]}, Refusal(23, "Above target")),
        ({"result": None, "error": {"code": 24, "message": "Unauthorized"}}, Refusal(24, "Unauthorized")),
        ({"result": None, "error": "no"}, Refusal(None, "no")),
        ({"result": False, "error": None, "reject-reason": "Stale"}, Refusal(None, "Stale")),
        ({"result": None, "error": ["x", 5]}, Refusal(None, "")),
        ({"result": None, "error": [1 << 80, "long"]}, Refusal(None, "long")),
        ({"result": None, "error": [True, "no number"]}, Refusal(None, "no number")),
        ({"result": True, "error": [20, "both"]}, Refusal(20, "both")),
        ({"result": None, "error": [20, "x" * 1000]}, Refusal(20, "x" * 200)),
    ],
)
def test_what_counts_as_a_no(answer: dict[str, Any], refusal: Refusal | None) -> None:
    client = subscribed()
    client.request("mining.submit", [])
    (event,) = client.receive(text(id=2, **answer)).events
    assert isinstance(event, Reply)
    assert event.refusal == refusal


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        (True, "the answer to mining.subscribe is no list of three"),
        ([[], "a1"], "the answer to mining.subscribe is no list of three"),
        ([[], "zz", 4], "extranonce1 is not in hex digits"),
        ([[], "a1 b2", 4], "extranonce1 has blanks in it"),
        ([[], 5, 4], "extranonce1 is no text"),
        ([[], "00" * 33, 4], "extranonce1 has more than 32 bytes"),
        ([[], "a1", "4"], "the size of extranonce2 is no whole number"),
        ([[], "a1", True], "the size of extranonce2 is no whole number"),
        ([[], "a1", 0], "the size of extranonce2 is not between 1 and 32 bytes"),
        ([[], "a1", -4], "the size of extranonce2 is not between 1 and 32 bytes"),
        ([[], "a1", 10**30], "the size of extranonce2 is not between 1 and 32 bytes"),
    ],
)
def test_wrong_answers_to_subscribe(result: object, fault: str) -> None:
    client = StratumClient("test/1")
    client.subscribe()
    (event,) = client.receive(text(id=1, result=result, error=None)).events
    assert isinstance(event, Reply)
    assert event.fault == fault
    assert client.subscription is None


@pytest.mark.parametrize(
    ("subscriptions", "session_id"),
    [
        ([["mining.set_difficulty", "d"], ["mining.notify", "s"]], "s"),
        (["mining.notify", "s"], "s"),
        ([], ""),
        (None, ""),
        ([["mining.notify", 5], 7], ""),
        ([["mining.notify", "x" * 500]], "x" * 128),
    ],
)
def test_session_ids(subscriptions: object, session_id: str) -> None:
    client = StratumClient("test/1")
    client.subscribe()
    client.receive(text(id=1, result=[subscriptions, "", 4], error=None))
    assert client.subscription is not None
    assert client.subscription.session_id == session_id


@pytest.mark.parametrize(
    ("result", "mask", "fault"),
    [
        ({"version-rolling": True, "version-rolling.mask": "1fffe000"}, 0x1FFFE000, ""),
        ({"version-rolling": True, "version-rolling.mask": "2000"}, 0x2000, ""),
        ({"version-rolling": False}, 0, ""),
        ({"version-rolling": "reason"}, 0, ""),
        ({"version-rolling": True}, 0, "the mask of version bits is not in up to eight hex digits"),
        (
            {"version-rolling": True, "version-rolling.mask": "-2000"},
            0,
            "the mask of version bits is not in up to eight hex digits",
        ),
        (
            {"version-rolling": True, "version-rolling.mask": "ffffffff"},
            0,
            "the mask ffffffff has bits that were not asked for (1fffe000)",
        ),
        ([], 0, "the answer to mining.configure is no object"),
    ],
)
def test_answers_to_configure(result: object, mask: int, fault: str) -> None:
    client = StratumClient("test/1")
    client.configure()
    (event,) = client.receive(text(id=1, result=result, error=None)).events
    assert isinstance(event, Reply)
    assert (client.version_mask, event.fault) == (mask, fault)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"nonsense\n", "a line that is no JSON"),
        (b"\xff\xfe\n", "a line that is no JSON"),
        (b'{"id":1,"result":NaN}\n', "a line that is no JSON"),
        (b"[" * 100_000 + b"\n", "a line that is no JSON"),
        (b"9" * 5000 + b"\n", "a line that is no JSON"),
        (b"[]\n", "a line that is no JSON object"),
        (b'{"id":99,"result":true}\n', "an answer to nothing that was asked"),
        (b'{"id":true,"result":true}\n', "an answer to nothing that was asked"),
        (b'{"id":"1","result":true}\n', "an answer to nothing that was asked"),
        (b'{"id":null,"result":true}\n', "an answer to nothing that was asked"),
        (b'{"method":7}\n', "an answer to nothing that was asked"),
        (b'{"method":"mining.set_difficulty","params":[0]}\n', "the difficulty of mining.set_difficulty is not"),
        (b'{"method":"mining.set_difficulty","params":[1e999]}\n', "the difficulty of mining.set_difficulty is not"),
        (b'{"method":"mining.set_difficulty","params":[1' + b"0" * 400 + b"]}\n", "the difficulty of mining.set_"),
        (b'{"method":"mining.set_difficulty","params":["5"]}\n', "mining.set_difficulty names no number"),
        (b'{"method":"mining.set_difficulty"}\n', "mining.set_difficulty names no number"),
        (
            b'{"method":"mining.set_extranonce","params":["aa"]}\n',
            "extranonce1 and the size of extranonce2 are missing",
        ),
        (b'{"method":"mining.set_version_mask"}\n', "the mask of version bits is not in up to eight hex digits"),
        (b'{"method":"mining.notify","params":[]}\n', "mining.notify has 9 parameters"),
    ],
)
def test_lines_that_no_miner_can_use(line: bytes, why: str) -> None:
    (event,) = subscribed().receive(line).events
    assert isinstance(event, Fault)
    assert event.why.startswith(why)
    assert event.line == line.strip()[:200]


def test_a_job_before_the_subscription() -> None:
    (event,) = StratumClient("test/1").receive(text(method="mining.notify", params=JOB)).events
    assert event == Fault(
        "a job came before the answer to mining.subscribe", event.line if isinstance(event, Fault) else b""
    )


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (0, "", "the job id is no text"),
        (0, 5, "the job id is no text"),
        (0, "x" * 129, "the job id is no text"),
        (1, "00" * 31, "the parent's hash has 31 bytes instead of 32"),
        (2, "0", "the first half of the coinbase is not in hex digits"),
        (3, None, "the second half of the coinbase is no text"),
        (3, "00" * 100_001, "the second half of the coinbase has more than 100000 bytes"),
        (4, "00" * 32, "the Merkle branch is no list"),
        (4, ["00" * 32] * 33, "the Merkle branch is no list"),
        (4, ["00"], "a hash of the Merkle branch has 1 bytes instead of 32"),
        (5, "2", "the version is not in hex digits"),
        (5, "20", "the version has 1 bytes instead of 4"),
        (6, "1d00ffff00", "nbits has more than 4 bytes"),
        (6, "00000000", "nbits 00000000 is a target of zero"),
        (6, "ff00ffff", "nbits ff00ffff overflows 256 bits"),
        (7, 5, "ntime is no text"),
        (8, 1, "clean_jobs is neither true nor false"),
    ],
)
def test_wrong_jobs(place: int, value: object, why: str) -> None:
    (event,) = (
        subscribed().receive(text(method="mining.notify", params=[*JOB[:place], value, *JOB[place + 1 :]])).events
    )
    assert isinstance(event, Fault)
    assert event.why.startswith(why)


def test_what_is_set_holds_from_the_next_job_on() -> None:
    client = subscribed()
    (first,) = client.receive(text(method="mining.notify", params=JOB)).events
    lines = (
        text(method="mining.set_difficulty", params=[0.5]),
        text(method="mining.set_extranonce", params=["beef", 4]),
        text(method="mining.set_version_mask", params=["ffff0000"]),
        text(method="mining.notify", params=JOB),
    )
    *_, second = client.receive(b"".join(lines)).events
    assert isinstance(first, JobArrived)
    assert isinstance(second, JobArrived)
    assert (first.assignment.difficulty, first.assignment.extranonce1.hex()) == (1.0, "a1000007")
    one = second.assignment
    assert (one.difficulty, one.extranonce1.hex(), one.extranonce2_size, one.version_mask) == (
        0.5,
        "beef",
        4,
        0x1FFF0000,
    )


@pytest.mark.parametrize(
    ("method", "id_value", "answer"),
    [
        ("mining.ping", 7, {"id": 7, "result": "pong", "error": None}),
        ("client.get_version", "v", {"id": "v", "result": "test/1", "error": None}),
        ("client.dance", 1.5, {"id": 1.5, "result": None, "error": [20, "Method not found", None]}),
        ("ping", "x" * 1000, {"id": None, "result": "pong", "error": None}),
        ("ping", 1 << 80, {"id": None, "result": "pong", "error": None}),
        ("ping", [[]], {"id": None, "result": "pong", "error": None}),
    ],
)
def test_questions_of_the_server_are_answered(method: str, id_value: object, answer: dict[str, object]) -> None:
    received = subscribed().receive(text(id=id_value, method=method, params=[]))
    assert received.events == [Asked(method)]
    assert json.loads(received.data) == answer


def test_messages_are_told() -> None:
    received = subscribed().receive(text(id=None, method="client.show_message", params=["\x1b[2Jhello" + "x" * 500]))
    assert received.data == b""
    (event,) = received.events
    assert isinstance(event, Told)
    assert (event.method, event.text[:9], len(event.text)) == ("client.show_message", "\x1b[2Jhello", 200)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Foreign.HTTP),
        (b"<!DOCTYPE HTML>\n", Foreign.HTTP),
        (b"\x15\x03\x01\x00\x02\x02\x46", Foreign.TLS),
        (b"\x16\x03\x03", Foreign.TLS),
        (b"x" * (MAX_LINE_BYTES + 1), Foreign.LONG_LINE),
        (b"x" * (MAX_LINE_BYTES + 1) + b"\n", Foreign.LONG_LINE),
    ],
)
def test_what_is_no_stratum(data: bytes, kind: Foreign) -> None:
    client = StratumClient("test/1")
    assert client.receive(data).events == [NotStratum(kind, data[:200])]
    assert client.receive(text(id=1, result=True)).events == []


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(data: bytes) -> None:
    client = subscribed()
    for event in client.receive(data + b"\n").events:
        assert isinstance(event, Fault | Asked | Told | NotStratum | DifficultySet | JobArrived)
