"""Settings of graphics cards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from solominer.config import forms
from solominer.config.part import Part
from solominer.config.quantities import CELSIUS

_Milliseconds = BeforeValidator(forms.quantity({"": 1.0, "ms": 1.0}, "8 or 8ms"))


def _as_devices(value: Any) -> Any:
    """none, all, or numbers: a list, one number, or text such as 0,2."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in ("none", "all"):
            return text
        value = [part.strip() for part in text.strip("[]").split(",")]
    numbers = value if isinstance(value, list | tuple) else [value]
    try:
        numbers = tuple(forms.whole(number) for number in numbers)
    except ValueError:
        raise ValueError("must be none, all, or numbers of GPUs as in 0,2; `solominer gpu list` shows them") from None
    if len(set(numbers)) != len(numbers):
        raise ValueError("names a GPU twice; name each once")
    return numbers or "none"


class GpuConfig(Part):
    """Graphics cards, through OpenCL or CUDA; each has a worker process of its own. Requires `solominer[gpu]`."""

    devices: Annotated[
        tuple[Annotated[int, Field(ge=0, le=255)], ...] | Literal["none", "all"], BeforeValidator(_as_devices)
    ] = Field("none", description="none, all, or their numbers as `solominer gpu list` shows them, e.g. [0, 2]")
    kernel: str | None = Field(None, description="name of a GPU kernel; default: the fastest on each card")
    launch_ms: Annotated[float, Field(ge=1, le=1000), _Milliseconds] = Field(
        8.0, description="how long the card works on one launch; 50 is a little faster where no display is attached"
    )
    max_temperature_c: Annotated[float, Field(gt=0, le=150), CELSIUS] | None = Field(
        None, description="a card pauses above this temperature; it resumes 5 degrees below"
    )
    cpu_devices: bool = Field(False, description="also use CPUs that OpenCL offers as devices (PoCL), for tests")

    @property
    def is_on(self) -> bool:
        """Whether any card is to be used."""
        return self.devices != "none"

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The numbers of the cards, None for all."""
        return self.devices if isinstance(self.devices, tuple) else None
