"""Jobs, header space, and the check that looks a second time at every job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solominer.chain.coinbase import commitment_output
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST, TESTNET4
from solominer.chain.transaction import TxOut, parse_transaction
from solominer.errors import BadValue, TemplateError
from solominer.work.job import HeaderSpace, Job, build_job
from solominer.work.job_check import check_job
from solominer.work.payout import Payout
from solominer.work.template import Template
from tests.data import load
from tests.work.builders import PAYOUT, real_template, template_on, tip


def job_of(template: Template, payout: Payout = PAYOUT) -> Job:
    return build_job(template, payout, job_id=1, salt=bytes.fromhex("00112233"), tag=b"/solominer")


def test_a_real_block_comes_out_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    case = load("template_and_block")
    with monkeypatch.context() as patched:
        patched.setattr("solominer.work.job.EXTRANONCE_SIZE", 8)  # as the real block has it
        job = job_of(real_template())
    extranonce = bytes.fromhex("0011223344556677")
    header = job.header(extranonce, 0x30000000, case["time"], case["nonce"])
    assert header.pack().hex() == case["header_hex"]
    assert job.block_hex(header.pack(), extranonce) == case["block_hex"]
    job = job_of(real_template())
    check_job(job, PAYOUT)
    assert "27 transactions" in job.describe()
    assert job.coinbase.outputs[:-1] == (TxOut(job.template.coinbase_value, PAYOUT.script_pubkey),)


def test_a_block_over_the_limits_is_not_built() -> None:
    template = real_template()
    with pytest.raises(TemplateError, match="weigh"):
        job_of(replace(template, weight_limit=18_221))
    with pytest.raises(TemplateError, match="signature operation"):
        job_of(replace(template, sigop_limit=5))
    with pytest.raises(ValueError, match="4 bytes"):
        build_job(template, PAYOUT, job_id=1, salt=b"123")


@given(st.integers(1, 2**31 - 2), st.integers(0, 2**32 - 1))
def test_the_guard_agrees_with_the_builder_at_every_height(height: int, extranonce: int) -> None:
    job = build_job(template_on(tip(1), height), PAYOUT, job_id=1, salt=extranonce.to_bytes(4, "big"), tag=b"/x/")
    check_job(job, PAYOUT)


def suffix_with(change: Callable[[bytes], bytes]) -> Callable[[Job], Job]:
    return lambda job: replace(job, coinbase=replace(job.coinbase, suffix=change(job.coinbase.suffix)))


def prefix_with(change: Callable[[bytes], bytes]) -> Callable[[Job], Job]:
    return lambda job: replace(job, coinbase=replace(job.coinbase, prefix=change(job.coinbase.prefix)))


def template_with(**changes: Any) -> Callable[[Job], Job]:
    return lambda job: replace(job, template=replace(job.template, **changes))


def other_outputs(outputs: list[TxOut]) -> Callable[[Job], Job]:
    def change(job: Job) -> Job:
        whole = parse_transaction(job.coinbase.serialize(bytes(12)))
        raw = replace(whole, outputs=tuple(outputs)).stripped()
        hole = len(job.coinbase.prefix)
        return replace(job, coinbase=replace(job.coinbase, prefix=raw[:hole], suffix=raw[hole + 12 :]))

    return change


VALUE = real_template().coinbase_value
COMMITMENT = commitment_output(real_template().commitment)
TAMPERED: list[tuple[str, Callable[[Job], Job]]] = [
    ("another script", suffix_with(lambda raw: raw.replace(PAYOUT.script_pubkey, b"\x00\x14" + b"\x66" * 20))),
    ("one satoshi less", other_outputs([TxOut(VALUE - 1, PAYOUT.script_pubkey), COMMITMENT])),
    ("a second payee", other_outputs([TxOut(VALUE - 9, PAYOUT.script_pubkey), TxOut(9, b"\x51"), COMMITMENT])),
    ("commitment not last", other_outputs([COMMITMENT, TxOut(VALUE, PAYOUT.script_pubkey)])),
    ("no commitment", other_outputs([TxOut(VALUE, PAYOUT.script_pubkey)])),
    ("wrong commitment", other_outputs([TxOut(VALUE, PAYOUT.script_pubkey), commitment_output(bytes(32))])),
    ("value on commitment", other_outputs([TxOut(VALUE, PAYOUT.script_pubkey), COMMITMENT._replace(value_sats=1)])),
    ("outputs that the coinbase does not have", lambda job: replace(job, coinbase=replace(job.coinbase, outputs=()))),
    ("locktime", suffix_with(lambda raw: raw[:-4] + b"\x05\x01\0\0")),
    ("trailing byte", suffix_with(lambda raw: raw + b"\0")),
    ("cut", suffix_with(lambda raw: raw[:-1])),
    ("another height", template_with(height=262)),
    ("another value", template_with(coinbase_value=VALUE + 1)),
    ("branch", lambda job: replace(job, merkle_branch=(bytes(32), *job.merkle_branch[1:]))),
    ("transaction dropped", template_with(transactions=real_template().transactions[:-1])),
    ("prevout", prefix_with(lambda raw: raw.replace(b"\xff" * 4, bytes(4)))),
    ("version", prefix_with(lambda raw: b"\x03" + raw[1:])),
    ("extranonce", prefix_with(lambda raw: raw[:-3] + b"\x01\x02\x03")),
    ("padded height", prefix_with(lambda raw: raw[:41] + bytes((raw[41] + 1,)) + b"\x03\x05\x01\0" + raw[45:])),
    ("no prefix", prefix_with(lambda raw: b"")),
]  # fmt: skip


@pytest.mark.parametrize("change", [change for _, change in TAMPERED], ids=[name for name, _ in TAMPERED])
def test_the_guard_stops_a_job_that_is_not_what_was_configured(change: Callable[[Job], Job]) -> None:
    with pytest.raises(TemplateError, match="failed validation"):
        check_job(change(job_of(real_template())), PAYOUT)


def test_a_height_that_has_an_opcode_is_not_pushed_as_a_number() -> None:
    job = job_of(template_on(tip(1), 16))
    check_job(job, PAYOUT)
    pushed = prefix_with(lambda raw: raw[:41] + bytes((raw[41] + 1,)) + b"\x01\x10" + raw[43:])
    with pytest.raises(TemplateError, match="does not begin with height 16"):
        check_job(pushed(job), PAYOUT)


def test_a_tag_that_is_too_long_is_an_error_and_not_a_bad_block() -> None:
    with pytest.raises(BadValue, match="shorten coinbase_tag"):
        build_job(real_template(), PAYOUT, job_id=1, salt=bytes(4), tag=b"x" * 99)


def test_space_keeps_bits_outside_the_mask() -> None:
    space = HeaderSpace(0x20000005, 0x1FFFE000, 100, 200)
    assert space.version_with(0xFFFFFFFF) == 0x3FFFE005


def test_time_is_not_rolled_where_late_blocks_are_easier() -> None:
    """Rule 17: with real bits the time may not cross prev + 1200; with the easiest bits it may only go forward."""
    easy, real = 0x1D00FFFF, 0x1A00FFFF
    base = replace(template_on(tip(1), 5), network=TESTNET4, nbits=real, target=0xFFFF << 184)
    assert HeaderSpace.of(base, 600).ntime_max == base.curtime
    easiest = replace(base, nbits=easy, target=0xFFFF << 208)
    assert HeaderSpace.of(easiest, 600).ntime_max == base.curtime + 600
    assert HeaderSpace.of(template_on(tip(1), 5, REGTEST), 600).ntime_max > base.curtime


def test_header_values_are_those_asked_for() -> None:
    job = job_of(real_template())
    header = job.header(bytes(11) + b"\7", 0x20002000, 5, 6)
    root = job.merkle_root_le(bytes(11) + b"\7")
    assert header == Header(0x20002000, job.template.prevhash_le, root, 5, 0x207FFFFF, 6)
    assert job.merkle_root_le(bytes(11) + b"\7") != job.merkle_root_le(bytes(11) + b"\x08")
