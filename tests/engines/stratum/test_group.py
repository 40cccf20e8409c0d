"""The group at the server: who may log in, which shares are credited, what jobs pay, and the books over restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from solominer.chain.target import expected_hashes
from solominer.config.paths import default_cache_dir
from solominer.engines.stratum.batch import Batch
from solominer.engines.stratum.events import AddressWanted, BlockFound
from solominer.engines.stratum.group import GroupBooks
from solominer.engines.stratum.jobs import plan_of, script_sig_bytes
from solominer.engines.stratum.server import _payouts
from solominer.engines.stratum.shared import Credits, PayTo, Shared
from solominer.engines.stratum.shares import share_target
from solominer.engines.stratum.validate import load_validator
from solominer.engines.stratum.work import Standing, Work
from solominer.errors import EngineError
from solominer.work.found import BlockState
from solominer.work.job_check import read_coinbase
from tests.engines.stratum.builders import EASY, P2PKH, P2WPKH, REGTEST_BITS, Client, line, make_shared
from tests.engines.stratum.builders import make_work as plain_work

ONE, TWO = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"
A, B = P2WPKH.hex(), P2PKH.hex()
OWN = b"\x00\x14" + b"\x77" * 20
BOTH = Standing(3, ((A, "300", -40), (B, "100", 40)))
SHARE = expected_hashes(share_target(EASY))


def make_work(*, group: Standing | None = None, **more: Any) -> Work:
    return plain_work(outputs=((OWN, 312_500_000),), group=group, **more)


def group_of(work: Work) -> Shared:
    shared = make_shared(work, payouts=_payouts, pay_to=PayTo.GROUP)
    shared.scripts.update({ONE: P2WPKH, TWO: P2PKH})
    return shared


def paid_by(job: list[Any], extranonce1: bytes) -> list[tuple[bytes, int]]:
    return read_coinbase(bytes.fromhex(job[2]) + extranonce1 + bytes(8) + bytes.fromhex(job[3])).outputs[:-1]


def test_members_log_in_with_addresses_and_their_shares_are_credited() -> None:
    shared = group_of(make_work())
    client = Client(shared)
    assert client.login(user=f"{ONE}.shelf")[1]["result"] is True
    client.send(line(3, "mining.authorize", f"{TWO}.attic", "x"))
    for number, user in enumerate((f"{ONE}.shelf", f"{ONE}.shelf", f"{TWO}.attic")):
        share = client.mine(start=100 * number)[0]
        assert client.submit(share, user=user)["result"] is True
    assert client.submit(share, user=f"{TWO}.attic")["error"][1] == "Duplicate"
    assert shared.credits.take() == {A: str(2 * SHARE), B: str(SHARE)}
    assert shared.credits.take() == {}


def test_names_that_are_no_address_are_refused_and_others_are_asked_of_the_node() -> None:
    client = Client(group_of(make_work()))
    assert "must be a Bitcoin address" in client.login(user="rig")[1]["error"][1]
    client.send(line(3, "mining.authorize", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "x"))
    (wanted,) = client.of(AddressWanted)
    client.take(client.session.address_resolved(wanted.address, None, "it belongs to mainnet", 0.0))
    assert client.lines[-1]["error"] == [24, "it belongs to mainnet", None]


def test_shares_of_listeners_without_a_group_are_not_credited() -> None:
    shared = make_shared(make_work(), payouts=_payouts)
    client = Client(shared)
    client.login(user=f"{ONE}.shelf")
    assert client.submit(client.mine()[0], user=f"{ONE}.shelf")["result"] is True
    assert shared.credits.take() == {}


def test_shares_that_the_jitted_path_takes_are_credited_alike() -> None:
    validator = load_validator(default_cache_dir(), print)
    assert validator is not None
    batch = Batch(validator)
    works = []
    for use in (batch, None):
        shared = group_of(make_work())
        shared.checker.use(use)
        client = Client(shared)
        client.login(user=ONE, password=f"x={EASY:.20f}")
        shares = [client.mine(start=100 * number)[0] for number in range(20)]
        client.send(*(line(9, "mining.submit", ONE, *share) for share in shares))
        works.append(shared.credits.take())
    assert works == [{A: str(20 * SHARE)}] * 2


def test_a_group_is_full_at_some_size() -> None:
    credits = Credits()
    standing = Standing(1, tuple((f"0014{number:040x}", "1", 0) for number in range(Credits.MOST_MEMBERS - 1)))
    assert credits.admit(A, standing)
    assert credits.admit(A, standing)
    assert credits.admit(f"0014{0:040x}", standing)
    credits.add(A, 1, 1.0)
    assert not credits.admit(B, standing)


def test_who_proves_nothing_keeps_nobody_out_of_a_group() -> None:
    """Anybody can make up addresses and log in with them."""
    credits, standing = Credits(), Standing(1, ((A, "1", 0),))
    for number in range(2 * Credits.MOST_MEMBERS):
        assert credits.admit(f"0014{number:040x}", standing)
    assert credits.admit(B, standing)
    assert len(credits._members) < Credits.MOST_MEMBERS


def test_jobs_pay_what_is_configured_until_somebody_has_proven_work_and_then_the_group() -> None:
    client = Client(group_of(make_work(group=Standing(0, ()))))
    client.login(user=ONE)
    assert paid_by(client.job, client.extranonce1) == [(OWN, 312_500_000)]
    client.publish(make_work(work_id=2, group=BOTH))
    assert paid_by(client.job, client.extranonce1) == [(P2WPKH, 234_375_000 - 40), (P2PKH, 78_125_000 + 40)]


def test_a_small_client_gets_a_coinbase_that_it_can_take() -> None:
    many = Standing(1, tuple((f"0014{number:040x}", str(10**6 - number), 0) for number in range(40)))
    for agent, most, payees in (("NerdMinerV2", 255, 3), ("bitaxe/BM1370", 6500, 40)):
        work = make_work(group=many)
        client = Client(group_of(work))
        assert client.login(agent, user=ONE)[1]["result"] is True
        coinbase = bytes.fromhex(client.job[2]) + bytes(12) + bytes.fromhex(client.job[3])
        assert len(coinbase) <= most
        assert len(read_coinbase(coinbase).outputs) == payees + 1
        assert len(read_coinbase(coinbase).script_sig) == script_sig_bytes(work)


def test_a_block_of_the_group_says_what_it_was_planned_for() -> None:
    shared = group_of(make_work(nbits=REGTEST_BITS, group=BOTH))
    client = Client(shared)
    client.login("bitaxe", user=ONE)
    client.submit(client.mine(target=1 << 254)[0], user=ONE)
    assert client.of(BlockFound)[0].group_bytes == 6500


# The books


class Ledger:
    """What is noted."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, kind: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((kind, json.loads(json.dumps(fields))))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [fields for each, fields in self.lines if each == kind]


