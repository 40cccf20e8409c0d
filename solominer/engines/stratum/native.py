"""The compiled functions that read and check shares: what they are called with, and how they are loaded.

`compile` makes one object file of them. LLVM's loader alone brings it into a process, so a server has neither Numba nor
NumPy in memory. Arrays are passed by their addresses.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

ID_AT, ID_LEN, USER_AT, USER_LEN, JOB_AT, JOB_LEN = range(6)
EXTRANONCE2, NTIME, NONCE, BITS, BEHIND, COLUMNS = range(6, 12)
"""A row, which is a share as it was read: places in the packet, numbers (extranonce2 little-endian), and the place
behind it."""

ACCEPTED, ABOVE_TARGET, DUPLICATE = range(3)
"""What becomes of a share. Any other is special: it is left to the session."""

EXTRANONCE1, VERSION, VERSION_MASK, NTIME_MIN, NTIME_MAX, USERNAME_LEN, JOB_ID_LEN, RECORD_BYTES = range(8)
"""What shares must meet beside their targets, the lengths of the names that they are handed in with, and the size of a
share in Stratum V2, 0 for lines."""

RECORD_CHANNEL, RECORD_JOB, RECORD_NONCE, RECORD_NTIME, RECORD_VERSION, RECORD_SIZE = 0, 8, 12, 16, 20, 24
RECORD_EXTRANONCE = RECORD_SIZE + 1
"""Where things are in a share of Stratum V2, whose names are channel and job, 4 bytes each. One of a standard channel
ends before the size of its extranonce."""

BOUNDS_OF, JOB_OF, TARGETS_OF, SCRATCH_OF, NAMES_OF = range(5)
"""The addresses that make an aim: what the shares of one worker and job on one connection must meet."""

PACKET_AT, PACKET_END, PACKET_AIM, TAKEN, NEXT_AT, SENT, ACCEPTED_OF, ABOVE_OF, BEST_OF = range(9)
PACKET = 12
"""A packet to be taken: where it begins and ends, and the address of its aim or 0. Then what became of it: how many
shares were taken, where what follows them begins, bytes of their replies, how many of them were accepted and how many
above their target, and the best accepted hash in four numbers."""

SHARE_WORDS, RESULT_WORDS, JOB_HEAD, SCRATCH_HEAD = 14, 9, 28, 40
"""32-bit words: a share to be hashed, its hash and what it meets, a prepared job before its branch, scratch memory
before the tail of the coinbase."""

REPLY_BYTES = 192
OBJECT_FILE = "shares.o"

FUNCTIONS = {
    "compress": ("InIn", 0),
    "check": ("IIIInn", 0),
    "root": ("IIIInn", 0),
    "line": ("Bnnq", 1),
    "take": ("B qnn qIIB Qnn B", 1),
}
"""Arguments (an array by its type code, n for a number) and how many results. See `jit_read` and `jit_shares`."""


def address(of: array[Any]) -> int:
    """Where the items of an array are. It must not change its size, and must be kept."""
    return of.buffer_info()[0]


class Native:
    """The functions of an object file, by name. Each leaves its results, 64-bit numbers, in `results`.

    `code` must be whole and of `compile`: LLVM ends the process over anything else. Raises RuntimeError for a function
    that is missing.
    """

    def __init__(self, code: bytes) -> None:
        from llvmlite import binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine(jit=True)
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.results = array("q", [0]) * 8
        self.compress, self.check, self.root, self.line, self.take = map(self._named, FUNCTIONS)

    def _named(self, name: str) -> Callable[..., None]:
        kinds = [ctypes.c_int64 if kind == "n" else ctypes.c_void_p for kind in FUNCTIONS[name][0].replace(" ", "")]
        place = self._engine.get_function_address(name)
        if not place:
            raise RuntimeError(f"no function {name}")
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, *kinds)(place)
        return partial(function, address(self.results), None)  # no description of an exception, since none is raised
