"""Checks of one node: connection, credentials, network, sync, ZMQ, and everything that submitting a block requires."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from urllib.parse import urlsplit

from solominer.chain.fields import MAX_HEIGHT, MAX_TIME, Field
from solominer.chain.header import meets_target
from solominer.doctor.check import Check, CheckOutcome, failed, ms, ok, skipped, warning
from solominer.doctor.ipc_check import check_ipc
from solominer.errors import MethodNotAllowed, NodeAuthFailed, NodeError, NodeNotReady, RpcFailed, SolominerError
from solominer.node.client import NodeSettings
from solominer.node.headers import hash_at
from solominer.node.health import (
    CLOCK_WARNING_SECS,
    MAX_HEADERS_AHEAD,
    OLD_TIP_SECS,
    deployments_of,
    is_set,
    node_warnings,
    peers_of,
    peers_offset,
    pin_network,
    refuse_other_coin,
    refuse_unsafe_consensus,
    tip_time,
    unknown_deployments,
    version_of,
)
from solominer.node.longpoll import BESIDE_SECS, wait_for_tip
from solominer.node.payout import MAX_WALLETS, payout_to, regtest_payout
from solominer.node.rpc import METHOD_NOT_FOUND, RpcClient
from solominer.node.rpc_gate import RPC_THREADS_TODO
from solominer.node.signing import signer_for
from solominer.node.submit import best_hash, propose_block, try_submitting
from solominer.node.template import Fetched, fetch_template
from solominer.node.zmq_hints import published_by
from solominer.node.zmq_probe import listen
from solominer.records.clock import CLOCK_TOLERANCE_SECS
from solominer.views.text import duration
from solominer.work.events import Answer
from solominer.work.job import SALT_SIZE, Job, build_job
from solominer.work.job_check import check_job
from solominer.work.payout import WHOLE, Payout, split

CLOCK_FAILURE_SECS = 600.0
"""Templates are still valid at this offset, but it nears the two-hour limit for block times (time-too-new)."""

OLDEST_VERSION = 230_000
_CONNECT_SECS = 5.0
_SLOW_RPC_SECS = 1.0
_HELD_SECS = 0.8
_BITCOIN_CONF = "add to bitcoin.conf and restart the node: "


class NodeUnderTest:
    """One node, with its replies cached so that each call is made once. Call `close` when done."""

    def __init__(
        self,
        settings: NodeSettings,
        *,
        payees: Sequence[tuple[str, int]] = (("", WHOLE),),
        tag: bytes = b"",
        listen_secs: float = 1.0,
    ) -> None:
        self.settings = settings
        self.client: RpcClient = settings.connect()
        self._payees = payees
        self._tag = tag
        self._listen_secs = listen_secs

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def checks(self) -> list[Check]:
        """All checks of the node, in order."""
        return [
            Check("reachable", self._reachable),
            Check("credentials", self._credentials, ("reachable",)),
            Check("answers", self._answers, ("credentials",)),
            Check("RPC threads", self._threads, ("answers",)),
            Check("network", self._network, ("answers",)),
            Check("version", self._version, ("network",)),
            Check("synced", self._synced, ("network",)),
            Check("peers", self._peers, ("network",)),
            Check("tip age", self._tip_age, ("synced", "peers")),
            Check("clock", self._clock, ("answers",)),
            Check("consensus rules", self._deployments, ("network",)),
            Check("node warnings", self._warnings, ("network",)),
            Check("zmq hashblock", lambda: self._zmq("hashblock", self.settings.zmq_hashblock), ("network",)),
            Check("zmq sequence", lambda: self._zmq("sequence", self.settings.zmq_sequence), ("network",)),
            *self._ipc_checks(),
            Check("payout address", self._payout, ("network",)),
            Check("wallet", self._wallet, ("payout address",)),
            Check("template", self._template, ("synced", "peers", "consensus rules")),
            Check("block signature", self._signature, ("template",)),
            Check("job", self._job, ("template", "payout address")),
            Check("proposal", self._proposal, ("job",)),
            Check("submission", self._submission, ("proposal",)),
        ]

    # --- connection ----------------------------------------------------------------------------------------------

    def _reachable(self) -> CheckOutcome:
        where = (self.settings.host, self.settings.port)
        started = time.perf_counter()
        try:
            socket.create_connection(where, _CONNECT_SECS).close()
        except OSError as error:
            return failed(
                f"cannot connect to {self.client.where}: {error.strerror or error}",
                "start the node with server=1; check bitcoin_rpc.host and bitcoin_rpc.port, and rpcbind on the node",
            )
        return ok(f"connected to {self.client.where} in {ms(time.perf_counter() - started)}")

    def _credentials(self) -> CheckOutcome:
        try:
            _ = self._chain
        except (NodeAuthFailed, NodeNotReady, RpcFailed) as error:  # the last two mean that the login was accepted
            if isinstance(error, NodeAuthFailed):
                raise
        except NodeError:
            return skipped("unknown: the server does not answer like a Bitcoin node")
        return ok(self.settings.credentials.describe().partition(";")[0])

    def _answers(self) -> CheckOutcome:
        started = time.perf_counter()
        _ = self._chain
        secs = time.perf_counter() - started
        times = [self._time_of_call() for _ in range(5)]
        slowest = max(*times, secs)
        text = f"RPC answers in {ms(min(times))}"
        if slowest > _SLOW_RPC_SECS:
            return warning(f"{text}, max {slowest:.1f} s", "check the node's load, disk and rpcthreads")
        return ok(text)

    def _time_of_call(self) -> float:
        started = time.perf_counter()
        best_hash(self.client)
        return time.perf_counter() - started

    def _threads(self) -> CheckOutcome:
        """Make a call while a long poll is open, as `run` does without ZMQ."""
        full: list[None] = []
        self.client.on_queue_full = lambda: full.append(None)
        with self.settings.connect() as other, ThreadPoolExecutor(1) as executor:
            best_hash(other)
            held = executor.submit(wait_for_tip, other, _HELD_SECS, self.settings.poll_timeout_secs)
            time.sleep(BESIDE_SECS)
            secs = self._time_of_call()
            try:
                held.result()
            except (RpcFailed, NodeAuthFailed) as error:
                todo = "allow the RPC user to call waitfornewblock, or configure ZMQ"
                return warning(f"long polling does not work: {error.what}", todo)
        if full:
            return warning("the RPC work queue was full (HTTP 503) with two concurrent calls", RPC_THREADS_TODO)
        if secs > _HELD_SECS / 2:
            text = f"a call waited {secs:.1f} s for another: the node has one RPC thread, or others are busy"
            return warning(f"{text}; submitblock may be delayed", f"{RPC_THREADS_TODO}, or configure ZMQ")
        return ok(f"a call during a long poll takes {ms(secs)}")

    @cached_property
    def _chain(self) -> Field:
        reply = self.client.ask("getblockchaininfo")
        reply["chain"].text()
        return reply

    @cached_property
    def _net(self) -> Field:
        return self.client.ask_optional("getnetworkinfo", instead={})

    # --- chain ---------------------------------------------------------------------------------------------------

    def _network(self) -> CheckOutcome:
        refuse_other_coin(self.client, pin_network(self.client, self.settings.network))
        return ok(f"{self.settings.network.name}, genesis block {self.settings.network.genesis_hex[:16]}…")

    def _version(self) -> CheckOutcome:
        if not self._net.value:
            return skipped("getnetworkinfo is not available")
        version, name = self._net["version"].integer(0, MAX_HEIGHT), version_of(self._net)
        if version < OLDEST_VERSION:
            return warning(f"{name or version} is outdated", "update the node to Bitcoin Core 23 or newer")
        return ok(name)

    def _synced(self) -> CheckOutcome:
        blocks, headers = (self._chain[key].integer(0, MAX_HEIGHT) for key in ("blocks", "headers"))
        if headers > blocks + MAX_HEADERS_AHEAD:
            return failed(f"{blocks} of {headers} blocks", "wait until the node is synced")
        if is_set(self._chain, "initialblockdownload") and not self.settings.network.for_testing:
            return failed(f"initial block download, {blocks} of {headers} blocks", "wait until the node is synced")
        pruned = ", pruned (fine for mining)" if is_set(self._chain, "pruned") else ""
        return ok(f"height {blocks}{pruned}")

    def _peers(self) -> CheckOutcome:
        if not self._net.value:
            return skipped("getnetworkinfo is not available")
        count = peers_of(self._net)
        if count is None:
            return warning("the node does not report its number of peers", "update the node")
        if self.settings.network.for_testing:
            return ok(f"{count} peers; none required on a test network")
        if count == 0:
            return failed("no peers: a found block could not propagate", "check the node's network connection")
        if count < 4:
            return warning(f"only {count} peers", "allow more connections: a block should propagate quickly")
        return ok(f"{count} peers")

    def _tip_age(self) -> CheckOutcome:
        age_secs = max(time.time() - tip_time(self._chain), 0.0)
        text = f"the newest block is {duration(age_secs)} old"
        if age_secs > OLD_TIP_SECS and not self.settings.network.for_testing:
            return warning(text, "check the node's peers and clock")
        return ok(text)

    def _clock(self) -> CheckOutcome:
        offset = self.client.clock_offset_secs
        of_peers = self._offset_of_peers()
        if offset is None:
            return warning(
                "the node's HTTP replies have no Date header", "check for a proxy between the node and this program"
            )
        tip_ahead = tip_time(self._chain) - time.time()
        if tip_ahead > CLOCK_TOLERANCE_SECS:
            text = f"the newest block is {duration(tip_ahead)} ahead of this machine's clock"
            return failed(text, "synchronize the clocks of this machine and the node with NTP")
        worst = max(abs(offset), abs(of_peers), key=abs)
        text = f"the node's clock is {offset:+.0f} s from this machine's, {-of_peers:+d} s from its peers'"
        if worst > CLOCK_FAILURE_SECS:
            return failed(text, "synchronize both clocks with NTP: nodes reject blocks from the future (time-too-new)")
        if worst > CLOCK_WARNING_SECS:
            return warning(text, "synchronize both clocks with NTP")
        return ok(text)

    def _offset_of_peers(self) -> int:
        try:
            return peers_offset(self._net) or 0
        except NodeError:
            return 0

    def _deployments(self) -> CheckOutcome:
        info = deployments_of(self.client, self.settings.network)
        if info is None:
            return warning(
                "the node does not report its consensus rules", "update to Bitcoin Core 23 or newer, or allow the call"
            )
        refuse_unsafe_consensus(info, self.settings.network, self._chain["mediantime"].integer(0, MAX_TIME))
        coming = [name for name, _ in unknown_deployments(info)]
        network = self.settings.network.name
        if coming and network not in ("regtest", "signet"):
            return warning(
                f"unknown deployments, not active yet: {', '.join(coming)}",
                "use Bitcoin Core: mining stops when they activate",
            )
        return ok("all active rules are supported")

    def _warnings(self) -> CheckOutcome:
        texts = node_warnings(self._chain, self._net)
        if texts:
            return warning("; ".join(texts), "see the node's debug.log")
        return ok("none")

    # --- tips ----------------------------------------------------------------------------------------------------

    def _zmq(self, topic: str, address: str | None) -> CheckOutcome:
        line = f"zmqpub{topic}={address or 'tcp://127.0.0.1:28332'}"
        if address is None:
            return warning(
                f"zmq.{topic} is not configured: new tips are detected by long polling or polling, which is slower",
                f"{_BITCOIN_CONF}{line}, and set zmq.{topic} to that address",
            )
        published = self._published(topic)
        if published is not None and not published:
            return failed(f"the node does not publish {topic}", _BITCOIN_CONF + line)
        if published is not None and not any(_same_port(each, address) for each in published):
            return failed(
                f"the node publishes {topic} at {', '.join(published)}, not at {address}",
                f"set zmq.{topic} to the node's address, or zmqpub{topic} in bitcoin.conf to this one",
            )
        try:
            probe = listen(address, topic, listen_secs=self._listen_secs)
        except ValueError as error:
            return failed(str(error), f"correct zmq.{topic}")
        if not probe.connected:
            elsewhere = ", ".join(each for each in published or () if each != address)
            return failed(
                f"cannot connect to {address}" + (f"; the node publishes at {elsewhere}" if elsewhere else ""),
                f"bind zmqpub{topic} in bitcoin.conf to an address that this machine can reach, and check firewalls",
            )
        if probe.messages:
            return ok(f"connected to {address}, first message after {probe.secs:.1f} s")
        return ok(f"connected to {address}, no message within {self._listen_secs:g} s")

    def _ipc_checks(self) -> list[Check]:
        path = self.settings.ipc_socket
        return [] if path is None else [Check("ipc", lambda: check_ipc(path, self._hash_at), ("network",))]

    def _hash_at(self, height: int) -> bytes:
        return hash_at(self.client, height)

    def _published(self, topic: str) -> list[str] | None:
        """The addresses at which the node publishes `topic`; None if it does not report them."""
        try:
            return published_by(self.client).get(topic, [])
        except RpcFailed as error:
            return [] if error.code == METHOD_NOT_FOUND else None
        except MethodNotAllowed:
            return None

    # --- blocks --------------------------------------------------------------------------------------------------

    def _payout(self) -> CheckOutcome:
        payout = self._payee
        return ok(
            f"{payout.describe()}, script {' '.join(f'{part.script_pubkey.hex()[:24]}…' for part in payout.parts)}"
        )

    @cached_property
    def _payee(self) -> Payout:
        network = self.settings.network
        if self._payees[0][0]:
            return split([(payout_to(self.client, address, network), points) for address, points in self._payees])
        if network.name != "regtest":
            raise SolominerError("payout_address is not set", "set it to an address of your own wallet")
        return regtest_payout(self.client, network)

    def _wallet(self) -> CheckOutcome:
        try:
            wallets = self.client.ask("listwallets")
        except (RpcFailed, MethodNotAllowed):
            return skipped("wallets disabled, or not accessible to the RPC user")
        for name in wallets.items(MAX_WALLETS):
            try:
                is_ours = self.client.ask("getaddressinfo", self._payee.address, wallet=name.text(1000))[
                    "ismine"
                ].flag()
            except NodeError:
                continue
            if is_ours:
                return ok(f"the payout address belongs to the node's wallet {name.text(1000)!r}")
        return ok("the payout address is in no loaded wallet of this node: make sure that you hold its key")

    def _template(self) -> CheckOutcome:
        fetched = self._fetched
        template = fetched.template
        weight = sum(tx.weight for tx in template.transactions)
        return ok(
            f"height {template.height}, {len(template.transactions)} transactions, {weight:,} weight units, fetched in "
            f"{1000 * fetched.rpc_secs:.0f} ms, validated in {1000 * fetched.parse_secs:.0f} ms"
        )

    def _signature(self) -> CheckOutcome:
        signer = signer_for(self.client, self.settings.network)
        if signer is None:
            return ok("not required on this network")
        return ok(f"a wallet of the node signs blocks for challenge {signer.challenge.hex()[:24]}…")

    @cached_property
    def _fetched(self) -> Fetched:
        return fetch_template(self.client, self.settings.network)

    @cached_property
    def _built(self) -> Job:
        job = build_job(
            self._fetched.template,
            self._payee,
            job_id=1,
            salt=bytes(SALT_SIZE),
            tag=self._tag,
        )
        check_job(job, self._payee)
        return job

    def _job(self) -> CheckOutcome:
        value = self._built.template.coinbase_value
        return ok(f"pays {value:,} satoshis to {self._payee.describe()}; coinbase and witness commitment verified")

    def _proposal(self) -> CheckOutcome:
        reply = propose_block(self.client, self._unsolved())
        if reply.answer in (Answer.ACCEPTED, Answer.HELD):
            return ok(f"the node accepts our block except for proof of work, in {1000 * reply.rpc_secs:.0f} ms")
        if reply.raw.startswith("inconclusive-not-best-prevblk"):
            return warning("the tip changed during the check", "run it again")
        if reply.raw.startswith("time-too-new"):
            return failed(
                f"the node would reject our block: {reply.raw}", "its clock is behind its chain: set it by NTP"
            )
        return failed(
            f"the node would reject our block: {reply.raw}",
            "do not mine with this setup; report it with this output and the node's debug.log",
        )

    def _submission(self) -> CheckOutcome:
        """As at the start of `run`: submit a block without proof of work; the node must answer `high-hash`."""
        try_submitting(self.client)
        return ok("a block without proof of work is rejected with 'high-hash', as expected")

    def _unsolved(self) -> str:
        """A block of the job without proof of work, as hex."""
        job, extranonce = self._built, self._built.extranonce()
        nonce = 0
        header = job.header(extranonce, job.space.version, job.space.ntime_min, nonce)
        while meets_target(header.hash_le(), job.template.target):
            nonce += 1
            header = job.header(extranonce, job.space.version, job.space.ntime_min, nonce)
        return job.block_hex(header.pack(), extranonce)


def _same_port(published: str, configured: str) -> bool:
    """Whether scheme and port are equal; hosts may differ (0.0.0.0, a host name, a tunnel), ipc paths may not."""
    one, other = urlsplit(published), urlsplit(configured)
    if "ipc" in (one.scheme, other.scheme):
        return published == configured
    return one.scheme == other.scheme and one.port == other.port
