"""Documents against the code: generated parts are what the code gives now, and every error and alarm has its words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scripts.docsref import BLOCKS, REPO, pages, renewed
from scripts.docsref.commands import Command, all_commands
from scripts.docsref.messages import alarm_messages, error_messages
from scripts.docsref.odds import MINERS, last_epoch
from scripts.docsref.settings import variable
from scripts.docsref.tables import error_classes
from solominer.chain.target import decode_compact, difficulty
from solominer.cli import app
from solominer.config.load import load_config
from solominer.config.models import Config
from solominer.insight.odds import YEAR_SECS, block_chance

DOCS = REPO / "docs"
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()


def test_generated_parts_are_up_to_date() -> None:
    old = [str(page.relative_to(REPO)) for page in pages() if renewed(page.read_text()) != page.read_text()]
    assert old == [], "run .venv/bin/python scripts/docs-reference"


def test_every_generated_part_is_shown_somewhere() -> None:
    shown = {name for page in pages() for name in re.findall(r"<!-- generated: ([\w-]+) -->", page.read_text())}
    assert shown == BLOCKS.keys()


def test_renewing_replaces_only_what_is_between_the_marks() -> None:
    text = "before\n<!-- generated: modes -->\nold\n<!-- /generated -->\nafter\n"
    new = renewed(text)
    assert new.startswith("before\n<!-- generated: modes -->\n\n| mode |")
    assert new.endswith("|\n\n<!-- /generated -->\nafter\n")
    assert renewed(new) == new
    with pytest.raises(KeyError):
        renewed("<!-- generated: nonsense -->\n<!-- /generated -->\n")


def headings(text: str) -> dict[str, str]:
    """Text below each heading of the third level."""
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)
    return {title.strip(): body.split("\n## ")[0].strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_kind_of_error_and_alarm_has_an_entry() -> None:
    entries = headings(TROUBLESHOOTING)
    wanted = {each.__name__ for each in error_classes()} | {each.kind for each in alarm_messages()}
    assert entries.keys() == wanted
    assert all(len(body) >= 20 for body in entries.values())


def test_every_message_is_listed() -> None:
    """The list is read from the syntax tree; these are held against the plain text of the source."""
    listed = (DOCS / "reference/messages.md").read_text().replace("\\_", "_")
    raised = set()
    for path in (REPO / "solominer").rglob("*.py"):
        for kind, quoted in re.findall(r"raise (\w+)\(\s*f?\"([^\"{}\\\\]{12,})[\"{\\\\]", path.read_text()):
            if kind in {each.__name__ for each in error_classes()} - {"PlanError"}:
                raised.add(quoted.replace("<", "&lt;").strip())
    assert len(raised) > 80
    assert [text for text in sorted(raised) if text not in listed] == []


def test_messages_are_read_whatever_their_form(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        'def f(x):\n    text = f"no {x} left"\n    raise ConfigError(text, "buy " + "more")\n'
        'def g(x):\n    raise PlanError("lanes", "odd" if x else "even")\n'
        'def h(self):\n    self.alarm(Severity.HIGH, "on-fire", f"{self} burns", "run")\n'
        'def why(x):\n    return f"{x} is shut", "open it"\n'
        "def i(x):\n    raise NodeError(*why(x))\n"
    )
    found = [(each.kind, each.what, each.todo) for each in error_messages(tmp_path) + alarm_messages(tmp_path)]
    assert found == [
        ("ConfigError", "no … left", "buy more"),
        ("PlanError", "odd / even", ""),
        ("NodeError", "… is shut", "open it"),
        ("on-fire", "… burns", "run"),
    ]


def test_every_setting_is_described() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", (DOCS / "reference/settings.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} >= set(Config.model_fields)
    assert [name for name, about in rows if not about] == []


def test_the_variable_of_a_setting_is_as_the_page_says() -> None:
    assert variable("bitcoin_rpc.port") == "SOLOMINER_BITCOIN_RPC__PORT"
    config = load_config(environ={variable("bitcoin_rpc.port"): "8332"})
    assert config.bitcoin_rpc is not None
    assert config.bitcoin_rpc.port == 8332


@pytest.mark.parametrize("command", list(all_commands()), ids=lambda command: str(command.name))
def test_help_has_what_the_page_has(command: Command) -> None:
    """The page reads signatures; --help must have the same options, and the examples in it only such ones."""
    told = CliRunner().invoke(app, [*command.name.split()[1:], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0
    known = {name for option in command.options for names in option.names for name in names.split("/")}
    assert [name for name in known if name.startswith("-") and name not in told.output] == []
    for line in command.examples.splitlines():
        words = shlex.split(line.split("|")[0], comments=True)
        assert " ".join(words).startswith(command.name), line
        assert {word for word in words if word.startswith("--")} <= known | {"--help"}, line


def test_the_odds_are_those_of_the_last_difficulty() -> None:
    height, known = last_epoch()
    with (REPO / "tests/vectors/mainnet_difficulty_epochs.csv").open() as file:
        nbits = int(file.readlines()[-1].split(",")[2], 16)
    assert known == pytest.approx(difficulty(decode_compact(nbits)), rel=1e-9)
    page = (DOCS / "odds.md").read_text()
    assert f"{height:,}" in page
    name, rate_hps, _ = MINERS[1]
    years = 1 / block_chance(rate_hps, known, YEAR_SECS)
    row = re.search(rf"^\| {name} \| 1 in ([\d,]+) ", page, re.MULTILINE)
    assert row
    assert float(row[1].replace(",", "")) == pytest.approx(years, rel=0.05)
