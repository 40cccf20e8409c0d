"""QR codes of texts that are entered in other devices, such as the Stratum address."""

from __future__ import annotations

import io
from typing import Annotated

import segno
from fastapi import APIRouter, Query
from fastapi.responses import Response

router = APIRouter(prefix="/api/v1", tags=["status"])

MAX_TEXT = 256


@router.get("/qr", response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}})
def qr(text: Annotated[str, Query(min_length=1, max_length=MAX_TEXT)]) -> Response:
    """An SVG image of the QR code of `text`, black on white with the quiet zone of the standard."""
    image = io.BytesIO()
    segno.make_qr(text, error="m").save(image, kind="svg", scale=4, light="#fff", xmldecl=False)
    return Response(image.getvalue(), media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})
