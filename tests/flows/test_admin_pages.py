"""The pages over HTTP: their headers, their forms, hostile data as text, and other workspaces' things out of reach."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import FormData
from sqlalchemy import select

from admin_ui.pages import ALL
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import sessions
from esp.flows.accounts import forget_expired
from esp.flows.contacts import add_contact, create_list
from esp.flows.domains import add_domain
from esp.flows.imports import run_imports
from esp.ports.accounts import Role
from esp.ports.imports import ImportState
from tests.admin_house import Browser, House, admin_house

OPEN = ("/login", "/docs", "/docs/sending-domains", "/nothing")
CLOSED = ("/", "/contacts", "/lists", "/imports", "/settings/domains", "/settings/team", "/search?q=a", "/contacts/999")
HOSTILE = """"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}'"""


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


@pytest.mark.parametrize("path", [*OPEN, *CLOSED])
async def test_every_answer_carries_the_policy(house: House, path: str) -> None:
    await house.owner()
    browser = await house.logged_in() if path in CLOSED else await house.browser()
    answer = await browser.get(path)
    policy = answer.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'",
                 "base-uri 'none'", "object-src 'none'", "form-action 'self'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "geolocation=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "<script>" not in browser.last
    assert ' style="' not in browser.last


async def test_assets_are_kept_for_ever_and_found(house: House) -> None:
    browser = await house.browser()
    await browser.get("/setup")
    address = browser.last.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = await browser.client.get(address)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"].startswith("text/css")
    assert answer.headers["Content-Encoding"] in ("br", "gzip")
    assert "immutable" not in (await browser.client.get("/static/dist/none.css")).headers.get("Cache-Control", "")


