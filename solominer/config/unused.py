"""Settings that were given and have no effect: nothing that somebody set is ignored in silence."""

from __future__ import annotations

from collections.abc import Iterator

from solominer.config.models import Config, _Part

_NEEDS = (
    ("electricity", ("price_json_path", "price_scale", "refresh_secs", "stale_secs"), ("price_url",)),
    ("policies", ("difficulty_intensity",), ("difficulty_factor",)),
    ("policies", ("intensity_outside",), ("hours",)),
    ("policies", ("target_share",), ("target_rate_hps",)),
    (
        "throttle",
        ("resume_after_secs",),
        ("max_temperature_c", "max_other_load", "pause_on_battery", "pause_while_active_secs"),
    ),
)
"""(group, settings that do something only with one of these others)."""


def unused_settings(config: Config) -> list[str]:
    """A line for each; a setting that has its default value counts as left out."""
    return [*_of_nodes(config), *_of_groups(config)]


def _of_nodes(config: Config) -> Iterator[str]:
    idle: tuple[str, ...]
    if config.mode_rules.simulated:
        idle, why = ("bitcoin_rpc", "zmq", "more_nodes", "payout_address", "bitcoind"), "mode demo uses no node"
    elif config.wants_private_node:
        idle, why = ("zmq",), "bitcoin_rpc is not set, so a private node is started"
    else:
        idle, why = ("bitcoind",), "only a private node is started, and none is: the mode or bitcoin_rpc says so"
        if config.bitcoin_rpc is None and config.more_nodes:
            main = config.name_of(config.more_nodes[0])
            yield f"bitcoin_rpc is not set: the first of more_nodes, {main}, is the main node"
    yield from (f"{name} has no effect: {why}" for name in _given(config, idle))


def _of_groups(config: Config) -> Iterator[str]:
    for group, names, wanted in _NEEDS:
        part = getattr(config, group)
        if not _given(part, wanted):
            yield from (f"{group}.{name} has no effect without {' or '.join(wanted)}" for name in _given(part, names))
    costs, policies = config.electricity, config.policies
    if _given(costs, ("price_url", "price_per_kwh")) and not _given(
        policies, ("max_price_per_kwh", "max_cost_per_block")
    ):
        yield "electricity has no effect on mining: no policy asks for a price; `solominer forecast` uses it"


def _given(part: _Part, names: tuple[str, ...]) -> list[str]:
    fields = type(part).model_fields
    return [name for name in names if getattr(part, name) != fields[name].default]
