"""Our blocks with their life, from the journal, and their proofs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel

from solominer.chain.fields import Field
from solominer.errors import DecodeError
from solominer.records.evidence.proofs import newest_proof
from solominer.records.journal.history import BlockLife, block_life, block_places
from solominer.web.api.params import limit
from solominer.web.problems import MISSING, REFUSALS, Missing, NotFound
from solominer.web.site import Site, TheSite
from solominer.work.blocks import MATURE_DEPTH
from solominer.work.found import BlockState

router = APIRouter(prefix="/api/v1", tags=["blocks"], responses=REFUSALS)

SIMULATED = "simulated"
"""State of a block of demo mode, which is never submitted."""

MOST_SIMULATED = 5_000

_HASH = re.compile("[0-9a-f]{64}", re.ASCII)
_IN_CHAIN = (BlockState.ACCEPTED, BlockState.CONFIRMED, BlockState.MATURE)


class BlockAnswer(BaseModel):
    """A node's answer to a submission: `answer` is what it means, `raw` what the node said."""

    at: float
    node: str
    answer: str
    raw: str


class BlockStateAt(BaseModel):
    """A state of a block and why: `found`, `sent`, `accepted`, `confirmed`, `mature`, `stale`, `rejected`, ..."""

    at: float
    state: str
    reason: str


class Block(BaseModel):
    """One of our blocks. `hash` in RPC byte order; its reward can be spent from height `matures_at_height` on.

    `proof` is the path of its proof (null in demo mode).
    """

    height: int
    hash: str
    state: str
    found_at: float | None
    worker: str | None
    reward_sats: int | None
    transactions: int | None
    confirmations: int
    matures_at_height: int
    answers: list[BlockAnswer]
    states: list[BlockStateAt]
    proof: str | None


class Blocks(BaseModel):
    """`blocks` newest first; `next` is the value of `before` for the older ones (null: there are none)."""

    blocks: list[Block]
    next: str | None
    missing: Missing = None


@router.get("/blocks", response_model=Blocks)
async def blocks(
    site: TheSite,
    before: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="`next` of the previous answer.")] = None,
    limit: Annotated[int, limit(200)] = 50,
) -> Response:
    """Our blocks, newest first: what was found, each node's answer, each state."""
    stamp, status = await site.live.fresh(), site.feed.status
    tip = 0 if status is None else int(status["height"])

    def make() -> Blocks:
        return _simulated(site, before, limit) if site.setup.simulated else _found(site, tip, before, limit)

    return await site.answers.json(("blocks", before, limit), (stamp, tip), make)


@router.get("/blocks/{hash}/proof", responses=MISSING, response_model=dict[str, Any])
async def proof(site: TheSite, hash: str, download: bool = False) -> Response:
    """The newest proof of a block as `solominer verify` reads it (docs/schemas/proof.schema.json).

    With `download` the browser saves it as a file.
    """
    if not _HASH.fullmatch(hash):
        raise NotFound("a block's hash has 64 hex digits", "copy it from /api/v1/blocks")
    stamp = await site.live.fresh()
    response = await site.answers.json(("proof", hash), stamp, lambda: newest_proof(site.tree, hash) or _no_proof(hash))
    if download:
        response.headers["Content-Disposition"] = f'attachment; filename="block-{hash}.json"'
    return response


def _no_proof(hash_hex: str) -> bytes:
    raise NotFound(f"there is no proof of a block {hash_hex}", "a proof is written a few seconds after the block")


def _found(site: Site, tip: int, before: str | None, limit: int) -> Blocks:
    places = block_places(site.tree)
    if before is not None:
        place = next((i for i, each in enumerate(places) if each.hash_hex == before), len(places))
        places = places[place + 1 :]
    listed = [_block(block_life(site.tree, place), tip) for place in places[:limit]]
    return Blocks(blocks=listed, next=listed[-1].hash if len(places) > limit else None)


def _block(life: BlockLife, tip: int) -> Block:
    facts = life.facts
    states = [each for line in life.states if (each := _state(line)) is not None]
    state = states[-1].state if states else BlockState.FOUND
    recorded = max((_count(line, "confirmations") or 0 for line in life.states), default=0)
    return Block(
        height=life.height,
        hash=life.hash_hex,
        state=state,
        found_at=_at(facts.get("found_at")),
        worker=_worker(facts),
        reward_sats=_count(facts, "reward_sats"),
        transactions=_count(facts, "transaction_count"),
        confirmations=max(recorded, tip - life.height + 1) if state in _IN_CHAIN else 0,
        matures_at_height=life.height + MATURE_DEPTH,
        answers=[answer for line in life.answers if (answer := _answer(line)) is not None],
        states=states,
        proof=f"/api/v1/blocks/{life.hash_hex}/proof",
    )


def _simulated(site: Site, before: str | None, limit: int) -> Blocks:
    """The blocks of demo mode, from the ledger."""
    index = site.live.index()
    lines = index.page("block_not_submitted", limit=MOST_SIMULATED)
    hashes = [str(line.get("hash")) for line in lines]
    first = hashes.index(before) + 1 if before in hashes else 0 if before is None else len(lines)
    listed = []
    for line in lines[first : first + limit]:
        height, hash_hex = _count(line, "height"), str(line.get("hash"))
        if height is not None and _HASH.fullmatch(hash_hex):
            states = [BlockStateAt(at=line["at"], state=SIMULATED, reason=str(line.get("note", "")))]
            listed.append(
                Block(
                    height=height,
                    hash=hash_hex,
                    state=SIMULATED,
                    found_at=line["at"],
                    worker=None,
                    reward_sats=None,
                    transactions=None,
                    confirmations=0,
                    matures_at_height=height + MATURE_DEPTH,
                    answers=[],
                    states=states,
                    proof=None,
                )
            )
    following = listed[-1].hash if listed and len(lines) > first + limit else None
    return Blocks(blocks=listed, next=following, missing=index.missing or None)


def _answer(line: Mapping[str, Any]) -> BlockAnswer | None:
    wall = line.get("at")
    at = _at(wall.get("wall") if isinstance(wall, dict) else wall)
    if at is None:
        return None
    return BlockAnswer(at=at, **{name: str(line.get(name, "")) for name in ("node", "answer", "raw")})


def _state(line: Mapping[str, Any]) -> BlockStateAt | None:
    at, state = _at(line.get("at")), line.get("state")
    if at is None or state not in set(BlockState):
        return None
    return BlockStateAt(at=at, state=str(state), reason=str(line.get("reason", "")))


def _at(value: object) -> float | None:
    try:
        return None if value is None else Field(value, "at").number(0, 1e12)
    except DecodeError:
        return None


def _count(line: Mapping[str, Any], name: str) -> int | None:
    value = line.get(name)
    return value if type(value) is int and 0 <= value < 2**53 else None


def _worker(facts: Mapping[str, Any]) -> str | None:
    """Older journals have separate fields for engine and number."""
    worker, engine = facts.get("worker"), facts.get("engine")
    return None if worker is None else str(worker) if engine is None else f"{engine}/{worker}"
