"""The people's screens in a real browser: by keyboard, without script, and on every screen size."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from esp.flows import hygiene, suppressions
from esp.flows.bulk import run_bulk
from esp.flows.contacts import add_contact, create_list
from esp.model.fields import FieldType
from tests.admin_house import House
from tests.browser.watching import axe, log_in, watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SCREENS = ("/contacts", "/contacts/1", "/contacts/1/edit", "/contacts/new", "/contacts/bulk", "/contacts/actions",
           "/contacts/actions/1", "/contacts/1/merge", "/contacts/1/merge/2", "/contacts/tags", "/settings/fields",
           "/settings/fields/new", "/suppressions", "/suppressions/new", "/suppressions/import",
           "/suppressions/changes", "/hygiene", "/hygiene/1/mistyped", "/hygiene/1/same_person")


async def _people(house: House) -> None:
    await house.owner()
    news = await create_list(house.app, 1, "Kabar Melati")
    same = {"first_name": "Ani", "last_name": "Putri", "birth_date": "1990-05-31"}
    for email, standard in (("ani@gmail.com", same), ("a.n.i@gmail.com", same), ("budi@gmial.com", {"city": "Solo"}),
                            ("rtl@x.example", {"first_name": "\u202eevil", "last_name": "<b>x</b>"})):
        await add_contact(house.app, 1, email, standard, {"likes": ["Tea"]}, list_ids=[news.id])
    await house.app.store.people.add_field(
        1, "likes", "Likes", FieldType.CHOICES, ["Tea", "Coffee"], True, house.clock.now())


async def test_people_are_chosen_by_keyboard_tagged_and_it_is_undone(chromium: Browser, house: House) -> None:
    await _people(house)
    context = await watched(chromium, house, viewport={"width": 1280, "height": 900})
    page = await context.page()
    await log_in(page)
    await page.goto("/contacts")
    await page.focus("#q")
    await page.keyboard.type("ani")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.focus("[data-select-all]")
    await page.keyboard.press("Space")
    await expect(page.locator("[data-bulk-count]")).to_have_text("2")
    await page.focus("[data-bulk] button")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("2 contacts")
    await page.focus("details.act-card summary >> nth=0")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.type("VIP")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/contacts/actions/1")
    assert await run_bulk(house.app)
    await expect(page.locator("text=Done.")).to_be_visible()
    await page.click("text=Undo")
    await page.wait_for_url("**/contacts/actions/2")
    assert await run_bulk(house.app)
    await expect(page.locator("text=Done.")).to_be_visible()
    assert await house.app.store.people.tags_of(1, [1, 2]) == {}
    context.assert_calm()
    await context.context.close()


async def test_everything_works_without_script(chromium: Browser, house: House) -> None:
    await _people(house)
    context = await watched(chromium, house, java_script_enabled=False)
    page = await context.page()
    await log_in(page)
    await page.goto("/contacts")
    await page.fill("#q", "ani")
    await page.click("form.toolbar noscript button")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.check("tbody input[type=checkbox] >> nth=0")
    await page.click(".selection-row noscript button")
    await page.click("summary:has-text('Add a tag')")
    await page.fill("#add_tag-tag", "VIP")
    await page.click("text=Add the tag")
    assert await run_bulk(house.app)
    await page.goto("/contacts/1/merge")
    await page.click("text=Compare >> nth=0")
    await page.click("text=Make them one")
    await expect(page.locator("h1")).to_have_text("Ani Putri")
    await page.fill("#text", "Called")
    await page.click("text=Keep the note")
    await expect(page.locator(".note-text")).to_have_text("Called")
    await context.context.close()


async def test_the_screens_are_whole_in_every_size_and_light(chromium: Browser, house: House, tmp_path: Path) -> None:
    await _people(house)
    now = house.clock.now()
    tag = await house.app.store.people.make_tag(1, "Wholesale")
    await house.app.store.people.tag(1, 1, tag.id, "sri", now)
    await house.app.store.people.add_note(1, 1, "sri", "Called on Monday.\nWants the catalogue.", now)
    until = (now + timedelta(days=9)).date()
    await suppressions.add(house.app, 1, "@bad.example a@x.example", until=until, actor="sri")
    await hygiene.begin(house.app, 1)
    assert await hygiene.run_hygiene(house.app)
    first = await watched(chromium, house)
    page = await first.page()
    await log_in(page)
    await page.goto("/contacts/bulk")
    await page.click("summary:has-text('Add a tag')")
    await page.fill("#add_tag-tag", "VIP")
    await page.click("text=Add the tag")
    assert await run_bulk(house.app)
    state = await first.context.storage_state()
    await first.context.close()
    folder = Path(os.environ.get("PEOPLE_PICTURES", tmp_path))
    faults: list[str] = []
    for width, scheme in ((1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")):
        context = await watched(chromium, house, viewport={"width": width, "height": 900}, color_scheme=scheme,
                                storage_state=state, reduced_motion="reduce")
        page = await context.page()
        for path in SCREENS:
            answer = await page.goto(path)
            assert answer
            if answer.status != 200:
                faults.append(f"{path} answers {answer.status}")
            faults += [f"{width} {scheme} {line}" for line in await axe(page)]
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{width} {scheme} {path} scrolls sideways")
            name = path.strip("/").replace("/", "-")
            await page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        context.assert_calm()
        await context.context.close()
    assert faults == []


async def test_what_is_searched_for_stands_in_the_address(chromium: Browser, house: House) -> None:
    """So that Back, a reload and a link handed on show the same, on every page with a search of its own."""
    await _people(house)
    context = await watched(chromium, house)
    page = await context.page()
    await log_in(page)
    for path, typed, found in (("/contacts", "ani", "ani@gmail.com"), ("/lists/1", "budi", "budi@gmial.com")):
        await page.goto(path)
        await page.type("#q", typed)
        await page.wait_for_url(f"**{path}?q={typed}")
        await expect(page.locator("#results")).to_contain_text(found)
        await page.click("#results a.main-link >> nth=0")
        await page.wait_for_url("**/contacts/*")
        await page.go_back()
        await expect(page.locator("#q")).to_have_value(typed)
        await page.fill("#q", "")
        await page.wait_for_url(f"**{path}")
    context.assert_calm()
