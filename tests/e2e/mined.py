"""Blocks for a regtest node, made and solved here in plain Python, good ones and ones that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from solominer.chain.hashes import to_rpc_hex
from solominer.chain.header import Header
from solominer.chain.networks import REGTEST
from solominer.node.client import NodeSettings
from solominer.node.credentials import CookieFile
from solominer.node.private.node import PrivateNode
from solominer.node.rpc import RpcClient
from solominer.node.template import fetch_template
from solominer.work.job import Job, build_job
from solominer.work.payout import Payout
from solominer.work.template import Template

PAYOUT = Payout(b"\x00\x14" + bytes(20))
_salts = count(1)


@dataclass(frozen=True)
class Mined:
    """A block as hex, its hash in both forms, and its height."""

    block_hex: str
    hash_le: bytes
    height: int

    @property
    def hash_hex(self) -> str:
        """The hash as RPC shows it."""
        return to_rpc_hex(self.hash_le)


def settings_of(node: PrivateNode, **more: Any) -> NodeSettings:
    """Settings of a private node's client, by cookie; ZMQ only where `more` says so."""
    return NodeSettings("alpha", node.rpc_host, node.rpc_port, CookieFile((node.cookie_file,)), REGTEST, **more)


def current_template(client: RpcClient) -> Template:
    """The node's template."""
    return fetch_template(client, REGTEST).template


def job_for(template: Template) -> Job:
    """A job whose coinbase no other test block has."""
    return build_job(template, PAYOUT, job_id=1, salt=next(_salts).to_bytes(4, "big"))


def mine(
    template: Template, change: Callable[[Header], Header] = lambda header: header, *, solved: bool = True
) -> Mined:
    """A block of a template with its header changed by `change`, then solved, or made to miss its target."""
    job = job_for(template)
    header = change(job.header(job.extranonce(), template.version, template.curtime, 0))
    return _finish(job, header, solved=solved)


def _finish(job: Job, header: Header, *, solved: bool) -> Mined:
    target = job.template.target
    while (int.from_bytes(header.hash_le(), "little") <= target) != solved:
        header = replace(header, nonce=header.nonce + 1)
    return Mined(job.block_hex(header.pack(), job.extranonce()), header.hash_le(), job.template.height)
