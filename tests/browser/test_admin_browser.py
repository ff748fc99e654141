"""The admin in a real browser: set up, used by keyboard, hostile data shown, and every page judged by axe."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from esp.flows.imports import run_imports
from tests.admin_house import PASSWORD, House
from tests.browser.watching import axe, log_in, watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Breaks out of attributes, comments, scripts, styles, titles and text areas (after 0xsobky's "ultimate" polyglot).
POLYGLOT = (
    r"""jaVasCript:/*-/*`/*\`/*'/*"/**/(/* */onerror=alert(1) )//"""
    r"""</stYle/</titLe/</teXtarEa/</scRipt/--!>\x3csVg/<sVg/oNloAd=alert(2)//>"""
)
IMAGE = '"><img src=x onerror=alert(3)>{{ 7 * 7 }}'


async def test_the_first_run_by_keyboard_and_mouse(chromium: Browser, house: House) -> None:
    context = await watched(chromium, house, permissions=["clipboard-read", "clipboard-write"])
    page = await context.page()
    await page.goto("/")
    await page.wait_for_url("**/setup")
    faults = await axe(page)
    await page.fill("#name", "Sri Wahyuni")
    await page.fill("#email", "sri@melati.example")
    await page.fill("#password", "short")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#password-problem")
    assert await page.input_value("#name") == "Sri Wahyuni"
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/setup/workspace")
    faults += await axe(page)
    await page.fill("#name", "Toko Melati")
    await page.fill("#postal_address", "Jl. Melati 1\nYogyakarta")
    await page.select_option("#time_zone", "Asia/Jakarta")
    await page.click("button[type=submit]")
    await page.wait_for_url("**/setup/domain")
    faults += await axe(page)
    await page.fill("#name", "https://melati.example")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#name-problem")
    await page.fill("#name", "Melati.Example")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#records")
    faults += await axe(page)

    shown = await page.inner_text("#record-1-value")
    await page.click("[data-copy='#record-1-value']")
    await page.wait_for_selector(".toast")
    assert await page.evaluate("navigator.clipboard.readText()") == shown
    assert shown.startswith("v=DKIM1; k=rsa; p=")

    name = await page.inner_text("#record-1-name")
    house.dns.records[("TXT", name)] = (shown,)
    await page.click("text=Check now")
    await page.wait_for_selector(".badge:has-text('Found')")
    await page.click("text=Continue")
    await page.wait_for_url("**/setup/done")
    faults += await axe(page)
    await page.click("text=Go to the home page")
    await page.wait_for_selector("text=What comes next")
    assert faults == []
    assert await house.app.store.domains.by_name(1, "melati.example")
    context.assert_calm()
    await context.context.close()


async def fill_with_hostile_data(house: House, folder: Path, page: Page) -> list[str]:
    """Put the polyglot wherever a person can write, and give back the pages that show it."""
    await page.goto("/settings/workspace")
    await page.fill("#name", POLYGLOT[:120])
    await page.fill("#postal_address", IMAGE)
    await page.click("main button[type=submit]")
    await page.wait_for_selector(".toast")
    await page.goto("/settings/team/new")
    await page.fill("#name", IMAGE)
    await page.fill("#email", "rini@melati.example")
    await page.click("main button[type=submit]")
    await page.wait_for_selector("#new-password")
    await page.goto("/lists/new")
    await page.fill("#name", IMAGE)
    await page.fill("#description", POLYGLOT)
    await page.click("main button[type=submit]")
    await page.wait_for_url("**/lists/1")

    quoted = [text.replace('"', '""') for text in (POLYGLOT, IMAGE)]
    rows = ['Nama,E-mail,Kota,"' + quoted[1] + '"']
    rows += [f'"{quoted[number % 2]}",person{number}@mail.example,"{quoted[1]}","{quoted[0]}"' for number in range(120)]
    rows += [f'"{quoted[0]}","{quoted[1]}",x,y', "short"]
    path = folder / 'people <img src=x onerror=alert(4)>.csv'
    path.write_text("\n".join(rows))
    await page.goto("/imports/new?list=1")
    await page.set_input_files("input[type=file]", path)
    await page.click("text=Upload and continue")
    await page.wait_for_selector("#columns-title")
    mapping = page.url
    await page.goto(mapping)
    await page.click("text=Start the import")
    await page.wait_for_selector(".big-progress")
    assert await run_imports(house.app)
    await page.wait_for_selector("text=The import is done")
    await page.goto("/imports/new")
    await page.set_input_files("input[type=file]", path)
    await page.click("text=Upload and continue")
    await page.wait_for_selector("#columns-title")
    return [
        "/", "/contacts", "/contacts?q=person", "/contacts?q=nobody", "/contacts/new", "/contacts/1",
        "/contacts/1/edit",
        "/lists", "/lists/1", "/lists/1/edit", "/lists/new", "/imports", "/imports/1", "/imports/2", "/imports/new",
        "/campaigns", "/reports", "/settings/domains", "/settings/domains/new", "/settings/team", "/settings/team/new",
        "/settings/workspace", "/settings/account", "/docs", "/docs/sending-domains", "/nothing-here",
    ]


async def test_every_page_shows_hostile_data_as_text_and_satisfies_axe(
    chromium: Browser, house: House, tmp_path: Path
) -> None:
    await house.owner()
    first = await watched(chromium, house, viewport={"width": 1280, "height": 800})
    page = await first.page()
    await log_in(page)
    paths = await fill_with_hostile_data(house, tmp_path, page)
    first.assert_calm()
    state = await first.context.storage_state()
    await first.context.close()
    faults: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")):
        context = await watched(
            chromium, house, viewport={"width": width, "height": 800}, color_scheme=scheme, storage_state=state,
            reduced_motion="reduce")
        page = await context.page()
        for path in paths:
            await page.goto(path)
            faults += [f"{width} {scheme} {line}" for line in await axe(page)]
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{path} is wider than {width}")
        context.assert_calm()
        await context.context.close()
    assert faults == [], "\n".join(faults[:20])


async def test_without_a_mouse(chromium: Browser, house: House) -> None:
    """Skip link, palette by Ctrl K and arrows, menu by Enter and Escape, focus always to be seen."""
    await house.owner()
    context = await watched(chromium, house)
    page = await context.page()
    await log_in(page)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    await page.keyboard.press("Control+k")
    await page.keyboard.type("team")
    await page.wait_for_selector("#palette a[aria-selected=true]:has-text('Team')")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/settings/team")
    await page.focus("summary.avatar")
    await page.keyboard.press("Enter")
    await page.keyboard.press("ArrowDown")
    assert "Your account" in await page.evaluate("document.activeElement.textContent")
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.matches('summary.avatar')")
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    await page.focus(".workspace summary")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#workspaces button[aria-current]:has-text('Toko Melati')")
    context.assert_calm()
    await context.context.close()


async def test_the_theme_is_kept(chromium: Browser, house: House) -> None:
    await house.owner()
    context = await watched(chromium, house, color_scheme="light")
    page = await context.page()
    await log_in(page)
    await page.click("summary.avatar")
    await page.click("[data-theme-choice=dark]")
    await page.goto("/contacts")
    assert await page.get_attribute("html", "data-theme") == "dark"
    assert await page.evaluate("getComputedStyle(document.body).colorScheme") in ("dark", "normal")
    await page.click("summary.avatar")
    await page.click("[data-theme-choice=system]")
    await page.goto("/contacts")
    assert await page.get_attribute("html", "data-theme") is None
    context.assert_calm()
    await context.context.close()