async def test_cookies_cannot_be_read_by_scripts_or_sent_from_elsewhere(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    answer = await browser.submit("/login", {"email": "sri@melati.example", "password": "kupu kupu terbang tinggi"})
    for cookie in answer.headers.getall("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie


@pytest.mark.parametrize("path", [
    "/contacts/{id}", "/contacts/{id}/edit", "/contacts", "/lists", "/lists/{id}", "/settings/team",
    "/settings/workspace", "/search?q=%22", "/", "/imports/new?list={id}",
])
async def test_hostile_names_are_text(house: House, path: str) -> None:
    await house.owner()
    await house.app.store.accounts.update_workspace(
        1, name=HOSTILE, postal_address=HOSTILE, language="en", time_zone="UTC")
    one = await create_list(house.app, 1, HOSTILE, HOSTILE)
    await add_contact(house.app, 1, "person@mail.example", {"first_name": HOSTILE, "city": HOSTILE},
                      {"field": HOSTILE}, list_ids=[one.id], actor=HOSTILE)
    browser = await house.logged_in()
    answer = await browser.get(path.format(id=1))
    assert answer.status == 200
    assert "<script>alert" not in browser.last
    assert "<img src=x" not in browser.last
    assert "49" not in browser.last.split("<main")[-1].split("csrf")[0]


async def test_a_toast_is_text_too(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    one = await create_list(house.app, 1, HOSTILE)
    await browser.submit(f"/lists/{one.id}/archive", {}, page=f"/lists/{one.id}")
    await browser.get("/lists")
    assert "data-toast" in browser.last
    assert "<script>alert" not in browser.last


async def test_things_of_another_workspace_do_not_exist(house: House) -> None:
    """Every address with an id, asked with ids that exist, but in another workspace."""
    await house.owner()
    other = await house.second_workspace()
    there = (await house.app.store.accounts.workspaces_of(other.user.id))[0].id
    one = await create_list(house.app, there, "Theirs")
    person = await add_contact(house.app, there, "theirs@mail.example", {}, {}, list_ids=[one.id])
    domain = await add_domain(house.app, there, "theirs.example")
    file = await house.app.store.imports.create(
        there, other.user.id, "x.csv", "imports/x.csv", 1, house.clock.now())
    browser = await house.logged_in()
    token = await browser.token("/settings/account")
    public = {"domains": domain.public_id, "domain": domain.public_id, "team": other.user.public_id}
    numbers = {"contact_id": person.id, "list_id": one.id, "import_id": file.id}
    tried = 0
    for route in (route for routes in ALL for route in routes.all):
        path = route.path
        for name, number in numbers.items():
            path = path.replace(f"{{{name}:\\d+}}", str(number))
        for part, public_id in public.items():
            if f"/{part}/{{public_id}}" in path:
                path = path.replace("{public_id}", public_id)
        if path == route.path or "{campaign" in path or "{suppression" in path:
            continue
        tried += 1
        answer = await (browser.get(path) if route.method == "GET" else browser.post(path, {
            "csrf": token, "name": "taken over", "list_id": str(one.id), "state": "subscribed"}))
        assert answer.status == 404, (route.method, path, answer.status)
        assert "theirs" not in browser.last.lower()
    assert tried > 15
    assert (await house.app.store.contacts.get_list(there, one.id)).name == "Theirs"


async def test_a_person_cannot_be_put_on_another_workspaces_list(house: House) -> None:
    await house.owner()
    other = await house.second_workspace()
    there = (await house.app.store.accounts.workspaces_of(other.user.id))[0].id
    one = await create_list(house.app, there, "Theirs")
    person = await add_contact(house.app, 1, "mine@mail.example", {}, {})
    browser = await house.logged_in()
    answer = await browser.submit(
        f"/contacts/{person.id}/subscription", {"list_id": str(one.id), "state": "subscribed"},
        page=f"/contacts/{person.id}")
    assert answer.status == 404
    await browser.submit("/contacts/new", {"email": "new@mail.example", "list_id": str(one.id)})
    assert (await house.app.store.contacts.get_list(there, one.id)).subscribed == 0


async def test_an_owner_cannot_open_other_workspaces_by_resetting_a_password(house: House) -> None:
    await house.owner()
    other = await house.second_workspace()
    await house.app.store.accounts.join(1, other.user.id, other.role)
    browser = await house.logged_in()
    answer = await browser.submit(f"/settings/team/{other.user.public_id}/password", {}, page="/settings/team")
    assert answer.status == 409


async def test_changing_the_workspace_leads_only_where_one_belongs(house: House) -> None:
    await house.owner()
    other = await house.second_workspace()
    there = (await house.app.store.accounts.workspaces_of(other.user.id))[0].id
    browser = await house.logged_in()
    assert (await browser.submit(f"/workspaces/{there}/enter", {}, page="/settings/account")).status == 404
    me = (await house.app.store.accounts.members(1))[0].user
    await house.app.store.accounts.join(there, me.id, Role.MEMBER)
    assert (await browser.submit(f"/workspaces/{there}/enter", {}, page="/workspaces")).status == 303
    await browser.get("/settings/workspace")
    assert 'value="Lain"' in browser.last
    assert (await browser.submit("/settings/workspace", {}, page="/settings/workspace")).status == 403  # a member there


async def test_the_last_owner_stays(house: House) -> None:
    await house.owner()
    member = (await house.app.store.accounts.members(1))[0]
    browser = await house.logged_in()
    for what in ("disable", "role"):
        answer = await browser.submit(f"/settings/team/{member.user.public_id}/{what}", {}, page="/settings/team")
        assert answer.status == 409
    assert (await browser.get("/settings/team")).status == 200


async def test_problems_stand_beside_their_fields_and_what_was_typed_stays(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    typed = {"email": "not an address", "first_name": "Wulan", "city": "x" * 200}
    answer = await browser.submit("/contacts/new", typed)
    assert answer.status == 422
    assert 'id="city-problem"' in browser.last
    assert 'value="Wulan"' in browser.last
    assert await house.app.store.contacts.find(1, "not an address") is None


async def test_somebody_known_is_shown_and_not_overwritten(house: House) -> None:
    await house.owner()
    person = await add_contact(house.app, 1, "Wulan@mail.example", {"city": "Bandung"}, {})
    browser = await house.logged_in()
    answer = await browser.submit("/contacts/new", {"email": "wulan@mail.example", "city": "Medan"})
    assert answer.headers["Location"] == f"/contacts/{person.id}"
    assert (await house.app.store.contacts.get(1, person.id)).city == "Bandung"


async def upload(browser: Browser, name: str, data: bytes, token: str | None = None) -> str:
    form = FormData()
    form.add_field("csrf", token if token is not None else await browser.token("/imports/new"))
    form.add_field("list", "")
    form.add_field("file", data, filename=name, content_type="text/csv")
    response = await browser.client.post("/imports/new", data=form, allow_redirects=False)
    browser.last = await response.text()
    return response.headers.get("Location", str(response.status))


async def test_a_file_is_imported_and_its_bad_rows_come_back(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    rows = "\r\n".join(["Nama;E-mail;Kota", "Wulan Sari;wulan@mail.example;Bandung", "Nobody;nothing;Medan",
                        "=cmd();also nothing;x"])
    where = await upload(browser, "pelanggan.csv", rows.encode("utf-16"))
    await browser.get(where)
    assert "semicolon" in browser.last
    assert "UTF-16" in browser.last
    answer = await browser.submit(
        f"{where}/start", {"column-0": "full_name", "column-1": "email", "column-2": "city", "list": "new",
                           "wording": "Form at the till"}, page=where)
    assert answer.status == 303
    assert await run_imports(house.app)
    done = await house.app.store.imports.get(1, 1)
    assert (done.state, done.created, done.rejected) == (ImportState.DONE, 1, 2)
    live = await browser.client.get(f"{where}/live")
    text = await live.text()
    assert "The import is done" in text
    assert text.endswith("event: done\ndata: \n\n")
    download = await browser.client.get(f"{where}/rejected.csv")
    assert "attachment" in download.headers["Content-Disposition"]
    assert "The address has no @." in await download.text()
    person = await house.app.store.contacts.find(1, "wulan@mail.example")
    assert person
    await browser.get(f"/contacts/{person.id}")
    assert "Form at the till" in browser.last
    assert (await browser.submit(f"{where}/start", {}, page="/settings/account")).headers["Location"] == where


@pytest.mark.parametrize(("data", "words"), [
    (b"", "empty"), (b"PK\x03\x04rest", "Excel"), (b"a,A\n1,2\n", "twice"), (b"x@mail.example,b\n", "name the columns"),
])
async def test_a_file_that_cannot_be_read_says_why(house: House, data: bytes, words: str) -> None:
    await house.owner()
    browser = await house.logged_in()
    assert await upload(browser, "people.csv", data) == "422"
    assert words in browser.last


async def test_an_import_joins_the_only_list_and_asks_where_there_are_several(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    only = await create_list(house.app, 1, "Letters")
    where = await upload(browser, "people.csv", b"e-mail\nx@mail.example\n")
    await browser.get(where)
    assert f'<option value="{only.id}" selected>' in browser.last
    await create_list(house.app, 1, "Offers")
    await browser.get(where)
    assert f'<option value="{only.id}" selected>' not in browser.last
    answer = await browser.submit(f"{where}/start", {"column-0": "email", "list": ""}, page=where)
    assert answer.status == 422
    assert "Choose the list that these people join." in browser.last
    assert (await house.app.store.imports.get(1, 1)).state is ImportState.UPLOADED
    assert (await browser.submit(f"{where}/start", {"column-0": "email", "list": "none"}, page=where)).status == 303


async def test_two_columns_into_one_field_is_said_beside_the_column(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    where = await upload(browser, "people.csv", b"a,b\nx@mail.example,y@mail.example\n")
    twice = {"column-0": "email", "column-1": "email", "list": "new"}
    answer = await browser.submit(f"{where}/start", twice, page=where)
    assert answer.status == 422
    assert 'id="column-0-problem"' in browser.last
    assert (await house.app.store.imports.get(1, 1)).state is ImportState.UPLOADED
    assert await house.app.store.contacts.lists(1) == ()


async def test_an_upload_needs_the_token_before_the_file(house: House, tmp_path: Path) -> None:
    await house.owner()
    browser = await house.logged_in()
    assert await upload(browser, "people.csv", b"email\na@b.example\n", token="wrong") == "403"
    assert await house.app.store.imports.page(1) == ()
    assert not (tmp_path / "imports").exists()


async def test_expired_sessions_are_forgotten(house: House, sqlite_database: Database) -> None:
    await house.owner()
    await house.logged_in()
    house.clock.turn(timedelta(days=15))
    assert await forget_expired(house.app) is False
    async with sqlite_database.read() as connection:
        assert (await connection.execute(select(sessions))).all() == []


async def test_the_guide_is_read_without_logging_in_and_raw(house: House) -> None:
    browser = await house.browser()
    await browser.get("/docs/sending-domains")
    assert "<table>" in browser.last
    raw = await browser.get("/docs/sending-domains.md")
    assert raw.content_type == "text/markdown"
    assert browser.last.startswith("# Sending domains")
    assert (await browser.get("/docs/%2e%2e%2fREADME")).status == 404
