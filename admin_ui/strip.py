"""The strip on every page: what is being sent now, what waits, and what stopped and why."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from esp.app import App
from esp.model.campaign import CampaignState
from esp.ports.campaigns import CampaignLine


@dataclass(frozen=True, slots=True)
class Strip:
    """Campaigns under way in this workspace, newest first."""

    running: tuple[CampaignLine, ...] = ()
    paused: tuple[CampaignLine, ...] = ()
    scheduled: tuple[CampaignLine, ...] = ()

    @property
    def mood(self) -> str:
        """The strip's class: something stands still, something runs, or all is quiet."""
        return "is-held" if self.paused else "is-running" if self.running else ""


STRIP: Final = web.RequestKey("strip", Strip)


async def load(app: App, workspace_id: int) -> Strip:
    """The workspace's open campaigns, at most some tens."""
    lines = await app.store.campaigns.list(
        workspace_id, limit=20, states=(CampaignState.SENDING, CampaignState.PAUSED, CampaignState.SCHEDULED))
    def within(state: CampaignState) -> tuple[CampaignLine, ...]:
        return tuple(line for line in lines if line.campaign.state is state)
    return Strip(within(CampaignState.SENDING), within(CampaignState.PAUSED), within(CampaignState.SCHEDULED))
