"""Whatever configuration is put before the program: it works, or is refused with exit code 2 and names the key.
Never a traceback, never a hang, and no marked secret in anything that is shown.

CONFIG_CASES sets how many cases are generated (seeded; a case that fails is named by its number).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solominer import cli
from solominer.config.environment import settings_of
from solominer.config.load import load_config, warnings_about
from solominer.config.models import Config, NodeConfig
from solominer.errors import ConfigError
from solominer.setup.first_run import check_nodes
from tests.config.fuzz import FLAGS, PASSWORD, Case, case

CASES = int(os.environ.get("CONFIG_CASES", "1500"))
COMMAND_CASES = max(50, CASES // 20)
SLOWEST_SECS = 5.0
NAMES = {setting.keys[-1] for setting in (*settings_of(), *settings_of(NodeConfig))}
NAMED = re.compile(
    "|".join(sorted(NAMES, key=len, reverse=True))
    + r"|SOLOMINER_|unknown|two nodes|node is configured|RPC credentials|must not contain|contains control"
    + r"|payout address|is not valid JSON|is empty|not UTF-8 text|one JSON object"
)


def loaded(path: Path, made: Case) -> tuple[str, Config | None]:
    """What is shown of the case, and its Config if it has one. Only ConfigError may be raised."""
    path.write_bytes(made.data)
    started = time.process_time()
    config, shown, refused = None, "", None
    try:
        config = load_config(path, environ=made.environ, overrides=made.flags)
        shown = "\n".join(warnings_about(path, config))
        check_nodes(config)
    except ConfigError as error:
        refused = error
    if refused is not None:
        shown += str(refused)
        assert refused.exit_code == 2
        assert NAMED.search(str(refused)), refused
        assert refused.todo
    assert time.process_time() - started < SLOWEST_SECS
    return shown, config


def assert_no_secret(made: Case, shown: str, config: Config | None) -> None:
    assert PASSWORD not in shown
    assert not any(key in shown for key in made.keys)
    assert "\x1b" not in shown
    if config is not None:
        dumped = repr(config) + config.model_dump_json() + str(config)
        assert PASSWORD not in dumped
        assert not any(key in dumped for key in made.keys)


def test_generated_configurations(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    outcomes = {True: 0, False: 0}
    for number in range(CASES):
        made = case(number)
        try:
            shown, config = loaded(path, made)
            assert_no_secret(made, shown, config)
        except Exception as error:
            raise AssertionError(f"case {number}: {error!r}\n{made}") from error
        outcomes[config is not None] += 1
    assert min(outcomes.values()) > CASES / 10, "most cases say nothing"
    print(outcomes)  # noqa: T201 - how many worked and how many were refused


FLAG_NAMES = {name: "--" + name.rpartition(".")[2].removesuffix("_secs").replace("_", "-") for name in FLAGS}


def test_generated_configurations_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command `run` with everything but the daemon."""
    monkeypatch.setattr("solominer.daemon.daemon.run", lambda config, options, recent: 0)
    monkeypatch.setattr("solominer.views.logs.set_up_logging", lambda level, live_view: None)
    for name in [name for name in os.environ if name.startswith("SOLOMINER_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.json"
    for number in range(CASES, CASES + COMMAND_CASES):
        made = case(number)
        path.write_bytes(made.data)
        arguments = ["solominer", "run", "--config", str(path), "--yes", "--data-dir", str(tmp_path / "data")]
        for name, text in made.flags.items():
            if name not in ("policies.dry_run", "data_dir") and "\0" not in text and "\ud800" not in text:
                arguments += [FLAG_NAMES[name], text]
        environ = {name: text for name, text in made.environ.items() if "\0" not in text and "\ud800" not in text}
        output = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stderr(output),
            contextlib.redirect_stdout(output),
        ):
            patch.setattr(sys, "argv", arguments)
            for name, text in environ.items():
                patch.setenv(name, text)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        shown = output.getvalue()
        assert ended.value.code in (0, 2), (number, shown)
        assert "Traceback" not in shown, (number, shown)
        assert PASSWORD not in shown, (number, shown)
        assert not any(key in shown for key in made.keys), (number, shown)


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
KEYED = st.dictionaries(st.sampled_from(sorted(NAMES)), ANY, max_size=4)


@settings(max_examples=max(100, CASES // 10), deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(Config.model_fields)), ANY | KEYED | st.lists(KEYED, max_size=2), max_size=4)
)
def test_any_value_of_any_key(tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    loaded(path, Case(json.dumps(values).encode()))


@settings(max_examples=max(100, CASES // 10), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([setting.variable for setting in settings_of()]),
        st.text(st.characters(exclude_characters="\0"), max_size=30),
        max_size=3,
    )
)
def test_any_text_of_any_variable(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    loaded(path, Case(b"{}", environ))


@settings(max_examples=max(100, CASES // 10), deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    loaded(tmp_path_factory.getbasetemp() / "any.json", Case(data))
