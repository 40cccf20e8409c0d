"""One connection: logins, jobs, difficulties, shares of every kind; and no block is lost whatever else is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from solominer.chain.hashes import root_from_branch, sha256d
from solominer.chain.header import Header
from solominer.engines.stratum.difficulty import Limits
from solominer.engines.stratum.events import (
    AddressWanted,
    Authorized,
    AuthorizeRefused,
    BlockFound,
    DifficultyChanged,
    KernelFault,
    Subscribed,
)
from solominer.engines.stratum.reference import BLOCK, SHARE, Checked, JobParts, ShareCandidate
from solominer.engines.stratum.shared import PayTo, Tallies
from solominer.engines.stratum.shares import share_hashes, share_target
from solominer.work.payout import Payout, PayoutPart
from tests.engines.stratum.builders import (
    EASY,
    MASK,
    P2PKH,
    P2WPKH,
    REGTEST_BITS,
    Client,
    line,
    make_shared,
    make_work,
    methods,
    network_target,
)

TRUE = {"id": 77, "result": True, "error": None}


def refused(code: int, text: str) -> dict[str, Any]:
    """The reply to a refused share."""
    return {"id": 77, "result": False, "error": [code, text, None]}


def test_first_job_comes_at_once_behind_the_login() -> None:
    client = Client(make_shared(make_work()))
    lines = client.login()
    assert methods(lines) == ["reply", "reply", "mining.set_difficulty", "mining.notify"]
    assert client.job[8] is True
    assert client.of(Authorized)[0].worker.name == "rig.1"
    assert lines[0]["result"][1:] == ["a1000007", 8]


def test_authorize_before_subscribe() -> None:
    client = Client(make_shared(make_work()))
    assert methods(client.send('{"id":1,"method":"mining.authorize","params":["a","x"]}')) == ["reply"]
    lines = client.send('{"id":2,"method":"mining.subscribe","params":null}')
    assert methods(lines) == ["reply", "mining.set_difficulty", "mining.notify"]


def test_no_work_means_no_job_until_there_is() -> None:
    client = Client(make_shared())
    assert methods(client.login()) == ["reply", "reply"]
    assert methods(client.publish(make_work())) == ["mining.set_difficulty", "mining.notify"]


def test_clean_jobs_only_for_a_new_tip() -> None:
    client = Client(make_shared(make_work(1, tip=1)))
    client.login()
    client.publish(make_work(2, tip=1, ntime=1_800_000_030))
    client.publish(make_work(3, tip=2, merkle_branch=()))
    client.publish(make_work(4, tip=2))
    client.tick(60.0)
    assert [job[8] for job in client.jobs] == [True, False, True, False, False]


def test_every_notify_has_a_new_id_and_new_content() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    for _ in range(5):
        client.tick(60.0)
    assert len(client.jobs) == 6
    assert len({job[0] for job in client.jobs}) == 6
    assert len({job[2] for job in client.jobs}) == 6


def test_clients_of_one_audience_get_the_same_line() -> None:
    shared = make_shared(make_work())
    first, second = Client(shared), Client(shared)
    first.login()
    second.login()
    assert first.job == second.job
    assert first.extranonce1 != second.extranonce1


def test_a_share_is_accepted_once() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    params, _ = client.mine()
    assert client.submit(params) == TRUE
    assert client.submit(params) == refused(22, "Duplicate")
    tally = client.session.workers["rig.1"].tally
    assert tally.accepted == 1
    assert tally.hashes == share_hashes(client.difficulty)
    assert tally.rejected == {"Duplicate": 1}


def test_the_hashes_of_a_share_are_whole_and_right_even_where_they_are_two() -> None:
    regtest = make_work(nbits=REGTEST_BITS)
    assert share_hashes(regtest.difficulty * (1 - 1e-5)) == 2
    assert share_hashes(EASY) == 4
    assert share_hashes(1.0) == 2**256 // (0xFFFF << 208)


def test_a_worker_counts_by_its_client_also_where_it_logs_in_before_it_subscribes() -> None:
    client = Client(make_shared(make_work()))
    client.send(line(1, "mining.authorize", "rig.1", "x"))
    assert not client.of(Authorized)
    client.send(line(2, "mining.subscribe", "test/1"))
    (authorized,) = client.of(Authorized)
    tally = authorized.worker.tally
    assert (tally.name, tally.user_agent) == ("rig.1", "test/1")
    client.submit(client.mine()[0])
    assert tally.accepted == 1


def test_beyond_a_number_of_names_all_count_as_one_and_a_block_still_names_its_miner() -> None:
    shared = make_shared(make_work(nbits=REGTEST_BITS))
    shared.tallies = Tallies(most=1)
    clients = [Client(shared) for _ in range(3)]
    for number, client in enumerate(clients):
        client.login(user=f"rig.{number}")
        client.submit(client.mine(target=network_target(make_work(nbits=REGTEST_BITS)))[0], user=f"rig.{number}")
    tallies = [client.session.workers[f"rig.{number}"].tally for number, client in enumerate(clients)]
    assert [tally.name for tally in tallies] == ["rig.0", Tallies.OTHERS, Tallies.OTHERS]
    assert tallies[1] is tallies[2]
    assert tallies[1].accepted == 2
    found = [block.worker for client in clients for block in client.of(BlockFound)]
    assert found == ["rig.0", "rig.1", "rig.2"]


def test_stale_shares_do_not_make_it_forget_what_was_accepted() -> None:
    """Duplicates are remembered for a few tips; only shares of the current one may take that room."""
    client = Client(make_shared(make_work(1, tip=1)))
    client.login()
    old_jobs = []
    for tip in range(2, 10):
        old_jobs.append(client.job)
        client.publish(make_work(tip, tip=tip))
    params, _ = client.mine()
    assert client.submit(params) == TRUE
    for job in old_jobs:
        assert client.submit(client.mine(job)[0]) == refused(21, "Stale")
    assert client.submit(params) == refused(22, "Duplicate")


def test_many_shares_in_one_packet_are_answered_in_order() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    start, texts = 0, []
    for number in range(20):
        params, header = client.mine(start=start)
        start = header.nonce + 1
        texts.append(line(f"s{number}", "mining.submit", "rig.1", *params))
        texts.append(
            line(
                number,
                "mining.ping",
            )
        )
    replies = [each for each in client.send(*texts) if "method" not in each]
    assert [each["id"] for each in replies] == [each for n in range(20) for each in (f"s{n}", n)]
    assert all(each["error"] is None for each in replies)


def test_above_target() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    limit = share_target(client.difficulty)
    params, _ = client.mine(target=2**256, above=limit)
    assert client.submit(params) == refused(23, "Above target")


def test_a_share_is_checked_by_its_own_jobs_difficulty() -> None:
    """After the difficulty was raised, a share of the older job needs only what that job asked for, and vice versa."""
    client = Client(make_shared(make_work()))
    client.login()
    easy_job = client.job
    client.send(line(3, "mining.suggest_difficulty", EASY * 8))
    hard_job = client.job
    assert hard_job[0] != easy_job[0]
    assert client.job_difficulties[hard_job[0]] > client.job_difficulties[easy_job[0]]
    hard = share_target(client.job_difficulties[hard_job[0]])
    params, _ = client.mine(easy_job, above=hard)
    assert client.submit(params) == TRUE
    params, _ = client.mine(hard_job, above=hard, target=2**256)
    assert client.submit(params) == refused(23, "Above target")


def test_a_lowered_difficulty_does_not_help_an_older_job() -> None:
    client = Client(make_shared(make_work()))
    client.login(password=f"d={EASY / 4!r}")
    hard_job, hard = client.job, share_target(client.difficulty)
    client.send(line(3, "mining.suggest_difficulty", EASY / 2))
    assert client.difficulty < EASY
    params, _ = client.mine(hard_job, above=hard, target=share_target(client.difficulty))
    assert client.submit(params) == refused(23, "Above target")


def test_difficulty_never_exceeds_the_networks() -> None:
    client = Client(make_shared(make_work(nbits=REGTEST_BITS), limits=Limits(start=1000.0, fractional=True)))
    client.login()
    assert share_target(client.difficulty) >= network_target(make_work(nbits=REGTEST_BITS))


@pytest.mark.parametrize(
    ("agent", "password", "before", "expected"),
    [
        ("bitaxe/BM1370/v2.9.0", "x", [], 1024),
        ("bitaxe/BM1370/v2.9.0", "d=5000", [], 5000),
        ("bitaxe/BM1370/v2.9.0", "x=7000,d=1", [], 7000),
        ("bitaxe/BM1370/v2.9.0", "x", ['{"id":5,"method":"mining.suggest_difficulty","params":[2000]}'], 2000),
        ("bitaxe/BM1370/v2.9.0", "x", ['{"id":5,"method":"mining.suggest_difficulty","params":["300"]}'], 300),
        ("NerdMinerV2/V1.8.3", "x", [], 0.001),
        ("cpuminer/2.5.1", "x", [], 0.02),
        ("NiceHash/1.0.0", "d=100", [], 1_048_576),
        ("unknown", "x", ['{"id":5,"method":"mining.suggest_difficulty","params":[0.00015]}'], 0.00015),
        ("unknown", "x", ['{"id":5,"method":"mining.suggest_difficulty","params":[1e-9]}'], 1e-4),
        ("unknown", "x", ['{"id":5,"method":"mining.suggest_difficulty","params":[-1]}'], 1024),
        (
            "unknown",
            "x",
            [line(5, "mining.suggest_target", "0000000000ffff00" + "00" * 24)],
            256,
        ),
        (
            "unknown",
            "x",
            [
                '{"id":5,"method":"mining.configure","params":[["minimum-difficulty"],'
                '{"minimum-difficulty.value":2048}]}'
            ],
            2048,
        ),
    ],
)
def test_where_the_difficulty_starts(agent: str, password: str, before: list[str], expected: float) -> None:
    client = Client(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    client.send(*before)
    client.login(agent, password=password)
    assert client.difficulty == pytest.approx(expected, rel=0.005)


def test_never_below_one_unasked() -> None:
    """An M30S++ went into a boot loop; vardiff lowers an idle client to 1 and no further."""
    client = Client(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    client.login("cgminer/4.11.1")
    for _ in range(2000):
        client.tick(5.0)
    assert client.difficulty == 1
    assert isinstance(client.difficulty, int)


def test_a_change_of_difficulty_comes_with_a_new_job() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    count = len(client.jobs)
    start = 0
    for _ in range(20):
        client.now += 0.3
        params, header = client.mine(start=start)
        start = header.nonce + 1
        assert client.submit(params) == TRUE
    raised = [each for each in client.lines if each.get("method") == "mining.set_difficulty"]
    assert len(raised) >= 2
    assert len(client.jobs) - count == len(raised) - 1
    assert client.jobs[-1][8] is False
    assert client.of(DifficultyChanged)[-1].difficulty == client.difficulty > EASY
    after = [methods([each])[0] for each in client.lines]
    for place, kind in enumerate(after):
        assert kind != "mining.set_difficulty" or after[place + 1] == "mining.notify"


def test_repeated_suggestions_count_as_one() -> None:
    """NerdMiner suggests 0.00015 each 30 s, as a sign of life."""
    client = Client(make_shared(make_work(nbits=0x17030000), limits=Limits()))
    client.login("NerdMinerV2/V1.8.3")
    again = line(3, "mining.suggest_difficulty", 0.00015)
    assert methods(client.send(again)) == ["reply", "mining.set_difficulty", "mining.notify"]
    for _ in range(3):
        assert methods(client.send(again)) == ["reply"]


# Whatever is wrong with a share, a block is a block.


def stale(client: Client) -> None:
    client.publish(make_work(2, tip=2, nbits=REGTEST_BITS))


def nothing(client: Client) -> None:
    """A share that is fine."""


BLOCK_CASES: list[tuple[str, Callable[[Client], None], dict[str, Any], dict[str, Any]]] = [
    ("accepted", nothing, {}, TRUE),
    ("stale", stale, {}, refused(21, "Stale")),
    ("wrong worker", nothing, {"user": "other"}, refused(20, "Worker mismatch")),
    ("outside the mask", nothing, {"bits": "20000001"}, refused(20, "Invalid version mask")),
]


@pytest.mark.parametrize(("name", "prepare", "how", "answer"), BLOCK_CASES, ids=[case[0] for case in BLOCK_CASES])
def test_blocks_are_found_whatever_the_share_is(
    name: str, prepare: Callable[[Client], None], how: dict[str, Any], answer: dict[str, Any]
) -> None:
    work = make_work(nbits=REGTEST_BITS)
    client = Client(make_shared(work))
    client.login()
    job = client.job
    bits = int(how.get("bits", "0"), 16)
    params, header = client.mine(job, target=network_target(work), bits=bits)
    prepare(client)
    assert client.submit(params, **how) == answer
    (block,) = (block for block in client.of(BlockFound) if block.header == header.pack())
    assert block.work_id == 1
    assert block.refused == ("" if answer == TRUE else answer["error"][1])
    root = root_from_branch(sha256d(block.prefix + block.extranonce + block.suffix), work.merkle_branch)
    assert Header.unpack(block.header).merkle_root_le == root


def test_a_duplicate_block_is_found_again() -> None:
    work = make_work(nbits=REGTEST_BITS)
    client = Client(make_shared(work))
    client.login()
    params, _ = client.mine(target=network_target(work))
    client.submit(params)
    assert client.submit(params) == refused(22, "Duplicate")
    assert len(client.of(BlockFound)) == 2


def test_a_block_with_a_time_out_of_range() -> None:
    work = make_work(nbits=REGTEST_BITS)
    client = Client(make_shared(work))
    client.login()
    for ntime in (work.ntime_min - 1, work.ntime_max + 1):
        params, header = client.mine(ntime=ntime, target=network_target(work))
        assert client.submit(params) == refused(20, "Ntime out of range")
        assert client.of(BlockFound)[-1].header == header.pack()
    for ntime in (work.ntime_min, work.ntime_max):
        params, _ = client.mine(ntime=ntime, target=network_target(work))
        assert client.submit(params) == TRUE


@pytest.mark.parametrize("style", ["front", "behind"])
def test_a_block_with_a_short_extranonce2(style: str) -> None:
    work = make_work(nbits=REGTEST_BITS)
    client = Client(make_shared(work))
    client.login()
    hashed = bytes(5) + b"\x01\x02\x03" if style == "front" else b"\x01\x02\x03" + bytes(5)
    params, header = client.mine(extranonce2=hashed, target=network_target(work))
    params[1] = "010203"
    assert client.submit(params) == refused(20, "Invalid nonce2 length")
    assert header.pack() in [block.header for block in client.of(BlockFound)]


def test_a_block_of_a_closed_session_that_came_back() -> None:
    """The client mined on an old job while it was away; its extranonce1 is still its own."""
    work = make_work(nbits=REGTEST_BITS)
    shared = make_shared(work)
    client = Client(shared)
    client.login()
    job = client.job
    params, header = client.mine(target=network_target(work))
    client.session.closed(10.0)
    again = Client(shared, 500.0)
    again.send(line(1, "mining.subscribe", "test/1", client.session_id))
    assert again.extranonce1 == client.extranonce1
    # Not even logged in yet.
    assert again.submit(params) == refused(24, "Unauthorized worker")
    assert again.of(BlockFound)[0].header == header.pack()
    again.send('{"id":2,"method":"mining.authorize","params":["rig.1","x"]}')
    assert again.job[0] != job[0]
    params, _ = again.mine(job, target=network_target(work), start=header.nonce + 1)
    assert again.submit(params) == TRUE


def test_a_validator_that_errs_makes_no_block() -> None:
    """A jitted check that calls everything a block is found out by hashlib, once a share."""

    class Wrong:
        def prepare(self, parts: JobParts) -> JobParts:
            return parts

        def root(self, prepared: JobParts, extranonce: bytes) -> bytes:
            return bytes(32)

        def check(self, prepared: JobParts, shares: Sequence[ShareCandidate]) -> list[Checked]:
            return [Checked(bytes(32), SHARE | BLOCK) for _ in shares]

    client = Client(make_shared(make_work()))
    assert client.shared is not None
    client.shared.checker.validator = Wrong()
    client.login()
    client.submit([client.job[0], "00" * 8, client.job[7], "00000000"])
    assert len(client.of(KernelFault)) == 1
    assert not client.of(BlockFound)


def test_stale_and_invalid_jobs() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    params, _ = client.mine()
    client.publish(make_work(2, tip=2))
    assert client.submit(params) == refused(21, "Stale")
    for job_id in ("zz", "", "1" * 5000, "ffff", "0x1000", " 1000", "-1", "1_000"):
        expected = refused(20, "No job_id") if not job_id else refused(21, "Invalid JobID")
        assert client.submit([job_id, *params[1:]]) == expected


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ("null", 20, "Params not array"),
        ("{}", 20, "Params not array"),
        ("[]", 20, "Invalid array size"),
        ('["a","b","c","d"]', 20, "Invalid array size"),
        ('[null,"b","00","00","00"]', 20, "No username"),
        ('["a",5,"00","00","00"]', 20, "No job_id"),
        ('["a","b","0g","00","00"]', 20, "No nonce2"),
        ('["a","b","0000000000000000","+1","00"]', 20, "No ntime"),
        ('["a","b","0000000000000000","00","1_0"]', 20, "No nonce"),
        ('["a","b","0000000000000000","00","123456789"]', 20, "No nonce"),
        ('["a","b","0000000000000000","00","00","xyz"]', 20, "Invalid version mask"),
    ],
)
def test_malformed_submits(params: str, code: int, text: str) -> None:
    client = Client(make_shared(make_work()))
    client.login()
    (reply,) = client.send('{"id":77,"method":"mining.submit","params":' + params + "}")
    assert reply == refused(code, text)
    assert not client.closed


def test_submit_before_subscribe_and_before_login() -> None:
    client = Client(make_shared(make_work()))
    assert client.submit(["1000", "00" * 8, "00", "00"]) == refused(25, "Not subscribed")
    client.send('{"id":1,"method":"mining.subscribe","params":[]}')
    assert client.submit(["1000", "00" * 8, "00", "00"]) == refused(24, "Unauthorized worker")
    assert not client.closed


@pytest.mark.parametrize("bits", [0, 0x2000, MASK])
@pytest.mark.parametrize("negotiated", [True, False])
def test_version_rolling(bits: int, negotiated: bool) -> None:
    client = Client(make_shared(make_work()))
    if negotiated:
        client.send(
            '{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}'
        )
    client.login()
    params, _ = client.mine(bits=bits)
    assert client.submit(params, bits=f"{bits:08x}") == TRUE


def test_bits_outside_the_negotiated_mask_are_refused() -> None:
    client = Client(make_shared(make_work()))
    client.send(
        '{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00006000"}]}'
    )
    client.login()
    params, _ = client.mine(bits=0x8000)
    assert client.submit(params, bits="00008000") == refused(20, "Invalid version mask")


def test_a_narrower_mask_is_sent_before_the_job() -> None:
    """A node that starts to signal takes bits out of the mask."""
    client = Client(make_shared(make_work()))
    client.send('{"id":1,"method":"mining.configure","params":[["version-rolling"],{}]}')
    client.login()
    lines = client.publish(make_work(2, tip=2, version_mask=MASK & ~0x2000))
    assert methods(lines) == ["mining.set_version_mask", "mining.notify"]
    assert lines[0]["params"] == ["1fffc000"]


# Sessions


def test_resume_gives_extranonce_and_difficulty_back_but_never_the_same_job() -> None:
    shared = make_shared(make_work(nbits=0x17030000), limits=Limits())
    client = Client(shared)
    client.login("bitaxe/BM1370/v2", password="x=5000")
    client.session.closed(100.0)
    again = Client(shared, 650.0)
    again.send(line(1, "mining.subscribe", "bitaxe/BM1370/v2", client.session_id))
    again.send('{"id":2,"method":"mining.authorize","params":["rig.1","x"]}')
    assert again.extranonce1 == client.extranonce1
    assert again.of(Subscribed)[0].resumed
    assert again.difficulty == 5000
    assert again.job[0] != client.job[0]
    late = Client(shared, 650.0 + 601)
    again.session.closed(650.0)
    late.send(line(1, "mining.subscribe", "x", client.session_id))
    assert not late.of(Subscribed)[0].resumed


def test_an_unknown_session_id_is_ignored() -> None:
    client = Client(make_shared(make_work()))
    client.send(
        '{"id": 197, "method": "mining.subscribe", "params": ["whatsminer/v1.0", "ae6812eb4cd7735a302a8a9dd95cf71f"]}'
    )
    assert not client.of(Subscribed)[0].resumed


def test_a_second_subscribe_answers_the_same() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    (reply,) = client.send('{"id":9,"method":"mining.subscribe","params":[]}')
    assert reply["result"] == [[["mining.notify", client.session_id]], client.extranonce1.hex(), 8]


# Payout by username

ADDRESS, OTHER = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"


def test_each_miner_is_paid_to_its_own_address() -> None:
    shared = make_shared(make_work(), pay_to=PayTo.MINER)
    client = Client(shared)
    lines = client.login(user=f"{ADDRESS}.rack1")
    assert methods(lines) == ["reply"]
    assert client.of(AddressWanted)[0].address == ADDRESS
    lines = client.take(client.session.address_resolved(ADDRESS, P2PKH, "", 1.0))
    assert methods(lines) == ["reply", "mining.set_difficulty", "mining.notify"]
    assert P2PKH.hex() in client.job[3]
    assert P2WPKH.hex() not in client.job[3]
    shared.scripts[ADDRESS] = P2PKH
    second = Client(shared)
    assert methods(second.login(user=ADDRESS)) == ["reply", "reply", "mining.set_difficulty", "mining.notify"]


def test_refused_addresses_are_refused_with_the_reason() -> None:
    client = Client(make_shared(make_work(), pay_to=PayTo.MINER))
    (_, reply) = client.login(user="worker1")
    assert reply["result"] is False
    assert reply["error"][0] == 24
    assert "Bitcoin address" in reply["error"][1]
    client.send(line(3, "mining.authorize", ADDRESS, "x"))
    (reply,) = client.take(client.session.address_resolved(ADDRESS, None, "this is a testnet address", 1.0))
    assert reply == {"id": 3, "result": False, "error": [24, "this is a testnet address", None]}
    assert client.of(AuthorizeRefused)[-1].reason == "this is a testnet address"
    assert not client.closed


def test_one_connection_pays_one_address() -> None:
    shared = make_shared(make_work(), pay_to=PayTo.MINER)
    shared.scripts |= {ADDRESS: P2WPKH, OTHER: P2PKH}
    client = Client(shared)
    client.login(user=f"{ADDRESS}.a")
    assert client.send(line(5, "mining.authorize", f"{ADDRESS}.b", "x"))[0]["result"] is True
    (reply,) = client.send(line(6, "mining.authorize", OTHER, "x"))
    assert reply["error"][1].startswith("this connection already pays bc1q")


def test_another_miners_job_is_no_share_but_could_be_a_block() -> None:
    work = make_work(nbits=REGTEST_BITS)
    shared = make_shared(work, pay_to=PayTo.MINER)
    shared.scripts |= {ADDRESS: P2WPKH, OTHER: P2PKH}
    mine, other = Client(shared), Client(shared)
    mine.login(user=ADDRESS)
    other.login(user=OTHER)
    mine.job_difficulties[other.job[0]] = mine.difficulty
    params, header = mine.mine(other.job, target=network_target(work))
    assert mine.submit(params, user=ADDRESS) == refused(21, "Invalid JobID")
    assert mine.of(BlockFound)[0].header == header.pack()


def test_a_split_that_a_client_cannot_take_is_refused_with_the_reason() -> None:
    scripts = [b"\x00\x14" + bytes([i]) * 20 for i in range(5)]
    payout = Payout(scripts[0], "0", tuple(PayoutPart(each, str(i), 2000) for i, each in enumerate(scripts[1:], 1)))
    shared = make_shared(make_work(), payouts=lambda work, _: payout.outputs(work.coinbase_value))
    small, large = Client(shared), Client(shared)
    reply = small.login("NerdMinerV2/V1.8.3")[1]
    assert reply["result"] is False
    assert "NerdMinerV2/V1.8.3 takes 255" in reply["error"][1]
    assert large.login("bitaxe/BM1370/v2")[1]["result"] is True


# Limits


def test_usernames_stay_clean() -> None:
    client = Client(make_shared(make_work()))
    evil = "a\x1b[31m\r\n\u202e" + "b" * 10_000
    client.login(user=evil)
    (name,) = (event.worker.name for event in client.of(Authorized))
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 64
    assert client.submit(client.mine()[0], user=evil) == TRUE


def test_ten_thousand_workers_on_one_connection() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    for number in range(10_000):
        client.send(line(1, "mining.authorize", f"w{number}", "x"))
    assert len(client.session.workers) == 256
    assert client.lines[-1]["error"][1] == "Too many workers on one connection"
    assert client.submit(client.mine()[0]) == TRUE
    assert not client.closed


def test_a_flood_of_lines_is_slowed_down() -> None:
    shared = make_shared(make_work(), lines_per_sec=100.0)
    client = Client(shared)
    client.login()
    wrong = b'{"id":1,"method":"mining.submit","params":["rig.1","1000","0000000000000000","00000000","00000000"]}\n'
    pauses = [client.session.receive(wrong * 50, 0.0).pause_secs for _ in range(10)]
    assert pauses[0] == 0
    assert pauses[-1] > 2
    assert client.session.receive(wrong, 60.0).pause_secs == 0


def test_garbage_is_answered_and_then_closed() -> None:
    client = Client(make_shared(make_work()))
    client.login()
    for _ in range(31):
        client.send("nonsense")
        assert not client.closed
    client.send('{"id":1,"method":"mining.ping"}')
    for _ in range(32):
        client.send("nonsense")
    assert "no requests" in client.closed


def test_other_protocols_get_a_helpful_line() -> None:
    client = Client(make_shared())
    output = client.session.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0.0)
    assert output.close == "an HTTP request"
    assert b"stratum+tcp://" in output.data
    output = Client(make_shared()).session.receive(bytes.fromhex("1603010200010001fc0303"), 0.0)
    assert "TLS" in output.close
    assert b"without TLS" in output.data
    output = Client(make_shared()).session.receive(b"x" * 20_000, 0.0)
    assert "16 KB" in output.close


def test_handshake_deadline() -> None:
    client = Client(make_shared(make_work()))
    output = client.session.tick(59.0)
    assert not output.close
    output = client.session.tick(61.0)
    assert output.close == "no login within 60 s"
    quiet = Client(make_shared(make_work()))
    quiet.login()
    quiet.tick(61.0)
    assert not quiet.closed


def test_a_notify_at_least_every_55_seconds() -> None:
    """cpuminer gives up after 120 s of silence."""
    client = Client(make_shared(make_work(), limits=Limits()))
    client.login("cpuminer/2.5.1")
    silence = 0.0
    for _ in range(200):
        silence = 0.0 if client.tick(5.0) else silence + 5
        assert silence < 60


def test_time_without_work_does_not_count_as_silence() -> None:
    shared = make_shared(make_work(nbits=0x17030000), limits=Limits())
    client = Client(shared)
    client.login()
    shared.board.withdraw()
    for _ in range(100):
        client.tick(30.0)
    assert client.difficulty == 1024


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"id":9,"method":"mining.extranonce.subscribe","params":[]}', {"id": 9, "result": True, "error": None}),
        ('{"id":9,"method":"mining.multi_version","params":[4]}', {"id": 9, "result": True, "error": None}),
        ('{"id":9,"method":"mining.ping","params":[]}', {"id": 9, "result": "pong", "error": None}),
        (
            '{"id":9,"method":"mining.get_transactions","params":["1"]}',
            {"id": 9, "result": None, "error": [20, "Not supported.", None]},
        ),
        (
            '{"id":9,"method":"eth_\\u001bsubmitLogin","params":[]}',
            {"id": 9, "result": None, "error": [20, "Method 'eth_?submitLogin' not found", None]},
        ),
        (
            '{"id":9,"method":"mining.authorize","params":[5]}',
            {"id": 9, "result": False, "error": [20, "No username", None]},
        ),
        (
            '{"id":9,"method":"mining.suggest_target","params":["zz"]}',
            {"id": 9, "result": None, "error": [20, "Invalid difficulty", None]},
        ),
    ],
)
def test_small_requests(text: str, answer: dict[str, Any]) -> None:
    client = Client(make_shared(make_work()))
    assert client.send(text) == [answer]
    assert not client.closed


def test_answers_of_the_client_are_not_answered() -> None:
    client = Client(make_shared(make_work()))
    assert client.send('{"id":5,"result":"pong","error":null}', '{"id":7,"method":"pong","params":[]}') == []
