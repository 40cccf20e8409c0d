"""Every answer that is not a success: `{"error": ..., "todo": ...}` with a status of 4xx or 503."""

from __future__ import annotations

import logging
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from solominer.errors import NotRunning, RecordsError, SolominerError, printable
from solominer.records.files import reason
from solominer.web.methods import FILE_METHODS, allowed_methods

SEE_DOCS = "see /api/docs for the parameters and their bounds"
SEND_JSON = "send one, with the header Content-Type: application/json"

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """What is wrong, and what to do about it."""

    error: str
    todo: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    422: {"model": Problem, "description": "A parameter is wrong."},
    503: {"model": Problem, "description": "The records are missing, damaged, or still being indexed."},
}
"""`responses` of every router that reads the records."""

Missing = Annotated[str | None, Field(description="What the answer leaves out, and why; null if nothing.")]
"""Type of a field of answers from the ledger."""

MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such thing."}}
"""`responses` of an endpoint that names one thing."""


class NotFound(SolominerError):
    """There is no such thing: 404."""


class Unavailable(SolominerError):
    """The answer cannot be given now: 503."""


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an endpoint with a Problem."""
    app.add_exception_handler(SolominerError, _explain)
    app.add_exception_handler(OSError, _cannot_read)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def answer(error: SolominerError) -> JSONResponse:
    """The response for an error."""
    unavailable = isinstance(error, Unavailable | RecordsError | NotRunning)
    status = 404 if isinstance(error, NotFound) else 503 if unavailable else 422
    return JSONResponse({"error": error.what, "todo": error.todo}, status)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, SolominerError)
    return answer(error)


async def _cannot_read(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    log.warning("%s: %s", printable(request.url.path, 200), reason(error))
    return answer(Unavailable(f"the records cannot be read: {error.strerror}", "check the disk and its permissions"))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] in ("json_invalid", "model_attributes_type"):
        return JSONResponse({"error": "the request's body is no JSON object", "todo": SEND_JSON}, 422)
    name = ".".join(str(part) for part in first["loc"][1:]) or "the request's body"
    message = (
        first["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")
    )
    return JSONResponse({"error": printable(f"{name}: {message}", 300), "todo": SEE_DOCS}, 422)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, what, headers = error.status_code, str(error.detail), dict(error.headers or {})
    if status in (404, 405):
        allowed = allowed_methods(request) or (FILE_METHODS if status == 405 else [])
        if request.method not in allowed and allowed:
            status, headers["Allow"] = 405, ", ".join(allowed)
            what = f"{printable(request.method, 20)} is not a method of this address"
    todo = "see /api/docs for what there is" if status in (404, 405) else ""
    return JSONResponse({"error": what, "todo": todo}, status, headers)
