"""Custom signets on the real node: mined where its wallet holds the key, refused early with the reason where not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regtest.keys import KEYED_LOCKS, WALLET, open_wallet
from solominer.chain.signet import PUBLIC_CHALLENGE, SIGNET_HEADER, block_data, psbt
from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.daemon.daemon import run
from solominer.daemon.every_run import RunOptions
from solominer.daemon.nodes import configured_nodes
from solominer.doctor.check import Status
from solominer.doctor.examination import examine_node
from solominer.errors import SigningRefused
from solominer.node.private.bitcoind import BitcoindBinary
from solominer.node.private.node import PrivateNode
from solominer.records.evidence.verify import verify
from solominer.views.logs import RecentEvents

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

BLOCKS = 20


@contextmanager
def signet(binary: BitcoindBinary, folder: Path, challenge: bytes, *more: str) -> Iterator[PrivateNode]:
    arguments = [f"-signetchallenge={challenge.hex()}", *more]
    with PrivateNode(binary, folder, chain="signet", extra_args=arguments) as node:
        yield node


def config_for(node: PrivateNode, data_dir: Path, **more: Any) -> Config:
    values = {
        "mode": "signet",
        "bitcoin_rpc": {"name": "mine", "port": node.rpc_port, "cookie_file": str(node.cookie_file)},
        "zmq": {"hashblock": node.zmq_hashblock, "sequence": node.zmq_sequence},
        "payout_address": node.call("decodescript", KEYED_LOCKS["p2wpkh"].script.hex())["address"],
        "data_dir": str(data_dir),
        "nice": 0,
        **more,
    }
    return load_config(environ={}, overrides=values)


def mine(config: Config, **options: Any) -> int:
    return run(config, RunOptions(secs=200, **options), RecentEvents())


def failed_checks(config: Config) -> list[str]:
    """What the doctor finds wrong with the node."""
    (settings,) = configured_nodes(config)
    findings = examine_node(settings, config, 0.0)
    return [finding.check for finding in findings if finding.status is Status.FAILED]


def ledger(config: Config, kind: str) -> list[dict[str, Any]]:
    paths = sorted(config.tree_dir.glob("ledger/*/*/*/*/*.jsonl"))
    entries = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    return [entry for entry in entries if entry["kind"] == kind]


def test_signet_of_ones_own_is_mined(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    challenge = KEYED_LOCKS["p2wpkh"].script
    with signet(bitcoind_binary, tmp_path / "node", challenge) as node:
        config = config_for(node, tmp_path / "data")
        assert failed_checks(config) == ["block signature"]
        open_wallet(node)
        assert failed_checks(config) == []
        assert mine(config, blocks=BLOCKS) == 0
        assert node.call("getblockcount") == BLOCKS
        answers = [entry["answer"] for entry in ledger(config, "block_answer")]
        assert answers == ["accepted"] * BLOCKS
        assert {entry["answer"] for entry in ledger(config, "proposal")} == {"null"}
        block = node.call("getblock", node.call("getbestblockhash"), 2)
        assert SIGNET_HEADER.hex() in block["tx"][0]["vout"][-1]["scriptPubKey"]["hex"]
        assert verify(tmp_path / "data" / "signet").holds


@pytest.mark.parametrize("kind", ["multisig", "p2sh-p2wpkh", "p2tr-key"])
def test_every_kind_of_challenge(kind: str, bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with signet(bitcoind_binary, tmp_path / "node", KEYED_LOCKS[kind].script) as node:
        open_wallet(node)
        assert mine(config_for(node, tmp_path / "data"), blocks=2) == 0
        assert node.call("getblockcount") == 2


def test_without_the_key_it_refuses_with_the_reason(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    challenge = KEYED_LOCKS["p2wpkh"].script
    with signet(bitcoind_binary, tmp_path / "node", challenge) as node:
        config = config_for(node, tmp_path / "data")
        with pytest.raises(SigningRefused, match="no wallet is loaded") as caught:
            mine(config)
        assert challenge.hex() in caught.value.what
        assert "importdescriptors" in caught.value.todo
        node.call("createwallet", "another")
        with pytest.raises(SigningRefused, match="wallets 'another'"):
            mine(config)
        assert node.call("getblockcount") == 0


def test_the_public_signet_is_refused(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    public = signet(bitcoind_binary, tmp_path / "node", PUBLIC_CHALLENGE)
    with public as node, pytest.raises(SigningRefused, match="only the maintainers of the public signet can mine it"):
        mine(config_for(node, tmp_path / "data"))


def test_challenge_that_everybody_meets_needs_no_signature(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    with signet(bitcoind_binary, tmp_path / "node", b"\x51", "-disablewallet=1") as node:
        config = config_for(node, tmp_path / "data")
        assert mine(config, blocks=3) == 0
        assert node.call("getblockcount") == 3


def test_wallet_that_is_locked_meanwhile_is_an_alarm_and_not_the_end(
    bitcoind_binary: BitcoindBinary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes away after the first block: no job without a signature is ever searched."""
    from solominer.node.signing import BlockSigner

    real, calls = BlockSigner.sign, [0]

    def sign(self: BlockSigner, client: Any, data: bytes) -> bytes:
        calls[0] += 1
        if calls[0] in (3, 4):
            raise SigningRefused("the wallet is locked", "unlock it")
        return real(self, client, data)

    monkeypatch.setattr(BlockSigner, "sign", sign)
    with signet(bitcoind_binary, tmp_path / "node", KEYED_LOCKS["p2wpkh"].script) as node:
        open_wallet(node)
        config = config_for(node, tmp_path / "data", empty_first=False)
        assert mine(config, blocks=3) == 0
        errors = ledger(config, "error")
        assert {entry["code"] for entry in errors} == {"job-not-signed"}
        assert node.call("getblockcount") == 3


def test_psbt_reads_as_what_it_is_meant_to_be(bitcoind_binary: BitcoindBinary, tmp_path: Path) -> None:
    challenge, data = KEYED_LOCKS["p2wpkh"].script, block_data(0x20000000, b"\x01" * 32, b"\x02" * 32, 3)
    with signet(bitcoind_binary, tmp_path / "node", challenge) as node:
        open_wallet(node)
        told = node.call("decodepsbt", base64.b64encode(psbt(challenge, data)).decode())
        assert told["tx"]["version"] == 0
        assert told["tx"]["vout"][0]["scriptPubKey"]["asm"] == "OP_RETURN"
        assert told["inputs"][0]["witness_utxo"]["scriptPubKey"]["hex"] == challenge.hex()
        assert data.hex() in told["inputs"][0]["non_witness_utxo"]["vin"][0]["coinbase"]
        assert node.call("listwallets") == [WALLET]
