"""Campaigns through the admin's pages: written, seen, checked, sent, taken back, watched; and never by a stranger."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from admin_ui.pages import campaigns, reports
from admin_ui.pages.campaigns.starters import STARTERS, source_of
from esp.adapters.sql.database import Database
from esp.errors import NotFoundError
from esp.flows import campaigns as flow
from esp.flows.walk import start_due
from esp.model.campaign import CampaignState, ContentKind
from esp.ports.campaigns import Campaign, CampaignDetail, CampaignEdit, VariantEdit
from tests.admin_house import Browser, House, admin_house
from tests.campaign_seed import Seed, newsletter, small


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        yield house


@pytest.fixture
async def seed(house: House) -> Seed:
    return await small(house)


@pytest.fixture
async def sri(seed: Seed) -> Browser:
    return await seed.house.logged_in()


async def kept(seed: Seed, campaign_id: int) -> CampaignDetail:
    return await seed.house.app.store.campaigns.get(seed.workspace, campaign_id)


async def state_of(seed: Seed, campaign: Campaign) -> CampaignState:
    return (await kept(seed, campaign.id)).campaign.state


def written(edit: CampaignEdit, version: int, **changes: str) -> list[tuple[str, str]]:
    """The compose form as a browser would send it."""
    local, _sign, _domain = edit.from_address.rpartition("@")
    fields = {"version": str(version), "name": edit.name, "domain": str(edit.domain_id or ""), "from_local": local,
              "from_name": edit.from_name, "reply_to": edit.reply_to, "throttle": edit.throttle, "track_opens": "1",
              "track_clicks": "1", "in_archive": "1"} | changes
    pairs = [*fields.items(), *(("include", str(one)) for one in edit.include_lists),
             *(("exclude", str(one)) for one in edit.exclude_lists)]
    for one in edit.variants:
        pairs += [("subject", one.subject), ("preheader", one.preheader), ("kind", one.kind.value),
                  ("source", one.source), ("weight", str(one.weight)), ("content_of", "own")]
    return pairs


async def post_form(
    browser: Browser, path: str, pairs: list[tuple[str, str]], page: str = "/settings/account",
) -> tuple[int, str]:
    token = await browser.token(page)
    response = await browser.client.post(path, data=[("csrf", token), *pairs], allow_redirects=False)
    browser.last = await response.text()
    return response.status, response.headers.get("Location", "")


# ---- begun -----------------------------------------------------------------------------------------------------------


async def test_an_empty_workspace_is_led_to_its_first_campaign(house: House) -> None:
    await house.owner()
    browser = await house.logged_in()
    await browser.get("/campaigns")
    assert 'href="/campaigns/new"' in browser.last
    assert "Write the first campaign" in browser.last
    assert (await browser.get("/reports")).status == 200
    assert (await browser.get("/")).status == 200


@pytest.mark.parametrize("starter", ["newsletter", "promotion", "letter", "html", "text"])
async def test_every_starter_can_be_sent_as_it_is(seed: Seed, sri: Browser, starter: str) -> None:
    answer = await sri.submit("/campaigns/new", {"name": "", "starter": starter})
    found = re.fullmatch(r"/campaigns/(\d+)/edit", answer.headers["Location"])
    assert found
    detail = await kept(seed, int(found[1]))
    assert detail.campaign.from_address == "kabar@toko-melati.example"  # as in the campaign before
    variant = detail.variants[0].edit
    _compiled, problems = await seed.house.app.content.check(replace(variant.draft(), subject="Halo"))
    assert [one for one in problems if one.level == "error"] == []


def test_starters_speak_the_workspaces_language_and_lead_to_the_preferences() -> None:
    for one in STARTERS:
        english, indonesian = source_of(one.file), source_of(one.file, "id")
        assert "{{ preferences_url }}" in english
        assert "Unsubscribe" in english
        assert "Berhenti berlangganan" in indonesian
        assert {one.strip() for one in _sentences(english)} & {one.strip() for one in _sentences(indonesian)} == set()


def _sentences(source: str) -> list[str]:
    """What a reader sees of a starter, piece by piece; styles, merge fields and addresses are in nobody's language."""
    text = re.sub(r"(?s)<(mj-)?style>.*?</(mj-)?style>|\{\{.*?\}\}|<[^>]*>|https?://\S+", "\n", source)
    return [piece for piece in re.split(r"[\n.:,·|]|\]\(", text) if re.search(r"[a-z]{3}", piece)]


