"""The open hour, shared by the threads that write.

An hour may only be sealed once nobody writes into its folders, and a found block must never wait for that. So the open
hour is switched first, and only the sealing waits for the remaining writers of the old one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from solominer.errors import RecordsError
from solominer.records.tree import Part


class OpenHour:
    """Which part is open. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._part: Part | None = None
        self._writers: Counter[Part] = Counter()

    @property
    def part(self) -> Part:
        """The open part. Raises RecordsError if there is none."""
        part = self._part
        if part is None:
            raise RecordsError("the records are not open", "open the recorder before writing")
        return part

    @contextmanager
    def writing(self) -> Iterator[Part]:
        """The open part, which is not sealed while the `with` block runs. Raises RecordsError if there is none."""
        with self._changed:
            part = self.part
            self._writers[part] += 1
        try:
            yield part
        finally:
            with self._changed:
                self._writers[part] -= 1
                self._changed.notify_all()

    def switch(self, part: Part | None) -> None:
        """Make `part` the open one (None: none) for new writers."""
        with self._changed:
            self._part = part

    def wait_until_left(self, part: Part) -> None:
        """Wait for the last writer in `part`, which must no longer be the open one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writers[part])
            del self._writers[part]
