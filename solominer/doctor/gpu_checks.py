"""Checks of graphics cards: package and driver, the cards that the configuration names, their temperature."""

from __future__ import annotations

from collections.abc import Iterator

from solominer.config.models import Config
from solominer.config.paths import default_cache_dir
from solominer.doctor.check import Check, CheckOutcome, Finding, failed, ok, run_checks, warning
from solominer.engines.gpu.listing import Card, list_cards, missing


def examine_gpus(config: Config) -> Iterator[Finding]:
    """Run all checks, if cards are configured."""
    gpu = config.gpu
    if not gpu.is_on:
        return
    cards: list[Card] = []

    def listed() -> CheckOutcome:
        cards.extend(list_cards(cpus=gpu.cpu_devices, cache_dir=default_cache_dir()))
        if not cards:
            return failed("the driver lists no GPU", "install the card's driver, or set gpu.devices to none")
        return ok(", ".join(f"{card.index} {card.name} ({card.driver})" for card in cards))

    def named() -> CheckOutcome:
        problem = missing(cards, gpu.numbers)
        used = [card for card in cards if gpu.numbers is None or card.index in gpu.numbers]
        if problem:
            return (warning if used else failed)(problem.what, problem.todo)
        return ok(", ".join(f"gpu/{card.index}" for card in used))

    def temperature() -> CheckOutcome:
        used = [card for card in cards if gpu.numbers is None or card.index in gpu.numbers]
        blind = [card.name for card in used if card.temperature_c is None]
        if blind and gpu.max_temperature_c is not None:
            text = f"max_temperature_c has no effect on {', '.join(blind)}: no temperature can be read"
            return warning(text, "install nvidia-ml-py for NVIDIA's cards, or remove it")
        shown = [f"{card.name} {card.temperature_c:.0f} °C" for card in used if card.temperature_c is not None]
        return ok(", ".join(shown) or "no temperature can be read; none is required")

    yield from run_checks(
        [
            Check("GPU drivers", listed),
            Check("GPUs of the configuration", named, ("GPU drivers",)),
            Check("GPU temperature", temperature, ("GPU drivers",)),
        ]
    )