async def test_trying_the_starters_makes_one_draft(seed: Seed, sri: Browser) -> None:
    """Whoever goes back and chooses another starter wants that one, and not a heap of drafts."""
    async def begin(starter: str) -> CampaignDetail:
        answer = await sri.submit("/campaigns/new", {"name": "", "starter": starter})
        return await kept(seed, int(answer.headers["Location"].split("/")[2]))

    before = len(await seed.house.app.store.campaigns.list(seed.workspace))
    tried = [await begin(starter) for starter in ("newsletter", "letter", "letter", "text")]
    assert len({one.campaign.id for one in tried}) == 1
    assert [one.variants[0].edit.kind.value for one in tried] == ["mjml", "markdown", "markdown", "text"]
    last = tried[-1]
    await flow.change(seed.house.app, seed.workspace, last.campaign.id, replace(last.edit(), name="Mine"),
                      last.campaign.version)
    another = await begin("promotion")
    assert another.campaign.id != last.campaign.id, "what somebody wrote in stays"
    assert (await kept(seed, last.campaign.id)).campaign.name == "Mine"
    assert len(await seed.house.app.store.campaigns.list(seed.workspace)) == before + 2


async def test_the_mail_says_which_language_it_is_in(seed: Seed, sri: Browser) -> None:
    accounts = seed.house.app.store.accounts
    await accounts.update_workspace(
        seed.workspace, name="Toko Melati", postal_address="Jl. Melati 1", language="id", time_zone="Asia/Jakarta")
    await sri.get(f"/campaigns/{seed.draft.id}/preview/frame")
    assert '<html lang="id"' in sri.last


async def test_looking_at_the_page_of_a_new_campaign_makes_none(seed: Seed, sri: Browser) -> None:
    before = len(await seed.house.app.store.campaigns.list(seed.workspace))
    await sri.get("/campaigns/new")
    assert len(await seed.house.app.store.campaigns.list(seed.workspace)) == before


# ---- written ---------------------------------------------------------------------------------------------------------


async def test_what_is_written_is_kept_and_counted(seed: Seed, sri: Browser) -> None:
    edit = newsletter((seed.news, seed.partners), seed.domain, "Lain", track_opens=True)
    status, _to = await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    assert status == 200
    detail = await kept(seed, seed.draft.id)
    assert detail.edit() == edit
    assert '"version": 2' in sri.last
    assert "Will get it" in sri.last


async def test_of_two_who_write_at_once_the_second_is_told_and_loses_nothing(seed: Seed, sri: Browser) -> None:
    path = f"/campaigns/{seed.draft.id}"
    mine = newsletter((seed.news,), seed.domain, "Punyaku")
    theirs = newsletter((seed.news,), seed.domain, "Punya Budi")
    assert (await post_form(sri, f"{path}/save", written(theirs, seed.draft.version)))[0] == 200
    assert (await post_form(sri, f"{path}/save", written(mine, seed.draft.version)))[0] == 409
    assert (await kept(seed, seed.draft.id)).campaign.name == "Punya Budi"
    status, _to = await post_form(sri, f"{path}/edit", written(mine, seed.draft.version))
    assert status == 409
    assert 'value="Punyaku"' in sri.last  # still on the page
    status, to = await post_form(sri, f"{path}/keep-as-copy", written(mine, seed.draft.version))
    copy = await kept(seed, int(to.split("/")[2]))
    assert (status, copy.campaign.name) == (303, "Punyaku (copy)")


async def test_a_field_that_cannot_be_kept_is_named_and_everything_typed_stays(seed: Seed, sri: Browser) -> None:
    edit = newsletter((seed.news,), seed.domain, "Baru")
    pairs = written(edit, seed.draft.version, from_local="two words", throttle="fast")
    status, _to = await post_form(sri, f"/campaigns/{seed.draft.id}/save", pairs)
    assert status == 422
    assert '"from_local"' in sri.last
    assert '"throttle"' in sri.last
    status, _to = await post_form(sri, f"/campaigns/{seed.draft.id}/edit", pairs)
    assert status == 422
    assert 'value="two words"' in sri.last
    assert (await kept(seed, seed.draft.id)).campaign.name == "Kopi Gayo"


