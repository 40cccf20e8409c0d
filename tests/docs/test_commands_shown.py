"""Every command in README.md and docs/ is run as it stands there, or says on the line above why it cannot be.

Fenced `console` blocks (lines behind `$`) and `sh` blocks are run by a shell in a folder that looks like the clone,
with a home of its own, so that nothing is left behind. The mark: `<!-- not runnable here: the reason -->`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.docsref import REPO

MARK = re.compile(r"<!-- not runnable here: (.{10,}) -->\s*$")
FENCE = re.compile(r"^```(console|sh|bash|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = {".git", ".venv", "data", "config.json", "lab", "lab-test"}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of one fenced block; `reason` says why they cannot be run, '' where they can."""

    page: str
    line: int
    commands: str
    reason: str


def blocks_in(page: str, text: str) -> Iterator[Block]:
    for fence in FENCE.finditer(text):
        lines = fence[2].splitlines()
        if fence[1] == "console":
            lines = [line.removeprefix("$").strip() for line in lines if line.startswith("$")]
        mark = MARK.search(text[: fence.start()])
        yield Block(page, text.count("\n", 0, fence.start()) + 1, "\n".join(lines), mark[1] if mark else "")


def all_blocks() -> list[Block]:
    pages = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
    return [block for page in pages for block in blocks_in(str(page.relative_to(REPO)), page.read_text())]


RUNNABLE = [block for block in all_blocks() if not block.reason]


def test_there_is_something_to_run() -> None:
    assert len(RUNNABLE) >= 4
    assert all(block.commands for block in all_blocks())


def test_marks_and_commands_are_read() -> None:
    text = (
        "<!-- not runnable here: it needs a moon -->\n```console\n$ fly\noutput\n```\n"
        "text\n```sh\nls\n```\n```python\nx\n```\n```console\n$ a   # why\n$ b\n```\n"
    )
    found = [(block.line, block.commands, block.reason) for block in blocks_in("x.md", text)]
    assert found == [(2, "fly", "it needs a moon"), (7, "ls", ""), (13, "a   # why\nb", "")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything of the clone in it, as links; what the commands write stays in it."""
    folder = tmp_path_factory.mktemp("clone")
    for each in REPO.iterdir():
        if each.name not in LEFT_OUT:
            (folder / each.name).symlink_to(each)
    (folder / ".venv").symlink_to(sys.prefix)  # where solominer is installed for these tests, whichever Python it is
    return folder


@pytest.mark.e2e
@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: f"{block.page}:{block.line}")
def test_commands_shown_run(block: Block, clone: Path, tmp_path: Path) -> None:
    environ = dict(
        os.environ,
        HOME=str(tmp_path),
        XDG_DATA_HOME=str(tmp_path / "share"),
        SOLOMINER_CACHE=str(REPO / ".cache"),
        PATH=f"{sys.prefix}/bin:{os.environ['PATH']}",
    )
    done = subprocess.run(
        ["sh", "-euxc", block.commands],
        cwd=clone, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.page}, line {block.line}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
