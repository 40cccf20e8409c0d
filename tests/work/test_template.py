"""Template validation, rule by rule: a real reply passes, and every broken field is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from solominer.chain.coinbase import commitment_of
from solominer.chain.networks import MAINNET, REGTEST, SIGNET
from solominer.errors import TemplateError
from solominer.node.demo import synthetic_reply
from solominer.work.template import BIP320_MASK, parse_template
from solominer.work.transaction_check import check_transactions
from tests.data import load
from tests.work.builders import real_reply, real_template

Change = Callable[[dict[str, Any]], object]


def test_a_real_reply_passes() -> None:
    template = real_template()
    assert (template.height, template.nbits, len(template.transactions)) == (261, 0x207FFFFF, 27)
    assert template.fees_sats == 886_340
    root = bytes.fromhex(load("template_and_block")["witness_merkle_root_internal"])
    assert template.commitment == commitment_of(root)
    assert template.version_mask == BIP320_MASK & ~(1 << 28), "bit 28 is the node's: testdummy is being signalled"
    assert template.prevhash_hex == real_reply()["previousblockhash"]
    assert template.longpollid == real_reply()["longpollid"]


def test_the_slow_half_recomputes_everything_once() -> None:
    template = real_template()
    seen = check_transactions(template)
    assert len(seen) == 27
    assert check_transactions(template, seen) == seen


@pytest.mark.parametrize("case", load("versionbits"), ids=lambda case: str(case["height"]))
def test_version_bits_in_use_are_not_rolled(case: dict[str, Any]) -> None:
    reply = real_reply()
    reply |= {key: case[key] for key in ("vbavailable", "rules", "vbrequired")}
    reply["version"] = int(case["version"], 16)
    mask = parse_template(reply, REGTEST).version_mask
    assert mask == BIP320_MASK & ~sum(1 << bit for bit in case["vbavailable"].values())


def drop(key: str) -> Change:
    return lambda reply: reply.pop(key)


def put(key: str, value: object) -> Change:
    return lambda reply: reply.__setitem__(key, value)


def put_tx(index: int, key: str, value: object) -> Change:
    return lambda reply: reply["transactions"][index].__setitem__(key, value)


REQUIRED = [
    "version", "rules", "previousblockhash", "transactions", "coinbasevalue", "bits", "target", "height", "curtime",
    "mintime", "mutable", "noncerange", "sigoplimit", "sizelimit", "weightlimit",
]  # fmt: skip

BROKEN: list[tuple[str, Change]] = [
    *((f"no {key}", drop(key)) for key in REQUIRED),
    ("unknown rule", put("rules", ["csv", "!segwit", "!blake2b"])),
    ("signet's rule elsewhere", put("rules", ["!segwit", "!signet"])),
    ("no segwit", put("rules", ["csv", "taproot"])),
    ("rules no list", put("rules", "segwit")),
    ("unknown deployment", put("vbavailable", {"!reduced_data": 4})),
    ("vbavailable no bit", put("vbavailable", {"x": 31})),
    ("vbavailable no object", put("vbavailable", [])),
    ("vbavailable bool", put("vbavailable", {"x": True})),
    ("version of a later rule", put("version", 0xA0000000)),
    ("version negative", put("version", -1)),
    ("version too low", put("version", 4)),
    ("version text", put("version", "536870912")),
    ("version bool", put("version", True)),
    ("vbrequired missing in version", put("vbrequired", 2)),
    ("target differs", put("target", "7ffffe" + "0" * 58)),
    ("target short", put("target", "7fffff")),
    ("bits zero", put("bits", "00000000")),
    ("bits negative", put("bits", "04923456")),
    ("bits above limit", put("bits", "2100ffff")),
    ("bits not hex", put("bits", "zzzzzzzz")),
    ("prevhash short", put("previousblockhash", "00")),
    ("prevhash no text", put("previousblockhash", 5)),
    ("height zero", put("height", 0)),
    ("height float", put("height", 261.0)),
    ("curtime before mintime", put("curtime", 5)),
    ("mintime past 2106", put("mintime", 1 << 32)),
    ("value one more", put("coinbasevalue", real_reply()["coinbasevalue"] + 1)),
    ("value one less", put("coinbasevalue", real_reply()["coinbasevalue"] - 1)),
    ("value beyond all money", put("coinbasevalue", 21_000_001 * 100_000_000)),
    ("coinbasetxn", put("coinbasetxn", {})),
    ("workid", put("workid", "1")),
    ("time not mutable", put("mutable", ["transactions", "prevblock"])),
    ("mutable no list", put("mutable", None)),
    ("narrow noncerange", put("noncerange", "0000000000ffffff")),
    ("sigoplimit too high", put("sigoplimit", 80_001)),
    ("weightlimit zero", put("weightlimit", 0)),
    ("sizelimit text", put("sizelimit", "4000000")),
    ("coinbaseaux no hex", put("coinbaseaux", {"flags": "xyz"})),
    ("coinbaseaux no object", put("coinbaseaux", "00")),
    ("longpollid no text", put("longpollid", 1)),
    ("commitment differs", put("default_witness_commitment", "6a24aa21a9ed" + "00" * 32)),
    ("commitment no text", put("default_witness_commitment", 1)),
    ("commitment missing", drop("default_witness_commitment")),
    ("transactions no list", put("transactions", {})),
    ("transaction no object", lambda reply: reply["transactions"].append(1)),
    ("transaction twice", lambda reply: reply["transactions"].append(dict(reply["transactions"][0]))),
    ("transaction dropped", lambda reply: reply["transactions"].pop()),
    ("txid short", put_tx(3, "txid", "00")),
    ("txid no text", put_tx(3, "txid", 1)),
    ("hash not hex", put_tx(3, "hash", "q" * 64)),
    ("hash changed", put_tx(3, "hash", "00" * 32)),
    ("data no text", put_tx(3, "data", 1)),
    ("fee negative", put_tx(3, "fee", -1)),
    ("fee changed", put_tx(3, "fee", 1)),
    ("fee float", put_tx(3, "fee", 1.5)),
    ("sigops negative", put_tx(3, "sigops", -1)),
    ("weight zero", put_tx(3, "weight", 0)),
    ("depends forward", put_tx(3, "depends", [20])),
    ("depends on itself", put_tx(3, "depends", [4])),
    ("depends zero", put_tx(3, "depends", [0])),
    ("depends text", put_tx(3, "depends", ["1"])),
    ("depends number", put_tx(3, "depends", 1)),
    ("field missing", lambda reply: reply["transactions"][3].pop("sigops")),
]  # fmt: skip


@pytest.mark.parametrize("change", [change for _, change in BROKEN], ids=[name for name, _ in BROKEN])
def test_a_broken_reply_is_refused(change: Change) -> None:
    reply = real_reply()
    change(reply)
    with pytest.raises(TemplateError) as caught:
        parse_template(reply, REGTEST)
    assert caught.value.todo


def test_the_wrong_network_shows_in_its_numbers() -> None:
    with pytest.raises(TemplateError, match="easier than the network's limit"):
        parse_template(real_reply(), MAINNET)


def test_signets_own_rule_is_known_there() -> None:
    reply = real_reply() | {"rules": ["csv", "!segwit", "!signet", "taproot"]}
    with pytest.raises(TemplateError, match="easier"):  # it passes the rules and fails at the target
        parse_template(reply, SIGNET)


LIES: list[tuple[str, str, Change]] = [
    ("data of another", "txid", lambda reply: put_tx(0, "data", reply["transactions"][1]["data"])(reply)),
    ("data cut", "parsed", lambda reply: put_tx(0, "data", reply["transactions"][0]["data"][:-2])(reply)),
    ("data not hex", "parsed", put_tx(0, "data", "zz")),
    ("weight", "weighs", put_tx(0, "weight", 400)),
    ("txid", "txid", put_tx(0, "txid", "11" * 32)),
]


@pytest.mark.parametrize(("word", "change"), [(word, change) for _, word, change in LIES], ids=[lie[0] for lie in LIES])
def test_a_lie_about_a_transaction_is_found_by_the_slow_half(word: str, change: Change) -> None:
    reply = real_reply()
    change(reply)
    template = parse_template(reply, REGTEST)
    with pytest.raises(TemplateError, match=word):
        check_transactions(template)


def test_a_hidden_dependency_is_found_by_the_slow_half() -> None:
    reply = real_reply()
    index = next(i for i, tx in enumerate(reply["transactions"]) if tx["depends"])
    reply["transactions"][index]["depends"] = []
    with pytest.raises(TemplateError, match="depends on"):
        check_transactions(parse_template(reply, REGTEST))


def test_a_full_synthetic_template_holds_to_every_rule() -> None:
    template = parse_template(synthetic_reply(MAINNET, seed=7, transactions=300), MAINNET)
    assert len(check_transactions(template)) == 300
    assert synthetic_reply(MAINNET, seed=7, transactions=20) == synthetic_reply(MAINNET, seed=7, transactions=20)


def test_the_empty_block_takes_the_subsidy_alone() -> None:
    empty = real_template().without_transactions()
    assert empty.coinbase_value == REGTEST.subsidy(261)
    assert (empty.transactions, empty.fees_sats) == ((), 0)
    assert (empty.prevhash_le, empty.nbits, empty.version_mask) == (
        real_template().prevhash_le, real_template().nbits, real_template().version_mask,
    )  # fmt: skip


def test_transactions_that_an_earlier_template_holds_are_not_kept_twice() -> None:
    first, again = real_template(), real_reply()
    again["transactions"] = [{**tx, "data": (tx["data"] + "!")[:-1]} for tx in again["transactions"]]
    known = {tx.wtxid_le: tx for tx in first.transactions}
    second = parse_template(again, REGTEST, known)
    assert second == first
    assert all(ours is held for ours, held in zip(second.transactions, first.transactions, strict=True))
    for lie in ({"data_hex": "00"}, {"fee_sats": 1}, {"depends": (1,)}, {"txid_le": bytes(32)}):
        wrong = {wtxid: tx._replace(**lie) for wtxid, tx in known.items()}
        assert parse_template(real_reply(), REGTEST, wrong) == first, "only equal ones are shared"
