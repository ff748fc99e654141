"""Who gets in, who stays out, and what a foreign page can do: nothing."""

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from sqlalchemy import func, select

from admin_ui.auth import GUEST_COOKIE, SESSION_COOKIE, LoginThrottle, set_guest_cookie
from admin_ui.page import Route
from admin_ui.pages import ALL
from admin_ui.pages.login import safe_path
from admin_ui.security import token_of
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import metadata, sessions
from esp.app import App
from esp.errors import ConflictError, InputError
from esp.flows.accounts import Passwords, check_password, entrance, found_server, new_password
from esp.ports.accounts import Role
from tests.admin_house import PASSWORD, Browser, House, admin_house

EVERY_ROUTE = [route for routes in ALL for route in routes.all]
CHANGES = [route for route in EVERY_ROUTE if route.method != "GET"]
READS = [route for route in EVERY_ROUTE if route.method == "GET"]


def filled(route: Route) -> str:
    """The route's address with every part of it filled in."""
    parts = [
        "1" if "id" in part else "index" if part.startswith("{") else part
        for part in (piece.replace(":\\d+", "") for piece in route.path.split("/"))
    ]
    return "/".join(parts)


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


async def session_count(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(sessions))).scalar_one()


async def test_an_empty_server_leads_to_the_set_up(house: House) -> None:
    browser = await house.browser()
    assert (await browser.get("/campaigns")).headers["Location"] == "/setup"


async def test_the_set_up_is_open_once(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    assert (await browser.get("/setup")).headers["Location"] == "/login"
    token = await browser.token("/login")
    answer = await browser.post("/setup", {
        "csrf": token, "name": "Mallory", "email": "m@evil.example", "password": "an owner from elsewhere"})
    assert answer.status == 409
    assert await house.app.store.accounts.credentials("m@evil.example") is None


async def test_a_new_server_is_not_for_whoever_finds_it_first(house: House) -> None:
    """Behind a proxy or over the network, only the address that the server printed opens the set-up."""
    owner = {"name": "Mallory", "email": "m@evil.example", "password": "an owner from elsewhere"}
    stranger = await house.browser(**{"X-Forwarded-For": "198.51.100.7"})
    assert (await stranger.get("/setup")).status == 403
    assert "the address that it printed" in stranger.last
    assert (await stranger.get("/setup?code=guessed")).status == 403
    token = token_of(stranger.cookie(GUEST_COOKIE))  # a form of one's own making
    assert (await stranger.post("/setup", {"csrf": token, **owner})).status == 403
    address = await entrance(house.app)
    assert address.startswith("http://mail.server.example/setup?code=")
    code = address.split("code=")[1]
    assert (await stranger.submit("/setup", {"code": code, **owner}, page=f"/setup?code={code}")).status == 303
    assert await entrance(house.app) == "http://mail.server.example"


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"}, {"x-real-ip": "127.0.0.1"}, {"Via": "1.1 proxy"},
    {"Host": "mail.server.example"},
])
async def test_a_proxy_on_this_machine_is_not_a_person_on_it(house: House, headers: dict[str, str]) -> None:
    browser = await house.browser(**headers)
    assert (await browser.get("/setup")).status == 403


async def test_two_first_owners_at_once_are_one(database: Database, tmp_path: Path) -> None:
    async with admin_house(database, tmp_path) as house:
        await found_server(house.app, house.passwords, "a@melati.example", "A", PASSWORD)
        with pytest.raises(ConflictError):
            await found_server(house.app, house.passwords, "b@melati.example", "B", PASSWORD)


async def test_login_makes_a_new_session_and_closes_the_old(house: House, sqlite_database: Database) -> None:
    await house.owner()
    browser = await house.logged_in()
    first = browser.cookie(SESSION_COOKIE)
    token = await browser.token("/settings/account")
    again = await browser.post("/login", {"csrf": token, "email": "sri@melati.example", "password": PASSWORD})
    assert again.status == 303
    assert browser.cookie(SESSION_COOKIE) != first
    assert await session_count(sqlite_database) == 1


