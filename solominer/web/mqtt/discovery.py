"""What is sent to Home Assistant: a device with its entities, and their state. No I/O.

https://www.home-assistant.io/integrations/mqtt#mqtt-discovery
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from solominer import __version__
from solominer.config.mqtt import MqttConfig

EXPIRE_SECS = 60
"""A state that is older is shown as unavailable, should the broker not notice that we are gone."""

ONLINE, OFFLINE = "online", "offline"

_MEASUREMENT = {"state_class": "measurement"}
_ENTITIES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("sensor", "rate_ghps", "Hash rate", {**_MEASUREMENT, "unit_of_measurement": "GH/s", "icon": "mdi:pickaxe"}),
    ("sensor", "blocks", "Blocks", {**_MEASUREMENT, "icon": "mdi:cube-outline"}),
    ("sensor", "best_session_difficulty", "Best share", {**_MEASUREMENT, "icon": "mdi:trophy-outline"}),
    (
        "sensor",
        "tip_age_secs",
        "Tip age",
        {**_MEASUREMENT, "device_class": "duration", "unit_of_measurement": "s"},
    ),
    ("binary_sensor", "mining", "Mining", {"device_class": "running"}),
)
"""(component, field of the state, name, further settings) of each entity."""


class Topics:
    """The topics of one solominer, from its name."""

    def __init__(self, config: MqttConfig) -> None:
        self.id = re.sub("[^a-z0-9]+", "_", config.name.lower()).strip("_") or "solominer"
        self.state = f"solominer/{self.id}/state"
        self.availability = f"solominer/{self.id}/availability"
        self._prefix = config.discovery_prefix

    def config(self, component: str, field: str) -> str:
        """The discovery topic of an entity."""
        return f"{self._prefix}/{component}/{self.id}/{field}/config"


def discovery(config: MqttConfig) -> Iterator[tuple[str, str]]:
    """(topic, JSON) of each entity."""
    topics = Topics(config)
    device = {"identifiers": [f"solominer_{topics.id}"], "name": config.name, "sw_version": __version__}
    for component, field, name, more in _ENTITIES:
        entity = {
            "name": name,
            "unique_id": f"solominer_{topics.id}_{field}",
            "state_topic": topics.state,
            "value_template": f"{{{{ value_json.{field} }}}}",
            "availability_topic": topics.availability,
            "expire_after": EXPIRE_SECS,
            "device": device,
            "origin": {"name": "solominer", "sw_version": __version__},
            **more,
        }
        yield topics.config(component, field), json.dumps(entity)


def state(status: Mapping[str, Any], best_session_difficulty: float | None) -> str:
    """The state as JSON, from a status of the daemon. What is unknown is null."""
    tip_at, rate_hps = status["tip_at"], status["rate_hps"]
    return json.dumps(
        {
            "rate_ghps": None if rate_hps is None else round(rate_hps / 1e9, 6),
            "blocks": status["accepted_blocks"],
            "best_session_difficulty": best_session_difficulty,
            "tip_age_secs": round(max(status["at"] - tip_at, 0.0)) if tip_at else None,
            "mining": "ON" if status["status"].startswith("mining") else "OFF",
        }
    )
