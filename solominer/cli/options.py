"""What several commands share: options, and the configuration with its warnings."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from solominer.config.models import Config

MOST_SECS = 1e9

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The config.json to use.")]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="Folder of all records.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def some_secs(value: float | None) -> float | None:
    """Validate an option in seconds: finite and not NaN. Raises typer.BadParameter."""
    if value is not None and not 0 <= value <= MOST_SECS:
        raise typer.BadParameter(f"must be a number up to {MOST_SECS:.0f}")
    return value


def load(path: Path | None, overrides: Mapping[str, Any]) -> "Config":
    """The configuration; its warnings go to stderr."""
    from solominer.config.load import load_config, warnings_about

    settings = load_config(path, overrides=overrides)
    for warning in warnings_about(path, settings):
        sys.stderr.write(f"solominer: warning: {warning}\n")
    return settings
