"""One person's page: who they are, what they agreed to, everything that happened, and what can be done."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field

from admin_ui.auth import client_ip
from admin_ui.forms import FormModel
from admin_ui.page import Page, Routes
from admin_ui.pages.contacts.listening import listening_of
from admin_ui.words import _
from esp.audience.field_values import value_text
from esp.errors import InputError, NotFoundError
from esp.flows.erasure import erase_contact
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.ports.contacts import Contact, Suppression
from esp.ports.people_suppressions import NewBar

routes: Final = Routes()

PAGE_SIZE: Final = 50


@routes.get("/contacts/{contact_id:\\d+}")
async def show(page: Page) -> web.Response:
    store = page.app.store
    try:
        contact = await _contact(page)
    except NotFoundError:
        now = await store.people.merged_into(page.workspace_id, page.key("contact_id"))
        if now is None:
            raise
        return page.redirect(f"/contacts/{now}")
    subscriptions = await store.contacts.subscriptions(page.workspace_id, contact.id)
    joined = {row.list_id for row in subscriptions}
    before = page.query("before") or None
    timeline = await store.contacts.timeline(page.workspace_id, contact.id, before, PAGE_SIZE)
    fields = await store.people.fields(page.workspace_id, archived=True)
    labels = {field.key: field.label for field in fields if field.archived_at is None}
    away = {field.key for field in fields if field.archived_at is not None}
    order = [*labels, *sorted(key for key in contact.fields if key not in labels and key not in away)]
    own = [(labels.get(key, key), value_text(contact.fields[key], _("yes"), _("no")))
           for key in order if key in contact.fields]
    everything = await store.contacts.lists(page.workspace_id)
    return page.render(
        "contacts/show.html", contact=contact, subscriptions=subscriptions, own=own,
        suppressions=await _suppressions(page, contact), before=before, timeline=timeline, page_size=PAGE_SIZE,
        tags=(await store.people.tags_of(page.workspace_id, [contact.id])).get(contact.id, ()),
        all_tags=await store.people.tags(page.workspace_id),
        others=[one for one in everything if one.id not in joined],
        listening=await listening_of(page, contact))


async def _contact(page: Page) -> Contact:
    return await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))


async def _suppressions(page: Page, contact: Contact) -> tuple[Suppression, ...]:
    """Those in force for the address, and for its whole domain."""
    store, now = page.app.store.contacts, page.app.clock.now()
    found = (
        *await store.suppressions(page.workspace_id, email_key=contact.email_key),
        *await store.suppressions(page.workspace_id, email_key="@" + contact.email_key.rpartition("@")[2]),
    )
    return tuple(one for one in found if one.expires_at is None or one.expires_at > now)


@routes.post("/contacts/{contact_id:\\d+}/delete")
async def delete(page: Page) -> web.Response:
    """Delete, or erase for good where that was ticked."""
    contact = await _contact(page)
    if (await page.request.post()).get("erase"):
        await erase_contact(page.app, contact)
        return page.redirect("/contacts", _("{email} was erased.").format(email=contact.email))
    await page.app.store.contacts.delete(page.workspace_id, contact.id)
    return page.redirect("/contacts", _("{email} was deleted.").format(email=contact.email))


class Subscription(FormModel):
    list_id: Annotated[int, Field(lt=2**63)]
    state: SubscriptionState


@routes.post("/contacts/{contact_id:\\d+}/subscription")
async def subscribe(page: Page) -> web.Response:
    """Put a person on a list or take them off, with a record of who did it."""
    contact = await _contact(page)
    form = await page.form(Subscription)
    if form.data is None:
        raise InputError(_("Choose a list."))
    one = await page.app.store.contacts.get_list(page.workspace_id, form.data.list_id)
    await page.app.store.contacts.set_subscription(
        page.workspace_id, contact.id, one.id, form.data.state, page.app.clock.now(), source="admin",
        actor=page.session.user.email, ip=client_ip(page.request), wording=_("Changed by hand"))
    joined = form.data.state is SubscriptionState.SUBSCRIBED
    words = _("Subscribed to {name}.") if joined else _("Unsubscribed from {name}.")
    return page.redirect(f"/contacts/{contact.id}", words.format(name=one.name))


@routes.post("/contacts/{contact_id:\\d+}/suppress")
async def suppress(page: Page) -> web.Response:
    contact = await _contact(page)
    await page.app.store.suppressions.add(
        page.workspace_id, [NewBar(contact.email_key, SuppressionReason.MANUAL, note=page.session.user.email)],
        page.session.user.email, page.app.clock.now())
    return page.redirect(f"/contacts/{contact.id}", _("Nothing is sent to this address any more."))


@routes.post("/contacts/{contact_id:\\d+}/unsuppress/{suppression_id:\\d+}")
async def unsuppress(page: Page) -> web.Response:
    contact = await _contact(page)
    wanted = page.key("suppression_id")
    if any(one.id == wanted for one in await _suppressions(page, contact)):
        await page.app.store.suppressions.remove(
            page.workspace_id, wanted, page.session.user.email, page.app.clock.now())
    return page.redirect(f"/contacts/{contact.id}", _("This address can be written to again."))
