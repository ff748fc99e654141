"""Contacts by hand: lists made, one person added."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from esp.app import App
from esp.errors import ConflictError, InputError
from esp.flows.erasure import bar_erased
from esp.model.names import HIDDEN, hides_something, is_blank
from esp.ports.contacts import Contact, ContactList, NewContact, Subscribing
from esp.wire.addresses import AddressError, parse_address

MAX_LIST_NAME: Final = 100


def list_name(name: str) -> str:
    """The name as it is kept; raises InputError with what is wrong with it."""
    name = " ".join(name.split())
    if is_blank(name) or len(name) > MAX_LIST_NAME:
        raise InputError("The list was not saved.", {"name": "Give the list a name of at most 100 characters."})
    if hides_something(name):
        raise InputError("The list was not saved.", {"name": HIDDEN})
    return name


async def create_list(app: App, workspace_id: int, name: str, description: str = "", handle: str = "") -> ContactList:
    """A new list. Its handle becomes part of the List-Id and never changes; by default it is made of the name."""
    name = list_name(name)
    plain = unicodedata.normalize("NFKD", handle or name).encode("ascii", "ignore").decode().lower()
    wanted = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40] or "list"
    for number in range(1, 100):
        try:
            return await app.store.contacts.create_list(
                workspace_id, name, wanted if number == 1 else f"{wanted}-{number}", description, app.clock.now())
        except ConflictError:
            if handle:
                raise
    raise ConflictError("There are a hundred lists of this name already; choose another one.")


async def add_contact(
    app: App, workspace_id: int, email: str, standard: Mapping[str, str], fields: Mapping[str, Any], *,
    list_ids: Sequence[int] = (), actor: str = "",
) -> Contact:
    """Make or change one contact by hand and put it on lists, with its consent recorded; raises InputError."""
    try:
        address = parse_address(email)
    except AddressError as error:
        raise InputError("The contact was not saved.", {"email": str(error)}) from None
    row = NewContact(address.text, address.key, address.domain, standard, fields)
    now = app.clock.now()
    await bar_erased(app, workspace_id, [row.email_key])
    await app.store.contacts.upsert(workspace_id, [row], "by hand", now)
    for list_id in list_ids:
        await app.store.contacts.upsert(
            workspace_id, [row], "by hand", now, Subscribing(list_id, "by hand", actor, resubscribe=True))
    found = await app.store.contacts.find(workspace_id, address.key)
    assert found is not None
    return found
