"""A kernel's source: both hashes of a header, all 64 + 61 rounds in registers, in OpenCL C or CUDA C.

A work item has one nonce. It computes the schedule of the header's second block once, then loops over the midstates,
which share it (BIP 320 changes only the first block). A kernel for one midstate has no loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solominer.engines.gpu.source_words import SourceWords, Uniform, Varying, compute
from solominer.engines.gpu.variants import VariantInfo
from solominer.engines.sha256.sha256d import (
    DIGEST_PADDING,
    IV,
    LAST_ROUND,
    K,
    before_nonce,
    header_sums,
    one_round,
    schedule,
    top_word,
    with_nonce,
)
from solominer.engines.sha256.words import Arithmetic, State, Word


@dataclass(frozen=True, slots=True)
class Dialect:
    """`preamble`: definitions; `head`: the beginning of the kernel's signature, without and with shared midstates."""

    preamble: str
    head: str
    head_shared: str


_OPENCL_HEAD = """kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1)))
void search(global const uint *restrict chunks, global uint *restrict hits,"""

OPENCL = Dialect(
    """#define ROTR(x, n) rotate((uint)(x), (uint)(32 - n))
#define SWAP_BYTES(x) as_uint(as_uchar4((uint)(x)).wzyx)
#define MUL_HI(x, y) mul_hi((uint)(x), (uint)(y))
#define NEXT(hits) atomic_inc(hits)
#define CHUNK get_group_id(1)
#define OFFSET (uint)get_global_id(0)
#define PREPARED(index) prepared[midstate * WORDS + index]""",
    _OPENCL_HEAD,
    f"{_OPENCL_HEAD} constant uint *restrict prepared, uint midstates,",
)

_CUDA_HEAD = """extern "C" __global__ void __launch_bounds__(LOCAL)
search(const uint *__restrict__ chunks, uint *__restrict__ hits,"""

CUDA = Dialect(
    """typedef unsigned int uint;
struct Prepared { uint words[32 * WORDS + 1]; };
#define ROTR(x, n) __funnelshift_r(x, x, n)
#define SWAP_BYTES(x) __byte_perm(x, 0, 0x0123)
#define MUL_HI(x, y) __umulhi(x, y)
#define NEXT(hits) atomicAdd(hits, 1u)
#define CHUNK blockIdx.y
#define OFFSET (blockIdx.x * LOCAL + threadIdx.x)
#define PREPARED(index) prepared.words[midstate * WORDS + index]""",
    _CUDA_HEAD,
    f"{_CUDA_HEAD} const __grid_constant__ Prepared prepared, uint midstates,",
)


ROOM = 8192  # hits that a launch can report


@dataclass(frozen=True, slots=True)
class Source:
    """The text, and the words that the host computes for it.

    `job`: one value each per launch, the last arguments of the kernel. `midstate`: one value per midstate.
    """

    text: str
    tail: tuple[Uniform, ...]
    midstate_in: tuple[Uniform, ...]
    job: tuple[Uniform, ...]
    midstate: tuple[Uniform, ...]

    def prepare(
        self, midstates: NDArray[np.uint32], tail: NDArray[np.uint32]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The job's words, shape (j,), and the midstates', shape (m, k), for a `Batch`'s midstates and tail."""
        inputs = dict(zip(self.tail, tail.reshape(3, 1), strict=True))
        inputs |= dict(zip(self.midstate_in, np.ascontiguousarray(midstates.T), strict=True))
        job = np.array([word[0] for word in compute(self.job, inputs)], np.uint32)
        per_midstate = [np.broadcast_to(word, len(midstates)) for word in compute(self.midstate, inputs)]
        return job, np.array(per_midstate, np.uint32).reshape(-1, len(midstates)).T.copy()


def write(info: VariantInfo, dialect: Dialect) -> Source:
    """The source of a variant."""
    w = SourceWords(info.products)
    tail = tuple(Uniform(False, "input", ()) for _ in range(3))
    midstate = tuple(Uniform(info.shared, "input", ()) for _ in range(8))
    sums = list(header_sums(w, tail, Varying("nonce")))
    before, w.lines = w.lines, []
    top = w.text(header_top_word(w, midstate, tail, sums))
    test = [
        f"if ({top} <= target) {{",
        "    const uint place = NEXT(hits);",
        f"    if (place < {ROOM}u) {{ hits[1 + 2 * place] = midstate; hits[2 + 2 * place] = nonce; }}",
        "}",
    ]
    if info.shared:
        words = [f"const uint m{index} = PREPARED({index});" for index in range(len(w.midstate))]
        loop = ["#pragma unroll 1", "for (uint midstate = 0; midstate < midstates; midstate++) {"]
        body = [*before, *loop, *words, *w.lines, *test, "}"]
    else:
        body = ["const uint midstate = 0;", *before, *w.lines, *test]
    arguments = ", ".join(["uint target", "uint one", *(f"uint j{index}" for index in range(len(w.job)))])
    text = "\n".join(
        [
            f"#define LOCAL {info.local}",
            f"#define WORDS {len(w.midstate)}",
            dialect.preamble,
            f"{dialect.head_shared if info.shared else dialect.head} {arguments}) {{",
            "const uint nonce = chunks[CHUNK] + OFFSET;",
            *body,
            "}\n",
        ]
    )
    return Source(text, tail, midstate, tuple(w.job), tuple(w.midstate))


def header_top_word(w: Arithmetic, midstate: Sequence[Word], tail: Sequence[Word], sums: Sequence[Word]) -> Word:
    """The hash value's top word from the sums K + W of the header's second block."""
    state = with_nonce(w, before_nonce(w, midstate, tail), sums[3])
    for word_sum in sums[4:]:
        state = one_round(w, state, word_sum)
    digest: State = [w.add(new, old) for new, old in zip(state, midstate, strict=True)]
    state = list(IV)
    for t, word in zip(range(LAST_ROUND + 1), schedule(w, [*digest, *DIGEST_PADDING]), strict=False):
        state = one_round(w, state, K[t], word)
    return top_word(w, state)
