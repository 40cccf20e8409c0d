"""`solominer forecast`: the next retarget, the network's hash rate, this miner's chances and costs."""

import json
import math
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solominer.cli.options import JsonOption

if TYPE_CHECKING:
    from solominer.config.models import Config
    from solominer.governor.prices import Price
    from solominer.insight.outlook import Outlook
    from solominer.node.history import ChainHistory
    from solominer.node.rpc import RpcClient

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGTPE]?)(?:H(?:/s)?)?")
_OLD_TIP_SECS = 6 * 3600


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("forecast")(forecast)


def forecast(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="config.json with the node.")] = None,
    mode: Annotated[str | None, typer.Option("--mode", "-m", help="As for run.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Data folder with the last hourly report.")
    ] = None,
    hash_rate: Annotated[
        str | None, typer.Option(help="Your hash rate, e.g. 40M or 1.2TH/s; default: from the last hourly report.")
    ] = None,
    watts: Annotated[float | None, typer.Option(min=0.0, help="Power draw of your machine.")] = None,
    price: Annotated[float | None, typer.Option(min=0.0, help="Price per kWh, in any currency.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Forecast the next difficulty and your chances of a block, from your node's headers.

    The chance of a block depends only on the hashes to come; past work does not raise it.

    \b
    solominer forecast --config config.json --hash-rate 40M
    solominer forecast --config config.json --watts 250 --price 0.30
    """
    from solominer.config.load import load_config

    overrides = {"mode": mode, "data_dir": data_dir, "electricity.watts": watts}
    settings = load_config(config, overrides=overrides)
    from solominer.insight.outlook import Miner, outlook

    history = _history(settings)
    rate_hps = parse_rate(hash_rate) if hash_rate is not None else _last_rate_hps(settings)
    known = _price(settings, price)
    per_kwh = None if known is None else known.per_kwh
    miner = None if rate_hps is None else Miner(rate_hps, settings.electricity.watts, per_kwh)
    now = time.time()
    seen = outlook(history.difficulty, history.epochs, history.progress, history.blocks, now, miner)
    if as_json:
        typer.echo(json.dumps(document(history, seen, rate_hps, known, now), indent=2))
        return
    for line in lines(history, seen, rate_hps, settings.electricity.currency, now):
        typer.echo(line)


def parse_rate(text: str) -> float:
    """Hashes per second from `40M`, `1.2 TH/s`, `500kH`. Raises ConfigError."""
    from solominer.errors import ConfigError

    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r:.40} is not a hash rate", "write it like 40M, 1.2T or 500kH/s")
    return float(match[1]) * 1000.0 ** " kMGTPE".index(match[2] or " ")


def _history(settings: "Config") -> "ChainHistory":
    """Headers from the first configured node that answers."""
    from solominer.daemon.nodes import configured_nodes, from_first
    from solominer.errors import ConfigError, NodeNotReady
    from solominer.node.health import chain_of, is_set
    from solominer.node.history import read_history

    def read(client: "RpcClient") -> "ChainHistory":
        chain = chain_of(client, settings.chain)
        if not settings.chain.for_testing and is_set(chain, "initialblockdownload"):
            raise NodeNotReady(
                f"{client.node} is in initial block download: its newest block says nothing of today's difficulty",
                "wait until it is synced",
            )
        return read_history(client, settings.chain)

    if settings.mode_rules.node == "none" or settings.wants_private_node:
        raise ConfigError("a forecast requires your own node", "set bitcoin_rpc in config.json")
    return from_first(configured_nodes(settings), read)


def _last_rate_hps(settings: "Config") -> float | None:
    """The hash rate of the newest hourly report, or None."""
    from solominer.errors import RecordsError
    from solominer.records.report.period import hour_report
    from solominer.records.tree import Tree

    try:
        report = hour_report(Tree(settings.tree_dir), "latest")
    except RecordsError:
        return None
    rate = report and report["hashes"]["rate_hps"]
    return float(rate["value"]) if rate else None


def _price(settings: "Config", given: float | None) -> "Price | None":
    from solominer.governor.policies import electricity_of
    from solominer.governor.prices import Price

    if given is not None:
        return Price(given, time.time())
    electricity = electricity_of(settings.electricity)
    if electricity.source is not None:
        return electricity.source.fetch()
    return electricity.price(time.time())


def document(
    history: "ChainHistory", seen: "Outlook", rate_hps: float | None, price: "Price | None", now: float
) -> dict[str, Any]:
    """The forecast as JSON values."""
    from solominer.insight.outlook import outlook_document

    known = None if price is None else {"per_kwh": price.per_kwh, "at": price.at, "stale": price.stale}
    return {
        "at": now,
        "height": history.height,
        "tip_time": history.tip_time,
        **outlook_document(seen, now, history.retarget_height),
        "miner_hps": rate_hps,
        "price": known,
    }


def lines(history: "ChainHistory", seen: "Outlook", rate_hps: float | None, currency: str, now: float) -> list[str]:
    """The forecast as text."""
    from solominer.records.report.formats import duration, odds, short

    age = now - history.tip_time
    text = [f"height        {history.height:,}, block time {duration(max(age, 0))} ago"]
    if age > _OLD_TIP_SECS:
        text.append("              the node is behind; this forecast is as of its newest block")
    text.append(f"difficulty    {short(seen.difficulty).strip()}")
    following, change = seen.retarget, seen.change
    if following is None or change is None:
        text.append(f"next retarget no forecast: {seen.why_not}")
    else:
        level, left, next_ = f"{following.secs_left.level:.0%}", following.secs_left, following.difficulty
        text += [
            f"next retarget {_when(now + left.value)} at height {history.retarget_height:,},"
            f" in {duration(left.value)} ({level}: {duration(left.low)} to {duration(left.high)})",
            f"              to {short(next_.value).strip()}: {_percent(change.value)}"
            f" ({level}: {_percent(change.low)} to {_percent(change.high)}), model {following.model}",
        ]
    for days, rate in seen.network_hps.items():
        high = "no bound" if math.isinf(rate.high) else f"{short(rate.high)}H/s"
        name = "network rate" if days == 1 else ""
        text.append(
            f"{name:<13} {short(rate.value)}H/s over {days} day{'s' if days > 1 else ''}"
            f" ({rate.level:.0%}: {short(rate.low)}H/s to {high})"
        )
    if rate_hps is None:
        return [*text, "your chances  unknown: no hourly report yet; pass --hash-rate"]
    text.append(f"your rate     {short(rate_hps)}H/s")
    for chance in seen.chances:
        ahead = chance.ahead
        later = "" if ahead is None else f", with future difficulties {odds(ahead.value)}"
        if ahead is not None and ahead.high > 1.001 * ahead.low:
            later += f" ({ahead.level:.0%}: {odds(ahead.low)} to {odds(ahead.high)})"
        cost = "" if chance.electricity is None else f"; electricity {_money(chance.electricity, currency)}"
        text.append(f"chance        of a block in {_one(chance.horizon)}: {odds(chance.today)}{later}{cost}")
    if seen.median_wait_secs is not None and math.isfinite(seen.median_wait_secs):
        years = seen.median_wait_secs / 31_557_600
        wait = duration(seen.median_wait_secs) if years < 1 else f"{short(years)}years"
        text.append(f"median wait   {wait} at today's difficulty")
    if seen.cost_per_block is not None:
        text.append(f"a block costs {_money(seen.cost_per_block, currency)} of electricity on average")
    return text


def _one(horizon: str) -> str:
    return f"an {horizon}" if horizon == "hour" else f"a {horizon}"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def _money(amount: float, currency: str) -> str:
    return f"{amount:,.2f} {currency}".strip()
