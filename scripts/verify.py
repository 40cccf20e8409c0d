#!/usr/bin/env python3
"""Check solominer's evidence without trusting solominer: standard library only, no code shared with it.

    python3 verify.py PATH [--shares]

PATH is a proof (.json), the folder of an hour (.../reports/2026/11/21/07), of a day, month or year, or a whole
network's folder. Read this file first; it is meant to take ten minutes. What it does, from the bottom up:

 1. Work: hashes headers and compares them with targets; follows Merkle branches from the coinbase to the header;
    parses blocks and recomputes their roots.
 2. Hours: `report.json.sha256` has the hash of `report.json`, which has the hash of `SHA256SUMS`, which has the hash of
    every other file of the hour. A single changed byte breaks one of these.
 3. Chain: every report has the hash of the previous report, so no old hour can be changed, removed or inserted.

With --shares every share in the ledgers is hashed again, too, and the payouts of a group of miners are recomputed from
the work in its lines. Exit code 0: every check passed; 1: something is wrong, and each invalid file was listed; 2:
nothing to check there.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

SECTIONS = ("reports", "errors", "ledger", "submissions", "proofs", "logs")
RETIRABLE = ("errors", "ledger", "logs")  # may be deleted by retention, if a later report lists it
OWN = ("report.json", "report.json.sha256", "SHA256SUMS", "report.sig")
POW_LIMIT = {"signet": 0x377AE << 216, "regtest": (1 << 255) - 1}  # the other networks: 2**224 - 1

checked: dict[str, int] = {}
unchecked: dict[str, int] = {}
wrong: list[str] = []
evidence: list[str] = []  # hashes counted by the workers, and the number estimated from the best hashes


def count(notes: dict[str, int], what: str, n: int = 1) -> None:
    notes[what] = notes.get(what, 0) + n


def need(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)


# --- 1. work: hashes, targets, Merkle trees, transactions -----------------------------------------------------------


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def shown(hash_le: bytes) -> str:
    """A hash as nodes and explorers show it: the bytes reversed."""
    return hash_le[::-1].hex()


def target_of(nbits: int) -> int:
    """The target that a header's 4 bytes of `bits` encode: 3 digits in base 256, and an exponent."""
    exponent, digits = nbits >> 24, nbits & 0x7FFFFF
    need(not nbits & 0x800000, "negative bits")
    return digits >> 8 * (3 - exponent) if exponent <= 3 else digits << 8 * (exponent - 3)


def climb(leaf: bytes, branch: list[str]) -> bytes:
    """The Merkle root from the coinbase's txid, always the leftmost leaf."""
    for other in branch:
        leaf = sha256d(leaf + bytes.fromhex(other))
    return leaf


def root_of(leaves: list[bytes]) -> bytes:
    while len(leaves) > 1:
        leaves += leaves[-1:] if len(leaves) % 2 else []
        leaves = [sha256d(leaves[i] + leaves[i + 1]) for i in range(0, len(leaves), 2)]
    return leaves[0]


class Tx(NamedTuple):
    txid: bytes
    wtxid: bytes
    script_sig: bytes  # of the first input
    outputs: list[tuple[int, bytes]]
    witness: list[bytes]  # of the first input
    is_coinbase: bool


class Bytes:
    """Reads a transaction or a block piece by piece."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        need(self.at + size <= len(self.data), "truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def length(self) -> int:
        first = self.number(1)
        return first if first < 253 else self.number({253: 2, 254: 4, 255: 8}[first])

    def tx(self) -> Tx:
        start, version = self.at, self.take(4)
        has_witness = self.data[self.at : self.at + 2] == b"\x00\x01"
        self.at += 2 if has_witness else 0
        body = self.at
        inputs = [(self.take(36), self.take(self.length()), self.take(4)) for _ in range(self.length())]
        outputs = [(self.number(8), self.take(self.length())) for _ in range(self.length())]
        end = self.at
        stacks = [[self.take(self.length()) for _ in range(self.length())] for _ in inputs] if has_witness else []
        locktime = self.take(4)
        need(bool(inputs), "a transaction without inputs")
        return Tx(
            txid=sha256d(version + self.data[body:end] + locktime),
            wtxid=sha256d(self.data[start : self.at]),
            script_sig=inputs[0][1],
            outputs=outputs,
            witness=stacks[0] if stacks else [],
            is_coinbase=len(inputs) == 1 and inputs[0][0] == bytes(32) + b"\xff" * 4,
        )


def commitment(coinbase: Tx) -> bytes:
    """The coinbase's witness commitment (BIP 141), or nothing."""
    scripts = [script for _, script in coinbase.outputs if script[:6].hex() == "6a24aa21a9ed" and len(script) >= 38]
    return scripts[-1][6:38] if scripts else b""


