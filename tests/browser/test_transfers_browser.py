"""Imports tried, exports asked for and transfers made in a real browser, on a wide screen and a phone."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Browser

from esp.flows.contacts import create_list
from esp.flows.exports import run_exports
from tests.admin_house import House
from tests.browser.watching import axe, log_in, watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

ROWS = "email,nama,city,points\nsiti@mail.example,Siti Aminah,Solo,12\nnobody,x,y,1\nbudi@mail.example,Budi,Medan,7\n"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
async def test_a_file_is_tried_and_exports_and_transfers_are_made(
    chromium: Browser, house: House, tmp_path: Path, width: int, scheme: str,
) -> None:
    pictures = Path(os.environ.get("MERPATI_TEST_PICTURES", tmp_path))
    await house.owner()
    await create_list(house.app, 1, "News")
    context = await watched(chromium, house, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = await context.page()
    await log_in(page)
    faults: list[str] = []

    async def look(name: str) -> None:
        faults.extend(await axe(page))
        await page.screenshot(path=pictures / f"transfers-{name}-{width}-{scheme}.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width

    file = tmp_path / "people.csv"
    file.write_text(ROWS)
    await page.goto("/imports/new")
    await look("new")
    await page.set_input_files("input[type=file]", file)
    await page.click("text=Upload and continue")
    await page.wait_for_url("**/imports/1*")
    await page.click("text=Try without writing")
    await page.wait_for_selector("#tried-title")
    await look("tried")
    await page.goto("/exports")
    await look("exports-empty")
    await page.goto("/exports/new")
    await look("exports-new")
    await page.click("text=Write the file")
    await page.wait_for_url("**/exports")
    assert await run_exports(house.app)
    await page.wait_for_selector("a[download]")
    await look("exports")
    await page.goto("/transfers")
    await look("transfers-empty")
    await page.goto("/transfers/new")
    await page.fill("#name", "The shop's customers")
    await page.fill("#url", "https://shop.example/customers.csv")
    await page.fill("#secret", "Bearer hush")
    await look("transfers-new")
    await page.click("button[type=submit]:has-text('Save')")
    await page.wait_for_url("**/transfers/1")
    await look("transfer")
    await page.goto("/transfers")
    await look("transfers")
    assert faults == []