async def test_line_breaks_cannot_reach_a_header(seed: Seed, sri: Browser) -> None:
    edit = newsletter((seed.news,), seed.domain, "Baru")
    variant = replace(edit.variants[0], subject="Halo\r\nBcc: x@evil.example", preheader="a\u2028b")
    status, _to = await post_form(
        sri, f"/campaigns/{seed.draft.id}/save", written(replace(edit, variants=(variant,)), seed.draft.version))
    assert status == 200
    after = (await kept(seed, seed.draft.id)).variants[0].edit
    assert after.subject == "Halo Bcc: x@evil.example"
    assert after.preheader == "a b"


async def test_lists_and_domains_of_others_are_as_good_as_not_there(seed: Seed, sri: Browser) -> None:
    other = await seed.house.second_workspace()
    workspaces = await seed.house.app.store.accounts.workspaces_of(other.user.id)
    foreign = await seed.house.app.store.contacts.create_list(
        workspaces[0].id, "Rahasia", "rahasia", "", seed.house.clock.now())
    edit = replace(newsletter((seed.news, foreign), seed.domain, "Baru"))
    status, _to = await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    assert status == 200
    assert (await kept(seed, seed.draft.id)).campaign.include_lists == (seed.news.id,)


async def test_a_variant_is_added_shares_its_content_and_goes_again(seed: Seed, sri: Browser) -> None:
    path = f"/campaigns/{seed.draft.id}/edit"
    edit = newsletter((seed.news,), seed.domain, "Uji")
    status, to = await post_form(sri, path, [*written(edit, seed.draft.version), ("then", "add")])
    assert (status, to) == (303, f"{path}#variant-B")
    two = await kept(seed, seed.draft.id)
    assert [one.label for one in two.variants] == ["A", "B"]
    await sri.get(path)
    assert re.search(r'<option value="A" selected>The same as variant A', sri.last)
    # What is typed into a content that is not its own is not what is sent.
    pairs = written(replace(edit, variants=(edit.variants[0], replace(edit.variants[0], source="old"))), 2)
    pairs[-1] = ("content_of", "A")
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", pairs)
    assert (await kept(seed, seed.draft.id)).variants[1].edit.source == edit.variants[0].source
    both = (await kept(seed, seed.draft.id)).edit()
    await post_form(sri, path, [*written(both, 3), ("then", "remove:0")])
    assert [one.label for one in (await kept(seed, seed.draft.id)).variants] == ["A"]


# ---- seen ------------------------------------------------------------------------------------------------------------


async def test_the_preview_is_the_mail_as_the_chosen_person_reads_it(seed: Seed, sri: Browser) -> None:
    path = f"/campaigns/{seed.draft.id}/preview"
    person = (await seed.house.app.store.contacts.search(seed.workspace, "fitri")).contacts[0]
    pairs = [*written(newsletter((seed.news,), seed.domain, "Baru"), seed.draft.version), ("as", person.email)]
    assert (await post_form(sri, path, pairs))[0] == 200
    assert '"subject": "Kopi baru dari Gayo, Fitri"' in sri.last
    assert (await post_form(sri, f"{path}/frame", pairs))[0] == 200
    assert "Halo Fitri" in sri.last
    assert (await kept(seed, seed.draft.id)).campaign.version == seed.draft.version  # a look changes nothing


async def test_the_frame_of_a_preview_can_do_nothing(seed: Seed, sri: Browser) -> None:
    evil = VariantEdit("x", '<script>alert(1)</script><img src="https://x.example/a.png" onerror="alert(2)">',
                       ContentKind.HTML)
    edit = replace(newsletter((seed.news,), seed.domain, "Baru"), variants=(evil,))
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    answer = await sri.get(f"/campaigns/{seed.draft.id}/preview/frame")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    off = await sri.get(f"/campaigns/{seed.draft.id}/preview/frame?images=off")
    assert "img-src 'none'" in off.headers["Content-Security-Policy"]


async def test_dark_and_light_are_chosen_and_not_the_readers_own(seed: Seed, sri: Browser) -> None:
    style = "<style>@media (prefers-color-scheme: dark) { p { color: red } }</style><p>a</p>"
    edit = replace(newsletter((seed.news,), seed.domain, "Baru"), variants=(VariantEdit("x", style),))
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    await sri.get(f"/campaigns/{seed.draft.id}/preview/frame")
    assert "(max-width: 0px)" in sri.last
    await sri.get(f"/campaigns/{seed.draft.id}/preview/frame?look=dark")
    assert "(min-width: 0px)" in sri.last


