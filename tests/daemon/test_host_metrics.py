"""Metrics of the machine where its files cannot be read."""

from __future__ import annotations

import errno

import psutil
import pytest

from solominer.daemon.host_metrics import machine


def test_without_a_free_file_descriptor_there_are_no_metrics_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once ended the daemon."""
    seen = machine()
    assert seen is not None
    assert seen["memory_bytes"] > 0

    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(psutil, "cpu_percent", refused)
    assert machine() is None
