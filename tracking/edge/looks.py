"""Workspaces' looks, from what is kept of their public pages; remembered for some seconds."""

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from esp.app import App
from esp.ports.signup import PublicPages
from tracking.edge.theme import DEFAULT_ACCENT, PLAIN, Look

log = structlog.get_logger("edge")

_KEPT: Final = 1000


def look_of(pages: PublicPages | None) -> Look:
    """The look; the plain one where there is no workspace to speak of."""
    if pages is None:
        return PLAIN
    logo = f"/s/-/logo/{pages.workspace_id}-{pages.logo_hash}" if pages.logo_hash else ""
    return Look(pages.brand, " ".join(pages.address.split()), pages.accent or DEFAULT_ACCENT, logo, pages.words)


class Looks:
    """Looks by workspace; for pages that have a token and must show themselves without the database too."""

    def __init__(self, app: App, fresh_seconds: float = 5.0, patience: float = 2.0) -> None:
        self._app = app
        self._fresh = fresh_seconds
        self._patience = patience
        self._known: OrderedDict[int, tuple[float, Look]] = OrderedDict()

    async def of(self, workspace_id: int) -> Look:
        """The look of a workspace. Never raises: a page without its logo is better than none."""
        now = asyncio.get_running_loop().time()
        known = self._known.get(workspace_id)
        if known is not None and known[0] > now:
            return known[1]
        try:
            look = look_of(await asyncio.wait_for(self._app.store.signups.public_pages(workspace_id), self._patience))
        except Exception as error:
            log.warning("page without its look", error=type(error).__name__, workspace=workspace_id)
            return known[1] if known else PLAIN
        self._known[workspace_id] = (now + self._fresh, look)
        self._known.move_to_end(workspace_id)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return look
