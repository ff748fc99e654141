"""The home page: what needs attention and what comes next; and the search that Ctrl K opens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from admin_ui.navigation import find_screens
from admin_ui.page import Page, Routes
from admin_ui.render import number
from admin_ui.words import _
from esp.model.campaign import CampaignState
from esp.ports.campaigns import Campaign
from esp.ports.domains import SendingDomain
from esp.ports.reports import CampaignLine, Progress

routes: Final = Routes()


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that will not mend itself, and where it is mended."""

    title: str
    text: str
    href: str
    label: str


@routes.get("/")
async def home(page: Page) -> web.Response:
    """Nothing here counts people: every figure comes from rollups, so that the page is as quick with a million."""
    store, workspace_id, now = page.app.store, page.workspace_id, page.app.clock.now()
    domains = await store.domains.all(workspace_id)
    lists = await store.contacts.lists(workspace_id)
    campaigns = await store.campaigns.list(workspace_id, limit=8)
    dashboard = await store.reports.dashboard(workspace_id, now)
    running = []
    for line in dashboard.running:
        progress = await store.reports.progress(workspace_id, line.campaign_id, now)
        if progress is not None:
            running.append((line, progress))
    scheduled = await store.campaigns.list(workspace_id, limit=20, states=(CampaignState.SCHEDULED,))
    return page.render(
        "home/home.html", domains=domains, lists=lists, campaigns=campaigns, dashboard=dashboard, running=running,
        figures=await store.reports.figures_of(workspace_id, [line.campaign.id for line in campaigns]),
        scheduled=sorted((line.campaign for line in scheduled if line.campaign.scheduled_at), key=_when)[:3],
        people=sum(one.subscribed for one in lists),
        # Before the first send the list of what comes next says the same in better words.
        attention=_attention(page, domains, running) if dashboard.recent else ())


def _when(campaign: Campaign) -> datetime:
    return campaign.scheduled_at or campaign.created_at


def _attention(
    page: Page, domains: Sequence[SendingDomain], running: Sequence[tuple[CampaignLine, Progress]],
) -> list[Attention]:
    """What stands in the way of mail: what stopped, domains the world does not believe, a missing postal address."""
    found = [
        Attention(_("“{name}” is paused").format(name=line.name),
                  _("{count} people are still waiting for it.").format(count=number(progress.figures.open)),
                  f"/campaigns/{line.campaign_id}", _("Look at it"))
        for line, progress in running if line.state == CampaignState.PAUSED.value
    ]
    found += [
        Attention(_("The DNS records of {name} have not been found").format(name=domain.name),
                  _("Providers refuse mail from it or put it into spam."),
                  f"/settings/domains/{domain.public_id}", _("See the records"))
        for domain in domains if domain.verified_at is None
    ]
    if not page.session.workspace.postal_address:
        found.append(Attention(
            _("There is no postal address"), _("Many countries ask for one in every newsletter."),
            "/settings/workspace", _("Fill in")))
    return found


@routes.get("/settings")
async def settings(page: Page) -> web.Response:
    return page.redirect("/settings/domains")


@routes.get("/search")
async def search(page: Page) -> web.Response:
    """Results for the palette, as a fragment: screens by word, people by the beginning of name or address."""
    query = page.query("q").strip()[:100]
    people = (await page.app.store.contacts.search(page.workspace_id, query, limit=6)).contacts if query else ()
    campaigns = await page.app.store.campaigns.list(page.workspace_id, limit=50) if query else ()
    return page.render(
        "home/search.html", query=query, people=people, screens=find_screens(query, _),
        campaigns=[line.campaign for line in campaigns if query.lower() in line.campaign.name.lower()][:6])
