"""Compile the functions of `native.FUNCTIONS` into a folder: `python -m solominer.engines.stratum.compile FOLDER`.

A separate process, because the compiler never releases its memory and the server should stay small.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding
from numba import types
from numba.core.registry import cpu_target

from solominer.engines.pool.processes import die_with
from solominer.engines.stratum.jit_shares import make_functions
from solominer.engines.stratum.native import FUNCTIONS, OBJECT_FILE
from solominer.engines.stratum.sha256ir import compress_plain, compress_x86, host_has_sha

_njit: Any = numba.njit
_pointer: Any = types.CPointer
_tuple: Any = types.UniTuple
_TYPES = {"n": types.int64, "B": types.uint8, "I": types.uint32, "q": types.int64, "Q": types.uint64}


def object_file(*, plain: bool = False) -> bytes:
    """The functions as an object file for this machine. `plain` leaves the CPU's SHA instructions alone."""
    functions = make_functions(compress_plain if plain or not host_has_sha() else compress_x86)
    whole = binding.parse_assembly("")
    for name in FUNCTIONS:
        whole.link_in(_module(name, functions[name]))
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    machine = binding.Target.from_triple(triple).create_target_machine(
        cpu, features, opt=3, reloc="pic", codemodel="small"
    )
    code: bytes = machine.emit_object(whole)
    return code


def _module(name: str, function: Any) -> Any:
    """LLVM's module of one function, under its own name."""
    arguments, results = FUNCTIONS[name]
    kinds = [_TYPES[kind] if kind == "n" else _pointer(_TYPES[kind]) for kind in arguments.replace(" ", "")]
    result = _tuple(types.int64, results) if results else types.none
    signature = result(*kinds)
    jitted = _njit(signature, boundscheck=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        function.py_func
    )
    (compiled,) = jitted.overloads.values()
    module = binding.parse_assembly(compiled.library.get_llvm_str())
    module.get_function(compiled.fndesc.llvm_func_name).name = name
    return module


if __name__ == "__main__":
    die_with(os.getppid())
    (Path(sys.argv[1]) / OBJECT_FILE).write_bytes(object_file())
