"""Signing up in a real browser: the page, the form on another website, the confirmation; axe, phones, the dark."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page
from sqlalchemy import select

from admin_ui.app import build
from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import signups
from esp.adapters.sql.store import SqlStore
from esp.app import App
from esp.flows import signup as flow
from esp.flows.accounts import Passwords
from esp.flows.contacts import create_list
from esp.flows.domains import add_domain
from esp.model.fields import FieldType
from esp.model.permission import OptIn
from esp.ports.clock import SystemClock
from esp.ports.signup import AskedField, ListSignup
from esp.settings import load
from esp.wire.tokens import Purpose, TokenSigner
from tests.admin_house import House, WrittenDns
from tests.browser.watching import axe, log_in, watched
from tests.turned_clock import TurnedClock
from tracking.edge.door import build_edge

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SIZES = ((1280, 900), (390, 844))


@pytest.fixture
async def shop(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """Admin and edge on one port, as ``serve`` has them; two public lists, on a clock that runs."""
    clock, dns = SystemClock(), WrittenDns()
    settings = load(None, server={"data_dir": str(tmp_path)}, signup={"minimum_age": "1s"})
    app = App(settings=settings, clock=clock, store=SqlStore(sqlite_database), resolver=dns,
              coordination=LocalCoordination(clock), tokens=TokenSigner({1: b"k" * 32}, 1))
    root = build(app)
    build_edge(app).mount(root)
    server = TestServer(root)
    await server.start_server()
    house = House(app, TurnedClock(), dns, server, Passwords())
    try:
        await house.owner()
        workspace = await app.store.accounts.first_workspace()
        assert workspace
        await add_domain(app, workspace.id, "melati.example")
        await app.store.people.add_field(
            workspace.id, "size", "Shoe size", FieldType.CHOICE, ["S", "M", "L"], False, clock.now())
        for name, about in (("Melati weekly", "Recipes and stories, every Friday."), ("Offers", "When prices fall.")):
            one = await create_list(app, workspace.id, name, about)
            fields = (AskedField("first_name", True), AskedField("birth_date"), AskedField("size"))
            await app.store.signups.save_list_signup(workspace.id, ListSignup(
                one.id, OptIn.DOUBLE, public=True, fields=fields if name != "Offers" else ()))
        pages = await app.store.signups.public_pages(workspace.id)
        await app.store.signups.save_public_pages(replace(pages, accent="#b45309"))
        yield house
    finally:
        await server.close()
        await app.content.aclose()
        await app.coordination.close()


async def picture(page: Page, folder: Path, name: str) -> None:
    await page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
async def test_recipients_pages_satisfy_axe_everywhere(
    chromium: Browser, shop: House, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    context = await watched(chromium, shop, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
                            locale="id-ID" if scheme == "dark" else "en-GB")
    page = await context.page()
    faults: list[str] = []
    name = f"{scheme}-{size[0]}"
    await page.goto("/s/toko-melati")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"all-{name}")
    await page.goto("/s/toko-melati/melati-weekly")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"form-{name}")
    await page.fill("#email", "nobody")
    await page.click("button")
    await page.wait_for_selector("#email-problem")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"problems-{name}")
    await page.fill("#email", "ani@warung.example")
    await page.fill("#f_first_name", "Ani")
    await page.wait_for_timeout(1000)  # the form's minimum age is the thing under test
    await page.click("button")
    await page.wait_for_url("**/thanks?lang=*")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"thanks-{name}")

    await flow.answer_new(shop.app)
    async with shop.app.store.database.read() as connection:  # type: ignore[attr-defined]
        row = (await connection.execute(select(signups))).one()
    assert row.proven  # the script did its work, and did it right
    token = shop.app.tokens.sign(Purpose.CONFIRM, row.workspace_id, row.id, int(row.expires_at.timestamp()))
    await page.goto(f"/s/-/confirm/{token}")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"confirm-{name}")
    await page.click("button")
    await page.wait_for_selector("main:not(:has(form))")
    faults += await axe(page, "minor")
    await picture(page, tmp_path, f"confirmed-{name}")
    await page.goto("/s/-/confirm/forged")
    faults += await axe(page, "minor")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    context.assert_calm()


async def test_without_script_the_page_works_too(chromium: Browser, shop: House) -> None:
    context = await watched(chromium, shop, java_script_enabled=False)
    page = await context.page()
    await page.goto("/s/toko-melati/offers")
    await page.fill("#email", "ani@warung.example")
    await page.click("button")
    await page.wait_for_selector(".note")  # too quick, so once more
    await page.wait_for_timeout(3100)
    await page.click("button")
    await page.wait_for_url("**/thanks?lang=*")


async def test_the_form_on_another_website_answers_in_place(chromium: Browser, shop: House) -> None:
    base = str(shop.server.make_url("/")).rstrip("/")

    async def home(_: web.Request) -> web.Response:
        return web.Response(content_type="text/html", text=f"""<!doctype html><html lang="en"><title>Shop</title>
