"""Segments: listed, built from conditions, looked into, and used."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages.segments import edit, show

ALL: Final[tuple[Routes, ...]] = (edit.routes, show.routes)