def books_in(path: Path, ledger: Ledger) -> GroupBooks:
    books = GroupBooks(path / "stratum-group.json", 5000, ledger)
    books.open()
    return books


def test_work_counts_from_the_next_job_on_and_over_restarts(tmp_path: Path) -> None:
    ledger = Ledger()
    books = books_in(tmp_path, ledger)
    books.credit({A: "300"})
    books.credit({A: "1", B: "100"})
    assert books.standing(2**220) == books.standing(2**220)
    standing = books.standing(2**220)
    assert standing.members == ((B, "100", 0), (A, "301", 0)) if B < A else ((A, "301", 0), (B, "100", 0))
    books.flush()
    books.credit({B: "7"})
    books.save()  # as at the end, or after some seconds
    again = books_in(tmp_path, ledger)
    assert again.standing(2**220).works == {A: 301, B: 107}
    again.flush()
    assert [line["number"] for line in ledger.of("group_work")] == [1, 2]
    assert [line["number"] for line in ledger.of("group_account")] == [0, 1]


def a_block(books: GroupBooks, hash_hex: str = "ab" * 32, room: int = 165) -> dict[str, int]:
    """A block whose coinbase has no room for all three: what is carried over."""
    books.credit({A: "300", B: "200", "0014" + "cc" * 20: "100"})
    work = make_work(group=books.standing(2**220))
    books.found(hash_hex, work, room)
    return plan_of(work, room).carried()


def test_what_a_block_carries_over_is_booked_once_undone_and_kept(tmp_path: Path) -> None:
    ledger = Ledger()
    books = books_in(tmp_path, ledger)
    carried = a_block(books)
    assert carried
    assert books.standing(2**220).balances == {}
    for state in (BlockState.FOUND, BlockState.SENT, BlockState.ACCEPTED, BlockState.CONFIRMED):
        books.block_state("ab" * 32, state)
    assert books.standing(2**220).balances == carried
    books = books_in(tmp_path, ledger)  # restarted: the block may still be lost
    books.block_state("ab" * 32, BlockState.STALE)
    assert books.standing(2**220).balances == {}
    books.block_state("ab" * 32, BlockState.STALE)
    books.block_state("ab" * 32, BlockState.MATURE)
    assert books.standing(2**220).balances == carried
    books.block_state("ab" * 32, BlockState.STALE)  # it is not followed any more
    books.block_state("cd" * 32, BlockState.ACCEPTED)  # not of the group
    assert books.standing(2**220).balances == carried
    assert [line["state"] for line in ledger.of("group_settled")] == ["accepted", "stale", "mature"]


def test_a_block_that_is_handed_in_twice_is_recorded_once(tmp_path: Path) -> None:
    ledger = Ledger()
    books = books_in(tmp_path, ledger)
    a_block(books)
    a_block(books)
    books.found("cd" * 32, make_work(group=Standing(0, ())), 255)
    books.found("ef" * 32, make_work(group=books.standing(2**220)), 50)
    (block,) = ledger.of("group_block")
    assert block["hash"] == "ab" * 32
    assert sum(block["paid"].values()) == sum(block["shares"].values()) == 312_500_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"account": {"balances": {"0014": 1}}}',
        b'{"account": {}, "pending": {"0014": "much"}}',
        b'{"account": {}, "format": "another/1"}',
    ],
)
def test_an_account_that_cannot_be_read_is_not_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stratum-group.json").write_bytes(content)
    with pytest.raises(EngineError, match=r"the group's account .* cannot be read") as refused:
        books_in(tmp_path, Ledger())
    assert "backup" in refused.value.todo
    assert (tmp_path / "stratum-group.json").read_bytes() == content


def test_an_account_of_a_newer_version_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "stratum-group.json").write_text('{"accounts": [], "format": "solominer-stratum-group/2"}')
    with pytest.raises(EngineError, match="another version of solominer: 'solominer-stratum-group/2'") as refused:
        books_in(tmp_path, Ledger())
    assert "newest version" in refused.value.todo


def test_a_disk_that_fails_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    books = books_in(tmp_path / "file", ledger)
    (tmp_path / "file").write_text("")
    books.credit({A: "1"})
    books.standing(2**220)
    books.flush()
    assert caplog.text.count("the group's account is not kept on disk") == 1
    (tmp_path / "file").unlink()
    books.save()
    assert books_in(tmp_path / "file", ledger).standing(2**220).works == {A: 1}
