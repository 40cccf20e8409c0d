"""A template by IPC: its job equals that by RPC, nothing is parsed before it, and every lie is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.hashes import ZERO_HASH, sha256d
from solominer.chain.networks import MAINNET, REGTEST, Network
from solominer.chain.scan import scan_transaction, stripped
from solominer.chain.transaction import Transaction, TxIn, TxOut
from solominer.daemon.job_view import TemplateViews
from solominer.errors import DecodeError, TemplateError
from solominer.node.demo import synthetic_reply
from solominer.records.events.codec import Decoder, Encoder
from solominer.work.job import Job, build_job
from solominer.work.job_check import check_job
from solominer.work.judge import Judge
from solominer.work.raw_template import (
    USUAL_RESERVE,
    Reserve,
    StatedTemplate,
    covers,
    empty_template_of,
    template_of,
)
from solominer.work.raw_transactions import RawTransactions
from solominer.work.template import Template, TemplateTx, parse_template
from solominer.work.transaction_check import TransactionCheck
from tests.work.builders import PAYOUT, T0, real_reply
from tests.work.stated import stated_of

SMALL = synthetic_reply(MAINNET, seed=1, transactions=12)


def by_ipc(reply: dict[str, Any], network: Network, known: dict[bytes, TemplateTx] | None = None) -> Template:
    """The template of a reply, by IPC."""
    basis = parse_template(reply, network)
    return template_of(stated_of(reply), basis, network, USUAL_RESERVE, known or {})


def job_of(template: Template) -> Job:
    """A checked job."""
    job = build_job(template, PAYOUT, job_id=1, salt=b"salt", tag=b"/test/")
    check_job(job, PAYOUT)
    return job


def raw(template: Template) -> RawTransactions:
    """Its transactions, which must be raw."""
    assert isinstance(template.transactions, RawTransactions)
    return template.transactions


def check(template: Template) -> None:
    """The check after publication."""
    run = TransactionCheck(template)
    while run.step(inf, lambda: 0.0):
        pass


def replies() -> list[Any]:
    """A real template, and synthetic ones of every shape of Merkle tree."""
    made = [synthetic_reply(MAINNET, seed=n, transactions=n) for n in (*range(1, 10), 31, 32, 33)]
    return [pytest.param(real_reply(), REGTEST, id="real"), *((reply, MAINNET) for reply in made)]


@pytest.mark.parametrize(("reply", "network"), replies())
def test_the_job_is_that_of_the_template_by_rpc(reply: dict[str, Any], network: Network) -> None:
    rpc, ipc = parse_template(reply, network), by_ipc(reply, network)
    ours, theirs = job_of(ipc), job_of(rpc)
    assert not raw(ipc).is_read
    assert (ours.coinbase, ours.merkle_branch, ours.space) == (theirs.coinbase, theirs.merkle_branch, theirs.space)
    header = theirs.header(theirs.extranonce(), rpc.version, rpc.curtime, 7)
    assert ours.header(ours.extranonce(), ipc.version, ipc.curtime, 7) == header
    block = theirs.block_hex(header.pack(), theirs.extranonce())
    assert ours.block_hex(header.pack(), ours.extranonce()) == block
    check(ipc)
    assert raw(ipc).is_read
    assert ours.block_hex(header.pack(), ours.extranonce()) == block
    same = replace(ipc, transactions=rpc.transactions, mintime=rpc.mintime, longpollid=rpc.longpollid)
    assert same == rpc
    assert [tx._replace(depends=()) for tx in ipc.transactions] == [tx._replace(depends=()) for tx in rpc.transactions]


def test_a_template_without_transactions() -> None:
    reply = synthetic_reply(MAINNET, seed=1, transactions=0)
    template = empty_template_of(stated_of(reply), parse_template(reply, MAINNET), MAINNET, USUAL_RESERVE)
    assert template.provisional
    assert not template.transactions
    assert job_of(template).coinbase == job_of(parse_template(reply, MAINNET)).coinbase
    with pytest.raises(TemplateError, match="none were asked for"):
        empty_template_of(stated_of(SMALL), parse_template(SMALL, MAINNET), MAINNET, USUAL_RESERVE)


def test_nothing_on_the_way_to_publication_reads_them() -> None:
    template = by_ipc(SMALL, MAINNET)
    job = job_of(template)
    judge = Judge(60.0, 1 << 20)
    judge.keep(job, T0)
    judge.forget_old(job, T0)
    view = TemplateViews()
    assert view.of(job).transactions == 12
    assert job.describe().endswith("12 transactions")
    assert not raw(template).is_read
    check(template)
    judge.forget_old(job, T0)
    rpc = build_job(parse_template(SMALL, MAINNET), PAYOUT, job_id=2, salt=b"salt")
    assert view.of(job).fee_histogram == TemplateViews().of(rpc).fee_histogram != ()


def test_unread_ones_count_as_their_bytes() -> None:
    first, second = (build_job(by_ipc(SMALL, MAINNET), PAYOUT, job_id=n, salt=b"salt") for n in (1, 2))
    judge = Judge(60.0, 1000)
    judge.keep(first, T0)
    judge.keep(second, T0)
    judge.forget_old(second, T0)
    assert judge.kept(1) is None
    assert judge.kept(2) is second


def test_equal_transactions_are_shared_with_the_template_before() -> None:
    before = by_ipc(SMALL, MAINNET)
    check(before)
    after = by_ipc(SMALL, MAINNET, {tx.wtxid_le: tx for tx in before.transactions})
    check(after)
    assert all(mine is theirs for mine, theirs in zip(after.transactions, before.transactions, strict=True))


def test_they_are_recorded_as_those_by_rpc() -> None:
    template, rpc = by_ipc(SMALL, MAINNET), parse_template(SMALL, MAINNET)
    written = json.dumps(Encoder().encode(template))
    assert written == json.dumps(Encoder().encode(replace(rpc, mintime=rpc.curtime, longpollid="")))
    assert Decoder().decode(Template, json.loads(written)).commitment == rpc.commitment


def test_a_basis_covers_its_period_and_version_alone() -> None:
    basis = parse_template(SMALL, MAINNET)
    stated = stated_of(SMALL)
    assert covers(basis, stated)
    assert not covers(replace(basis, version=basis.version + 1), stated)
    assert not covers(replace(basis, height=basis.height + 144), stated)


def coinbase(**changes: Any) -> Callable[[StatedTemplate], StatedTemplate]:
    """Another statement about the coinbase."""
    return lambda stated: replace(stated, coinbase=replace(stated.coinbase, **changes))


def stating(**changes: Any) -> Callable[[StatedTemplate], StatedTemplate]:
    """Another statement."""
    return lambda stated: replace(stated, **changes)


GOOD = stated_of(SMALL)
FORGED_COMMITMENT = bytes(8) + b"\x26\x6a\x24\xaa\x21\xa9\xed" + sha256d(b"another")
REFUSED: list[tuple[str, Callable[[StatedTemplate], StatedTemplate]]] = [
    ("version", stating(header=b"\x01" + GOOD.header[1:])),
    ("begins with", coinbase(script_sig_prefix=b"\x51")),
    ("begins with", coinbase(script_sig_prefix=b"")),
    ("begins with", coinbase(locktime=GOOD.coinbase.locktime + 1)),
    ("begins with", coinbase(locktime=0xFFFFFFFF)),
    ("witness", coinbase(witness=b"")),
    ("witness", coinbase(witness=b"\x01" * 32)),
    ("reward", coinbase(reward=GOOD.coinbase.reward + 1)),
    ("reward", coinbase(reward=-1)),
    ("0 outputs", coinbase(outputs=())),
    ("2 outputs", coinbase(outputs=GOOD.coinbase.outputs * 2)),
    ("not a witness commitment", coinbase(outputs=(GOOD.coinbase.outputs[0][:-1],))),
    ("not a witness commitment", coinbase(outputs=(b"\x01" + GOOD.coinbase.outputs[0][1:],))),
    ("Merkle branch", stating(merkle_branch=GOOD.merkle_branch[:-1])),
    ("Merkle branch", stating(merkle_branch=(*GOOD.merkle_branch[:-1], b""))),
    ("reward", stating(fees=(-1, *GOOD.fees[1:]))),
    ("reward", stating(fees=GOOD.fees[1:])),
    ("12 fees and 11", stating(sigops=GOOD.sigops[1:])),
    ("signature operations", stating(sigops=(80_000, *GOOD.sigops[1:]))),
    ("signature operations", stating(sigops=(-1, *GOOD.sigops[1:]))),
    ("cannot be read", stating(block=b"")),
    ("cannot be read", stating(block=GOOD.block[:100])),
    ("12 fees", stating(block=stated_of(synthetic_reply(MAINNET, seed=1, transactions=11)).block)),
    ("header is malformed", stating(header=GOOD.header[:-1])),
    ("bits", stating(header=GOOD.header[:72] + bytes(4) + GOOD.header[76:])),
    ("time", stating(header=GOOD.header[:68] + bytes(4) + GOOD.header[72:])),
    ("without fees has transactions", stating(fees=(), sigops=(), merkle_branch=())),
]


@pytest.mark.parametrize(("problem", "lie"), REFUSED)
def test_a_statement_that_cannot_be_is_refused(problem: str, lie: Callable[[StatedTemplate], StatedTemplate]) -> None:
    basis = parse_template(SMALL, MAINNET)
    stated = lie(GOOD)
    if not stated.fees:  # and a reward that fits
        stated = replace(stated, coinbase=replace(stated.coinbase, reward=MAINNET.subsidy(SMALL["height"])))
    with pytest.raises(TemplateError, match=problem):
        template_of(stated, basis, MAINNET, USUAL_RESERVE, {})


WITHDRAWN: list[tuple[str, Callable[[StatedTemplate], StatedTemplate]]] = [
    ("commitment does not match", coinbase(outputs=(FORGED_COMMITMENT,))),
    ("Merkle branch does not match", stating(merkle_branch=(sha256d(b""), *GOOD.merkle_branch[1:]))),
    ("bytes follow", stating(block=GOOD.block + b"\0")),
    ("transaction 12 of the node's block cannot be read", stating(block=GOOD.block[:-1])),
    ("commitment does not match", stating(block=GOOD.block[:-5] + b"\1" + GOOD.block[-4:])),
]


@pytest.mark.parametrize(("problem", "lie"), WITHDRAWN)
def test_bytes_that_contradict_the_statements_withdraw_the_job(
    problem: str, lie: Callable[[StatedTemplate], StatedTemplate]
) -> None:
    template = template_of(lie(GOOD), parse_template(SMALL, MAINNET), MAINNET, USUAL_RESERVE, {})
    job_of(template)
    with pytest.raises(TemplateError, match=problem):
        check(template)
    Encoder().encode(template)  # what is readable is recorded


def test_transactions_that_leave_no_room_withdraw_the_job() -> None:
    basis = replace(parse_template(SMALL, MAINNET), weight_limit=20_000)
    template = template_of(GOOD, basis, MAINNET, Reserve(weight=15_000), {})
    with pytest.raises(TemplateError, match="the limit is 5000"):
        check(template)


def test_a_coinbase_larger_than_reserved_is_refused() -> None:
    template = template_of(GOOD, parse_template(SMALL, MAINNET), MAINNET, Reserve(weight=900), {})
    with pytest.raises(TemplateError, match="weight"):
        job_of(template)


inputs = st.builds(TxIn, st.just(ZERO_HASH), st.integers(0, 5), st.binary(max_size=300), st.just(1))
outputs = st.builds(TxOut, st.integers(0, 2**50), st.binary(max_size=300))
stacks = st.lists(st.binary(max_size=300), min_size=1, max_size=3).map(tuple)


@given(st.data())
def test_scan_finds_the_bounds_of_any_transaction(data: st.DataObject) -> None:
    ins = tuple(data.draw(st.lists(inputs, min_size=1, max_size=3)))
    outs = tuple(data.draw(st.lists(outputs, max_size=3)))
    witness = tuple(data.draw(stacks) for _ in ins) if data.draw(st.booleans()) else ()
    tx = Transaction(2, ins, outs, 9, witness)
    around = data.draw(st.binary(max_size=9))
    bounds = scan_transaction(around + tx.serialize() + around, len(around))
    assert bounds.end == len(around) + len(tx.serialize())
    assert stripped(around + tx.serialize(), len(around), bounds) == tx.stripped()
    cut = data.draw(st.integers(0, len(tx.serialize()) - 1))
    with pytest.raises(DecodeError):
        scan_transaction(tx.serialize()[:cut], 0)


@given(st.binary(max_size=200))
def test_scan_of_anything_ends(data: bytes) -> None:
    with suppress(DecodeError):
        assert scan_transaction(data, 0).end <= len(data)
