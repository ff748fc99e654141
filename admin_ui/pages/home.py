"""The home page: what needs attention and what comes next; and the search that Ctrl K opens."""

from typing import Final

from aiohttp import web

from admin_ui.navigation import find_screens
from admin_ui.page import Page, Routes
from admin_ui.words import _

routes: Final = Routes()


@routes.get("/")
async def home(page: Page) -> web.Response:
    store, workspace_id = page.app.store, page.workspace_id
    domains = await store.domains.all(workspace_id)
    lists = await store.contacts.lists(workspace_id)
    campaigns = await store.campaigns.list(workspace_id, limit=8)
    return page.render(
        "home/home.html", domains=domains, lists=lists, campaigns=campaigns,
        people=sum(one.subscribed for one in lists))


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
