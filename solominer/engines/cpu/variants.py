"""The kernel variants, with the CPU features that they need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from solominer.errors import ConfigError

MIDSTATES = 32  # per call; a power of two, like the number of patterns of the version bits


class Method(Enum):
    """The method of a variant."""

    LOOPED = "looped"  # solominer.engines.cpu.looped
    UNROLLED = "unrolled"  # solominer.engines.cpu.unrolled
    X86_SHA = "x86 sha"  # solominer.engines.cpu.sha_instructions
    ARM_SHA = "arm sha"


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One way to compile the search. `needs` are LLVM's names of CPU features.

    `first` and `second`: midstates interleaved in the first and the second pass. `midstates`: the maximum per call.
    `usual`: a candidate when a machine chooses its kernel; the others are for comparison.
    """

    name: str
    method: Method
    lanes: int
    first: int
    second: int
    midstates: int
    needs: frozenset[str]
    usual: bool = True
    about: str = ""

    @property
    def ternary(self) -> bool:
        """Whether three-input bit operations are one instruction on this variant's vectors."""
        return "avx512f" in self.needs and self.lanes == 16


def _looped(name: str, lanes: int, first: int, second: int, *needs: str, about: str) -> VariantInfo:
    return VariantInfo(name, Method.LOOPED, lanes, first, second, MIDSTATES, frozenset(needs), about=about)


def _sha(name: str, method: Method, streams: int, *needs: str, about: str, usual: bool = True) -> VariantInfo:
    return VariantInfo(name, method, 1, streams, streams, MIDSTATES, frozenset(needs), usual, about)


def _unrolled(name: str, lanes: int, midstates: int, *needs: str, about: str) -> VariantInfo:
    return VariantInfo(
        name, Method.UNROLLED, lanes, midstates, midstates, midstates, frozenset(needs), usual=False, about=about
    )


VARIANTS: tuple[VariantInfo, ...] = (
    _looped("avx512-3x2", 16, 3, 2, "avx512f", about="16 lanes, 3 then 2 midstates interleaved"),
    _looped("avx512-2x2", 16, 2, 2, "avx512f", about="16 lanes, 2 midstates interleaved"),
    _sha("sha-x86-4", Method.X86_SHA, 4, "sha", "sse4.1", about="SHA extensions, 4 hashes interleaved"),
    _sha("sha-x86-3", Method.X86_SHA, 3, "sha", "sse4.1", about="SHA extensions, 3 interleaved", usual=False),
    _sha("sha-arm-4", Method.ARM_SHA, 4, "sha2", "neon", about="ARMv8 SHA-2 instructions, 4 hashes interleaved"),
    _looped("avx2-2x2", 8, 2, 2, "avx2", about="8 lanes, 2 midstates interleaved"),
    _looped("avx2-1x1", 8, 1, 1, "avx2", about="8 lanes, one midstate at a time"),
    _looped("vector-2x2", 4, 2, 2, about="4 lanes (SSE2, NEON), 2 midstates interleaved"),
    _looped("scalar", 1, 1, 1, about="no vectors, runs anywhere"),
    _unrolled("plain-32x1", 32, 1, "avx512f", about="32 lanes unrolled, one midstate: the plain kernel"),
    _unrolled("plain-32x4", 32, 4, "avx512f", about="32 lanes unrolled, 4 midstates share one schedule"),
    _unrolled("plain-8x4", 8, 4, "avx2", about="8 lanes unrolled, 4 midstates share one schedule"),
)


def variant(name: str) -> VariantInfo:
    """The variant of that name, whether or not this CPU can run it. Raises ConfigError if there is none."""
    for info in VARIANTS:
        if info.name == name:
            return info
    known = ", ".join(info.name for info in VARIANTS)
    raise ConfigError(f"kernel {name}: there is no such kernel", f"choose one of {known}, or none for the fastest")
