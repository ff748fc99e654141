"""Campaigns in a real browser: written with the mail beside it, sent and taken back, watched live, judged by axe."""

import re
from datetime import timedelta

import pytest
from playwright.async_api import Browser, expect

from esp.flows import campaigns as flow
from esp.model.campaign import CampaignAction, CampaignState
from esp.ports.reports import Metric
from tests.admin_house import House
from tests.browser.watching import axe, log_in, watched
from tests.campaign_seed import deliver, everybody, full, newsletter, small, started

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def test_a_campaign_is_written_seen_sent_and_taken_back(chromium: Browser, house: House) -> None:
    seed = await small(house)
    context = await watched(chromium, house, viewport={"width": 1280, "height": 900})
    page = await context.page()
    await log_in(page)
    await page.goto("/campaigns/new")
    await page.fill("#name", "Kabar Desember")
    await page.click("button[value=letter]")
    await page.wait_for_url("**/edit")
    edit_url = page.url
    state = page.locator("[data-save-state]")
    panel = page.locator("[data-preview-panel]")

    await page.fill("#as", "ayu.wijaya0@gmail.com")
    await page.fill("#v0-subject", "Halo ")
    await page.select_option("[data-insert-field]", label="First name")
    await expect(panel.locator("[data-shows=subject]")).to_have_text("Halo Ayu")
    await page.fill("#as", "dewi.wijaya3@yahoo.co.id")
    await expect(panel.locator("[data-shows=subject]")).to_have_text("Halo Dewi")
    await expect(page.locator(".mail iframe")).to_have_count(1)
    await expect(page.frame_locator(".mail iframe").locator("body")).to_contain_text("Hello Dewi")
    await expect(state).to_have_text("Saved")

    await page.locator(".segment").nth(1).click()
    assert (await page.locator(".mail iframe").bounding_box() or {})["width"] == 375
    await page.locator(".segment").nth(2).click()
    await expect(page.locator("[data-text-part]")).to_contain_text("Hello Dewi")
    await page.locator(".segment").nth(0).click()

    await page.fill("#v0-source", "one\ntwo {{ contact.frist_name }}\nthree")
    problem = page.locator("[data-problems] .is-error")
    await expect(problem).to_contain_text("first_name")
    await problem.locator("[data-go-to-line]").click()
    chosen = await page.evaluate("(() => { const a = document.activeElement;"
                                 " return a.value.slice(a.selectionStart, a.selectionEnd); })()")
    assert chosen == "two {{ contact.frist_name }}"
    await page.fill("#v0-source", "Halo [semua](https://toko-melati.example/)")
    await expect(page.locator("[data-problems] .is-error")).to_have_count(0)
    await expect(state).to_have_text("Saved")
    await page.check("input[name=include] >> nth=0")
    await expect(page.locator("#who-count")).to_contain_text("38")
    await expect(state).to_have_text("Saved")
    await page.reload()
    await expect(page.locator("#v0-source")).to_have_value("Halo [semua](https://toko-melati.example/)")

    # Ten previews leave no trace in the history: Back leaves the editor.
    await page.go_back()
    await page.wait_for_url(lambda url: url != edit_url)
    await page.goto(edit_url)
    await page.click("text=Check and send >> nth=0")
    await page.wait_for_url("**/check")
    await page.click("text=Send now to 38 people")
    await expect(page.locator(".countdown .seconds")).to_have_text("10")
    house.clock.turn(timedelta(seconds=3))
    await expect(page.locator(".countdown .seconds")).to_have_text("7")
    await page.click("text=Undo")
    await page.wait_for_url("**/check")
    await expect(page.locator(".toast")).to_contain_text("Nobody was sent anything")
    made = int(re.findall(r"/campaigns/(\d+)/", edit_url)[0])
    assert (await house.app.store.campaigns.get(seed.workspace, made)).campaign.state is CampaignState.DRAFT
    context.assert_calm()
    await context.context.close()