async def test_a_planted_session_is_not_adopted(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    jar = browser.client.session.cookie_jar
    jar.update_cookies({SESSION_COOKIE: "planted-by-somebody"}, browser.client.make_url("/"))
    await browser.submit("/login", {"email": "sri@melati.example", "password": PASSWORD})
    assert browser.cookie(SESSION_COOKIE) != "planted-by-somebody"


async def test_the_database_holds_no_cookie(house: House, sqlite_database: Database) -> None:
    await house.owner()
    browser = await house.logged_in()
    secret = browser.cookie(SESSION_COOKIE)
    async with sqlite_database.read() as connection:
        for table in metadata.sorted_tables:
            assert secret not in str((await connection.execute(select(table))).all())


async def test_wrong_unknown_and_disabled_get_the_same_answer(house: House) -> None:
    owner = await house.owner()
    store = house.app.store.accounts
    other = await store.create_user(
        (await store.workspaces())[0].id, "rini@melati.example", "Rini", await house.passwords.hash(PASSWORD),
        Role.MEMBER, house.clock.now())
    await store.set_disabled((await store.workspaces())[0].id, other.id, house.clock.now())
    answers = set()
    tries = (
        ("sri@melati.example", "wrong"), ("nobody@melati.example", PASSWORD), ("rini@melati.example", PASSWORD))
    for email, password in tries:
        browser = await house.browser()
        response = await browser.submit("/login", {"email": email, "password": password})
        answers.add((response.status, browser.last.split("<form")[0].split("</head>")[1].split("inherited")[0]))
        assert "do not match" in browser.last
    assert len(answers) == 1
    assert owner.role is Role.OWNER


async def test_guessing_is_stopped_even_when_the_guess_is_right_at_last(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    for _ in range(LoginThrottle.PER_ACCOUNT):
        await browser.submit("/login", {"email": "sri@melati.example", "password": "a wrong guess"})
    stopped = await browser.submit("/login", {"email": "sri@melati.example", "password": PASSWORD})
    assert stopped.status == 422
    house.clock.turn(timedelta(minutes=16))
    assert (await browser.submit("/login", {"email": "sri@melati.example", "password": PASSWORD})).status == 303


def test_a_stranger_cannot_lock_an_account_out_from_elsewhere() -> None:
    throttle = LoginThrottle()
    for _ in range(100):
        throttle.record("192.0.2.1", "sri@melati.example", 0)
    assert throttle.refuses("192.0.2.1", "sri@melati.example", 1)
    assert throttle.refuses("192.0.2.1", "somebody-else@melati.example", 1)  # the address as a whole
    assert not throttle.refuses("198.51.100.7", "sri@melati.example", 1)


def test_the_throttle_forgets_the_oldest_and_not_everything() -> None:
    throttle = LoginThrottle(capacity=50)
    for number in range(500):
        throttle.record(f"192.0.2.{number}", f"{number}@x.example", 0)
    assert len(throttle._tries) <= 50


async def test_a_changed_password_ends_every_other_session(house: House) -> None:
    await house.owner()
    here, there = await house.logged_in(), await house.logged_in()
    answer = await here.submit(
        "/settings/account/password", {"current": PASSWORD, "password": "seribu kupu kupu"}, page="/settings/account")
    assert answer.status == 303
    assert (await here.get("/settings/account")).status == 200
    assert (await there.get("/settings/account")).headers["Location"].startswith("/login")


async def test_the_password_is_not_changed_without_the_old_one(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    answer = await browser.submit(
        "/settings/account/password", {"current": "not this", "password": "seribu kupu kupu"}, page="/settings/account")
    assert answer.status == 422
    assert await house.logged_in()


async def test_a_disabled_user_is_out_at_once(house: House) -> None:
    await house.owner()
    owner = await house.logged_in()
    await owner.submit("/settings/team/new", {"name": "Rini", "email": "rini@melati.example", "role": "member"})
    password = owner.last.split('id="new-password">')[1].split("<")[0]
    rini = await house.logged_in("rini@melati.example", password)
    assert (await rini.get("/settings/team")).status == 200
    member = next(m for m in await house.app.store.accounts.members(1) if m.user.name == "Rini")
    await owner.submit(f"/settings/team/{member.user.public_id}/disable", {}, page="/settings/team")
    assert (await rini.get("/settings/team")).headers["Location"].startswith("/login")


async def test_an_owner_reaches_nobody_in_another_workspace(house: House) -> None:
    """Not by barring, and not by a new password for somebody who is barred here and works elsewhere."""
    owner = await house.owner()
    accounts = house.app.store.accounts
    await house.app.store.accounts.create_workspace("Elsewhere", "", house.clock.now())
    rini = await accounts.create_user(
        2, "rini@melati.example", "Rini", await house.passwords.hash(PASSWORD), Role.OWNER, house.clock.now())
    await accounts.join(1, rini.id, Role.MEMBER)
    sri = await house.logged_in(owner.user.email)
    assert (await sri.submit(f"/settings/team/{rini.public_id}/disable", {}, page="/settings/team")).status == 303
    assert (await sri.submit(f"/settings/team/{rini.public_id}/password", {}, page="/settings/team")).status == 409
    there = await house.logged_in("rini@melati.example")
    assert (await there.get("/settings/account")).status == 200
    assert [one.id for one in await accounts.workspaces_of(rini.id)] == [2]


async def test_an_idle_session_ends_and_a_used_one_lives_on(house: House) -> None:
    await house.owner()
    used, idle = await house.logged_in(), await house.logged_in()
    for _ in range(4):
        house.clock.turn(timedelta(days=5))
        assert (await used.get("/settings/account")).status == 200
    assert (await idle.get("/settings/account")).headers["Location"].startswith("/login")


async def test_logging_out_ends_the_session_on_the_server(house: House, sqlite_database: Database) -> None:
    await house.owner()
    browser = await house.logged_in()
    await browser.submit("/logout", {}, page="/settings/account")
    assert await session_count(sqlite_database) == 0


async def test_every_change_from_a_foreign_page_is_refused(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    token = await browser.token("/settings/account")
    foreign = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    )
    for route, headers in itertools.product(CHANGES, foreign):
        answer = await browser.post(filled(route), {"csrf": token}, **headers)
        assert answer.status == 403, (route.path, headers)


async def test_every_change_needs_the_token_of_this_session(house: House) -> None:
    await house.owner()
    browser, other = await house.logged_in(), await house.logged_in()
    foreign = await other.token("/settings/account")
    for route in CHANGES:
        await refuses_without_token(browser, route, foreign)


async def refuses_without_token(browser: Browser, route: Route, foreign: str) -> None:
    for data in ({}, {"csrf": ""}, {"csrf": foreign}):
        assert (await browser.post(filled(route), data)).status == 403, route.path
    plain = await browser.client.post(
        filled(route), data=f"csrf={foreign}", headers={"Content-Type": "text/plain"}, allow_redirects=False)
    assert plain.status == 403
    upload = await browser.client.post(
        filled(route), data=b"--x\r\n\r\n--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"},
        allow_redirects=False)
    assert upload.status in ((403,) if route.streams else (415,))


async def test_every_change_needs_a_login(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    token = await browser.token("/login")
    for route in (route for route in CHANGES if not route.open):
        assert (await browser.post(filled(route), {"csrf": token})).status == 401, route.path


async def test_every_page_needs_a_login(house: House) -> None:
    await house.owner()
    browser = await house.browser()
    for route in (route for route in READS if not route.open):
        answer = await browser.get(filled(route))
        assert answer.status == 303, route.path
        assert answer.headers["Location"].startswith("/login?next=/")


async def test_a_member_may_not_do_what_only_owners_may(house: House) -> None:
    await house.owner()
    await house.app.store.accounts.create_user(
        1, "rini@melati.example", "Rini", await house.passwords.hash(PASSWORD), Role.MEMBER, house.clock.now())
    browser = await house.logged_in("rini@melati.example")
    token = await browser.token("/settings/account")
    for route in (route for route in EVERY_ROUTE if route.owner):
        path = filled(route)
        answer = await (browser.get(path) if route.method == "GET" else browser.post(path, {"csrf": token}))
        assert answer.status == 403, route.path


async def test_login_from_a_foreign_page_is_refused(house: House) -> None:
    """Login CSRF: a page that logs its victim in as somebody else would see what the victim then types."""
    await house.owner()
    browser, attacker = await house.browser(), await house.browser()
    theirs = await attacker.token("/login")
    await browser.get("/login")
    answer = await browser.post("/login", {"csrf": theirs, "email": "sri@melati.example", "password": PASSWORD})
    assert answer.status == 403
    assert browser.cookie(GUEST_COOKIE)
    assert not browser.cookie(SESSION_COOKIE)


async def test_reading_changes_nothing(house: House, sqlite_database: Database) -> None:
    await house.owner()
    browser = await house.logged_in()

    async def everything() -> str:
        async with sqlite_database.read() as connection:
            return str([(await connection.execute(select(table))).all() for table in metadata.sorted_tables])

    before = await everything()
    for route in READS:
        await browser.get(filled(route))
        assert await everything() == before, route.path


@pytest.mark.parametrize(("text", "safe"), [
    ("/campaigns?state=sent", "/campaigns?state=sent"), ("//evil.example/", "/"), ("https://evil.example/", "/"),
    ("/\\evil.example", "/"), ("javascript:alert(1)", "/"), ("", "/"), ("/\r\nSet-Cookie: a=b", "/"),
    ("/\t/evil.example", "/"),
])
def test_login_leads_only_to_our_own_pages(text: str, safe: str) -> None:
    assert safe_path(text) == safe


@pytest.mark.parametrize(("url", "secure"), [("https://mail.example", True), ("http://127.0.0.1:8000", False)])
def test_cookies_travel_encrypted_where_the_server_is_reached_so(url: str, secure: bool) -> None:
    response = web.Response()
    app = cast("App", SimpleNamespace(settings=SimpleNamespace(public_url=url)))
    set_guest_cookie(app, response, "guest")
    assert bool(response.cookies[GUEST_COOKIE]["secure"]) is secure


async def test_passwords_do_the_same_work_for_nobody() -> None:
    passwords = Passwords()
    assert not await passwords.matches(None, PASSWORD)
    assert await passwords.matches(await passwords.hash(PASSWORD), PASSWORD)
    assert not await passwords.matches(await passwords.hash(PASSWORD), "x" * 5000)
    assert not await passwords.matches("not a hash", PASSWORD)


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaa", "sri@melati.example", "x" * 2000])
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(InputError):
        check_password(password, "sri@melati.example", "Sri")


def test_generated_passwords_pass_and_differ() -> None:
    first, second = new_password(), new_password()
    check_password(first)
    assert first != second
