"""Base class of the groups of settings, and value types that several groups share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr

from solominer.config import forms

LOWERED = BeforeValidator(forms.lowered)
AnyPath = Annotated[Path, BeforeValidator(forms.path_from)]


def _http(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


SecretUrl = Annotated[SecretStr, AfterValidator(_http)]
"""An HTTP URL that may contain a key."""


class Part(BaseModel):
    """A frozen group of settings; rejects unknown keys, non-finite numbers and texts over 1000 characters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=1000)
