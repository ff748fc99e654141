"""Segments in a real browser: built by mouse with the count following, saved, looked at on every screen size."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from esp.flows import segments as flow
from esp.model.segment_json import parse_rule
from tests.admin_house import House
from tests.browser.watching import axe, log_in, watched
from tests.campaign_seed import full

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

RULE = {"match": "all", "rules": [
    {"field": "city", "op": "in", "value": ["Bandung", "Jakarta"]},
    {"list": 1, "state": "subscribed", "when": {"op": "in_last", "value": 90}},
    {"match": "any", "rules": [
        {"did": "opened", "count": "at_least", "times": 1, "when": {"op": "in_last", "value": 30}},
        {"did": "clicked", "count": "at_least", "times": 1, "link": "gayo", "machines": True},
        {"match": "none", "rules": [{"field": "birth_date", "op": "empty"}, {"suppressed": "complaint"}]}]}]}


async def test_a_segment_is_built_counted_and_seen(chromium: Browser, house: House, tmp_path: Path) -> None:
    seed = await full(house)
    first = await watched(chromium, house, viewport={"width": 1280, "height": 900})
    page = await first.page()
    await log_in(page)
    await page.goto("/segments")
    await page.click("text=New segment >> nth=0")
    await page.fill("#name", "Dekat dan rajin")
    await page.fill("#c-0\\.0-value", "bandung")
    count = page.locator("#count strong")
    await expect(count).to_have_count(1)
    alone = await count.inner_text()
    await page.click("text=Add a condition")
    await page.select_option("#c-0\\.1-what", "did:opened")
    await page.select_option("#c-0\\.1-when", "in_last")
    await page.fill("#c-0\\.1-when_value", "30")
    await expect(count).not_to_have_text(alone)
    await page.click("text=Add a group")
    await expect(page.locator(".condition-group.is-inner")).to_have_count(1)
    await page.click("[aria-label='Remove this group']")
    await expect(page.locator(".condition-group.is-inner")).to_have_count(0)
    assert await page.input_value("#c-0\\.0-value") == "bandung"
    await page.click("text=Save the segment")
    await page.wait_for_url("**/segments/1")
    await expect(page.locator(".rule-text")).to_contain_text("opened any mail in the last 30 days")
    first.assert_calm()
    state = await first.context.storage_state()
    await first.context.close()

    await flow.create(house.app, seed.workspace, "Pembaca setia di Jawa", "Untuk undangan", parse_rule(RULE))
    await flow.snapshot(house.app, seed.workspace, 1)
    folder = Path(os.environ.get("SEGMENT_PICTURES", tmp_path))
    faults: list[str] = []
    for width, scheme in ((1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")):
        context = await watched(chromium, house, viewport={"width": width, "height": 900}, color_scheme=scheme,
                                storage_state=state, reduced_motion="reduce")
        page = await context.page()
        for name, path in (("list", "/segments"), ("show", "/segments/1"), ("edit", "/segments/2/edit"),
                           ("new", "/segments/new"), ("compose", f"/campaigns/{seed.draft.id}/edit")):
            await page.goto(path)
            if name == "edit":
                await expect(page.locator("#count strong")).to_have_count(1)
            faults += [f"{width} {scheme} {path} {line}" for line in await axe(page)]
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{width} {scheme} {path} scrolls sideways")
            await page.screenshot(path=folder / f"segments-{name}-{width}-{scheme}.png", full_page=True)
        await context.context.close()
    assert faults == []
