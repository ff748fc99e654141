"""Numbers that no database holds and texts with a NUL: an answer for a person, on both databases, never a failure."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin_ui.page import Route
from admin_ui.pages import ALL
from esp.adapters.sql.database import Database
from esp.flows.contacts import add_contact, create_list
from tests.admin_house import House, admin_house

ROUTES = [route for routes in ALL for route in routes.all]
HUGE = "9" * 25


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(database, tmp_path) as house:
        yield house


def path_of(route: Route, value: str) -> str:
    return re.sub(r"\{[^}]*\}", value, route.path)


async def test_numbers_that_no_database_holds_lead_nowhere(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    token = await browser.token("/settings/account")
    for route in (route for route in ROUTES if r":\d+" in route.path):
        path = path_of(route, HUGE)
        answer = await (browser.get(path) if route.method == "GET" else browser.post(path, {"csrf": token}))
        assert 400 <= answer.status < 500, path
        assert route.method == "POST" or answer.status == 404, path


async def test_a_nul_in_an_address_leads_nowhere(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    for route in (route for route in ROUTES if route.method == "GET"):
        answer = await browser.get(path_of(route, "1") + "?q=a%00&after=%00&before=%00&as=%00&list=%00&next=/%00")
        assert answer.status == 404, route.path
    assert (await browser.get("/settings/domains/a%00b")).status == 404


async def test_a_nul_in_a_form_is_left_out_and_a_huge_number_refused(house: House) -> None:
    await house.owner()
    workspace = await house.app.store.accounts.first_workspace()
    assert workspace
    made = await create_list(house.app, workspace.id, "News")
    person = await add_contact(house.app, workspace.id, "ayu@warung.example", {}, {})
    browser = await house.logged_in()
    answer = await browser.submit(f"/contacts/{person.id}/edit", {"first_name": "A\0yu"})
    assert answer.status == 303
    assert (await house.app.store.contacts.get(workspace.id, person.id)).first_name == "Ayu"
    assert (await browser.submit("/lists/new", {"name": "B\0aru"})).status == 303
    token = await browser.token("/settings/account")
    for number, status in ((HUGE, 422), (str(2**63), 422), (str(made.id), 303)):
        data = {"csrf": token, "list_id": number, "state": "subscribed"}
        assert (await browser.post(f"/contacts/{person.id}/subscription", data)).status == status
