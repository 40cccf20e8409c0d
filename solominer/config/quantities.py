"""Numbers with units, as several groups of settings use them: bounds, and how they may be written."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from solominer.config import forms
from solominer.config.hours import parse_hours

NUMBER = BeforeValidator(forms.quantity(forms.PLAIN, "0.5"))
SECS = BeforeValidator(forms.quantity(forms.SECONDS, "30, 30s, 5m or 1h"))
DAYS = BeforeValidator(forms.quantity(forms.DAYS, "400, 400d or 1y"))
GIGABYTES = BeforeValidator(forms.quantity(forms.GIGABYTES, "4, 4GB or 512MB"))
SHARE = BeforeValidator(forms.quantity(forms.SHARE, "0.5 or 50%"))
CELSIUS = BeforeValidator(forms.quantity(forms.CELSIUS, "80"))
WATTS = BeforeValidator(forms.quantity(forms.WATTS, "250, 250W or 1.2kW"))
RATE = BeforeValidator(forms.quantity(forms.RATE, "40e6 or 40M"))
WHOLE = BeforeValidator(forms.whole)

Port = Annotated[int, Field(ge=1, le=65535), WHOLE]
Seconds = Annotated[float, Field(ge=0.01, le=86400), SECS]
Share = Annotated[float, Field(ge=0, le=1), SHARE]
PositiveShare = Annotated[float, Field(gt=0, le=1), SHARE]
Gigabytes = Annotated[float, Field(gt=0, le=1e6), GIGABYTES]
Period = Annotated[float, Field(gt=0, le=366 * 86400), SECS]
Amount = Annotated[float, Field(ge=0, le=1e15), NUMBER]
PositiveAmount = Annotated[float, Field(gt=0, le=1e15), NUMBER]


def _as_hours(text: str) -> str:
    parse_hours(text)
    return text


Hours = Annotated[str, AfterValidator(_as_hours)]