async def test_two_who_write_at_once_lose_nothing(chromium: Browser, house: House) -> None:
    seed = await small(house)
    context = await watched(chromium, house)
    page = await context.page()
    await log_in(page)
    await page.goto(f"/campaigns/{seed.draft.id}/edit")
    theirs = newsletter((seed.news,), seed.domain, "Punya Budi")
    await flow.change(house.app, seed.workspace, seed.draft.id, theirs, seed.draft.version)
    await page.fill("#name", "Punyaku")
    await expect(page.locator("[data-conflict]")).to_be_visible()
    await page.click("text=Keep mine as a copy")
    await page.wait_for_url(lambda url: f"/campaigns/{seed.draft.id}/" not in url)
    await expect(page.locator("#name")).to_have_value("Punyaku (copy)")
    kept = await house.app.store.campaigns.get(seed.workspace, seed.draft.id)
    assert kept.campaign.name == "Punya Budi"
    await context.context.close()


async def test_the_progress_moves_by_itself_and_the_page_follows_the_state(chromium: Browser, house: House) -> None:
    seed = await small(house)
    campaign = await started(seed, newsletter((seed.news,), seed.domain, "Diskon"))
    context = await watched(chromium, house)
    page = await context.page()
    await log_in(page)
    await page.goto(f"/campaigns/{campaign.id}")
    figure = page.locator(".figure", has_text="Delivered").locator(".value")
    await expect(figure).to_have_text("0")
    people = await everybody(seed, campaign)
    await deliver(seed, campaign, people[:5])
    await expect(figure).to_have_text("5")
    await page.click("text=Pause")
    await expect(page.locator(".note")).to_contain_text("Paused by Sri Wahyuni")
    await flow.act(house.app, seed.workspace, campaign.id, CampaignAction.RESUME)
    await expect(page.locator("button", has_text="Pause")).to_be_visible()
    await page.click("[data-dialog=cancel]")
    await page.click("text=Cancel the campaign")
    await page.wait_for_url("**/report")
    assert (await everybody(seed, campaign, Metric.DELIVERED))
    context.assert_calm()
    await context.context.close()


async def test_every_page_satisfies_axe_and_fits(chromium: Browser, house: House) -> None:
    seed = await full(house, 300)
    assert seed.sent
    assert seed.sending
    assert seed.paused
    assert seed.scheduled
    draft, sent = f"/campaigns/{seed.draft.id}", f"/campaigns/{seed.sent.id}"
    paths = ["/", "/campaigns", "/campaigns?state=cancelled", "/campaigns/new", f"{draft}/edit", f"{draft}/check",
             f"{draft}/audience", f"/campaigns/{seed.sending.id}", f"/campaigns/{seed.paused.id}",
             f"/campaigns/{seed.scheduled.id}", f"{sent}/report?machines=1", f"{sent}/content",
             f"{sent}/people?metric=bounced", f"{sent}/people?metric=cancelled", "/reports", "/docs/campaigns",
             "/docs/reports-and-numbers"]
    first = await watched(chromium, house)
    page = await first.page()
    await log_in(page)
    storage = await first.context.storage_state()
    await first.context.close()
    faults: list[str] = []
    for width, scheme in ((1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")):
        context = await watched(chromium, house, viewport={"width": width, "height": 800}, color_scheme=scheme,
                                storage_state=storage, reduced_motion="reduce")
        page = await context.page()
        for path in paths:
            await page.goto(path)
            if "edit" in path:
                await page.wait_for_selector("[data-problems] .all-well, [data-problems] .problems")
            faults += [f"{width} {scheme} {line}" for line in await axe(page)]
            if await page.evaluate("document.documentElement.scrollWidth") > width:
                faults.append(f"{path} is wider than {width}")
        context.assert_calm()
        await context.context.close()
    assert faults == [], "\n".join(faults[:30])