@pytest.mark.parametrize(("source", "words"), [
    ("{% if contact.first_name %}never closed", "not closed"),
    ("a\nb\n{{ contact.frist_name }}", "first_name"),
    ("{% for a in 'x' * 1000000000 %}{{ a }}{% endfor %}", "Must be mended"),
    ("{{ ('a' * 999999999) }}", "Must be mended"),
    ('<a href="javascript:alert(1)">x</a>', "Must be mended"),
])
async def test_what_is_wrong_with_content_is_said_in_plain_words(
    seed: Seed, sri: Browser, source: str, words: str,
) -> None:
    edit = replace(newsletter((seed.news,), seed.domain, "Baru"), variants=(VariantEdit("x", source),))
    status, _to = await post_form(sri, f"/campaigns/{seed.draft.id}/preview", written(edit, seed.draft.version))
    assert status == 200
    assert words in sri.last
    assert "Traceback" not in sri.last


async def test_nobodys_name_becomes_markup(seed: Seed, sri: Browser) -> None:
    evil = '<img src=x onerror="alert(1)">'
    edit = replace(newsletter((seed.news,), seed.domain, evil), from_name=evil,
                   variants=(VariantEdit(evil, evil, ContentKind.TEXT, evil),))
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    for page in ("/", "/campaigns", f"/campaigns/{seed.draft.id}/edit", f"/campaigns/{seed.draft.id}/check",
                 f"/campaigns/{seed.draft.id}/content"):
        await sri.get(page)
        assert evil not in sri.last, page
        assert "&lt;img src=x" in sri.last, page


# ---- checked ---------------------------------------------------------------------------------------------------------


async def test_every_number_of_the_forecast_opens_its_people(seed: Seed, sri: Browser) -> None:
    await sri.get(f"/campaigns/{seed.draft.id}/check")
    numbers = re.findall(r'<a href="(/campaigns/\d+/audience[^"]*)">([\d,]+)</a>', sri.last)
    assert [count for _path, count in numbers] == ["38", "1", "1"]
    for path, count in numbers:
        await sri.get(unescape(path))
        assert sri.last.count('href="/contacts/') == int(count), path


async def test_what_is_missing_stands_on_the_check_and_nothing_is_sent(seed: Seed, sri: Browser) -> None:
    edit = replace(newsletter((), seed.domain, "Baru"), variants=(VariantEdit("", "{% if %}"),))
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(edit, seed.draft.version))
    await sri.get(f"/campaigns/{seed.draft.id}/check")
    assert "Choose at least one list." in sri.last
    assert "Variant A has no subject." in sri.last
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/send", {"version": "2"}, f"/campaigns/{seed.draft.id}/check")
    assert answer.status == 422
    assert "Nothing was sent" in sri.last
    assert await state_of(seed, seed.draft) is CampaignState.DRAFT


async def test_a_test_mail_is_counted_nowhere(seed: Seed, sri: Browser) -> None:
    seed.house.dns.records[("MX", "melati.example")] = ("10 mx.melati.example",)
    check = f"/campaigns/{seed.draft.id}/check"
    form = {"address": "sri@melati.example", "label": "A"}
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/test", form, check)
    assert answer.status == 303
    assert len(await seed.house.app.store.campaigns.list(seed.workspace)) == 1
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/test", {"address": "no address", "label": "A"}, check)
    assert answer.status == 422
    assert 'id="address-problem"' in sri.last


# ---- sent, and taken back --------------------------------------------------------------------------------------------


async def send_now(seed: Seed, sri: Browser) -> int:
    check = f"/campaigns/{seed.draft.id}/check"
    version = (await kept(seed, seed.draft.id)).campaign.version
    return (await sri.submit(f"/campaigns/{seed.draft.id}/send", {"version": str(version)}, check)).status


