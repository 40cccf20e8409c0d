"""What several commands share: options, and the configuration with its warnings."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

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


class OptionsOnly(TyperCommand):
    """A command without arguments: a folder or file that is given as one is answered by the option that takes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = {"allow_extra_args": True, **(kwargs.get("context_settings") or {})}
        super().__init__(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run it, unless there is an argument."""
        if not ctx.args:
            return super().invoke(ctx)
        given = ctx.args[0]
        option = "--data-dir" if Path(given).is_dir() else "--config"
        takes = {name for each in self.params for name in each.opts}
        hint = f"write {self.name} {option} {given}" if option in takes else f"see {self.name} --help"
        raise typer.BadParameter(f"{self.name} takes no argument {given!r:.200}; {hint}", ctx=ctx)
