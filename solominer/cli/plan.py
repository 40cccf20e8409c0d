"""Commands for search plans: plan check, plan show, plan replay."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from solominer.cli.options import JsonOption

plan = typer.Typer(
    help="Search plans: how header space is divided and in which order it is searched. No plan finds more blocks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PlanFile = Annotated[Path | None, typer.Argument(help="plan.yaml; default: the built-in plan.", show_default=False)]
ModeOption = Annotated[str, typer.Option("--mode", "-m", help="main, or demo, test or staging of the sandbox.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(plan, name="plan")


@plan.command()
def check(
    file: Annotated[Path, typer.Argument(help="plan.yaml")],
    kernel: Annotated[str | None, typer.Option(help="Hash kernel to check it for.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a plan as `run` does.

    Exit code 2, with the group and the reason, for an invalid plan.

    \b
    solominer plan check plan.yaml
    """
    from solominer.engines.cpu.plan_loader import check_for_workers, kernel_for, load_plan
    from solominer.plan.plan import MODES

    plans = {mode: load_plan(file, mode) for mode in MODES}
    for one in plans.values():
        check_for_workers(one, 1)
        kernel_for(one, kernel)
    if as_json:
        typer.echo(json.dumps({mode: {"hash": one.hash_hex, **one.facts()} for mode, one in plans.items()}, indent=2))
        return
    for mode, one in plans.items():
        typer.echo(f"{mode:<8} {one.hash_hex[:16]}  {one.chunks:,} chunks, order {one.strides.order}")
    typer.echo("every check passed")


@plan.command()
def show(
    file: PlanFile = None,
    mode: ModeOption = "main",
    plot: Annotated[Path | None, typer.Option(help="Write a plot of the order to this .svg or .png.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a plan as a table, and its order as a plot of chunk against time.

    \b
    solominer plan show
    solominer plan show plan.yaml --mode demo --plot order.svg
    """
    from solominer.engines.cpu.plan_loader import load_plan

    shown = load_plan(file, mode)
    if plot is not None:
        from solominer.views.plan import plot_order

        plot_order(shown, plot)
    if as_json:
        rows = [dict(zip(("group", "parameter", "value", "origin"), row, strict=True)) for row in shown.describe()]
        typer.echo(json.dumps({"hash": shown.hash_hex, **shown.facts(), "described": rows}, indent=2))
        return
    from rich.console import Console

    from solominer.views.plan import order_pictures, plan_table

    console = Console()
    console.print(plan_table(shown))
    typer.echo(f"\n{order_pictures(shown)}")
    if plot is not None:
        typer.echo(f"\nwrote {plot}")


@plan.command()
def replay(
    proofs: Annotated[list[Path], typer.Argument(help="Proofs of blocks or shares.")],
    file: Annotated[Path | None, typer.Option("--plan", help="plan.yaml, if the proof does not contain it.")] = None,
    mode: ModeOption = "main",
    as_json: JsonOption = False,
) -> None:
    """Compute the header at a proof's position in its search plan, and compare it with the proof.

    Exit code 7 on a mismatch.

    \b
    solominer plan replay proofs/2026/11/21/07/*.json
    """
    from solominer.engines.cpu.plan_loader import load_plan

    given = load_plan(file, mode) if file is not None else None
    claims = [_replayed(path, given) for path in proofs]
    if as_json:
        typer.echo(json.dumps(claims, indent=2))
        return
    for one in claims:
        place = one["position"]
        typer.echo(
            f"{one['kind']} {one['hash']}: worker {one['worker']} of {one['worker_count']}, extranonce"
            f" {place['k']}, version pattern {place['version']}, step {place['step']}, nonce {place['offset']}"
        )
    typer.echo(f"{len(claims)} position(s) recomputed: all headers match the plan")


def _replayed(path: Path, given: Any) -> dict[str, Any]:
    """The position in a proof, after verification. Raises RecordsError or VerifyError."""
    from solominer.chain.proof import verify_proof
    from solominer.errors import RecordsError, VerifyError
    from solominer.plan.proof import replay_proof
    from solominer.records.ledger.jsonlines import parse_object

    try:
        proof = parse_object(path.read_bytes())
    except OSError as error:
        raise RecordsError(
            f"cannot read {path}: {error.strerror}", "pass a proof: proofs/…/HEIGHT-HASH.json"
        ) from error
    if proof is None:
        raise VerifyError(f"{path} is not a proof")
    findings = verify_proof(proof)
    if not findings.holds:
        raise VerifyError(f"{path} is invalid: {findings.wrong[0]}")
    try:
        claim = replay_proof(proof, given)
    except VerifyError as error:
        raise VerifyError(f"{path}: {error.what}", error.todo) from error
    if claim is None:
        raise VerifyError(f"{path} does not contain its plan", "pass it with --plan")
    return {"path": str(path), "kind": proof["kind"], "hash": proof["hash"], **claim.to_json()}
