"""Mailboxes elsewhere: made, tried out, paused; and whether collecting from them works."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import ConflictError, InputError
from esp.flows import pickup as collecting
from esp.ports.pickup import Afterwards, MailboxError, MailProtocol, NewPickup, Pickup, Security

routes: Final = Routes()

_Short = Annotated[str, Field(max_length=255)]


class MailboxForm(FormModel):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    protocol: MailProtocol = MailProtocol.IMAP
    host: _Short = ""
    security: Security = Security.TLS
    port: Annotated[str, Field(max_length=5, pattern=r"^\d*$")] = ""
    username: _Short = ""
    secret: Annotated[str, Field(max_length=1000)] = ""
    folder: _Short = "INBOX"
    afterwards: Afterwards = Afterwards.KEEP

    def made(self) -> NewPickup:
        port = int(self.port) if self.port else collecting.PORTS[self.protocol, self.security]
        return NewPickup(self.name, self.protocol, self.host.strip(), min(port, 65535), self.security, self.username,
                         self.folder or "INBOX", self.afterwards, self.secret or None)


@routes.get("/settings/mailboxes")
async def index(page: Page) -> web.Response:
    return page.render("settings/mailboxes.html", mailboxes=await page.app.store.pickups.all(page.workspace_id))


@routes.get("/settings/mailboxes/new", owner=True)
async def new(page: Page) -> web.Response:
    form: Form[MailboxForm] = Form.blank(protocol="imap", security="tls", folder="INBOX", afterwards="keep")
    return page.render("settings/mailbox_form.html", form=form, one=None)


@routes.post("/settings/mailboxes/new", owner=True)
async def create(page: Page) -> web.Response:
    return await _save(page, None)


@routes.get("/settings/mailboxes/{mailbox_id:\\d+}/edit", owner=True)
async def edit(page: Page) -> web.Response:
    one = await page.app.store.pickups.get(page.workspace_id, page.key("mailbox_id"))
    form: Form[MailboxForm] = Form.blank(
        name=one.name, protocol=one.protocol.value, host=one.host, port=one.port, security=one.security.value,
        username=one.username, folder=one.folder, afterwards=one.afterwards.value)
    return page.render("settings/mailbox_form.html", form=form, one=one)


@routes.post("/settings/mailboxes/{mailbox_id:\\d+}/edit", owner=True)
async def change(page: Page) -> web.Response:
    return await _save(page, await page.app.store.pickups.get(page.workspace_id, page.key("mailbox_id")))


async def _save(page: Page, one: Pickup | None) -> web.Response:
    form = await page.form(MailboxForm)
    form.values.pop("secret", None)  # what was typed there is not sent back
    if form.data is None:
        return _again(page, form, one)
    try:
        saved = await collecting.save(page.app, page.workspace_id, form.data.made(), one.id if one else None)
    except InputError as error:
        return _again(page, form.blame(error), one)
    except ConflictError as error:
        form.problems["name"] = str(error)
        return _again(page, form, one)
    return await _tried(page, saved)


def _again(page: Page, form: Form[MailboxForm], one: Pickup | None) -> web.Response:
    return page.invalid("settings/mailbox_form.html", form=form, one=one)


@routes.post("/settings/mailboxes/{mailbox_id:\\d+}/check", owner=True)
async def check(page: Page) -> web.Response:
    return await _tried(page, await page.app.store.pickups.get(page.workspace_id, page.key("mailbox_id")))


async def _tried(page: Page, one: Pickup) -> web.Response:
    """Log in once now, so that a misspelt password is known while its owner still looks."""
    try:
        waiting = await collecting.try_out(page.app, one)
    except MailboxError as error:
        await page.app.store.pickups.checked(one.id, page.app.clock.now(), str(error))
        return page.redirect("/settings/mailboxes", _("The mailbox could not be opened."), "harm")
    await page.app.store.pickups.checked(one.id, page.app.clock.now())
    said = _("It works. What waits in it is being collected.") if waiting else _("It works. No new mail is in it.")
    return page.redirect("/settings/mailboxes", said)


@routes.post("/settings/mailboxes/{mailbox_id:\\d+}/pause", owner=True)
async def pause(page: Page) -> web.Response:
    one = await page.app.store.pickups.get(page.workspace_id, page.key("mailbox_id"))
    await collecting.pause(page.app, page.workspace_id, one.id, one.paused_at is None)
    return page.redirect("/settings/mailboxes", _("Saved."))


@routes.post("/settings/mailboxes/{mailbox_id:\\d+}/delete", owner=True)
async def delete(page: Page) -> web.Response:
    await page.app.store.pickups.delete(page.workspace_id, page.key("mailbox_id"))
    said = _("The mailbox is no longer collected from. Nothing in it was changed.")
    return page.redirect("/settings/mailboxes", said)
