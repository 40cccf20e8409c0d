"""The search plan for people: a table, and pictures of its order, chunk against time."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from solominer.errors import ConfigError
from solominer.plan.plan import SearchPlan

COLUMNS, ROWS = 60, 9
MOST_POINTS = 65_521
"""Points of a plotted walk. A prime: evenly spaced steps of a power of two would alias with van-der-corput's bits."""
PLOT_FORMATS = (".svg", ".png")

Points = list[tuple[int, int]]


def plan_table(plan: SearchPlan) -> Table:
    """Every parameter with its origin: given in the file (or by default), derived from bitload, or auto."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for header in ("group", "parameter", "value", ""):
        table.add_column(header, overflow="fold")
    before = None
    for group, name, value, origin in plan.describe():
        table.add_row("" if group == before else group, name, value, "" if origin == "given" else origin)
        before = group
    table.add_row("", "hash", plan.hash_hex, "")
    return table


def order_pictures(plan: SearchPlan) -> str:
    """The order as text: the whole walk, sampled at one step per column, and its first steps."""
    whole = plan.order_points(2 * COLUMNS)
    first = first_steps(plan, 2 * COLUMNS)
    parts = [f"the whole walk of {plan.chunks:,} chunks, every {max(1, plan.chunks // len(whole)):,}th step:"]
    parts.append(picture(whole, plan.chunks))
    parts.append(f"its first {len(first)} steps:")
    parts.append(picture(first, plan.chunks))
    return "\n".join(parts)


def first_steps(plan: SearchPlan, count: int) -> Points:
    """(step, chunk) of the walk's beginning."""
    order = plan.order(0)
    return [(step, order.at(step)) for step in range(min(count, order.size))]


def picture(points: Points, chunks: int) -> str:
    """A plot in Braille characters, one dot per point: time to the right, chunks upwards; evenly spaced in time."""
    cells = [[0] * COLUMNS for _ in range(ROWS)]
    dots = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a cell: left and right column, from the top
    for index, (_, chunk) in enumerate(points):
        x = index * 2 * COLUMNS // len(points)
        y = (4 * ROWS - 1) - chunk * 4 * ROWS // chunks
        cells[y // 4][x // 2] |= dots[x % 2][y % 4]
    edge = [f"{chunks - 1:>8,} ", *[" " * 9] * (ROWS - 2), f"{0:>8,} "]
    return "\n".join(left + "".join(chr(0x2800 + cell) for cell in row) for left, row in zip(edge, cells, strict=True))


def plot_order(plan: SearchPlan, path: Path) -> None:
    """Draw both pictures into an .svg or .png. Raises ConfigError for another file type, and without matplotlib."""
    if path.suffix.lower() not in PLOT_FORMATS:
        raise ConfigError(f"cannot plot into {path.name}", f"use a file name ending in {' or '.join(PLOT_FORMATS)}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib", "pip install 'solominer[plot]'") from None
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, 1)
    whole, first = plan.order_points(MOST_POINTS), first_steps(plan, 256)
    upper.plot(*zip(*whole, strict=True), ",", color="#0b6bcb")
    upper.set_title(f"order {plan.strides.order}, plan {plan.hash_hex[:16]}: the whole walk", fontsize=10)
    lower.plot(*zip(*first, strict=True), ".-", color="#b35900", markersize=4, linewidth=0.4)
    lower.set_title(f"its first {len(first)} steps", fontsize=10)
    for axes in (upper, lower):
        axes.set_ylabel("chunk of nonces")
        axes.set_ylim(-0.02 * plan.chunks, 1.02 * plan.chunks)
    lower.set_xlabel("step of the walk")
    try:
        figure.savefig(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another path") from error
