"""The devices in the house."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from solominer.web.devices.view import DeviceV1, OurPlaces, view
from solominer.web.site import TheSite

router = APIRouter(prefix="/api/v1", tags=["devices"])


class Devices(BaseModel):
    """All devices of the configuration, in its order; each is asked again `interval_secs` after its last answer."""

    devices: list[DeviceV1]
    interval_secs: float
    offline_after: int


@router.get("/devices")
async def devices(site: TheSite) -> Devices:
    """The devices in the house and what they said last."""
    monitor, status = site.devices, site.feed.status
    places = None if status is None else OurPlaces(status["stratum_urls"], site.setup.web.hosts)
    return Devices(
        devices=[view(each, places) for each in monitor.devices],
        interval_secs=monitor.polling.interval_secs,
        offline_after=monitor.polling.offline_after,
    )
