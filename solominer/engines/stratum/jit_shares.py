"""Shares checked and answered by jitted code: coinbase, Merkle branch, header, targets, duplicates, replies.

The hash of the coinbase begins at a midstate behind the blocks that all miners share. `reference` does the same in
hashlib, and checks again whatever counts as a block. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from solominer.engines.sha256.sha256d import IV
from solominer.engines.stratum.jit_read import read_line, read_lines, read_records
from solominer.engines.stratum.messages import Errors, reply_error, reply_true
from solominer.engines.stratum.native import (
    ABOVE_OF,
    ABOVE_TARGET,
    ACCEPTED,
    ACCEPTED_OF,
    BEHIND,
    BEST_OF,
    BITS,
    BOUNDS_OF,
    COLUMNS,
    DUPLICATE,
    EXTRANONCE1,
    EXTRANONCE2,
    ID_AT,
    ID_LEN,
    JOB_HEAD,
    JOB_OF,
    NAMES_OF,
    NEXT_AT,
    NONCE,
    NTIME,
    NTIME_MAX,
    NTIME_MIN,
    PACKET,
    PACKET_AIM,
    PACKET_AT,
    PACKET_END,
    RECORD_BYTES,
    RESULT_WORDS,
    SCRATCH_HEAD,
    SCRATCH_OF,
    SENT,
    SHARE_WORDS,
    TAKEN,
    TARGETS_OF,
    VERSION,
    VERSION_MASK,
)
from solominer.engines.stratum.sha256ir import bytes_at, integers_at, keys_at, words_at

_helper = numba.njit(boundscheck=False)


def make_functions(emit: Any) -> dict[str, Any]:
    """The functions by name; `emit` compresses a block.

    - compress(state, state_at, block, block_at): see `sha256ir`.
    - check(job, shares, results, scratch, start, end): hash shares of the prepared job; a result is a hash and the bits
      of `reference.SHARE` and `BLOCK`.
    - root(job, shares, results, scratch, start, end): the Merkle roots that shares of the prepared job have.
    - line(data, at, size, rows): read the line of a share into the first row; where the next one begins, or -1.
    - take(data, packets, packet_count, most, rows, shares, results, codes, tables, count, room, out): of each packet
      take the shares that it begins with, up to the first that is special or not of its aim's names: check and answer
      them, and add the accepted ones to the last of the tables. Of lines the replies are written, of records
      (`jit_read`) their codes. No more than `most` and `room` are taken of all packets, and `most` is at most
      MAX_BATCH. The result is how many were added.
    """
    root, check = _make_check(emit)
    judge, write = _make_judge(check), _make_write()

    @_helper
    def take_one(  # type: ignore[no-untyped-def]
        data, at, size, aim, most, rows, shares, results, codes, tables, count, out, out_at
    ):
        bounds, names = integers_at(aim[BOUNDS_OF]), bytes_at(aim[NAMES_OF])
        job, targets, scratch = words_at(aim[JOB_OF]), words_at(aim[TARGETS_OF]), words_at(aim[SCRATCH_OF])
        is_record = bounds[RECORD_BYTES] != 0
        if is_record:
            found = read_records(data, at, size, bounds, names, most, rows)
        else:
            found = read_lines(data, at, size, bounds, names, most, rows)
        found = judge(rows, found, bounds, job, shares, targets, results, scratch, codes)
        if found == 0:
            return found, at, 0, 0, 0, -1, 0
        added = _mark(results, codes, found, tables, count)
        if is_record:
            written = found
            for number in range(found):
                out[out_at + number] = codes[number]
        else:
            written = write(data, rows, codes, found, out, out_at)
        accepted, above, best = _counts(codes, results, found)
        return found, rows[(found - 1) * COLUMNS + BEHIND], written, accepted, above, best, added

    @_helper
    def take(  # type: ignore[no-untyped-def]
        data, packets, packet_count, most, rows, shares, results, codes, tables, count, room, out
    ):
        taken, added, out_at = np.int64(0), np.int64(0), np.int64(0)
        for number in range(packet_count):
            packet = number * PACKET
            packets[packet + TAKEN] = 0
            if packets[packet + PACKET_AIM] == 0:
                continue
            found, end, written, accepted, above, best, new = take_one(
                data, packets[packet + PACKET_AT], packets[packet + PACKET_END],
                integers_at(packets[packet + PACKET_AIM]), min(most - taken, room - added),
                rows, shares, results, codes, tables, count, out, out_at,
            )  # fmt: skip
            taken, added, out_at = taken + found, added + new, out_at + written
            packets[packet + TAKEN], packets[packet + NEXT_AT], packets[packet + SENT] = found, end, written
            packets[packet + ACCEPTED_OF], packets[packet + ABOVE_OF] = accepted, above
            if best >= 0:
                for i in range(4):
                    low = best * RESULT_WORDS + 2 * i
                    value = np.uint64(results[low]) | np.uint64(results[low + 1]) << np.uint64(32)
                    packets[packet + BEST_OF + i] = np.int64(value)
        return (added,)

    @_helper
    def line(data, at, size, rows):  # type: ignore[no-untyped-def]
        return (read_line(data, at, size, rows, 0),)

    @_helper
    def compress(state, state_at, block, block_at):  # type: ignore[no-untyped-def]
        emit(state, state_at, block, block_at)

    return {"compress": compress, "check": check, "root": root, "line": line, "take": take}


@_helper
def _at_most(words, at, limits, limit_at):  # type: ignore[no-untyped-def]
    """Whether one number of eight words is at most another; the lowest words stand first."""
    for i in range(7, -1, -1):
        mine, limit = words[at + i], limits[limit_at + i]
        if mine != limit:
            return mine < limit
    return True


def _make_check(emit: Any) -> Any:
    start = np.array(IV, np.uint32)
    pad_64 = np.array([0x80000000, *[0] * 13, 0, 8 * 64], np.uint32)

    @_helper
    def compress_at(states, state_at, blocks, block_at):  # type: ignore[no-untyped-def]
        emit(states, state_at, blocks, block_at)

    @_helper
    def swap(x):  # type: ignore[no-untyped-def]
        high = (x << np.uint32(24)) | ((x & np.uint32(0xFF00)) << np.uint32(8))
        return np.uint32(high | ((x >> np.uint32(8)) & np.uint32(0xFF00)) | (x >> np.uint32(24)))

    @_helper
    def second(scratch):  # type: ignore[no-untyped-def]
        """The state becomes the hash of itself as a digest of 32 bytes."""
        for i in range(8):
            scratch[8 + i] = scratch[i]
            scratch[16 + i] = np.uint32(0)
            scratch[i] = start[i]
        scratch[16] = np.uint32(0x80000000)
        scratch[23] = np.uint32(256)
        compress_at(scratch, 0, scratch, 8)

    @_helper
    def find_root(job, shares, at, scratch):  # type: ignore[no-untyped-def]
        """Scratch: a state (8 words), a digest's or a header's block (16), the padding block (16), then the tail.

        The state becomes the root; it begins as the root where the job has no block behind it.
        """
        blocks, hole, branch = np.int64(job[8]), np.int64(job[9]), np.int64(job[10])
        for i in range(8):
            scratch[i] = job[i]
        if blocks == 0:
            return
        tail = JOB_HEAD + 8 * branch
        for i in range(16 * blocks):
            scratch[SCRATCH_HEAD + i] = job[tail + i]
        for i in range(12):
            byte = (shares[at + (i >> 2)] >> np.uint32(8 * (i & 3))) & np.uint32(0xFF)
            place = hole + i
            scratch[SCRATCH_HEAD + (place >> 2)] |= byte << np.uint32(24 - 8 * (place & 3))
        for block in range(blocks):
            compress_at(scratch, 0, scratch, SCRATCH_HEAD + 16 * block)
        second(scratch)
        for level in range(branch):
            for i in range(8):
                scratch[8 + i] = scratch[i]
                scratch[16 + i] = job[JOB_HEAD + 8 * level + i]
                scratch[i] = start[i]
            compress_at(scratch, 0, scratch, 8)
            for i in range(16):
                scratch[24 + i] = pad_64[i]
            compress_at(scratch, 0, scratch, 24)
            second(scratch)

    @_helper
    def root(job, shares, results, scratch, first, end):  # type: ignore[no-untyped-def]
        for row in range(first, end):
            find_root(job, shares, row * SHARE_WORDS, scratch)
            for i in range(8):
                results[row * RESULT_WORDS + i] = swap(scratch[i])

    @_helper
    def check(job, shares, results, scratch, first, end):  # type: ignore[no-untyped-def]
        for row in range(first, end):
            at, result = row * SHARE_WORDS, row * RESULT_WORDS
            find_root(job, shares, at, scratch)
            # The header: version, parent, seven words of the root; then the root's last word, time, bits and nonce.
            for i in range(7):
                scratch[17 + i] = scratch[i]
            last_of_root = scratch[7]
            scratch[8] = swap(shares[at + 3])
            for i in range(8):
                scratch[9 + i] = job[11 + i]
                scratch[i] = start[i]
            compress_at(scratch, 0, scratch, 8)
            for i in range(5, 15):
                scratch[8 + i] = np.uint32(0)
            scratch[8] = last_of_root
            scratch[9] = swap(shares[at + 4])
            scratch[10] = job[19]
            scratch[11] = swap(shares[at + 5])
            scratch[12] = np.uint32(0x80000000)
            scratch[23] = np.uint32(640)
            compress_at(scratch, 0, scratch, 8)
            second(scratch)
            for i in range(8):
                results[result + i] = swap(scratch[i])
            meets = np.uint32(0)
            if _at_most(results, result, shares, at + 6):
                meets = np.uint32(1)
            if _at_most(results, result, job, 20):
                meets |= np.uint32(2)
            results[result + 8] = meets

    return root, check


def _make_judge(check: Any) -> Any:
    @_helper
    def judge(rows, found, bounds, job, shares, targets, results, scratch, codes):  # type: ignore[no-untyped-def]
        """Hash the shares of the rows and give each a code, up to the first that is special; how many those are."""
        version, mask = bounds[VERSION], bounds[VERSION_MASK]
        for number in range(found):
            row, at = number * COLUMNS, number * SHARE_WORDS
            shares[at] = np.uint32(bounds[EXTRANONCE1])
            shares[at + 1] = np.uint32(rows[row + EXTRANONCE2])
            shares[at + 2] = np.uint32(rows[row + EXTRANONCE2] >> 32)
            shares[at + 3] = np.uint32(version | (rows[row + BITS] & mask))
            shares[at + 4] = np.uint32(rows[row + NTIME])
            shares[at + 5] = np.uint32(rows[row + NONCE])
            for i in range(8):
                shares[at + 6 + i] = targets[i]
        check(job, shares, results, scratch, 0, found)
        for number in range(found):
            row, at = number * COLUMNS, number * RESULT_WORDS
            meets, ntime = results[at + 8], rows[row + NTIME]
            code = ACCEPTED if meets & np.uint32(1) else ABOVE_TARGET
            odd = rows[row + BITS] & ~mask or ntime < bounds[NTIME_MIN] or ntime > bounds[NTIME_MAX]
            if odd or meets & np.uint32(2) or (code == ACCEPTED and _at_most(results, at, targets, 8)):
                return number
            codes[number] = code
        return found

    return judge


@_helper
def _find(tables, index, key):  # type: ignore[no-untyped-def]
    """The slots of a table (its address and its mask), and the place of a key or of an empty slot."""
    slots, mask = keys_at(tables[2 * index]), tables[2 * index + 1]
    at = key & mask
    while slots[at] and slots[at] != key:
        at = (at + np.uint64(1)) & mask
    return slots, at


@_helper
def _mark(results, codes, found, tables, count):  # type: ignore[no-untyped-def]
    """Find duplicates among the accepted rows and add the others to the last table; how many were added."""
    added = 0
    for row in range(found):
        if codes[row] != ACCEPTED:
            continue
        at = row * RESULT_WORDS
        key = np.uint64(results[at]) | np.uint64(results[at + 1]) << np.uint64(32)
        if not key:
            key = np.uint64(1)
        for index in range(count - 1):
            slots, place = _find(tables, index, key)
            if slots[place]:
                codes[row] = DUPLICATE
        slots, place = _find(tables, count - 1, key)
        if slots[place]:
            codes[row] = DUPLICATE
        elif codes[row] == ACCEPTED:
            slots[place] = key
            added += 1
    return added


@_helper
def _counts(codes, results, found):  # type: ignore[no-untyped-def]
    """Of these rows: how many are accepted and how many above their target, and the row of the best hash or -1."""
    accepted, above, best = 0, 0, -1
    for number in range(found):
        if codes[number] == ABOVE_TARGET:
            above += 1
        elif codes[number] == ACCEPTED:
            accepted += 1
            if best < 0 or _at_most(results, number * RESULT_WORDS, results, best * RESULT_WORDS):
                best = number
    return accepted, above, best


def _make_write() -> Any:
    begin = np.frombuffer(b'{"id":', np.uint8)
    ends = [reply_true(b"")[6:]] + [
        reply_error(b"", error, result=b"false")[6:] for error in (Errors.ABOVE_TARGET, Errors.DUPLICATE)
    ]
    starts = np.array([0, *np.cumsum([len(each) for each in ends])], np.int64)
    tails = np.frombuffer(b"".join(ends), np.uint8)

    @_helper
    def write(data, rows, codes, found, out, out_at):  # type: ignore[no-untyped-def]
        size = out_at
        for number in range(found):
            for i in range(6):
                out[size + i] = begin[i]
            size += 6
            first, length = rows[number * COLUMNS + ID_AT], rows[number * COLUMNS + ID_LEN]
            for i in range(length):
                out[size + i] = data[first + i]
            size += length
            code = codes[number]
            for i in range(starts[code], starts[code + 1]):
                out[size] = tails[i]
                size += 1
        return size - out_at

    return write
