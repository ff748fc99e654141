"""Contacts: found by the beginning of a name or an address, and one person's whole story on one page."""

from typing import Annotated, Final

from aiohttp import web
from pydantic import Field, field_validator

from admin_ui.auth import client_ip
from admin_ui.forms import Form, FormModel
from admin_ui.page import Page, Routes
from admin_ui.words import _
from esp.errors import InputError
from esp.flows.contacts import add_contact
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.ports.contacts import STANDARD_FIELDS, Contact, ContactList, NewContact, Suppression
from esp.wire.addresses import AddressError, parse_address

routes: Final = Routes()

PAGE_SIZE: Final = 50


class ContactForm(FormModel):
    first_name: Annotated[str, Field(max_length=120)] = ""
    last_name: Annotated[str, Field(max_length=120)] = ""
    city: Annotated[str, Field(max_length=120)] = ""
    country: Annotated[str, Field(max_length=120)] = ""
    language: Annotated[str, Field(max_length=35)] = ""
    time_zone: Annotated[str, Field(max_length=64)] = ""
    birth_date: Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""

    def standard(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in STANDARD_FIELDS}


class NewContactForm(ContactForm):
    email: Annotated[str, Field(min_length=1, max_length=320)]
    list_id: int | None = None

    @field_validator("list_id", mode="before")
    @classmethod
    def _none_chosen(cls, value: object) -> object:
        return value or None


@routes.get("/contacts")
async def index(page: Page) -> web.Response:
    query, after = page.query("q").strip()[:100], page.query("after") or None
    lists = await page.app.store.contacts.lists(page.workspace_id)
    list_id = next((one.id for one in lists if str(one.id) == page.query("list")), None)
    people = await page.app.store.contacts.search(page.workspace_id, query, list_id, after, PAGE_SIZE)
    return page.render("contacts/index.html", people=people, query=query, after=after, lists=lists, list_id=list_id)


async def _choices(page: Page) -> tuple[ContactList, ...]:
    return await page.app.store.contacts.lists(page.workspace_id)


@routes.get("/contacts/new")
async def new(page: Page) -> web.Response:
    form: Form[NewContactForm] = Form.blank(list_id=page.query("list"))
    return page.render("contacts/form.html", form=form, contact=None, lists=await _choices(page))


@routes.post("/contacts/new")
async def create(page: Page) -> web.Response:
    """Add one person by hand; somebody who is known already is shown instead of being overwritten."""
    form = await page.form(NewContactForm)
    lists = await _choices(page)
    if form.data is None:
        return page.invalid("contacts/form.html", form=form, contact=None, lists=lists)
    try:
        address = parse_address(form.data.email)
    except AddressError as error:
        form.problems["email"] = str(error)
        return page.invalid("contacts/form.html", form=form, contact=None, lists=lists)
    known = await page.app.store.contacts.find(page.workspace_id, address.key)
    if known is not None:
        words = _("This person is a contact already. Nothing was changed.")
        return page.redirect(f"/contacts/{known.id}", words, "warn")
    wanted = form.data.list_id if any(one.id == form.data.list_id for one in lists) else None
    made = await add_contact(
        page.app, page.workspace_id, address.text, form.data.standard(), {}, list_ids=[wanted] if wanted else [],
        actor=page.session.user.email)
    return page.redirect(f"/contacts/{made.id}", _("The contact was added."))


@routes.get("/contacts/{contact_id:\\d+}")
async def show(page: Page) -> web.Response:
    store = page.app.store.contacts
    contact = await _contact(page)
    subscriptions = await store.subscriptions(page.workspace_id, contact.id)
    joined = {row.list_id for row in subscriptions}
    before = page.query("before") or None
    timeline = await store.timeline(page.workspace_id, contact.id, before, PAGE_SIZE)
    return page.render(
        "contacts/show.html", contact=contact, subscriptions=subscriptions,
        suppressions=await _suppressions(page, contact), before=before, timeline=timeline, page_size=PAGE_SIZE,
        others=[one for one in await _choices(page) if one.id not in joined])


async def _contact(page: Page) -> Contact:
    return await page.app.store.contacts.get(page.workspace_id, page.key("contact_id"))


async def _suppressions(page: Page, contact: Contact) -> tuple[Suppression, ...]:
    return await page.app.store.contacts.suppressions(page.workspace_id, email_key=contact.email_key)


@routes.get("/contacts/{contact_id:\\d+}/edit")
async def edit(page: Page) -> web.Response:
    contact = await _contact(page)
    form: Form[ContactForm] = Form.blank(**{name: getattr(contact, name) for name in STANDARD_FIELDS})
    return page.render("contacts/form.html", form=form, contact=contact, lists=())


@routes.post("/contacts/{contact_id:\\d+}/edit")
async def save(page: Page) -> web.Response:
    contact = await _contact(page)
    form = await page.form(ContactForm)
    if form.data is None:
        return page.invalid("contacts/form.html", form=form, contact=contact, lists=())
    row = NewContact(contact.email, contact.email_key, contact.domain, form.data.standard())
    await page.app.store.contacts.upsert(page.workspace_id, [row], contact.source, page.app.clock.now())
    return page.redirect(f"/contacts/{contact.id}", _("The contact was saved."))


@routes.post("/contacts/{contact_id:\\d+}/delete")
async def delete(page: Page) -> web.Response:
    contact = await _contact(page)
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
    await page.app.store.contacts.suppress(
        page.workspace_id, contact.email_key, SuppressionReason.MANUAL, page.app.clock.now(),
        note=page.session.user.email)
    return page.redirect(f"/contacts/{contact.id}", _("Nothing is sent to this address any more."))


@routes.post("/contacts/{contact_id:\\d+}/unsuppress/{suppression_id:\\d+}")
async def unsuppress(page: Page) -> web.Response:
    contact = await _contact(page)
    wanted = page.key("suppression_id")
    if any(one.id == wanted for one in await _suppressions(page, contact)):
        await page.app.store.contacts.unsuppress(page.workspace_id, wanted)
    return page.redirect(f"/contacts/{contact.id}", _("This address can be written to again."))