def check_block(data: bytes, name: str) -> None:
    """A whole block: its hash is in its folder's name, and its transactions match its roots."""
    need(name.endswith("-" + shown(sha256d(data[:80]))), "the header's hash differs from the folder's name")
    reader = Bytes(data)
    header = reader.take(80)
    txs = [reader.tx() for _ in range(reader.length())]
    need(reader.at == len(data), "trailing bytes")
    need(root_of([tx.txid for tx in txs]) == header[36:68], "the transactions do not match the Merkle root")
    if commitment(txs[0]) and txs[0].witness:
        witness_root = root_of([bytes(32)] + [tx.wtxid for tx in txs[1:]])
        need(sha256d(witness_root + txs[0].witness[0]) == commitment(txs[0]), "the witnesses do not match the coinbase")
    count(checked, "full blocks: transactions match the Merkle root and the witness commitment")


def check_proof(proof: dict[str, Any]) -> None:
    """A header with proof of work, and the coinbase that it commits to."""
    header = bytes.fromhex(proof["header_hex"])
    need(len(header) == 80, "the header does not have 80 bytes")
    hash_le, target = sha256d(header), target_of(int.from_bytes(header[72:76], "little"))
    need(proof["hash"] == shown(hash_le), "the header does not hash to the stated hash")
    need(0 < target <= POW_LIMIT.get(proof["network"], (1 << 224) - 1), "the target is easier than the network's limit")
    need(int(proof["target_hex"], 16) == target, "the target does not match the header's bits")
    need(int(proof["expected_hashes"]) == (1 << 256) // (target + 1), "the expected work is wrong")
    need(proof["kind"] in ("block", "share"), "the kind is neither block nor share")
    bound = target if proof["kind"] == "block" else int(proof["share_target_hex"], 16)
    need(int.from_bytes(hash_le, "little") <= bound, "the hash does not meet its target")
    count(checked, f"proofs of a {proof['kind']}: the header's hash meets the target")
    count(unchecked, "proofs: whether the block is in the chain (ask a node), and finder and time (miner's claims)")
    if "coinbase_hex" in proof:
        coinbase = Bytes(bytes.fromhex(proof["coinbase_hex"])).tx()
        need(coinbase.is_coinbase, "the coinbase transaction is not a coinbase")
        txid = coinbase.txid
    elif "coinbase_txid" in proof:
        coinbase, txid = None, bytes.fromhex(proof["coinbase_txid"])[::-1]
        count(unchecked, "proofs: the content of the coinbase; the proof has only its txid")
    else:
        count(unchecked, "proofs: whether the header commits to a coinbase; the coinbase is missing")
        return
    if "merkle_branch_hex" not in proof:
        count(unchecked, "proofs: whether the header commits to the coinbase; the Merkle branch is missing")
        return
    need(climb(txid, proof["merkle_branch_hex"]) == header[36:68], "the coinbase does not match the Merkle root")
    count(checked, "proofs: the coinbase matches the header's Merkle root")
    if coinbase is not None and int.from_bytes(header[:4], "little") >= 2 and proof["height"] > 16:  # BIP 34
        size = proof["height"].bit_length() // 8 + 1
        stated = bytes((size,)) + proof["height"].to_bytes(size, "little")
        need(coinbase.script_sig.startswith(stated), "the coinbase contains another height")
        count(checked, "proofs: the coinbase contains the height")
    if coinbase is not None and "plan" in proof:
        check_plan(proof["plan"], header, coinbase.script_sig)
    if coinbase is not None and "witness_root_hex" in proof and coinbase.witness:
        root = bytes.fromhex(proof["witness_root_hex"])
        need(sha256d(root + coinbase.witness[0]) == commitment(coinbase), "the witness commitment does not match")
        count(checked, "proofs: the coinbase commits to the witness root")


# --- 1b. the search plan: the header must be at the claimed position ------------------------------------------------


def chunk_at(step: int, size: int, stride: dict[str, Any], extranonce: int) -> int:
    """The number of the chunk, of `size` chunks of nonces, that an order visits at `step`."""
    need(0 <= step < size, "the claimed step is beyond the plan's last")
    if stride["order"] == "sequential":
        return step
    if stride["order"] == "strided":  # 0, s, 2s, ... then 1, 1 + s, ...
        columns = (range(column, size, stride["stride"]) for column in range(stride["stride"]))
        for column in columns:
            if step < len(column):
                return column[step]
            step -= len(column)
    if stride["order"] == "knuth":  # x -> (a x + c) mod size
        chunk = stride["start"]
        for _ in range(step):
            chunk = (stride["multiplier"] * chunk + stride["increment"]) % size
        return int(chunk)
    if stride["order"] == "van-der-corput":  # count with the bits reversed, skip what is too large
        bits = (size - 1).bit_length()
        reversed_ones = (int(f"{i:0{bits}b}"[::-1] or "0", 2) for i in range(1 << bits))
        return next(chunk for place, chunk in enumerate(c for c in reversed_ones if c < size) if place == step)
    need(stride["order"] == "shuffled", "no such order")
    seed = int.from_bytes(hashlib.sha256(f"{stride['seed']}/{extranonce}".encode()).digest()[:8], "big")
    keys = [int.from_bytes(hashlib.sha256(f"{seed}/{r}".encode()).digest()[:8], "little") for r in range(6)]
    half, chunk = ((size - 1).bit_length() + 1) // 2, step
    while True:  # a Feistel network over a power of four, until it lands below size
        left, right = chunk >> half, chunk & ((1 << half) - 1)
        for key in keys:
            z = (right + key) % (1 << 64)
            z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
            z = (z ^ z >> 27) * 0x94D049BB133111EB % (1 << 64)
            left, right = right, left ^ (z ^ z >> 31) & ((1 << half) - 1)
        chunk = left << half | right
        if chunk < size:
            return chunk


def check_plan(claim: dict[str, Any], header: bytes, script_sig: bytes) -> None:
    """Compute the claimed position: extranonce, version bits and nonce there must be the header's."""
    extranonce = bytes.fromhex(claim["extranonce_hex"])
    need(4 <= len(extranonce) <= 12 and extranonce in script_sig, "the coinbase does not contain the extranonce")
    need(int.from_bytes(extranonce[-4:], "big") == claim["extranonce"], "extranonce and extranonce_hex differ")
    if "facts" not in claim:
        count(unchecked, "positions in a search plan that the proof does not contain")
        return
    plan, place = claim["facts"], claim["position"]
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    need(digest == claim["plan_hash_hex"], "the plan does not have the stated hash")
    numbers = [*place.values(), claim["worker"], claim["worker_count"]]
    need(all(type(n) is int and n >= 0 for n in numbers), "a number of the position is negative or not an integer")
    families, chunk_size = plan["families"], plan["chunk_nonces"]
    space, engines = 1 << families["extranonce_bits"], families["engines"]
    number = engines.index(claim["engine"])
    first, end = (space * n // len(engines) for n in (number, number + 1))
    worker, workers = claim["worker"], claim["worker_count"]
    if families["deal"] == "interleaved":
        tried = first + worker + place["k"] * workers
    else:
        first, end = first + (end - first) * worker // workers, first + (end - first) * (worker + 1) // workers
        tried = first + place["k"]
    need(worker < workers and tried < end and tried == claim["extranonce"], "the plan has another extranonce there")
    mask = int(claim["version_mask"], 16) & 0x1FFFE000
    bits = [bit for bit in plan["palette"]["bits"] if mask >> bit & 1]
    index = place["version"]
    need(index < 1 << len(bits), "the claimed version pattern is beyond the plan's last")
    if plan["palette"]["order"] == "gray":
        index ^= index >> 1
    elif plan["palette"]["order"] == "reversed":
        index = (1 << len(bits)) - 1 - index
    pattern = sum((index >> n & 1) << bit for n, bit in enumerate(bits))
    need(int.from_bytes(header[:4], "little") & mask == pattern, "the plan has other version bits there")
    need(place["offset"] < chunk_size, "the claimed offset is beyond the chunk")
    chunk = chunk_at(place["step"], -(-(1 << 32) // chunk_size), plan["strides"], tried)
    nonce = chunk * chunk_size + place["offset"]
    need(int.from_bytes(header[76:], "little") == nonce, "the plan has another nonce there")
    count(checked, "positions recomputed from the search plan")


def check_share(share: dict[str, Any], job: dict[str, Any]) -> int:
    """Build a share's header from its job, and hash it; returns the hash as a number."""
    parts = (job["coinbase_prefix_hex"], share["extranonce_hex"], job["coinbase_suffix_hex"])
    root = climb(sha256d(bytes.fromhex("".join(parts))), job["merkle_branch_hex"])
    numbers = [
        n.to_bytes(4, "little") for n in (share["version"], share["ntime"], int(job["nbits"], 16), share["nonce"])
    ]
    header = numbers[0] + bytes.fromhex(job["prevhash"])[::-1] + root + numbers[1] + numbers[2] + numbers[3]
    value = int.from_bytes(sha256d(header), "little")
    need(f"{value:064x}" == share["hash"], f"share {share['hash']} actually hashes to {value:064x}")
    target = int(share.get("share_target_hex", job["share_target_hex"]), 16)
    need(value <= target, f"share {share['hash']} does not meet its target")
    return value


def check_best(document: dict[str, Any], report: dict[str, Any] | None = None) -> None:
    """The smallest hashes of an hour, and the estimate of how many were tried."""
    values = [check_share(share, document["jobs"][share["job"]]) for share in document["hashes"]]
    need(values == sorted(set(values)), "the hashes are not sorted, or there is a duplicate")
    count(checked, "best hashes, recomputed from coinbase, branch and header", len(values))
    if report and len(values) == document["k"] and report["evidence"]["kth_hash"]:
        claimed = f"{report['hashes']['counted']:.4g} counted and {report['hashes']['credited']:.4g} credited"
        tried = (document["k"] - 1 / 3) / ((values[-1] + 1) / (1 << 256))
        evidence.append(f"{report['part']}: {claimed} hashes, {tried:.4g} estimated from the best hashes")


class Counters:
    """Hashes done, from the readings of workers' counters: counted hashes, and those credited for shares."""

    def __init__(self) -> None:
        self.done: dict[str, float] = {"counters": 0, "credited": 0.0}
        self.last: dict[tuple[str, str], float] = {}

    def line(self, entry: dict[str, Any]) -> None:
        """A run begins at zero, an hour with the last readings; a counter that decreased restarted from zero."""
        if entry["kind"] != "counters":
            self.last = {}
        for kind, unit in (("counters", 1), ("credited", 1 << 32)):
            for worker, value in entry.get(kind, {}).items():
                before = self.last.get((kind, worker), 0)
                if entry["kind"] == "counters":
                    self.done[kind] += unit * (value - before if value >= before else value)
                self.last[kind, worker] = value


class Miners:
    """The sums of the `miners` lines: in all, by name, and by client."""

    def __init__(self) -> None:
        self.sums: dict[str, dict[str, Any]] = {}

    def line(self, entry: dict[str, Any]) -> None:
        for row in entry["miners"]:
            for who in ("all", f"miner {row['worker']}", f"client {row['user_agent']}"):
                self.add(who, row)
        if "others" in entry:
            self.add("all", entry["others"])

    def add(self, who: str, row: dict[str, Any]) -> None:
        nothing: dict[str, Any] = {"shares": 0, "hashes": 0, "connects": 0, "best": None, "rejected": {}}
        sums = self.sums.setdefault(who, nothing)
        for name in ("shares", "hashes", "connects"):
            sums[name] += row.get(name, 0)
        sums["best"] = min(filter(None, (sums["best"], row.get("best"))), default=None)
        for reason, number in row.get("rejected", {}).items():
            sums["rejected"][reason] = sums["rejected"].get(reason, 0) + number

    def check(self, section: dict[str, Any] | None) -> None:
        """Every sum in the report must match the ledger's."""
        stated = {} if section is None else {"all": section}
        for row in section["workers"] if section else ():
            stated[f"miner {row['worker']}"] = row
        for row in section["user_agents"] if section else ():
            stated[f"client {row['user_agent']}"] = row
        need(bool(stated) == bool(self.sums), "only one of ledger and report has miners")
        for who, row in stated.items():
            for name, value in self.sums.get(who, {"shares": None}).items():
                value = float(value) if name == "hashes" else value
                need(row[name] == value, f"{name} of {who}: {row[name]} in the report, {value} in the ledger")
        count(checked, "sums of miners, recomputed from the ledger", len(stated))


def check_pools(answers: dict[tuple[str, str], int], section: list[dict[str, Any]] | None) -> None:
    """What the report says that pools answered must match the ledger."""
    stated = {(row["pool"], what): row[what] for row in section or () for what in ("accepted", "stale", "rejected")}
    for pool, what in {*stated, *answers}:
        told, found = stated.get((pool, what)), answers.get((pool, what), 0)
        need(told == found, f"{what} shares at {pool}: {told} in the report, {found} in the ledger")
    for row in section or ():
        count(checked, f"hours mined for pool {row['pool']}, its answers recounted in the ledger")


def check_ledger(path: Path, report: dict[str, Any]) -> None:
    """Hash and count the shares of an hour."""
    jobs: dict[str, dict[str, Any]] = {}
    shares, hashes, miners = 0, Counters(), Miners()
    answers: dict[tuple[str, str], int] = {}
    for line in content(path).split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            count(unchecked, "torn or empty ledger lines", 1 if line else 0)
            continue
        if entry["kind"] == "work":
            jobs[entry["job"]] = entry
        elif entry["kind"] == "share":
            check_share(entry, jobs[entry["job"]])
            shares += 1
        elif entry["kind"] in ("open", "begin", "counters"):
            hashes.line(entry)
        elif entry["kind"] == "miners":
            miners.line(entry)
        elif entry["kind"] == "pool_answer":
            place = (entry["pool"], entry["outcome"])
            answers[place] = answers.get(place, 0) + 1
    need(shares == report["shares"]["found"], f"{shares} shares, {report['shares']['found']} in the report")
    stated = {"counters": report["hashes"]["counted"], "credited": report["hashes"]["credited"]}
    need(hashes.done == stated, f"hashes: {stated} in the report, {hashes.done} in the ledger")
    miners.check(report.get("miners"))
    check_pools(answers, report.get("pools"))
    count(checked, "shares, rehashed from their jobs", shares)


# --- 1c. a group: what each of its blocks pays follows from the work that its members have proven -------------------


class Plan(NamedTuple):
    """What a block pays each member (a script in hex) in the order of the coinbase, and what is due to each for it."""

    shares: dict[str, int]
    paid: dict[str, int]

    def carried(self) -> dict[str, int]:
        """What each is still owed from this block, or has been paid too much by it (negative)."""
        changes = {who: self.shares.get(who, 0) - self.paid.get(who, 0) for who in {*self.shares, *self.paid}}
        return {who: sats for who, sats in changes.items() if sats}


def output_size(script: bytes) -> int:
    return 8 + (1 if len(script) < 253 else 3) + len(script)


def dust(script: bytes) -> int:
    """The least that Bitcoin Core relays to a script: 3 satoshis for each byte of the output and of spending it."""
    witness = len(script) >= 4 and script[0] in (0, *range(0x51, 0x61)) and script[1] == len(script) - 2
    return 3 * (output_size(script) + (67 if witness else 148))


def group_plan(works: dict[str, int], owed: dict[str, int], block: dict[str, Any]) -> Plan:
    """Divide a block's value by work, add what is owed from earlier blocks, and pay as many as the coinbase has room
    for, the largest first and none below dust. The largest holds the rest for those who are not paid now.
    """
    value, total = block["value_sats"], sum(works.values())
    need(total > 0, "nobody has proven work")
    shares = {who: value * work // total for who, work in works.items()}
    shares[min(works, key=lambda who: (-works[who], who))] += value - sum(shares.values())  # the rounding
    due = {who: shares.get(who, 0) + owed.get(who, 0) for who in {*shares, *owed}}
    size = 4 + 1 + 36 + 1 + block["script_sig_bytes"] + 4 + 1 + 47 + 4  # with one output, which commits to witnesses
    paid: dict[str, int] = {}
    for who in sorted(due, key=lambda who: (-due[who], who)):
        script = bytes.fromhex(who)
        larger_count = 2 if len(paid) + 2 > 252 else 0
        fits = size + output_size(script) + larger_count <= block["room_bytes"]
        if fits and (not paid or due[who] >= dust(script)):
            paid[who] = due[who]
            size += output_size(script)
    need(bool(paid), "no payout fits its coinbase")
    excess = sum(paid.values()) - value
    while excess > 0:  # others owe some of it: those who are paid wait for that, down to dust, or else the last goes
        for who in paid:
            less = min(excess, max(0, paid[who] - dust(bytes.fromhex(who))))
            paid[who] -= less
            excess -= less
        if excess > 0 and len(paid) == 1:
            break
        excess -= paid.popitem()[1] if excess > 0 else 0
    paid[next(iter(paid))] -= excess
    return Plan(shares, paid)


class Group:
    """A group's account, followed through its lines in the ledger.

    Work counts while it is in the window: the last work of the group, `window_milli` thousandths of what a block takes
    on average. It lies in buckets, the oldest first, of which a 256th of the window begins the next.
    """

    def __init__(self) -> None:
        self.number = -1  # of its last line; no account was stated yet
        self.window_milli = 0
        self.buckets: list[dict[str, int]] = []
        self.sizes: list[int] = []
        self.owed: dict[str, int] = {}
        self.standings: dict[int, tuple[dict[str, int], dict[str, int]]] = {}
        self.carried: dict[str, dict[str, int]] = {}

    def hour(self, root: Path, path: str) -> None:
        """Check its lines of an hour."""
        ledger = f"ledger/{path}/ledger.jsonl"
        for line in content(root / ledger).split(b"\n") if (root / ledger).is_file() else ():
            if b'"group_' not in line:
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # torn; counted with the shares
            try:
                self.line(entry, root, path)
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
                wrong.append(f"{ledger}: line {entry.get('seq')}: {error!s:.200}")

    def line(self, entry: dict[str, Any], root: Path, path: str) -> None:
        kind = entry["kind"]
        if kind == "group_account":
            self.begin(entry)
        elif kind not in ("group_work", "group_settled", "group_block"):
            return
        elif self.number < 0:
            count(unchecked, "lines of a group before its account is stated")
        elif kind == "group_block":
            self.block(entry, root, path)
        else:
            need(entry["number"] == self.number + 1, f"change {entry['number']} of the group follows {self.number}")
            if kind == "group_work":
                for who, work in sorted(entry["credits"].items()):
                    self.credit(who, int(work), int(entry["network_work"]))
            else:
                self.settle(entry["hash"], entry["carried"])
            self.number += 1
            self.remember()
            count(checked, "changes of a group's account")

    def begin(self, entry: dict[str, Any]) -> None:
        """The whole account, as each run and hour begins with it: it must be what the lines before lead to."""
        names, number = entry["members"], entry["number"]
        buckets = [{names[place]: int(work) for place, work in bucket} for bucket in entry["buckets"]]
        owed = entry["balances"]
        need(not sum(owed.values()), "what the group's members owe each other does not sum to zero")
        need(all(work > 0 for bucket in buckets for work in bucket.values()), "work that is not above zero")
        same, went_back = (buckets, owed) == (self.buckets, self.owed), number < self.number
        if number == self.number and same:
            count(checked, "accounts of a group that follow from the lines before")
        elif number > self.number >= 0:
            count(unchecked, "accounts of a group after a crash: lines before them are missing")
        known, self.number, self.window_milli = self.number, number, entry["window_milli"]
        self.buckets, self.owed = buckets, owed
        self.sizes = [sum(bucket.values()) for bucket in buckets]
        self.remember()
        need(not went_back, "the group's account goes back to an older one")
        need(number != known or same, "the group's account is not what the lines before lead to")

    def credit(self, who: str, work: int, network_work: int) -> None:
        window = self.window_milli * network_work // 1000
        if not self.buckets or 256 * self.sizes[-1] >= window:
            self.buckets.append({})
            self.sizes.append(0)
        self.buckets[-1][who] = self.buckets[-1].get(who, 0) + work
        self.sizes[-1] += work
        excess = sum(self.sizes) - window
        while self.buckets and excess > 0 and excess >= self.sizes[0]:
            excess -= self.sizes.pop(0)
            del self.buckets[0]
        if excess > 0:  # from all in the oldest bucket in proportion
            size = self.sizes[0]
            left = {each: done * (size - excess) // size for each, done in self.buckets[0].items()}
            self.buckets[0] = {each: done for each, done in left.items() if done}
            self.sizes[0] = sum(left.values())

    def settle(self, block: str, carried: dict[str, int]) -> None:
        """A block is in the chain, or left it: its amounts are carried over, or that is undone."""
        known = self.carried.get(block, carried)
        undone = {who: -sats for who, sats in known.items()}
        need(carried in (known, undone), f"carries over something else than block {block} does")
        need(not sum(carried.values()), "what a block carries over does not sum to zero")
        sums = {who: self.owed.get(who, 0) + carried.get(who, 0) for who in {*self.owed, *carried}}
        self.owed = {who: sats for who, sats in sums.items() if sats}

    def remember(self) -> None:
        """Keep what the account was: a block is paid by that of its job, which may be some lines back."""
        works: dict[str, int] = {}
        for bucket in self.buckets:
            for who, work in bucket.items():
                works[who] = works.get(who, 0) + work
        self.standings.pop(self.number, None)
        self.standings[self.number] = works, self.owed
        if len(self.standings) > 1024:
            del self.standings[next(iter(self.standings))]

    def block(self, entry: dict[str, Any], root: Path, path: str) -> None:
        name, works = entry["hash"], {who: int(work) for who, work in entry["works"].items()}
        plan = group_plan(works, entry["balances"], entry)
        said = entry["shares"], entry["paid"]
        need(said == (plan.shares, plan.paid), f"block {name} pays something else than the work of the group leads to")
        self.carried[name] = plan.carried()
        count(checked, "blocks of a group: payouts recomputed from the work")
        basis = entry["number"]
        need(basis <= self.number, f"block {name} is paid by line {basis} of the account, which comes later")
        standing = self.standings.get(basis)
        if standing is None:
            count(unchecked, "blocks of a group: the account at their jobs is not in these hours")
        else:
            need(standing == (works, entry["balances"]), f"block {name} counts other work than the group's account has")
        proof = root / f"proofs/{path}/{entry['height']}-{name}.json"
        if not proof.is_file():
            count(unchecked, "blocks of a group without a proof in their hour")
            return
        *outputs, _ = Bytes(bytes.fromhex(parsed(content(proof))["coinbase_hex"])).tx().outputs
        pays = [(sats, bytes.fromhex(who)) for who, sats in plan.paid.items()]
        need(outputs == pays, f"the coinbase of block {name} pays something else than the group's lines say")
        count(checked, "group blocks: the coinbase contains the payouts")


def check_group(root: Path, paths: list[str]) -> None:
    group = Group()
    for path in sorted(paths, key=lambda path: [int(number) for number in re.split("[/.]", path)]):
        group.hour(root, path)


# --- 2. hours: seal -> report -> list of files -> every file --------------------------------------------------------


class Hour(NamedTuple):
    path: str  # 2026/11/21/07
    report: dict[str, Any]
    digest: str
    files: dict[str, str]  # SHA-256 by path


def listed(text: str) -> dict[str, str]:
    """SHA-256 by file, from lines in sha256sum's format."""
    pairs = (line.split("  ", 1) for line in text.split("\n")[:-1])
    return {path: digest for digest, path in pairs}


def content(path: Path) -> bytes:
    """A file's bytes. Pipes, devices and the like are not read."""
    if not path.is_file() or path.stat().st_size > 1 << 30:
        raise OSError("not a regular file, or larger than 1 GiB")
    return path.read_bytes()


def parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def digest_of(path: Path) -> str:
    return hashlib.sha256(content(path)).hexdigest()


def open_hour(root: Path, path: str) -> Hour | None:
    folder = root / "reports" / path
    name = "report.json.sha256"
    try:
        seal = content(folder / name).decode()
        sealed = listed(seal)
        names = ["report.json", "report.sig"] if "report.sig" in sealed else ["report.json"]
        need("".join(f"{sealed[n]}  {n}\n" for n in names) == seal, "malformed")
        for name in names:
            if digest_of(folder / name) != sealed[name]:
                wrong.append(f"reports/{path}/report.json.sha256: does not match {name}")
                raise ValueError("does not match the hash in report.json.sha256 (one of the two was changed)")
        name = "report.json"
        report = parsed(content(folder / name))
        need(report["part"] == path, "it is the report of another hour")
        name = "SHA256SUMS"
        need(digest_of(folder / name) == report["files"]["sha256"], "does not match the hash in report.json")
        files = listed(content(folder / name).decode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        wrong.append(f"reports/{path}/{name}: {error}")
        return None
    count(checked, "hours: seal, report, list of files")
    if "report.sig" in sealed:
        count(unchecked, "signatures: use openssl pkeyutl -verify, see docs/evidence.md")
    return Hour(path, report, sealed["report.json"], files)


def check_files(root: Path, hour: Hour, retired: set[str]) -> None:
    for path, digest in hour.files.items():
        try:
            data = content(root / path)
        except OSError:
            if f"{path.split('/')[0]}/{hour.path}" in retired:
                count(unchecked, "files deleted by retention, according to a later report")
            else:
                wrong.append(f"{path}: missing; listed in reports/{hour.path}/SHA256SUMS")
            continue
        try:
            need(hashlib.sha256(data).hexdigest() == digest, "changed since the hour was sealed")
            count(checked, "files unchanged since sealing")
            if path.endswith("/best-hashes.json"):
                check_best(parsed(data), hour.report)
            elif re.fullmatch(r"proofs/.*/(best-share|[0-9]+-[0-9a-f]{64})\.json", path):
                check_proof(parsed(data))
            elif path.endswith("/block.hex"):
                check_block(bytes.fromhex(data.decode().strip()), path.split("/")[-2])
            elif path.endswith("/ledger.jsonl") and "--shares" in sys.argv:
                check_ledger(root / path, hour.report)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            wrong.append(f"{path}: {error!s:.200}")
    own = {f"reports/{hour.path}/{name}" for name in OWN}
    for section in SECTIONS:
        there = set(files_below(root, f"{section}/{hour.path}")) - own - set(hour.files)
        reason = "not listed when the hour was sealed: added later, or not a record file"
        wrong.extend(f"{path}: {reason}" for path in sorted(there))


def files_below(root: Path, below: str) -> list[str]:
    found: list[str] = []
    waiting = [below]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    folders = entry.is_dir(follow_symlinks=False)
                    (waiting if folders else found).append(f"{folder}/{entry.name}")
        except OSError:
            continue
    return found


# --- 3. the chain ---------------------------------------------------------------------------------------------------


def check_previous(root: Path, hour: Hour) -> None:
    previous = hour.report["previous"]
    if previous is None:
        if hour.report["sequence"] != 1:
            wrong.append(f"reports/{hour.path}/report.json: has no link to a previous report, but is not the first")
        return
    path = root / "reports" / previous["part"] / "report.json"
    if not path.is_file():
        wrong.append(f"reports/{previous['part']}/report.json: missing; {hour.path} follows it")
    elif digest_of(path) != previous["sha256"]:
        wrong.append(f"reports/{previous['part']}/report.json: not the report that {hour.path} links to")
    else:
        count(checked, "links to the previous report")


def check_whole(root: Path, hours: list[Hour]) -> None:
    hours.sort(key=lambda hour: int(hour.report["sequence"]))
    for number, hour in enumerate(hours, start=1):
        if hour.report["sequence"] != number:
            wrong.append(f"reports/{hour.path}/report.json: report {number} missing from the chain before this one")
            break
    latest = root / "reports" / "latest"
    newest = hours[-1].path if hours else ""
    if not os.path.lexists(latest):
        count(unchecked, "reports/latest: no such link; some file systems do not support links")
    elif not latest.is_symlink() or str(latest.readlink()) != newest:
        wrong.append(f"reports/latest: does not point to the newest report, {newest}")
    known = {f"{section}/{path}" for section in SECTIONS for path in all_hours(root)}
    answered = {path for hour in hours for path in hour.files} | {"reports/latest"}
    for section in SECTIONS:
        others = sorted(set(files_below(root, section)) - answered)
        lost = [path for path in others if "/".join(path.split("/")[:5]) not in known and not path.endswith(".tmp")]
        wrong.extend(f"{path}: belongs to no hour" for path in lost)
    count(unchecked, "whether the newest hours were removed: compare the newest report's hash with a saved one")


def all_hours(root: Path) -> list[str]:
    form = re.compile(r"\d{4}/\d\d/\d\d/\d\d(\.\d+)?")
    found = {os.path.relpath(path, root / s) for s in SECTIONS for path in (root / s).glob("*/*/*/*") if path.is_dir()}
    return sorted(path for path in found if form.fullmatch(path))


def check_tree(root: Path, stretch: str) -> None:
    paths = [path for path in all_hours(root) if not stretch or f"{path}/".startswith(f"{stretch}/")]
    sealed = [path for path in paths if (root / "reports" / path).exists()]
    count(unchecked, "hours that are still open: nothing is sealed there yet", len(paths) - len(sealed))
    hours = [hour for path in sealed if (hour := open_hour(root, path)) is not None]
    retired = set()
    for path in all_hours(root):
        try:
            later = parsed(content(root / "reports" / path / "report.json"))
            for item in later["retired"]:
                retired |= {f"{section}/{item['part']}" for section in item["sections"] if section in RETIRABLE}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # reported already if it is one of the checked hours
    for hour in hours:
        check_files(root, hour, retired)
        check_previous(root, hour)
    if "--shares" in sys.argv:
        check_group(root, [hour.path for hour in hours])
    if not stretch:
        check_whole(root, hours)
    if "--shares" not in sys.argv:
        count(unchecked, "hours: individual shares; use --shares", len(hours))
    need(bool(paths), "there are no hours")


def main(path: Path) -> int:
    path = path.resolve()
    try:
        if path.suffix == ".json" and path.is_file():
            document = parsed(content(path))
            (check_best if document["schema"] == "solominer-best-hashes/1" else check_proof)(document)
        else:
            roots = [path.parent for path in path.glob("*/reports")]  # a data folder with several networks
            roots = roots or [next(folder for folder in (path, *path.parents) if (folder / "reports").is_dir())]
            for root in roots:
                check_tree(root, "/".join(path.relative_to(root).parts[1:5]) if path.is_relative_to(root) else "")
    except (StopIteration, OSError) as error:
        print(f"nothing to check at {path}: {error}")
        return 2
    except (ValueError, KeyError, TypeError) as error:
        wrong.append(f"{path.name}: {error!s:.200}")
    for label, notes in (("checked  ", checked), ("unchecked", unchecked)):
        for what, n in notes.items():
            if n:
                print(f"{label}  {n:,} {what}")
    for line in evidence if len(evidence) <= 24 else ():
        print(f"evidence   {line}")
    for line in wrong[:50]:
        print("WRONG      " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
    print(f"FAILED: {len(wrong)} wrong" if wrong else "VERIFIED: every check passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] == "--help":
        print(__doc__)
        sys.exit(2 if len(sys.argv) < 2 else 0)
    sys.exit(main(Path(sys.argv[1])))
