"""Sending domains: their DNS records ready to copy, and the check of what the world sees."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows.domains import RecordState, add_domain, check_domain, checks_of, records
from esp.ports.domains import SendingDomain

routes: Final = Routes()


class DomainName(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=253)]


async def add_named(page: Page, form: Form[DomainName]) -> SendingDomain | None:
    """The domain that the form names, added with its keys; nothing where the form then says why not."""
    if form.data is None:
        return None
    try:
        return await add_domain(page.app, page.workspace_id, form.data.name)
    except InputError as error:
        form.blame(error)
    except ConflictError as error:
        form.problems["name"] = str(error)
    return None


async def _domain(page: Page) -> SendingDomain:
    return await page.app.store.domains.get(page.workspace_id, page.request.match_info["public_id"])


@routes.get("/settings/domains")
async def index(page: Page) -> web.Response:
    domains = await page.app.store.domains.all(page.workspace_id)
    return page.render("settings/domains.html", domains=[(domain, _progress(domain)) for domain in domains])


def _progress(domain: SendingDomain) -> tuple[int, int]:
    """Records found, and records looked for; nothing before the first check."""
    checks = checks_of(domain).values()
    return sum(check.state is RecordState.FOUND for check in checks), len(checks)


@routes.get("/settings/domains/new", owner=True)
async def new(page: Page) -> web.Response:
    return page.render("settings/domain_new.html", form=Form.blank())


@routes.post("/settings/domains/new", owner=True)
async def create(page: Page) -> web.Response:
    form = await page.form(DomainName)
    domain = await add_named(page, form)
    if domain is None:
        return page.invalid("settings/domain_new.html", form=form)
    return page.redirect(f"/settings/domains/{domain.public_id}", _("The domain was added. Now publish its records."))


@routes.get("/settings/domains/{public_id}")
async def show(page: Page) -> web.Response:
    domain = await _domain(page)
    wanted = await records(page.app, page.workspace_id, domain)
    return page.render("settings/domain.html", domain=domain, records=wanted, checks=checks_of(domain))


@routes.post("/settings/domains/{public_id}/check")
async def check(page: Page) -> web.Response:
    domain = await check_domain(page.app, page.workspace_id, page.request.match_info["public_id"])
    return page.redirect(f"/settings/domains/{domain.public_id}")


@routes.post("/settings/domains/{public_id}/remove", owner=True)
async def remove(page: Page) -> web.Response:
    domain = await _domain(page)
    await page.app.store.domains.remove(page.workspace_id, domain.id)
    return page.redirect("/settings/domains", _("{name} was removed.").format(name=domain.name))
