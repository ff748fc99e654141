"""The screens of imports from elsewhere, exports and transfers, over HTTP."""

import html
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import MultiDict

from admin_ui.pages.contacts.chosen import pack
from esp.adapters.places import Bounds, OutsidePlaces
from esp.adapters.sql.database import Database
from esp.flows.accounts import add_user
from esp.flows.contacts import add_contact, create_list
from esp.flows.exports import run_exports
from esp.ports.accounts import Role
from esp.ports.people_bulk import Selection
from tests.admin_house import PASSWORD, House, admin_house
from tests.flows.test_admin_pages import upload


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


async def test_an_export_is_asked_for_written_and_downloaded(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    news = await create_list(house.app, 1, "News")
    await add_contact(house.app, 1, "wulan@mail.example", {"first_name": "=1+1"}, {}, list_ids=[news.id])
    await browser.get("/exports")
    assert "No export yet" in browser.last
    answer = await browser.submit("/exports/new", {"what": "contacts", "format": "csv", "of": f"list-{news.id}"})
    assert answer.status == 303
    await browser.get("/exports")
    assert "<progress" in browser.last
    assert await run_exports(house.app)
    await browser.get("/exports")
    assert "/exports/1/file" in browser.last
    file = await browser.client.get("/exports/1/file")
    assert "attachment" in file.headers["Content-Disposition"]
    assert "wulan@mail.example,'=1+1," in await file.text()
    assert (await browser.submit("/exports/new", {"of": "segment-99"})).status == 422


async def test_those_who_were_ticked_or_found_are_exported(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    ids = [(await add_contact(house.app, 1, f"p{n}@mail.example", {"city": "Solo"}, {})).id for n in range(3)]
    token = await browser.token("/contacts")
    await browser.post("/contacts/bulk", MultiDict([("csrf", token), ("id", str(ids[0])), ("id", str(ids[2]))]))
    ticked = html.unescape(re.findall(r'name="selection" value="([^"]*)"', browser.last)[0])
    await browser.submit("/exports/chosen", {"selection": ticked}, page="/contacts")
    assert "2 contacts" in browser.last
    assert (await browser.submit("/exports/new", {"format": "xls", "selection": ticked})).status == 422
    assert "2 contacts" in browser.last
    found = pack(Selection(query="p1"))
    for selection in (ticked, found):
        assert (await browser.submit("/exports/new", {"selection": selection})).status == 303
    assert (await browser.submit("/exports/new", {"selection": pack(Selection(list_id=99))})).status == 422
    assert "There is no such list." in browser.last
    await browser.submit("/exports/new", {"selection": "nobody wrote this"})
    assert "This selection cannot be read any more." in browser.last
    expected = (["p0@mail.example", "p2@mail.example"], ["p1@mail.example"])
    for number, emails in enumerate(expected, 1):
        assert await run_exports(house.app)
        text = await (await browser.client.get(f"/exports/{number}/file")).text()
        assert [line.split(",")[0] for line in text.splitlines()[1:]] == emails
    await browser.get("/exports")
    assert "chosen people" in browser.last


async def test_a_transfer_is_made_changed_paused_run_and_deleted(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    await browser.get("/transfers")
    assert "No transfer yet" in browser.last
    form = {"name": "Shop", "direction": "import", "kind": "s3", "endpoint": "https://s3.example", "bucket": "b",
            "key": "people.csv", "access_key": "AK", "secret": "canary-hush", "every": "week", "minutes": "60",
            "at": "07:30", "weekday": "2", "what": "contacts", "format": "csv", "list_id": ""}
    assert (await browser.submit("/transfers/new", {**form, "bucket": ""})).status == 422
    assert "Name the bucket." in browser.last
    assert "canary-hush" not in browser.last
    assert (await browser.submit("/transfers/new", form)).status == 303
    for path in ("/transfers", "/transfers/1", "/transfers/1/edit"):
        await browser.get(path)
        assert "Shop" in browser.last
        assert "canary-hush" not in browser.last
    changed = {**form, "name": "Shop 2", "secret": ""}
    assert (await browser.submit("/transfers/1/edit", changed)).status == 303
    kept = await house.app.store.transfers.get(1, 1)
    assert kept.name == "Shop 2"
    assert house.app.tokens.unseal("transfer", kept.workspace_id, kept.secret) == "canary-hush"
    for elsewhere in ({"endpoint": "https://evil.example"}, {"kind": "url", "url": "https://evil.example/x"}):
        assert (await browser.submit("/transfers/1/edit", {**changed, **elsewhere})).status == 422
        assert "Write the secret again" in browser.last
    assert (await house.app.store.transfers.get(1, 1)).place["endpoint"] == "https://s3.example"
    for what in ("run", "pause", "pause", "delete"):
        assert (await browser.submit(f"/transfers/1/{what}", {}, page="/transfers/1")).status == 303
    assert (await browser.get("/transfers/1")).status == 404


async def test_a_dry_run_stands_above_the_same_form(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    where = await upload(browser, "people.csv", b"email,city\na@mail.example,Solo\nnobody,x\n")
    form = {"column-0": "email", "column-1": "city", "list": "none", "try": "1"}
    answer = await browser.submit(f"{where}/start", form, page=where)
    assert answer.status == 200
    assert "What would happen" in browser.last
    assert "a@mail.example" in browser.last
    assert (await house.app.store.contacts.search(1)).contacts == ()


async def test_nothing_is_fetched_from_the_inside(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    for place in ("http://127.0.0.1/x.csv", ""):
        answer = await browser.submit("/imports/fetch", {"kind": "url", "place": place}, page="/imports/new")
        assert answer.status in (422, 502, 503)


async def test_only_an_owner_takes_files_from_the_servers_folder(house: House) -> None:
    await house.owner()
    await add_user(house.app, house.passwords, 1, "tuti@melati.example", "Tuti", PASSWORD, Role.MEMBER)
    for email, refused in (("tuti@melati.example", True), ("sri@melati.example", False)):
        browser = await house.logged_in(email)
        form = {"kind": "folder", "place": "people.csv"}
        answer = await browser.submit("/imports/fetch", form, page="/imports/new")
        assert (answer.status == 403) == refused


async def test_what_could_not_be_fetched_stays_typed_beside_its_reason(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    house.app.places = OutsidePlaces(Bounds("", False, 10**6, timedelta(seconds=20)))
    typed = "http://127.0.0.1:1/people.csv"
    assert (await browser.submit("/imports/fetch", {"place": typed}, page="/imports/new")).status == 422
    assert f'value="{typed}"' in browser.last
    assert re.search(r'id="place-problem".*private network.*Nothing was imported', browser.last, re.DOTALL)


async def test_a_logo_is_fetched_once_and_never_from_the_inside(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    fetched: list[str] = []

    async def picture(request: web.Request) -> web.Response:
        fetched.append(request.path)
        body = {"/logo.png": b"\x89PNG\r\n\x1a\n" + b"x" * 100, "/page": b"<svg onload=alert(1)>",
                "/huge": b"\x89PNG\r\n\x1a\n" + b"x" * 50_000}[request.path]
        return web.Response(body=body)

    site = web.Application()
    site.router.add_get("/{any}", picture)
    async with TestServer(site) as server:
        house.app.places = OutsidePlaces(Bounds("", False, 10**6, timedelta(seconds=20)))
        address = str(server.make_url("/logo.png"))
        await browser.submit("/settings/pages/logo/fetch", {"url": address}, "/settings/pages")
        assert fetched == []
        house.app.places = OutsidePlaces(Bounds("", True, 10**6, timedelta(seconds=20)))
        for path in ("/page", "/huge", "/logo.png"):
            assert (await house.app.store.signups.public_pages(1)).logo_hash == ""
            await browser.submit("/settings/pages/logo/fetch", {"url": str(server.make_url(path))}, "/settings/pages")
    pages = await house.app.store.signups.public_pages(1)
    logo = await house.app.store.signups.logo(1, pages.logo_hash)
    assert logo
    assert (logo.media_type, len(logo.octets)) == ("image/png", 108)
    await browser.get("/settings/pages")
    assert address not in browser.last


async def test_the_public_pages_are_previewed_in_a_frame_that_nothing_leaves(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    answer = await browser.get("/settings/pages/preview?accent=%23aa0000&en_signup_title=Hello+there")
    assert answer.status == 200
    assert "Hello there" in browser.last
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in policy
    assert policy.endswith("; sandbox")
