"""The pages, one module a screen group: a new one is listed here, its templates stand in the folder of its name."""

from typing import Final

from admin_ui.page import Routes
from admin_ui.pages import (
    account,
    campaigns,
    contacts,
    domains,
    guide,
    home,
    imports,
    lists,
    login,
    reports,
    setup,
    team,
    workspace,
)

ALL: Final[tuple[Routes, ...]] = (
    login.routes, setup.routes, home.routes, guide.routes, *campaigns.ALL, *reports.ALL,
    contacts.routes, lists.routes, imports.routes,
    domains.routes, team.routes, workspace.routes, account.routes,
)
