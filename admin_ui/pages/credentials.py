"""Apps: SMTP credentials and API keys, made, shown once with ready settings, and revoked."""

from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import InputError
from esp.flows.credentials import create_credential
from esp.model.relay import CredentialKind, Scope, StreamKind

routes: Final = Routes()
_FORM: Final = "credentials/form.html"


class NewCredentialForm(FormModel):
    kind: CredentialKind = CredentialKind.SMTP
    name: Annotated[str, Field(min_length=1, max_length=100)]
    stream: Annotated[str, Field(max_length=60)] = ""
    domains: Annotated[str, Field(max_length=2000)] = ""
    networks: Annotated[str, Field(max_length=2000)] = ""
    rate: Annotated[str, Field(max_length=30)] = ""
    scopes: list[Scope] = []  # noqa: RUF012 - pydantic copies it
    sandbox: str = ""


@routes.get("/settings/credentials")
async def index(page: Page) -> web.Response:
    found = await page.app.store.relay.credentials(page.workspace_id)
    return page.render("credentials/index.html", credentials=found, server=_server(page))


@routes.get("/settings/credentials/new", owner=True)
async def new(page: Page) -> web.Response:
    kind = CredentialKind.API if page.request.query.get("kind") == "api" else CredentialKind.SMTP
    form: Form[NewCredentialForm] = Form.blank(kind=kind.value, scopes=[Scope.FULL.value])
    return page.render(_FORM, form=form, **await _choices(page))


@routes.post("/settings/credentials/new", owner=True)
async def create(page: Page) -> web.Response:
    form = await page.form(NewCredentialForm)
    it = form.data
    if it is None:
        return page.invalid(_FORM, form=form, **await _choices(page))
    scopes = (it.scopes or [Scope.FULL]) if it.kind is CredentialKind.API else []
    try:
        made, secret = await create_credential(
            page.app, page.passwords, page.workspace_id, it.kind, it.name, scopes=scopes, stream=it.stream,
            domains=it.domains.replace(",", " ").split(), networks=it.networks.replace(",", " ").split(),
            rate=it.rate, sandbox=it.sandbox == "1", created_by=page.session.user.email)
    except InputError as error:
        return page.invalid(_FORM, form=form.blame(error), **await _choices(page))
    # Shown in the answer itself and kept nowhere: whoever loads the page anew sees it no more.
    return page.render("credentials/made.html", one=made, secret=secret, server=_server(page))


@routes.post("/settings/credentials/{public_id}/revoke", owner=True)
async def revoke(page: Page) -> web.Response:
    one = await page.app.store.relay.revoke_credential(
        page.workspace_id, page.request.match_info["public_id"], page.app.clock.now())
    return page.redirect("/settings/credentials", _("{name} is revoked and sends no more.").format(name=one.name))


def _server(page: Page) -> dict[str, Any]:
    """What an app must be told to reach us."""
    settings = page.app.settings
    it = settings.submission
    return {
        "enabled": it.enabled, "host": it.hostname or settings.delivery.hello_name or it.host,
        "port": it.port if it.starttls else 0, "tls_port": it.tls_port if it.implicit_tls else 0,
        "api": f"{settings.public_url}/api/v1",
    }


async def _choices(page: Page) -> dict[str, Any]:
    # Looking makes nothing: those that every workspace has are offered before the first message made them.
    streams = {kind.value: kind.value.capitalize() for kind in StreamKind} | {
        it.handle: it.name for it in await page.app.store.relay.streams(page.workspace_id, make=False)}
    return {
        "streams": [("", _("Any")), *streams.items()],
        "scopes": [(scope.value, scope.value, "") for scope in Scope],
    }
