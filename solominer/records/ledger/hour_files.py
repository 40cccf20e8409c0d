"""The files of one open part: ledger, log, errors, proofs. Used by one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solominer.records.files import optional
from solominer.records.ledger.jsonlines import Appender, pretty_json
from solominer.records.ledger.ledger import encode, entries, is_urgent, ledger_path
from solominer.records.report.hour import HourFold
from solominer.records.tree import Part, Tree

LOG = "solominer.log"


class HourFiles:
    """Sums up ledger entries and log lines, and writes them.

    `why` the part ended, once it has: `hour`, `clock`, `shutdown` or `recovered`.
    """

    def __init__(self, tree: Tree, network: str, part: Part) -> None:
        self.tree = tree
        self.network = network
        self.part = part
        self.fold = HourFold()
        self.why = ""
        self.urgent = False
        self.described: set[str] = set()
        self._ledger = Appender(ledger_path(tree, part))
        self._log = Appender(tree.folder("logs", part) / LOG)
        self._documents: dict[str, bytes] = {}

    @property
    def waiting(self) -> int:
        """Bytes not yet written."""
        return self._ledger.waiting + self._log.waiting + sum(map(len, self._documents.values()))

    def resume(self) -> None:
        """Sum up the entries already in the part's ledger."""
        for entry in entries(self.tree, self.part):
            self.fold.add(entry)
            if entry.get("kind") == "open":
                self.described.clear()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one ledger entry."""
        self.fold.add(entry)
        self._ledger.append(encode(entry))
        self.urgent = self.urgent or is_urgent(entry["kind"])

    def log(self, line: str) -> None:
        """Add one line of the log."""
        self._log.append(line.encode("utf-8", "backslashreplace") + b"\n")

    def put(self, path: str, document: Mapping[str, Any]) -> None:
        """Write or replace a JSON file, `path` relative to the root, at the next flush."""
        self._documents[path] = pretty_json(document)

    def put_errors(self) -> None:
        """Write errors.json at the next flush."""
        self.put(f"errors/{self.part.path}/errors.json", self.fold.errors.document(self.network, self.part.path))

    def flush(self) -> None:
        """Write everything, fsynced if anything is urgent. Raises OSError, after which it may be called again."""
        if not self._ledger.is_open:
            self.tree.clear_the_way(self._ledger.path)
        self._ledger.flush(durable=self.urgent)
        self.urgent = False
        with optional("the hour's log"):
            if not self._log.is_open:
                self.tree.clear_the_way(self._log.path)
            self._log.flush()
        while self._documents:
            path, data = next(iter(self._documents.items()))
            self.tree.write(path, data)
            del self._documents[path]

    def finish(self) -> None:
        """Write the last files of a part and close it. Raises OSError, after which it may be called again."""
        if self.fold.best.kept:
            document = self.fold.best.document(self.network, self.part.path)
            self.put(f"proofs/{self.part.path}/best-hashes.json", document)
        if self.fold.errors.distinct:
            self.put_errors()
        self.flush()
        self._ledger.close()
        with optional("the hour's log"):
            self._log.close()

    def abandon(self) -> None:
        """Close the files without writing."""
        self._ledger.abandon()
        self._log.abandon()