<form method="post" action="{base}/s/toko-melati/offers" data-merpati>
<label>E-mail <input type="email" name="email" required></label><button>Subscribe</button></form>
<script src="{base}/s/-/form.js" defer></script></html>""")

    website = web.Application()
    website.router.add_get("/", home)
    other = TestServer(website)
    await other.start_server()
    try:
        origin = str(other.make_url("/")).rstrip("/")
        pages = await shop.app.store.signups.public_pages(1)
        await shop.app.store.signups.save_public_pages(replace(pages, origins=(origin,)))
        page = await chromium.new_page()
        await page.goto(origin)
        await page.fill("input", "ani@warung.example")
        await page.click("button")
        await page.wait_for_selector("[data-merpati-says]:has-text('mail')", timeout=20_000)
        assert page.url.rstrip("/") == origin
        async with shop.app.store.database.read() as connection:  # type: ignore[attr-defined]
            row = (await connection.execute(select(signups))).one()
        assert (row.channel, row.source, row.proven) == ("form", f"{origin}/", True)
    finally:
        await other.close()


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
async def test_the_screens_for_marketers(
    chromium: Browser, shop: House, tmp_path: Path, size: tuple[int, int]
) -> None:
    context = await watched(chromium, shop, viewport={"width": size[0], "height": size[1]},
                            color_scheme="dark" if size[0] < 500 else "light")
    page = await context.page()
    await log_in(page)
    faults: list[str] = []
    await page.goto("/settings/pages")
    await page.fill("#accent", "#ffe600")
    await page.fill("#en_signup_title", "Join us")
    frame = page.frame_locator("#preview iframe")
    await frame.locator("h1:has-text('Join us')").wait_for()
    faults += await axe(page)
    await picture(page, tmp_path, f"pages-{size[0]}")
    await page.click("#looks-form button[type=submit]")
    await page.wait_for_selector(".toast")
    await page.set_input_files("#logo", {"name": "x.png", "mimeType": "image/png", "buffer": b"<svg onload=alert(1)>"})
    await page.click("form:has(#logo) button")
    await page.wait_for_selector(".toast:has-text('PNG')")
    await page.goto("/settings/pages/new")
    await page.fill("#handle", "Everything!")
    await page.check("input[name=lists] >> nth=0")
    await page.click(".form-foot button")
    await page.wait_for_selector("#handle-problem")
    await page.fill("#handle", "everything")
    await page.check("input[name=lists] >> nth=1")
    faults += await axe(page)
    await picture(page, tmp_path, f"group-{size[0]}")
    await page.click(".form-foot button")
    await page.wait_for_selector("a:has-text('everything')")
    await page.goto("/lists/1/signup")
    faults += await axe(page)
    await picture(page, tmp_path, f"list-{size[0]}")
    await page.check("input[value=single]")
    await page.fill("#en_consent", "Yes, {list}, please")
    await page.click(".form-foot button")
    await page.wait_for_selector(".toast")
    one = await shop.app.store.signups.list_signup(1, 1)
    assert one.signup.opt_in is OptIn.SINGLE
    assert one.signup.texts["en"]["consent"] == "Yes, {list}, please"
    assert len(one.signup.fields) == 3
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert faults == []
    context.assert_calm()