async def test_send_now_waits_ten_seconds_in_which_undo_takes_it_back(seed: Seed, sri: Browser) -> None:
    assert await send_now(seed, sri) == 303
    campaign = (await kept(seed, seed.draft.id)).campaign
    assert campaign.scheduled_at == seed.house.clock.now() + timedelta(seconds=10)
    await start_due(seed.house.app)
    assert await state_of(seed, seed.draft) is CampaignState.SCHEDULED
    await sri.get(f"/campaigns/{seed.draft.id}")
    assert "Undo" in sri.last
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/undo", {}, f"/campaigns/{seed.draft.id}")
    assert answer.headers["Location"] == f"/campaigns/{seed.draft.id}/check"
    seed.house.clock.turn(timedelta(minutes=1))
    await start_due(seed.house.app)
    assert await state_of(seed, seed.draft) is CampaignState.DRAFT


async def test_an_undo_that_comes_too_late_says_so(seed: Seed, sri: Browser) -> None:
    await send_now(seed, sri)
    seed.house.clock.turn(timedelta(seconds=11))
    await start_due(seed.house.app)
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/undo", {}, "/settings/account")
    assert answer.headers["Location"] == f"/campaigns/{seed.draft.id}"
    await sri.get(f"/campaigns/{seed.draft.id}")
    assert "It had already begun" in sri.last
    assert await state_of(seed, seed.draft) is CampaignState.SENDING


async def test_a_second_click_on_send_changes_nothing(seed: Seed, sri: Browser) -> None:
    version = str(seed.draft.version)
    token = await sri.token(f"/campaigns/{seed.draft.id}/check")
    first = await sri.post(f"/campaigns/{seed.draft.id}/send", {"csrf": token, "version": version})
    second = await sri.post(f"/campaigns/{seed.draft.id}/send", {"csrf": token, "version": version})
    assert (first.status, second.status) == (303, 409)
    assert (await kept(seed, seed.draft.id)).campaign.version == 2


async def test_a_change_by_somebody_else_after_the_check_stops_the_send(seed: Seed, sri: Browser) -> None:
    token = await sri.token(f"/campaigns/{seed.draft.id}/check")
    other = newsletter((seed.news,), seed.domain, "Diubah Budi")
    await post_form(sri, f"/campaigns/{seed.draft.id}/save", written(other, seed.draft.version))
    answer = await sri.post(f"/campaigns/{seed.draft.id}/send", {"csrf": token, "version": str(seed.draft.version)})
    assert answer.status == 409
    assert await state_of(seed, seed.draft) is CampaignState.DRAFT


async def test_a_time_is_one_of_the_workspaces_own_clock(seed: Seed, sri: Browser) -> None:
    check = f"/campaigns/{seed.draft.id}/check"
    form = {"version": str(seed.draft.version), "at": "2026-12-03T14:00"}
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/schedule", form, check)
    assert answer.status == 303
    assert (await kept(seed, seed.draft.id)).campaign.scheduled_at == datetime(2026, 12, 3, 7, 0, tzinfo=UTC)
    await sri.get(f"/campaigns/{seed.draft.id}")
    assert "3 Dec 2026, 14:00" in sri.last


@pytest.mark.parametrize("at", ["2026-11-20T10:00", "", "tomorrow"])
async def test_a_time_that_is_none_or_past_is_refused_beside_its_field(seed: Seed, sri: Browser, at: str) -> None:
    check = f"/campaigns/{seed.draft.id}/check"
    answer = await sri.submit(
        f"/campaigns/{seed.draft.id}/schedule", {"version": str(seed.draft.version), "at": at}, check)
    assert answer.status == 422
    assert 'id="at-problem"' in sri.last
    assert await state_of(seed, seed.draft) is CampaignState.DRAFT


async def test_pause_resume_and_cancel(seed: Seed, sri: Browser) -> None:
    await send_now(seed, sri)
    seed.house.clock.turn(timedelta(seconds=11))
    await start_due(seed.house.app)
    here = f"/campaigns/{seed.draft.id}"
    for action, state in (("pause", CampaignState.PAUSED), ("resume", CampaignState.SENDING),
                          ("cancel", CampaignState.CANCELLED)):
        answer = await sri.submit(f"{here}/{action}", {}, here)
        assert answer.status == 303
        assert await state_of(seed, seed.draft) is state
    assert (await kept(seed, seed.draft.id)).campaign.state_reason == "Cancelled by Sri Wahyuni"
    answer = await sri.submit(f"{here}/resume", {}, "/settings/account")
    assert answer.status == 409
    assert "Nothing was changed" in sri.last


