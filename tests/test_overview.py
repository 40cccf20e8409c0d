"""What a run that ends without a hash says about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from solominer.overview import why_no_hash


def pool(*kernels: str) -> Any:
    return SimpleNamespace(workers=[SimpleNamespace(kernel=kernel) for kernel in kernels])


def test_no_worker_was_ready() -> None:
    text = why_no_hash(pool("", ""), "mining")
    assert "compiles the kernels" in text
    assert "--seconds" in text


def test_workers_were_ready_and_had_nothing_to_do() -> None:
    assert why_no_hash(pool("", "sha-x86"), "waiting for a node") == "the daemon was waiting for a node"
