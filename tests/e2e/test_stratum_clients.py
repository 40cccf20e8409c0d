"""Clients of the Stratum server on a real node: blocks of six kinds in a row, who is paid, and one that floods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regtest.scenarios import coins_address
from solominer.engines.stratum.base_session import BLOCKS_PER_WORK
from solominer.engines.stratum.work import swap_words
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from tests.e2e.stratum_rig import in_thread, serving, solve
from tests.engines.stratum.builders import line
from tests.engines.stratum.test_clients import PLAYS
from tests.engines.stratum.wire import WireMiner
from tests.faults.block_fates import read_journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SIX = ("bitaxe", "nerdminer", "cgminer", "whatsminer", "bfgminer", "nicehash")
BLOCKS = 200


async def test_six_kinds_of_clients_find_blocks_in_a_row(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own lines and its own version rolling; the node takes every block."""
    address = coins_address(node)
    script = node.call("validateaddress", address)["scriptPubKey"]
    start = node.call("getblockcount")
    async with serving(node, tmp_path, monkeypatch) as bench:

        def mine() -> list[str]:
            miners = {name: WireMiner(url=bench.url) for name in SIX}
            for name, miner in miners.items():
                miner.play(PLAYS[name])
            hashes: list[str] = []
            while len(hashes) < BLOCKS:
                name = SIX[len(hashes) % len(SIX)]
                miner, lines = miners[name], PLAYS[name]
                while hashes and swap_words(bytes.fromhex(miner.job[1])) != bytes.fromhex(hashes[-1])[::-1]:
                    miner.read()
                params, hash_hex = solve(miner, bits=lines.bits, extranonce2=bytes.fromhex(lines.extranonce2))
                before = len(miner.lines)
                miner.write(lines.submit(params[0], params[1], params[2], int(params[3], 16), lines.bits))
                assert miner.reply(lines.share_id, start=before)["error"] is None
                hashes.append(hash_hex)
            return hashes

        hashes = await in_thread(mine)
        await bench.running.until(lambda: bench.running.accepted == BLOCKS, 20)
    chain = [node.call("getblockhash", start + 1 + number) for number in range(BLOCKS)]
    assert chain == hashes
    for hash_hex in (chain[0], chain[99], chain[-1]):
        coinbase = node.call("getblock", hash_hex, 2)["tx"][0]
        assert coinbase["vout"][0]["scriptPubKey"]["hex"] == script
    assert verify(bench.data).holds
    (file,) = bench.data.glob("reports/*/*/*/*/report.json")
    report = json.loads(file.read_text())
    engine, section = report["hashes"]["engines"]["stratum"], report["miners"]
    assert engine["shares"] == BLOCKS
    assert engine["counted"] == 0
    assert 0 < engine["credited"] <= 1.001 * section["hashes"]
    assert section["shares"] == sum(row["shares"] for row in section["user_agents"]) == BLOCKS
    assert len(section["user_agents"]) == len(SIX)
    proofs = [json.loads(proof.read_text()) for proof in bench.data.glob("proofs/*/*/*/*/[0-9]*.json")]
    assert {proof["found"]["worker"] for proof in proofs} == {row["worker"] for row in section["workers"]}


async def test_a_miner_that_finds_far_more_blocks_than_are_wanted(
    node: PrivateNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As cpuminer on regtest, which finds thousands before it hears of the next tip: the chain grows all the same.

    Another miner's block of the same work is kept too, though it comes behind all those.
    """
    floods = 10
    async with serving(node, tmp_path, monkeypatch) as bench:
        start = node.call("getblockcount")

        others: dict[str, bool] = {}  # hash, and whether it was accepted: it may come on a stale tip, and is kept too

        def flood() -> None:
            miner, other = bench.miner(user="flood"), bench.miner(user="other")
            for _ in range(floods):
                while other.job[1] != miner.job[1]:
                    other.read()
                job, before = miner.job, len(miner.lines)
                lines = [
                    line(share, "mining.submit", "flood", job[0], f"{share:016x}", job[7], "00000000")
                    for share in range(1000)
                ]
                params, hash_hex = solve(other)
                miner.write("".join(each + "\n" for each in lines))
                miner.reply(999, start=before)
                others[hash_hex] = other.hand_in(params, user="other")["result"] is True
                while miner.job[1] == job[1]:
                    miner.read()

        await in_thread(flood)
        assert any(others.values())
        await bench.running.until(lambda: node.call("getblockcount") >= start + floods, 20)
    journal = read_journal([tmp_path / "data"])
    assert {hash_hex for hash_hex, is_accepted in others.items() if is_accepted} <= set(journal)
    assert len(set(journal) - set(others)) <= BLOCKS_PER_WORK * floods
