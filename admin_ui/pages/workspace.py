"""The workspace: its name, its postal address (which the law asks for in every newsletter), language and time zone."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Final, Literal
from zoneinfo import available_timezones

from aiohttp import web
from pydantic import Field, field_validator

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _

routes: Final = Routes()

FAVOURITES: Final = ("Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", "Asia/Singapore", "UTC")


@cache
def zone_choices() -> Sequence[tuple[str, str]]:
    """Time zones for a select: Indonesia's first, then all by name."""
    known = available_timezones()
    first = [zone for zone in FAVOURITES if zone in known or zone == "UTC"]
    others = sorted(zone for zone in known if "/" in zone and not zone.startswith("Etc/") and zone not in first)
    return [(zone, zone.replace("_", " ")) for zone in (*first, *others)]


class WorkspaceForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=120)]
    postal_address: Annotated[str, Field(min_length=1, max_length=500)]
    time_zone: str = "UTC"
    language: Literal["en", "id"] = "en"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone != "UTC" and zone not in available_timezones():
            raise ValueError(_("Choose one of the list."))
        return zone


def workspace_form(page: Page) -> Form[WorkspaceForm]:
    """The form with what the workspace says of itself today."""
    it = page.session.workspace
    return Form.blank(name=it.name, postal_address=it.postal_address, time_zone=it.time_zone, language=it.language)


async def save_workspace(page: Page, data: WorkspaceForm) -> None:
    await page.app.store.accounts.update_workspace(
        page.workspace_id, name=data.name, postal_address=data.postal_address.replace("\r\n", "\n"),
        language=data.language, time_zone=data.time_zone)


@routes.get("/workspaces")
async def choose(page: Page) -> web.Response:
    """The workspaces one belongs to, as items of the menu."""
    found = await page.app.store.accounts.workspaces_of(page.session.user.id)
    return page.render("settings/workspaces.html", workspaces=found)


@routes.post("/workspaces/{workspace_id:\\d+}/enter")
async def enter(page: Page) -> web.Response:
    """Work in another workspace from here on, with this session."""
    await page.app.store.accounts.switch_workspace(
        page.session.token_hash, page.session.user.id, page.key("workspace_id"))
    return page.redirect("/")


@routes.get("/settings/workspace")
async def show(page: Page) -> web.Response:
    return page.render("settings/workspace.html", form=workspace_form(page), zones=zone_choices())


@routes.post("/settings/workspace", owner=True)
async def save(page: Page) -> web.Response:
    form = await page.form(WorkspaceForm)
    if form.data is None:
        return page.invalid("settings/workspace.html", form=form, zones=zone_choices())
    await save_workspace(page, form.data)
    return page.redirect("/settings/workspace", _("The workspace was saved."))
