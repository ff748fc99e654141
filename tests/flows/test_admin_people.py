"""The people's screens over HTTP: typed fields, tags, notes, many at once, merging, suppressions, hygiene."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import FormData

from esp.adapters.sql.database import Database
from esp.flows.bulk import run_bulk
from esp.flows.contacts import add_contact, create_list
from esp.flows.hygiene import run_hygiene
from esp.model.contact import SubscriptionState
from esp.ports.network import DnsError
from tests.admin_house import Browser, House, admin_house
from tests.flows.test_admin_pages import upload

HOSTILE = '"><script>alert(1)</script>\u202eevil\r\nBcc: x'


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with admin_house(sqlite_database, tmp_path) as house:
        await house.owner()
        yield house


async def _add_field(browser: Browser, label: str, kind: str, choices: str = "", **more: str) -> int:
    data = {"label": label, "type": kind, "choices": choices, **more}
    return (await browser.submit("/settings/fields/new", data)).status


async def test_a_field_is_added_filled_changed_moved_and_put_away(house: House) -> None:
    browser = await house.logged_in()
    for label, kind, choices in (("Shoe size", "number", ""), ("Since", "date", ""), ("VIP", "boolean", ""),
                                 ("Colour", "choice", "Red\nBlue"), ("Likes", "choices", "Tea\nCoffee"),
                                 ("Remark", "text", "")):
        assert await _add_field(browser, label, kind, choices) == 303
    assert await _add_field(browser, "Shoe size", "text") == 422
    assert "There is a field shoe_size already" in browser.last
    data = {"email": "ani@mail.example", "first_name": "Ani", "field-shoe_size": "38,5", "field-since": "2020-02-30",
            "field-vip": "true", "field-colour": "Red", "field-likes": "Coffee", "field-remark": HOSTILE}
    answer = await browser.submit("/contacts/new", data)
    assert answer.status == 422
    assert "Write a date, such as" in browser.last
    answer = await browser.submit("/contacts/new", data | {"field-since": "2020-02-29"})
    assert answer.status == 303
    contact = await house.app.store.contacts.get(1, 1)
    assert dict(contact.fields) == {
        "shoe_size": 38.5, "since": "2020-02-29", "vip": True, "colour": "Red", "likes": ["Coffee"],
        "remark": '"><script>alert(1)</script>\u202eevil Bcc: x'}
    await browser.get("/contacts/1")
    assert "<script>alert" not in browser.last
    assert "<bdi>38.5</bdi>" in browser.last
    # Emptied, unchanged and changed; and a choice that the field no longer has stays as it is.
    await browser.submit("/settings/fields/4/edit", {"label": "Colour", "choices": "Blue"})
    edited = {**data, "field-since": "", "field-likes": "", "field-vip": "false"}
    assert (await browser.submit("/contacts/1/edit", edited)).status == 303, browser.last
    contact = await house.app.store.contacts.get(1, 1)
    assert "since" not in contact.fields
    assert "likes" not in contact.fields
    assert (contact.fields["vip"], contact.fields["colour"]) == (False, "Red")
    await browser.submit("/settings/fields/1/down", {}, page="/settings/fields")
    await browser.submit("/settings/fields/6/archive", {}, page="/settings/fields")
    assert [one.key for one in await house.app.store.people.fields(1)] == [
        "since", "shoe_size", "vip", "colour", "likes"]
    await browser.get("/contacts/1")
    assert "evil" not in browser.last
    await browser.submit("/settings/fields/6/restore", {}, page="/settings/fields")
    await browser.get("/contacts?col=field-remark&col=city")
    assert "evil" in browser.last
    assert "<script>alert" not in browser.last


async def test_names_with_line_breaks_become_one_line(house: House) -> None:
    browser = await house.logged_in()
    await browser.submit("/contacts/new", {"email": "a@mail.example", "first_name": HOSTILE})
    contact = await house.app.store.contacts.get(1, 1)
    assert contact.first_name == '"><script>alert(1)</script>\u202eevil Bcc: x'


async def test_tags_and_notes(house: House) -> None:
    await add_contact(house.app, 1, "ani@mail.example", {}, {})
    browser = await house.logged_in()
    await browser.submit("/contacts/1/tags", {"tag": "Wholesale"}, page="/contacts/1")
    await browser.submit("/contacts/1/tags", {"tag": "a,b"}, page="/contacts/1")
    await browser.submit("/contacts/1/notes", {"text": f"Line one\nLine two {HOSTILE}"}, page="/contacts/1")
    await browser.get("/contacts/1")
    assert "Wholesale" in browser.last
    assert "Line two" in browser.last
    assert "<script>alert" not in browser.last
    await browser.submit("/contacts/1/notes/1", {"text": "Another"})
    await browser.get("/contacts?tag=1")
    assert "ani@mail.example" in browser.last
    await browser.submit("/contacts/tags/1", {"tag": "Retail"}, page="/contacts/tags")
    await browser.submit("/contacts/1/tags/1/remove", {}, page="/contacts/1")
    await browser.submit("/contacts/1/notes/1/delete", {}, page="/contacts/1")
    await browser.get("/contacts/1")
    assert "Another" not in browser.last
    assert "Retail" in browser.last
    await browser.submit("/contacts/tags/1/delete", {}, page="/contacts/tags")
    await browser.get("/contacts/tags")
    assert "No tag yet" in browser.last


async def _selection(browser: Browser) -> dict[str, str]:
    found = re.search(r'name="selection" value="([^"]+)"', browser.last)
    assert found
    token = re.search(r'name="csrf" value="([^"]+)"', browser.last)
    assert token
    return {"selection": found[1].replace("&#34;", '"'), "csrf": token[1]}


async def test_many_are_tagged_subscribed_with_consent_and_undone(house: House) -> None:
    news = await create_list(house.app, 1, "News")
    for n in range(3):
        await add_contact(house.app, 1, f"p{n}@mail.example", {}, {})
    await add_contact(house.app, 1, "left@mail.example", {}, {}, list_ids=[news.id])
    await house.app.store.contacts.set_subscription(
        1, 4, news.id, SubscriptionState.UNSUBSCRIBED, house.clock.now(), source="t")
    browser = await house.logged_in()
    token = await browser.token("/contacts")
    assert (await browser.post("/contacts/bulk", {"csrf": token})).status == 303
    form = FormData([("csrf", token), ("id", "1"), ("id", "2"), ("id", "999"), ("id", "x")])
    await browser.post("/contacts/bulk", form)  # type: ignore[arg-type]
    assert "2 contacts" in browser.last
    ticked = await _selection(browser)
    await browser.post("/contacts/bulk/run", {**ticked, "action": "add_tag", "tag": "New"})
    assert await run_bulk(house.app)
    assert set(await house.app.store.people.tags_of(1, [1, 2, 3])) == {1, 2}
    await browser.get("/contacts/actions/1")
    assert "p0@mail.example" in browser.last
    await browser.submit("/contacts/actions/1/undo", {}, page="/contacts/actions/1")
    assert await run_bulk(house.app)
    assert await house.app.store.people.tags_of(1, [1, 2, 3]) == {}
    await browser.get("/contacts/bulk?q=")
    assert "4 contacts" in browser.last
    everybody = await _selection(browser)
    answer = await browser.post("/contacts/bulk/run", {**everybody, "action": "subscribe", "list_id": str(news.id)})
    assert answer.status == 422
    assert "Say how they agreed" in browser.last
    await browser.post("/contacts/bulk/run", {
        **everybody, "action": "subscribe", "list_id": str(news.id), "wording": "Fair, 2026"})
    assert await run_bulk(house.app)
    assert (await house.app.store.contacts.get_list(1, news.id)).subscribed == 3
    await browser.get("/contacts/1")
    assert "Fair, 2026" in browser.last
    assert (await browser.post("/contacts/bulk/run", {**everybody, "action": "delete"})).status == 422
    await browser.post("/contacts/bulk/run", {**everybody, "action": "delete", "sure": "1"})
    assert await run_bulk(house.app)
    await browser.get("/contacts")
    assert "No contacts yet" in browser.last
    await browser.get("/contacts/actions")
    assert browser.last.count("/contacts/actions/") >= 4


@pytest.mark.parametrize("selection", [
    "", "{", "[]", '{"ids": ["x"]}', '{"ids": [true]}', '{"state": "x"}', "[[" * 5000, "null", '{"ids": 3}',
    '{"ids": [99999999999999999999]}', '{"report_id": {}}',
])
async def test_a_selection_that_nobody_wrote_is_refused_in_words(house: House, selection: str) -> None:
    browser = await house.logged_in()
    token = await browser.token("/settings/account")
    answer = await browser.post("/contacts/bulk/run", {"csrf": token, "selection": selection, "action": "delete"})
    assert answer.status in (400, 422)
    assert not await run_bulk(house.app)


async def test_two_become_one_and_the_old_address_leads_on(house: House) -> None:
    await add_contact(house.app, 1, "old@mail.example", {"first_name": "Ani"}, {"size": "M"})
    await add_contact(house.app, 1, "new@mail.example", {"first_name": "Ani", "city": "Solo"}, {})
    browser = await house.logged_in()
    await browser.get("/contacts/1/merge")
    assert "/contacts/1/merge/2" in browser.last
    answer = await browser.submit("/contacts/1/merge/2", {
        "email": "1", "first_name": "0", "city": "1", "field-size": "0"})
    assert answer.status == 303
    kept = await house.app.store.contacts.get(1, 2)
    assert (kept.email, kept.city, kept.fields) == ("new@mail.example", "Solo", {"size": "M"})
    answer = await browser.get("/contacts/1")
    assert (answer.status, answer.headers["Location"]) == (303, "/contacts/2")
    await browser.get("/contacts/2")
    assert "Merged with another contact" in browser.last
    assert (await browser.get("/contacts/2/merge/2")).status == 303


async def test_suppressions_by_hand_by_file_and_back(house: House) -> None:
    await add_contact(house.app, 1, "ani@bad.example", {}, {})
    news = await create_list(house.app, 1, "News")
    browser = await house.logged_in()
    answer = await browser.submit("/suppressions/new", {"text": "not an address", "reason": "manual"})
    assert answer.status == 422
    await browser.submit("/suppressions/new", {"text": "a@x.example, @BAD.example", "reason": "manual", "note": "law"})
    await browser.get("/suppressions?q=@bad")
    assert "@bad.example" in browser.last
    await browser.get("/contacts/1")
    assert "Nothing is sent to anybody at bad.example" in browser.last
    tomorrow = (house.clock.now() + timedelta(days=1)).date().isoformat()
    await browser.submit("/suppressions/new", {
        "text": "b@x.example", "reason": "complaint", "list_id": str(news.id), "until": tomorrow})
    await browser.get("/suppressions")
    assert "until" in browser.last
    assert (await browser.submit("/suppressions/new", {"text": "b@x.example", "until": "2001-01-01"})).status == 422
    answer = await browser.client.get("/suppressions/export.csv")
    text = await answer.text()
    assert "*@bad.example,manual,,law," in text
    token = await browser.token("/suppressions/import")
    form = FormData({"csrf": token})
    form.add_field("file", text.encode() + b"\r\nnobody,,,,,\r\n=1@x.example,what,,,,\r\n", filename="s.csv")
    await browser.post("/suppressions/import", form)  # type: ignore[arg-type]
    assert "Rejected rows" in browser.last, re.findall(r"<main.*</main>", browser.last, re.DOTALL)
    assert len((await house.app.store.suppressions.search(1)).bars) == 3
    await browser.submit("/suppressions/1/remove", {}, page="/suppressions")
    await browser.get("/suppressions/changes")
    assert "Removed" in browser.last
    assert "sri@melati.example" in browser.last
    assert (await browser.get("/suppressions?after=x")).status == 422


async def test_the_report_finds_what_is_wrong_and_the_step_is_undone(house: House) -> None:
    people = ("ani@gmial.com", "b.u.d.i@gmail.com", "budi+x@gmail.com", "info@shop.example", "x@mailinator.com",
              "y@gone.example", "fine@mail.example")
    for email in people:
        await add_contact(house.app, 1, email, {}, {})
    house.dns.records["MX", "gone.example"] = DnsError("no such domain", permanent=True)
    house.dns.records["MX", "mail.example"] = DnsError("no answer", permanent=False)
    browser = await house.logged_in()
    await browser.get("/hygiene")
    assert "No report yet" in browser.last
    await browser.submit("/hygiene", {"silent_months": "6", "silent_mails": "5"})
    await browser.get("/hygiene")
    assert "data-live" in browser.last
    assert await run_hygiene(house.app)
    report = await house.app.store.hygiene.latest(1)
    assert report
    assert report.counts == {"mistyped": 1, "same_address": 2, "role": 1, "disposable": 1, "dead_domain": 1}
    await browser.get("/hygiene")
    for kind in report.counts:
        assert f"/hygiene/{report.id}/{kind}" in browser.last
        assert (await browser.client.get(f"/hygiene/{report.id}/{kind}")).status == 200
    await browser.get(f"/hygiene/{report.id}/mistyped")
    assert "<strong>gmail.com</strong>" in browser.last
    await browser.post("/contacts/bulk", await _selection(browser))
    assert "Correct the addresses" in browser.last
    await browser.post("/contacts/bulk/run", {**await _selection(browser), "action": "correct_domain"})
    assert await run_bulk(house.app)
    assert (await house.app.store.contacts.get(1, 1)).email == "ani@gmail.com"
    await browser.submit("/contacts/actions/1/undo", {}, page="/contacts/actions/1")
    assert await run_bulk(house.app)
    assert (await house.app.store.contacts.get(1, 1)).email == "ani@gmial.com"
    await browser.get(f"/hygiene/{report.id}/same_address")
    assert "/merge/" in browser.last
    assert (await browser.get("/hygiene/1/nonsense")).status == 404
    assert (await browser.submit("/hygiene", {"silent_months": "0"})).status in (400, 422)


async def test_a_name_server_that_knows_nobody_is_not_believed(house: House) -> None:
    """In a closed network every domain is unknown; nobody's people may be offered for suppression because of that."""
    for email in ("ani@gmail.com", "budi@shop.example"):
        await add_contact(house.app, 1, email, {}, {})
    nothing = DnsError("no such domain", permanent=True)
    for domain in ("gmail.com", "outlook.com", "yahoo.com", "shop.example"):
        house.dns.records["MX", domain] = nothing
    browser = await house.logged_in()

    async def report() -> dict[str, int]:
        await browser.submit("/hygiene", {"silent_months": "6", "silent_mails": "5"})
        assert await run_hygiene(house.app)
        made = await house.app.store.hygiene.latest(1)
        assert made
        await browser.get("/hygiene")
        return dict(made.counts)

    assert await report() == {}
    assert "Dead domains could not be looked for." in browser.last
    del house.dns.records["MX", "gmail.com"]
    assert await report() == {"dead_domain": 1}
    assert "Dead domains could not be looked for." not in browser.last


async def test_what_an_import_maps_to_is_no_field_of_ones_own(house: House) -> None:
    """Tags, status and full name are read from columns too, but nobody has them as a field."""
    browser = await house.logged_in()
    data = b"email,name,tags,shoe\nani@mail.example,Ani Putri,VIP,38\n"
    assert await upload(browser, "people.csv", data)
    await browser.submit("/imports/1/start", {
        "list": "none", "column-0": "email", "column-1": "full_name", "column-2": "tags", "column-3": "shoe"},
        page="/imports/1")
    await browser.get("/settings/fields")
    assert re.findall(r"/settings/fields/new\?key=(\w+)", browser.last) == ["shoe"]
