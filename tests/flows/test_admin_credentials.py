"""Apps and keys: made by an owner, shown once, found by nobody else, revoked."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.flows.accounts import Passwords
from esp.flows.credentials import Keyring
from tests.admin_house import House, admin_house

PAGE = "/settings/credentials"


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


async def test_a_credential_is_shown_once_and_opens_the_door_until_it_is_revoked(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    assert "No app sends" in await (await browser.get(PAGE)).text()
    answer = await browser.submit(f"{PAGE}/new", {"kind": "smtp", "name": "Shop", "rate": "10/s"}, f"{PAGE}/new")
    text = await answer.text()
    (one,) = await house.app.store.relay.credentials(1)
    found = re.search(r"[a-z2-9]{6}(-[a-z2-9]{6}){5}", text)
    assert found, text
    secret = found[0]
    assert one.login in text
    again = await (await browser.get(PAGE)).text()
    assert one.login in again
    assert secret not in again
    assert (await Keyring(house.app, Passwords()).smtp(one.login, secret, "127.0.0.1")) is not None
    assert (await Keyring(house.app, Passwords()).smtp(one.login, secret + "x", "127.0.0.1")) is None
    await browser.submit(f"{PAGE}/{one.public_id}/revoke", {}, PAGE)
    assert (await Keyring(house.app, Passwords()).smtp(one.login, secret, "127.0.0.1")) is None


async def test_an_api_key_has_scopes_and_wrong_fields_are_told(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    form = f"{PAGE}/new?kind=api"
    wrong = await browser.submit(f"{PAGE}/new", {
        "kind": "api", "name": "Shop", "rate": "fast", "domains": "no domain", "networks": "x"}, form)
    text = await wrong.text()
    assert "is not a rate" in text
    assert "cannot be used here" in text
    answer = await browser.submit(f"{PAGE}/new", {"kind": "api", "name": "Shop", "scopes": "messages:send"}, form)
    found = re.search(r"mp_[0-9a-f]{16}_[0-9a-f]{64}", await answer.text())
    assert found
    (one,) = await house.app.store.relay.credentials(1)
    assert {str(scope) for scope in one.scopes} == {"messages:send"}
    assert await Keyring(house.app).key(found[0], "192.0.2.1") == one
    assert await Keyring(house.app).key(found[0][:-1] + "0", "192.0.2.1") in (None, one)


async def test_another_workspaces_credential_cannot_be_revoked(house: House) -> None:
    await house.owner()
    await house.second_workspace()
    browser = await house.logged_in("budi@lain.example")
    await browser.submit(f"{PAGE}/new", {"kind": "smtp", "name": "Theirs"}, f"{PAGE}/new")
    (one,) = await house.app.store.relay.credentials(2)
    mine = await house.logged_in()
    assert (await mine.submit(f"{PAGE}/{one.public_id}/revoke", {}, PAGE)).status == 404
    assert one.login not in await (await mine.get(PAGE)).text()
