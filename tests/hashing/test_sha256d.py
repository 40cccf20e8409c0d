"""The description of SHA-256d computes on plain integers what hashlib computes on bytes, and compiles for ARM.

No ARM machine runs these tests: that code is compiled for one and searched for the instructions it must have.
"""

from __future__ import annotations

import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding, ir

from solominer.engines.cpu import looped, sha_instructions
from solominer.engines.cpu.llvm_words import I32, I64, Words
from solominer.engines.cpu.reference import hash_word
from solominer.engines.cpu.variants import VARIANTS
from solominer.engines.sha256.sha256d import (
    DIGEST_PADDING,
    IV,
    LAST_ROUND,
    K,
    before_nonce,
    compress,
    header_sums,
    one_round,
    schedule,
    top_word,
    with_nonce,
)
from solominer.engines.sha256.words import Integers

W = Integers()


def test_constants_are_the_standards() -> None:
    assert (K[0], K[63], IV[0], IV[7]) == (0x428A2F98, 0xC67178F2, 0x6A09E667, 0x5BE0CD19)


@given(st.binary(max_size=55))
def test_one_block_is_sha256(message: bytes) -> None:
    block = message + b"\x80" + bytes(55 - len(message)) + (8 * len(message)).to_bytes(8, "big")
    assert struct.pack(">8I", *compress(W, IV, struct.unpack(">16I", block))) == sha256(message).digest()


@given(st.binary(min_size=80, max_size=80))
def test_a_header_taken_apart_as_kernels_do_gives_its_top_word(header: bytes) -> None:
    midstate = compress(W, IV, struct.unpack(">16I", header[:64]))
    tail = list(struct.unpack(">3I", header[64:76]))
    sums = list(header_sums(W, tail, int.from_bytes(header[76:], "little")))
    state = with_nonce(W, before_nonce(W, midstate, tail), sums[3])
    for word_sum in sums[4:]:
        state = one_round(W, state, word_sum)
    digest = [W.add(new, old) for new, old in zip(state, midstate, strict=True)]
    state = list(IV)
    for t, word in zip(range(LAST_ROUND + 1), schedule(W, [*digest, *DIGEST_PADDING]), strict=False):
        state = one_round(W, state, K[t], word)
    assert top_word(W, state) == hash_word(header)


@pytest.mark.parametrize(
    ("name", "unit", "instructions"),
    [
        ("sha-arm-4", sha_instructions.ARM, ["sha256h\t", "sha256h2\t", "sha256su0\t", "sha256su1\t"]),
        ("vector-2x2", None, ["v0.4s", "ushr\t"]),
    ],
)
def test_compiles_for_arm(name: str, unit: sha_instructions.Unit | None, instructions: list[str]) -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    info = next(info for info in VARIANTS if info.name == name)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(I32, [I32.as_pointer(), I64]), "search")
    builder = ir.IRBuilder(function.append_basic_block())
    w = Words(builder, info.lanes)
    scratch = looped.Scratch(
        builder, function.args[0], looped.Layout(info.lanes, info.midstates, info.first, info.second)
    )
    if unit is not None:
        sha_instructions.first_pass(w, scratch, function.args[1], info.first, unit)
        tops = sha_instructions.second_pass(w, scratch, function.args[1], info.second, unit)
    else:
        looped.first_pass(w, scratch, function.args[1], info.first)
        tops = looped.second_pass(w, scratch, function.args[1], info.second)
    builder.ret(tops[0] if info.lanes == 1 else builder.extract_element(tops[0], I32(0)))
    target = binding.Target.from_triple("aarch64-unknown-linux-gnu")
    compiled = binding.parse_assembly(str(module))
    compiled.verify()
    machine = target.create_target_machine(features=",".join(f"+{need}" for need in ["neon", *info.needs]), opt=3)
    assembly = machine.emit_assembly(compiled)
    assert all(instruction in assembly for instruction in instructions)
