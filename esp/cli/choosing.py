"""How commands name things: a workspace, a list or a sending domain by its name, handle or number."""

from esp.app import App
from esp.errors import InputError
from esp.ports.accounts import Workspace
from esp.ports.contacts import ContactList
from esp.ports.domains import SendingDomain


async def the_workspace(app: App, name: str) -> Workspace:
    """The workspace of this name, or the only one where ``name`` is empty; raises InputError with those there are."""
    found = await app.store.accounts.workspaces()
    if not found:
        raise InputError("There is no workspace yet. Make the first user with `merpati user add you@example.com`.")
    if not name and len(found) == 1:
        return found[0]
    matching = [it for it in found if it.name.casefold() == name.casefold() or str(it.id) == name]
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(f"{it.id} {it.name or 'unnamed'}" for it in found)
    raise InputError(f"Say which workspace with --workspace; there are: {names}.")


async def the_list(app: App, workspace_id: int, name: str) -> ContactList:
    """The list of this handle, name or number; raises InputError with those there are."""
    found = await app.store.contacts.lists(workspace_id)
    for matching in (
        [it for it in found if it.handle == name], [it for it in found if it.name.casefold() == name.casefold()],
        [it for it in found if str(it.id) == name],
    ):
        if len(matching) == 1:
            return matching[0]
    names = ", ".join(it.handle for it in found) or "none yet; make one with `merpati list create NAME`"
    raise InputError(f"There is no list {name!r}. There are: {names}.")


async def the_domain(app: App, workspace_id: int, name: str) -> SendingDomain:
    """The sending domain of this name, or the only one where ``name`` is empty; raises InputError."""
    found = await app.store.domains.all(workspace_id)
    if not name and len(found) == 1:
        return found[0]
    for domain in found:
        if domain.name == name.lower():
            return domain
    names = ", ".join(it.name for it in found) or "none yet; add one with `merpati domain add example.com`"
    raise InputError(f"Say which sending domain; there are: {names}.")
