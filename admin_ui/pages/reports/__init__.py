"""Reports: what became of a campaign, and the people behind every number of it."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages.reports import campaign, overview, people

ALL: Final[tuple[Routes, ...]] = (overview.routes, campaign.routes, people.routes)
