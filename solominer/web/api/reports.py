"""Reports by the hour and the day, as JSON and as pages to print, and the certificates of best shares."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel

from solominer.errors import RecordsError
from solominer.records.evidence.state import Head, read_report
from solominer.records.files import read_bounded
from solominer.records.report.page import STYLE
from solominer.records.report.period import hour_report, period_report, render
from solominer.records.tree import Part, Tree
from solominer.web.api.params import limit
from solominer.web.best import certificate_path
from solominer.web.problems import MISSING, REFUSALS, NotFound
from solominer.web.site import Site, TheSite

router = APIRouter(prefix="/api/v1", tags=["reports"], responses=REFUSALS)
pages = APIRouter(prefix="/reports", include_in_schema=False)

STYLESHEET = "/reports/style.css"
LISTED = 31

PART = r"^\d{4}-\d\d-\d\d-\d\d(\.[1-9]\d{0,3})?$"
PartName = Annotated[
    str, Path(pattern=PART, description="An hour (UTC), such as `2026-11-21-07` or `2026-11-21-07.2`.")
]
DayName = Annotated[str, Path(pattern=r"^\d{4}-\d\d-\d\d$", description="A day (UTC), such as `2026-11-21`.")]


class ReportLine(BaseModel):
    """One hour in short; the whole report is at /api/v1/reports/{part}."""

    part: str
    sequence: int
    why: str
    from_at: float | None
    to_at: float | None
    uptime_secs: float
    rate_hps: float | None
    rate_low_hps: float | None
    rate_high_hps: float | None
    shares: int
    expected_shares: float
    best_difficulty: float | None
    blocks_found: int
    errors: dict[str, int]


class Reports(BaseModel):
    """`reports` newest first; `next` is the value of `before` for the older ones (null: there are none)."""

    reports: list[ReportLine]
    next: str | None


@router.get("/reports", response_model=Reports)
async def reports(
    site: TheSite,
    before: Annotated[str | None, Query(pattern=PART, description="`next` of the previous answer.")] = None,
    limit: Annotated[int, limit(500)] = 48,
) -> Response:
    """The sealed hours, newest first."""
    head = await _head(site)
    return await site.answers.json(("reports", before, limit), head, lambda: _reports(site, before, limit))


@router.get("/reports/{part}", responses=MISSING, response_model=dict[str, Any])
async def report(site: TheSite, part: PartName) -> Response:
    """The report of one hour as `solominer report --json` prints it (docs/schemas/report.schema.json)."""
    head = await _head(site)
    return await site.answers.json(("report", part), head, lambda: _json(hour_report, site.tree, _slashed(part)))


@router.get("/reports/{part}/best-share", responses=MISSING, response_model=dict[str, Any])
async def best_share(site: TheSite, part: PartName, download: bool = False) -> Response:
    """The certificate of an hour's best share as `solominer verify` reads it (docs/schemas/proof.schema.json).

    With `download` the browser saves it as a file.
    """
    head = await _head(site)
    response = await site.answers.json(("best-share", part), head, lambda: _certificate(site.tree, part))
    if download:
        response.headers["Content-Disposition"] = f'attachment; filename="best-share-{part}.json"'
    return response


@router.get("/days/{date}", responses=MISSING, response_model=dict[str, Any])
async def day(site: TheSite, date: DayName) -> Response:
    """The sums of one day as `solominer report --json` prints them (docs/schemas/rollup.schema.json)."""
    head, network = await _head(site), site.tree.root.name
    return await site.answers.json(("day", date), head, lambda: _json(period_report, site.tree, network, date))


@pages.get("/style.css")
async def style() -> Response:
    """The style of the pages."""
    return Response(STYLE, media_type="text/css")


@pages.get("/")
async def index(site: TheSite) -> HTMLResponse:
    """A page with links to the newest reports."""
    parts = site.hours.sealed(await _head(site))
    return HTMLResponse(_index(site.tree.root.name, parts))


@pages.get("/{period}")
async def html_page(site: TheSite, period: str) -> Response:
    """The page of an hour, day, week, month or year, of `latest` or `all`."""
    head, tree = await _head(site), site.tree

    def make() -> bytes:
        try:
            return render(tree, tree.root.name, period, "html", STYLESHEET).encode()
        except RecordsError as error:
            raise NotFound(error.what, error.todo) from error

    response = await site.answers.json(("page", period), head, make)
    return HTMLResponse(response.body)


async def _head(site: Site) -> Head | None:
    """The newest sealed report: what is sealed changes with it."""
    await site.live.fresh()
    return site.live.tail.state.head


def _reports(site: Site, before: str | None, limit: int) -> Reports:
    parts = site.hours.sealed(site.live.tail.state.head)
    if before is not None:
        parts = parts[: next((i for i, part in enumerate(parts) if _dashed(part) == before), 0)]
    newest = parts[-limit:]
    lines = [line for part in reversed(newest) if (line := _line(site.tree, part)) is not None]
    return Reports(reports=lines, next=_dashed(newest[0]) if len(parts) > limit else None)


def _line(tree: Tree, part: Part) -> ReportLine | None:
    """The hour in short; None if its report cannot be read (`solominer verify` says why)."""
    report = read_report(tree, part)
    try:
        if report is None:
            return None
        rate, best = report["hashes"]["rate_hps"] or {}, report["best"]["hour"]
        return ReportLine(
            part=_dashed(part),
            sequence=report["sequence"],
            why=report["why"],
            from_at=report["from_at"],
            to_at=report["to_at"],
            uptime_secs=report["uptime_secs"],
            rate_hps=rate.get("value"),
            rate_low_hps=rate.get("low"),
            rate_high_hps=rate.get("high"),
            shares=report["shares"]["found"],
            expected_shares=report["shares"]["expected"],
            best_difficulty=None if best is None else best["difficulty"],
            blocks_found=report["blocks"]["found"],
            errors={name: count for name, count in report["errors"].items() if name != "distinct"},
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _json(make: Any, *arguments: Any) -> bytes:
    try:
        return orjson.dumps(make(*arguments))
    except RecordsError as error:
        raise NotFound(error.what, error.todo) from error


def _certificate(tree: Tree, part: str) -> bytes:
    path = certificate_path(tree, _part(part))
    if path is None:
        raise NotFound(f"there is no certificate of {part}", "it is written at the end of an hour with a share")
    return read_bounded(tree.root / path)


def _part(name: str) -> Part:
    try:
        return Part.parse(_slashed(name))
    except RecordsError as error:
        raise NotFound(error.what, error.todo) from error


def _slashed(name: str) -> str:
    return name.replace("-", "/")


def _dashed(part: Part) -> str:
    return part.path.replace("/", "-")


def _index(network: str, parts: list[Part]) -> str:
    names = [_dashed(part) for part in reversed(parts)]
    rows = [
        ("Years", dict.fromkeys(name[:4] for name in names)),
        ("Months", dict.fromkeys(name[:7] for name in names)),
        ("Days", dict.fromkeys(name[:10] for name in names)),
        ("Hours", dict.fromkeys(names)),
    ]
    lists = "".join(_links(title, list(found)[:LISTED]) for title, found in rows if found)
    title = escape(f"solominer · {network} · reports")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{STYLESHEET}"></head>'
        f"<body><h1>{title}</h1>{lists or '<p>The first report is written at the end of the hour.</p>'}</body></html>\n"
    )


def _links(title: str, names: list[str]) -> str:
    links = " · ".join(f'<a href="/reports/{name}">{name}</a>' for name in names)
    return f"<h2>{title}</h2><p>{links}</p>"
