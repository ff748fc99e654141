"""Recipients' own pages in a real browser: choices, less instead of leaving, archives; axe, phones, the dark."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page
from sqlalchemy import select, update

from admin_ui.app import build
from esp.adapters.local.coordination import LocalCoordination
from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, deliveries
from esp.adapters.sql.store import SqlStore
from esp.app import App
from esp.flows.accounts import Passwords
from esp.model.fields import FieldType
from esp.model.preference import ArchiveAccess, Frequency
from esp.ports.preferences import Publicity
from esp.settings import load
from esp.wire.tokens import Purpose, TokenSigner
from tests.admin_house import House, WrittenDns
from tests.browser.watching import axe, log_in, watched
from tests.campaign_seed import Seed, newsletter, small, started
from tests.turned_clock import TurnedClock
from tracking.edge.door import build_edge

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SIZES = ((1280, 900), (390, 844))


@dataclass
class Town:
    """A house with recipients' doors, and the paths that one recipient has."""

    house: House
    seed: Seed
    preferences: str
    unsubscribe: str
    archive: str
    contact: int


@pytest.fixture
async def town(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Town]:
    clock, dns = TurnedClock(), WrittenDns()
    app = App(settings=load(None, server={"data_dir": str(tmp_path)}), clock=clock, store=SqlStore(sqlite_database),
              resolver=dns, coordination=LocalCoordination(clock), tokens=TokenSigner({1: b"k" * 32}, 1))
    root = build(app)
    build_edge(app).mount(root)
    server = TestServer(root)
    await server.start_server()
    house = House(app, clock, dns, server, Passwords())
    try:
        yield await _made(house, sqlite_database)
    finally:
        await server.close()
        await app.content.aclose()
        await app.coordination.close()


async def _made(house: House, database: Database) -> Town:
    seed = await small(house)
    app, ws, now = house.app, seed.workspace, house.clock.now()
    for name, about in (("Resep", "Recipes"), ("Penawaran", ""), ("Acara", "")):
        await app.store.preferences.save_topic(ws, None, name, about, now)
    await app.store.people.add_field(ws, "size", "Cup size", FieldType.CHOICE, ["S", "M", "L"], True, now)
    await app.store.people.add_field(ws, "sweet", "Sweet tooth", FieldType.BOOLEAN, [], True, now)
    await app.store.preferences.set_publicity(ws, seed.news.id, Publicity(ArchiveAccess.PUBLIC, True, True))
    await app.store.preferences.set_publicity(ws, seed.partners.id, Publicity(ArchiveAccess.PRIVATE, False, True))
    campaign = await started(seed, newsletter((seed.news, seed.partners), seed.domain, "Kabar November"))
    async with database.write() as connection:
        await connection.execute(update(campaigns).where(campaigns.c.id == campaign.id).values(state="sent"))
        row = (await connection.execute(
            select(deliveries).where(deliveries.c.campaign_id == campaign.id, deliveries.c.state == "queued").limit(1)
        )).one()
    ids = (ws, campaign.id, row.id)
    return Town(
        house, seed, f"/p/{app.tokens.sign(Purpose.PREFERENCES, *ids)}",
        f"/u/{app.tokens.sign(Purpose.UNSUBSCRIBE, *ids)}", f"/a/{seed.news.public_id}", row.contact_id)


async def picture(page: Page, folder: Path, name: str) -> None:
    await page.screenshot(path=folder / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
async def test_recipients_pages_satisfy_axe_and_fit(
    chromium: Browser, town: Town, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    context = await watched(chromium, town.house, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = await context.page()
    faults: list[str] = []
    for name, path in (("preferences", town.preferences), ("unsubscribe", town.unsubscribe),
                       ("archive", town.archive), ("neutral", "/a/-/copy"), ("odd", "/p/xyz")):
        await page.goto(path)
        faults += await axe(page, "minor")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        await picture(page, tmp_path, f"{name}-{size[0]}-{scheme}")
        if name == "unsubscribe":
            button = await page.locator('button:has-text("Unsubscribe")').bounding_box()
            assert button is not None
            assert button["y"] + button["height"] < size[1], "the way out is in view at once"
    assert faults == []
    context.assert_calm()


async def test_somebody_chooses_without_script_and_by_keyboard(chromium: Browser, town: Town, tmp_path: Path) -> None:
    context = await watched(chromium, town.house, java_script_enabled=False, locale="id-ID")
    page = await context.page()
    await page.goto(town.preferences)
    assert await page.locator("h1").inner_text() == "Pilihan Anda"
    await page.select_option("#frequency", "weekly")
    await page.get_by_label("Penawaran").select_option("none")
    until = (town.house.clock.now() + timedelta(days=20)).date().isoformat()
    await page.fill("#pause", until)
    await page.get_by_label("Cup size").select_option("M")
    await page.get_by_label("Sweet tooth").select_option("true")
    await page.get_by_label("Jangan hitung").check()
    await page.get_by_role("button", name="Simpan pilihan saya").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".note.is-good")
    await picture(page, tmp_path, "saved")
    reader = await town.house.app.store.preferences.reader(town.seed.workspace, town.contact)
    assert reader is not None
    assert dict(reader.fields) == {"size": "M", "sweet": True}
    assert reader.choices.frequency is Frequency.WEEKLY
    assert reader.choices.tracking_off
    assert Frequency.NONE in reader.choices.topics.values()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Unduh data saya").click()
    file = await (await download.value).path()
    assert reader.email.encode() in file.read_bytes()
    await page.get_by_role("button", name="Hapus data saya").click()
    assert "kotak masuk" in await page.locator("h1").inner_text()
    await page.goto(town.unsubscribe)
    await page.get_by_role("button", name="Berhenti berlangganan").click()
    await page.wait_for_selector("text=Anda sudah berhenti berlangganan")
    await picture(page, tmp_path, "left")


@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
async def test_the_marketers_side(chromium: Browser, town: Town, tmp_path: Path, size: tuple[int, int]) -> None:
    context = await watched(chromium, town.house, viewport={"width": size[0], "height": size[1]})
    page = await context.page()
    await log_in(page)
    faults: list[str] = []
    paths = ("/settings/topics", "/settings/topics/new", f"/lists/{town.seed.news.id}/archive-settings",
             f"/campaigns/{town.seed.draft.id}/edit")
    for number, path in enumerate(paths):
        await page.goto(path)
        faults += await axe(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        await picture(page, tmp_path, f"admin-{number}-{size[0]}")
    await page.goto("/settings/topics/new")
    await page.fill("#name", "Resep")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#name-problem")
    await page.fill("#name", "Cerita <b>kopi</b>")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Cerita <b>kopi</b>")
    assert faults == []
    context.assert_calm()
