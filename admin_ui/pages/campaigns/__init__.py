"""Campaigns: listed, written, checked, sent and watched. One file a step, in that order."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages.campaigns import browse, check, compose, manage, preview, sending

ALL: Final[tuple[Routes, ...]] = (
    browse.routes, compose.routes, preview.routes, check.routes, sending.routes, manage.routes,
)
