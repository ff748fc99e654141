"""Reports: what became of a campaign, and the people behind every number of it."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages.reports import campaign, deliverability, engagement, overview, people, sunset

ALL: Final[tuple[Routes, ...]] = (
    overview.routes, engagement.routes, sunset.routes, deliverability.routes, campaign.routes, people.routes,
)
