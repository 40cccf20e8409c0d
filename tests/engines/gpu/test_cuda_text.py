"""The CUDA C, compiled for this CPU as C++ with the card's intrinsics written out, finds what hashlib finds."""

from __future__ import annotations

import ctypes
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from solominer.engines.cpu.reference import midstate, scan_headers, tail_words
from solominer.engines.gpu.source import CUDA, ROOM, write
from solominer.engines.gpu.variants import MIDSTATES, VARIANTS, VariantInfo

INTRINSICS = """
#define __global__
#define __launch_bounds__(threads)
#define __grid_constant__
static struct { unsigned x, y; } blockIdx, threadIdx;
static unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) {
    return (unsigned)(((unsigned long long)high << 32 | low) >> (n & 31));
}
static unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned result = 0;
    for (int place = 0; place < 4; place++)
        result |= (unsigned)(both >> 8 * (selector >> 4 * place & 7) & 255) << 8 * place;
    return result;
}
static unsigned __umulhi(unsigned x, unsigned y) { return (unsigned long long)x * y >> 32; }
static unsigned atomicAdd(unsigned *place, unsigned more) { unsigned was = *place; *place += more; return was; }
"""

TEXTS = [info for info in VARIANTS if info.local == 64]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("info", TEXTS, ids=lambda info: info.name)
def test_the_text_finds_what_hashlib_finds(info: VariantInfo, tmp_path: Path) -> None:
    source, chance = write(info, CUDA), random.Random(5)
    (signature,) = re.findall(r"search\((.*?)\) \{", source.text, re.DOTALL)
    names = [argument.split()[-1].lstrip("*") for argument in signature.split(",")]
    given = ", ".join("*prepared" if name == "prepared" else name for name in names)
    arguments = signature.replace("Prepared prepared", "Prepared *prepared")
    grid = f"""extern "C" void run({arguments}) {{
        for (blockIdx.y = 0; blockIdx.y < 3; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < 2; blockIdx.x++)
                for (threadIdx.x = 0; threadIdx.x < LOCAL; threadIdx.x++) search({given});
    }}"""
    (tmp_path / "search.cpp").write_text(INTRINSICS + source.text + grid)
    compile_it = ["g++", "-O0", "-w", "-shared", "-fPIC", "-o", "search.so", "search.cpp"]
    subprocess.run(compile_it, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "search.so"))
    for count in {1, min(5, info.midstates), info.midstates}:
        heads, tail = [chance.randbytes(64) for _ in range(count)], chance.randbytes(12)
        starts = [0, chance.randrange(2**31), 2**32 - 2 * info.local]
        job, words = source.prepare(np.array([midstate(head) for head in heads]), tail_words(heads[0] + tail))
        room = np.zeros(MIDSTATES * words.shape[1] + 1, np.uint32)
        room[: words.size] = words.ravel()
        chunks, hits = np.array(starts, np.uint32), np.zeros(1 + 2 * ROOM, np.uint32)
        places = [array.ctypes.data_as(ctypes.c_void_p) for array in (chunks, hits, room)]
        shared = [places[2], count] if info.shared else []
        library.run(*places[:2], *shared, *(ctypes.c_uint32(word) for word in (1 << 28, 1, *job.tolist())))
        found = [(index, nonce) for index, nonce in hits[1 : 1 + 2 * hits[0]].reshape(-1, 2).tolist()]
        expected = [hit for start in starts for hit in scan_headers(heads, tail, start, 2 * info.local, 1 << 28)]
        assert sorted(found) == sorted(expected)
        assert found
