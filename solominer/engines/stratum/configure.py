"""What a client asks for: extensions by mining.configure (BIP 310), and a difficulty by mining.suggest_*.

Only extensions that were asked for are answered: Whatsminer reconnects for ever over a key that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

from solominer.chain.target import DIFFICULTY_1_TARGET
from solominer.engines.stratum.names import positive_number

MAX_EXTENSIONS = 16
MAX_NAME = 64
_MAX_TARGET = len("0x") + 64


@dataclass(frozen=True, slots=True)
class Configured:
    """What mining.configure agreed on.

    `result` is the answer; None stands for what was not asked for. `version_mask` is what both sides may roll.
    """

    result: dict[str, object]
    version_mask: int | None = None
    least_difficulty: float | None = None
    wants_extranonce: bool = False


def configure(params: object, allowed_mask: int) -> Configured:
    """Negotiate; `allowed_mask` are the version bits that current work leaves free. Anything malformed is left out."""
    wanted, options = _parts(params)
    result: dict[str, object] = {}
    mask: int | None = None
    least: float | None = None
    for name in wanted:
        if name == "version-rolling":
            mask = _mask(options.get("version-rolling.mask")) & allowed_mask
            result[name] = mask != 0
            if mask:
                result["version-rolling.mask"] = f"{mask:08x}"
        elif name == "minimum-difficulty":
            least = positive_number(options.get("minimum-difficulty.value")) or None
            result[name] = least is not None
        else:
            result[name] = name in ("subscribe-extranonce", "info")
    return Configured(result, mask, least, "subscribe-extranonce" in wanted)


def _parts(params: object) -> tuple[list[str], dict[str, object]]:
    """The names asked for, and the options, from [[names], {options}]; what is not of that form counts as empty."""
    if not isinstance(params, list):
        return [], {}
    names = params[0] if params and isinstance(params[0], list) else []
    options = params[1] if len(params) > 1 and isinstance(params[1], dict) else {}
    wanted = [name for name in names if isinstance(name, str) and name.isascii() and 0 < len(name) <= MAX_NAME]
    return list(dict.fromkeys(wanted))[:MAX_EXTENSIONS], options


def _mask(text: object) -> int:
    """The mask a client can roll; all bits if it names none that can be read."""
    if isinstance(text, str) and len(text) <= 10:
        try:
            return int(text, 16) & 0xFFFFFFFF
        except ValueError:
            pass
    return 0xFFFFFFFF


def suggested_difficulty(method: str | None, params: object) -> float:
    """What mining.suggest_difficulty or mining.suggest_target (256 bits in hex) asks for; 0 where it is malformed."""
    value = params[0] if isinstance(params, list) and params else None
    if method != "mining.suggest_target":
        return positive_number(value)
    try:
        target = int(value, 16) if isinstance(value, str) and len(value) <= _MAX_TARGET else 0
    except ValueError:
        return 0.0
    return DIFFICULTY_1_TARGET / target if 0 < target < 1 << 256 else 0.0
