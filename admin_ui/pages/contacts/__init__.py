"""Contacts: found, shown, edited, merged, tagged, and many changed at once."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages.contacts import actions, browse, edit, merge, show, story

ALL: Final[tuple[Routes, ...]] = (
    browse.routes, edit.routes, actions.routes, merge.routes, story.routes, show.routes,
)
