"""What the web server needs to know. It has no access to the node, and holds none of its secrets, only its own."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from solominer.config.alerts import REVEAL, AlertsConfig
from solominer.config.devices import DeviceConfig, DevicePolling
from solominer.config.models import Config
from solominer.config.mqtt import MqttConfig
from solominer.config.web import WebConfig


class WebSetup(BaseModel):
    """`folder` holds the records of one network (`data_dir/<network>`); `config_file` is the daemon's, if any."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    network: str
    simulated: bool
    web: WebConfig
    alerts: AlertsConfig = AlertsConfig()
    devices: tuple[DeviceConfig, ...] = ()
    device_polling: DevicePolling = DevicePolling()
    mqtt: MqttConfig = MqttConfig()
    config_file: Path | None = None

    @classmethod
    def of(cls, config: Config, config_file: Path | None = None) -> WebSetup:
        """The setup for a daemon with this configuration."""
        return cls(
            folder=config.tree_dir,
            network=config.chain.name,
            simulated=config.mode_rules.simulated,
            web=config.web,
            alerts=config.alerts,
            devices=config.devices,
            device_polling=config.device_polling,
            mqtt=config.mqtt,
            config_file=config_file,
        )

    def line(self) -> bytes:
        """As a line for the server's process, with the secrets of its alerts."""
        return self.model_dump_json(context=REVEAL).encode() + b"\n"
