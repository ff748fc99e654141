"""The map of the admin: which groups and screens there are, and where the reader stands."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Screen:
    """A place in the navigation; ``label`` is English and translated where it is shown."""

    label: str
    path: str
    icon: str
    children: tuple["Screen", ...] = ()
    within: tuple[str, ...] = ()  # other paths that belong here too

    def holds(self, path: str) -> bool:
        """Whether ``path`` is this screen or lies under it."""
        roots = (self.path, *self.within)
        return any(path == root or (root != "/" and path.startswith(root + "/")) for root in roots)


MAP: Final = (
    Screen("Home", "/", "house"),
    Screen("Campaigns", "/campaigns", "send"),
    Screen("Audience", "/contacts", "users", within=(
            "/lists", "/segments", "/imports", "/exports", "/transfers", "/hygiene", "/suppressions"), children=(
        Screen("Contacts", "/contacts", "user"),
        Screen("Lists", "/lists", "list"),
        Screen("Segments", "/segments", "filter"),
        Screen("Import", "/imports", "upload"),
        Screen("Export", "/exports", "download"),
        Screen("Transfers", "/transfers", "refresh-cw"),
        Screen("Hygiene", "/hygiene", "shield-check"),
        Screen("Suppressions", "/suppressions", "ban"),
    )),
    Screen("Reports", "/reports", "chart-column", within=("/engagement", "/deliverability"), children=(
        Screen("Campaign reports", "/reports", "chart-column"),
        Screen("Engagement", "/engagement", "activity"),
        Screen("Deliverability", "/deliverability", "shield-check"),
    )),
    Screen("Settings", "/settings", "settings", children=(
        Screen("Sending domains", "/settings/domains", "globe"),
        Screen("Mailboxes", "/settings/mailboxes", "inbox"),
        Screen("Apps and keys", "/settings/credentials", "key-round"),
        Screen("Contact fields", "/settings/fields", "list-checks"),
        Screen("Public pages", "/settings/pages", "panel-left"),
        Screen("Topics", "/settings/topics", "tag"),
        Screen("Team", "/settings/team", "user-cog"),
        Screen("Workspace", "/settings/workspace", "building-2"),
        Screen("Your account", "/settings/account", "user"),
    )),
)

ACTIONS: Final = (
    Screen("New campaign", "/campaigns/new", "plus"),
    Screen("New list", "/lists/new", "plus"),
    Screen("New segment", "/segments/new", "plus"),
    Screen("Add a contact", "/contacts/new", "user-plus"),
    Screen("Import contacts", "/imports/new", "upload"),
    Screen("Add a contact field", "/settings/fields/new", "plus"),
    Screen("Tags", "/contacts/tags", "tag"),
    Screen("What was done to many contacts", "/contacts/actions", "history"),
    Screen("Suppress an address or a domain", "/suppressions/new", "ban"),
    Screen("Add a sending domain", "/settings/domains/new", "plus"),
    Screen("Collect from a mailbox", "/settings/mailboxes/new", "inbox"),
    Screen("Invite a colleague", "/settings/team/new", "user-plus"),
    Screen("Guide", "/docs", "book-open"),
)


def every_screen() -> tuple[Screen, ...]:
    """All screens and actions flat, for the search."""
    screens = [screen for group in MAP for screen in ((group,) if not group.children else group.children)]
    return (*screens, *ACTIONS)


def find_screens(query: str, translate: Callable[[str], str], limit: int = 6) -> tuple[Screen, ...]:
    """Screens one of whose words begins with ``query``; the first few where it is empty."""
    wanted = query.strip().lower()
    def matches(screen: Screen) -> bool:
        label = translate(screen.label).lower()
        return any(word.startswith(wanted) for word in (label, *label.split()))

    return tuple(filter(matches, every_screen()))[:limit]
