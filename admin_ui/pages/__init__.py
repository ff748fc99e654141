"""The pages, one module a screen group: a new one is listed here, its templates stand in the folder of its name."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages import (
    account,
    archives,
    campaigns,
    contacts,
    credentials,
    domains,
    exports,
    fields,
    guide,
    home,
    hygiene,
    imports,
    list_signup,
    lists,
    login,
    mailboxes,
    public_pages,
    reports,
    segments,
    setup,
    suppressions,
    team,
    topics,
    transfers,
    workspace,
)

ALL: Final[tuple[Routes, ...]] = (
    login.routes, setup.routes, home.routes, guide.routes, *campaigns.ALL, *reports.ALL,
    *contacts.ALL, fields.routes, hygiene.routes, suppressions.routes, lists.routes, archives.routes,
    list_signup.routes, *segments.ALL, imports.routes, exports.routes,
    transfers.routes, public_pages.routes, domains.routes, mailboxes.routes, credentials.routes, topics.routes,
    team.routes, workspace.routes, account.routes,
)
