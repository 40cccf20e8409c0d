"""Loads plan.yaml and checks at startup that the workers and kernels of this machine can follow it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from solominer.config.paths import expanded, plain_bytes
from solominer.engines.cpu.variants import VARIANTS, variant
from solominer.errors import PlanError
from solominer.plan.parse import parse_plan
from solominer.plan.plan import MODES, SearchPlan
from solominer.work.job import SEARCHED_SIZE


def load_plan(path: Path | None, mode: str = "main") -> SearchPlan:
    """The plan in a file (None: the default plan) for a mode of the daemon; modes without a sandbox get `main`.

    Raises PlanError with the group and the reason, also if the file cannot be read.
    """
    sandbox = mode if mode in MODES else "main"
    if path is None:
        return parse_plan("", sandbox)
    try:
        text = plain_bytes(expanded(path, "plan").read_bytes()).decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise PlanError("plan", f"cannot read {path}: {reason}", "correct `plan` in config.json") from error
    return parse_plan(text, sandbox)


def check_for_workers(plan: SearchPlan, workers: int) -> None:
    """Raise PlanError("families") if this number of CPU workers cannot follow the plan."""
    most_bits = 8 * SEARCHED_SIZE
    if plan.families.extranonce_bits > most_bits:
        raise PlanError(
            "families",
            f"extranonce_bits is {plan.families.extranonce_bits}, workers have {most_bits}",
            f"use extranonce_bits: {most_bits}",
        )
    if workers:
        plan.extranonce(workers - 1, workers, 0)


def kernel_for(plan: SearchPlan, wanted: str | None) -> str | None:
    """The kernel to start with: `wanted` if it can run the plan; None leaves the choice to timing.

    A plan that sets lanes or midstates gets the best kernel of this machine that has them. Raises PlanError("lanes") if
    there is none, ConfigError for an unknown name.
    """
    if wanted is not None:
        info = variant(wanted)
        plan.midstates_for(info.lanes, info.midstates)
        return wanted
    lanes, midstates = plan.lanes.lanes, plan.lanes.midstates
    if not lanes and not midstates:
        return None
    from solominer.engines.cpu.machine import this_machine  # loads the compiler, which few plans need

    for info in VARIANTS:
        if info.usual and info.needs <= this_machine().features:
            with suppress(PlanError):
                plan.midstates_for(info.lanes, info.midstates)
                return info.name
    reason = f"no kernel on this machine has {lanes or 'any'} lanes and takes {midstates or 'any'} midstates"
    raise PlanError("lanes", reason, "use auto")
