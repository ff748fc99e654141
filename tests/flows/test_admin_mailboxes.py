"""The screen of mailboxes elsewhere, over HTTP, with a real Dovecot behind it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from esp.adapters.mailbox import OutsideMailboxes
from esp.adapters.sql.database import Database
from tests.admin_house import House, admin_house
from tests.dovecot import PASSWORD, USER, Dovecot


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    server = Dovecot.start()
    yield server
    server.stop()


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        house.app.mailboxes = OutsideMailboxes(True, 100_000)
        yield house


async def test_a_mailbox_is_added_tried_paused_and_forgotten(house: House, dovecot: Dovecot) -> None:
    await house.owner()
    browser = await house.logged_in()
    await browser.get("/settings/mailboxes")
    assert "No mailbox yet" in browser.last
    form = {"name": "Bounces", "protocol": "imap", "host": "127.0.0.1", "port": str(dovecot.imap), "security": "none",
            "username": USER, "secret": "wrong", "folder": "INBOX", "afterwards": "keep"}
    refused = await browser.submit("/settings/mailboxes/new", {**form, "username": "", "secret": ""})
    assert refused.status == 422
    assert "Write the user name" in browser.last
    await browser.submit("/settings/mailboxes/new", form)
    await browser.get("/settings/mailboxes")
    assert "Not reached" in browser.last
    assert "Authentication failed" in browser.last
    await browser.get("/settings/mailboxes/1/edit")
    assert "wrong" not in browser.last  # the password is never shown, not even this one
    moved = {**form, "secret": "", "host": "127.0.0.2"}
    assert (await browser.submit("/settings/mailboxes/1/edit", moved)).status == 422
    assert "Write the password again" in browser.last
    await browser.submit("/settings/mailboxes/1/edit", {**form, "secret": PASSWORD})
    await browser.get("/settings/mailboxes")
    assert "Works" in browser.last
    await browser.submit("/settings/mailboxes/1/pause", {}, page="/settings/mailboxes")
    await browser.get("/settings/mailboxes")
    assert "Paused" in browser.last
    await browser.submit("/settings/mailboxes/1/check", {}, page="/settings/mailboxes")
    await browser.submit("/settings/mailboxes/1/delete", {}, page="/settings/mailboxes")
    await browser.get("/settings/mailboxes")
    assert "No mailbox yet" in browser.last
