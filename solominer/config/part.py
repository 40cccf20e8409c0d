"""What every group of settings is, and the types of value that several groups have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from solominer.config import forms

LOWERED = BeforeValidator(forms.lowered)
AnyPath = Annotated[Path, BeforeValidator(forms.path_from)]


class Part(BaseModel):
    """A frozen group of settings without unknown names, infinite numbers or endless texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=1000)