async def test_the_live_stream_tells_and_ends_with_the_state(seed: Seed, sri: Browser) -> None:
    await send_now(seed, sri)
    here = f"/campaigns/{seed.draft.id}"
    response = await sri.client.get(f"{here}/live?state=scheduled")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert (await response.content.readuntil(b"\n\n")).startswith(b"data: ")
    seed.house.clock.turn(timedelta(seconds=11))
    await start_due(seed.house.app)
    rest = await response.content.read()
    assert b"event: done" in rest


async def test_the_live_stream_ends_with_the_session(seed: Seed, sri: Browser) -> None:
    await send_now(seed, sri)
    token = await sri.token("/settings/account")
    response = await sri.client.get(f"/campaigns/{seed.draft.id}/live?state=scheduled")
    assert (await response.content.readuntil(b"\n\n")).startswith(b"data: ")
    await sri.post("/logout", {"csrf": token})
    assert b"data: <" not in (rest := await response.content.read())
    assert b"event: done" in rest
    assert await state_of(seed, seed.draft) is CampaignState.SCHEDULED, "and not because the campaign went on"


async def test_the_live_stream_of_a_campaign_in_another_state_ends_at_once(seed: Seed, sri: Browser) -> None:
    response = await sri.client.get(f"/campaigns/{seed.draft.id}/live?state=sending")
    assert b"event: done" in await response.content.read()


# ---- as a whole ------------------------------------------------------------------------------------------------------


async def test_clone_rename_and_delete(seed: Seed, sri: Browser) -> None:
    answer = await sri.submit(f"/campaigns/{seed.draft.id}/clone", {}, "/campaigns")
    copy = int(answer.headers["Location"].split("/")[2])
    assert (await kept(seed, copy)).campaign.name == "Kopi Gayo (copy)"
    await sri.submit(f"/campaigns/{copy}/rename", {"name": "Kopi Toraja", "version": "1"}, "/campaigns")
    assert (await kept(seed, copy)).campaign.name == "Kopi Toraja"
    old = await sri.submit(f"/campaigns/{copy}/delete", {"version": "1"}, "/campaigns")
    assert old.status == 409  # what was read is not what would be deleted
    await sri.submit(f"/campaigns/{copy}/delete", {"version": "2"}, "/campaigns")
    with pytest.raises(NotFoundError):
        await kept(seed, copy)


async def test_the_list_is_filtered_and_paged_by_its_address(seed: Seed, sri: Browser) -> None:
    for number in range(35):
        await seed.house.app.store.campaigns.create(
            seed.workspace, newsletter((seed.news,), seed.domain, f"Nomor {number}"), seed.house.clock.now())
    await sri.get("/campaigns?state=draft")
    assert sri.last.count('class="main-link"') == 30
    onward = re.search(r'href="(/campaigns\?state=draft&amp;before=\d+)"', sri.last)
    assert onward
    await sri.get(unescape(onward[1]))
    assert sri.last.count('class="main-link"') == 6
    await sri.get("/campaigns?state=sent")
    assert "No campaign is in this state" in sri.last


ROUTES = [route for group in (*campaigns.ALL, *reports.ALL) for route in group.all if "campaign_id" in route.path]


async def test_another_workspaces_campaign_does_not_exist(seed: Seed) -> None:
    other = await seed.house.second_workspace()
    budi = await seed.house.logged_in(other.user.email)
    form = [*written((await kept(seed, seed.draft.id)).edit(), seed.draft.version), ("address", "b@lain.example"),
            ("at", "2026-12-03T14:00")]
    for route in ROUTES:
        path = route.path.replace(r"{campaign_id:\d+}", str(seed.draft.id))
        status = (await budi.get(path)).status if route.method == "GET" else (await post_form(budi, path, form))[0]
        assert status == 404, (route.method, path)
        assert "Kopi Gayo" not in budi.last, path
    after = (await kept(seed, seed.draft.id)).campaign
    assert (after.state, after.version) == (CampaignState.DRAFT, seed.draft.version)
    theirs = await seed.house.app.store.accounts.workspaces_of(other.user.id)
    assert await seed.house.app.store.campaigns.list(theirs[0].id) == ()


async def test_looking_changes_nothing(seed: Seed, sri: Browser) -> None:
    for route in ROUTES:
        if route.method == "GET":
            await sri.get(route.path.replace(r"{campaign_id:\d+}", str(seed.draft.id)))
            assert (await kept(seed, seed.draft.id)).campaign == seed.draft, route.path
