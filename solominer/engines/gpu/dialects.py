"""What differs between OpenCL C and CUDA C in a kernel's source."""

from __future__ import annotations

from dataclasses import dataclass


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
