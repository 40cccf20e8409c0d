"""Settings that decide when and how much is mined: schedule, throttle, electricity and policies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from solominer.config import forms
from solominer.config.part import Part
from solominer.config.quantities import (
    CELSIUS,
    RATE,
    SECS,
    WATTS,
    WHOLE,
    Amount,
    Hours,
    Period,
    PositiveAmount,
    PositiveShare,
    Seconds,
    Share,
)


class ScheduleConfig(Part):
    """When to mine, and how many blocks. Times are local."""

    days: Annotated[
        Annotated[int, Field(ge=1, le=36500)] | Literal["forever"], BeforeValidator(forms.whole_or("forever"))
    ] = Field("forever", description="exit after this many days from the start of the run")
    days_week: Annotated[int, Field(ge=1, le=7), WHOLE] = Field(
        7, description="mine on the first N days of each week, starting on Monday"
    )
    hours: Hours | None = Field(None, description="mining hours, e.g. 22:00-06:00 or 00:00-08:00,20:00-24:00")
    blocks_per_day: Annotated[
        Annotated[int, Field(ge=1, le=10**9)] | Literal["random", "all"],
        BeforeValidator(forms.whole_or("random", "all")),
    ] = Field("all", description="pause until midnight after this many blocks; random: a new number each day")
    block_interval_secs: Annotated[float, Field(ge=1, le=366 * 86400), SECS] | None = Field(
        None, description="minimum time between blocks; regtest and signet only"
    )


class ThrottleConfig(Part):
    """When to pause for other uses of the machine. Each condition is off by default."""

    max_temperature_c: Annotated[float, Field(gt=0, le=150), CELSIUS] | None = Field(
        None, description="pause above this temperature of any sensor; resume 5 degrees below"
    )
    max_other_load: PositiveAmount | None = Field(
        None, description="pause while other programs use more than this many cores"
    )
    pause_on_battery: bool = Field(False, description="pause while on battery power")
    pause_while_active_secs: Period | None = Field(
        None, description="pause while a user has been active at a terminal within this time"
    )
    resume_after_secs: Annotated[float, Field(ge=0, le=86400), SECS] = Field(
        60.0, description="resume once no condition has applied for this long"
    )

    @property
    def is_on(self) -> bool:
        """Whether any condition is set."""
        bounds = (self.max_temperature_c, self.max_other_load, self.pause_while_active_secs)
        return self.pause_on_battery or any(bound is not None for bound in bounds)


class ElectricityConfig(Part):
    """Electricity costs, for forecasts and policies. No request is made unless `price_url` is set."""

    watts: Annotated[float, Field(gt=0, le=1e9), WATTS] | None = Field(
        None, description="power consumption of the machine while mining"
    )
    price_per_kwh: Amount | None = Field(None, description="a fixed price, in any currency")
    price_url: SecretStr | None = Field(None, description="HTTP URL of a JSON document with the price")
    price_json_path: str = Field("", description="path of the price in the document, e.g. data.0.price")
    price_scale: PositiveAmount = Field(1.0, description="factor to a price per kWh; 0.001 if it is per MWh")
    refresh_secs: Annotated[float, Field(ge=10, le=366 * 86400), SECS] = Field(
        900.0, description="interval of price requests"
    )
    stale_secs: Period = Field(7200.0, description="age at which a price is no longer used")
    currency: str = Field("", max_length=20, description="currency of the price, for display")

    @field_validator("price_url")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @model_validator(mode="after")
    def _one_price(self) -> ElectricityConfig:
        if self.price_per_kwh is not None and self.price_url is not None:
            raise ValueError("set only one of price_per_kwh and price_url")
        return self


class PoliciesConfig(Part):
    """When to hash with fewer workers or none. Each policy is off by default. An intensity is the fraction of workers
    that hash, and of the time that a graphics card works. Every decision is logged with its reason."""

    dry_run: bool = Field(False, description="only log what the policies would do (also: run --dry-run)")
    look_secs: Seconds = Field(60.0, description="interval between decisions")
    intensity: PositiveShare = Field(1.0, description="normal intensity: fraction of workers that hash")
    difficulty_factor: PositiveAmount | None = Field(
        None, description="reduce intensity while the next difficulty is forecast above this multiple of today's"
    )
    difficulty_intensity: Share = Field(0.5, description="intensity for difficulty_factor; 0 stops")
    hours: Hours | None = Field(None, description="hours of normal intensity, e.g. 22:00-06:00")
    intensity_outside: Share = Field(0.5, description="intensity outside of hours; 0 stops")
    max_price_per_kwh: Amount | None = Field(None, description="stop above this price")
    max_cost_per_block: PositiveAmount | None = Field(
        None, description="stop while the expected electricity cost of a block is higher"
    )
    target_rate_hps: Annotated[float, Field(gt=0, le=1e24), RATE] | None = Field(
        None,
        description="add workers while the hash rate is below target_share of this; requires intensity below 1",
    )
    target_share: PositiveShare = Field(0.9, description="fraction of target_rate_hps that must be reached")

    @property
    def is_on(self) -> bool:
        """Whether any policy is set."""
        bounds = (self.difficulty_factor, self.max_price_per_kwh, self.max_cost_per_block, self.target_rate_hps)
        return self.intensity < 1 or self.hours is not None or any(bound is not None for bound in bounds)

    @model_validator(mode="after")
    def _can_add_workers(self) -> PoliciesConfig:
        if self.target_rate_hps is not None and self.intensity == 1:
            raise ValueError("target_rate_hps requires intensity below 1, to have workers to add")
        return self
