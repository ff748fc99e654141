"""Signing up: asked by a form, answered by a mail, done by a button; and what robots and scanners achieve, nothing."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    contacts,
    deliveries,
    lists,
    messages,
    signup_counts,
    signups,
    suppressions,
    wordings,
)
from esp.flows import signup as flow
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.model.permission import OptIn, SignupAction, SignupChannel, SignupOutcome
from esp.ports.contacts import NewContact
from esp.ports.signup import AskedField
from esp.wire.addresses import parse_address
from esp.wire.tokens import Purpose
from tests.flows.test_signup_commands import open_post
from tests.sending_app import working
from tests.signup_world import AGENT, World, hidden, link_of, signup_world, solve, text_of

SCANNERS = ("Mozilla/5.0 (compatible; BarracudaCentral)", "Proofpoint/1.0", "curl/8", "Mimecast", "Googlebot/2.1",
            "Mozilla/5.0 SafeLinks", "python-requests/2", "Slackbot 1.0", "urlscan", "Mozilla/5.0", "", "FortiGuard")


@pytest.fixture
async def world(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with signup_world(database, database_url, tmp_path) as world:
        yield world


@pytest.fixture
async def small(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with signup_world(sqlite_database, f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as world:
        yield world


async def test_from_the_form_to_the_confirmed_subscription(world: World) -> None:
    response, _ = await world.sign_up("Ani@warung.example")
    assert (response.status, response.headers["Location"]) == (303, "/s/toko/news/thanks?lang=en")
    await world.answer()
    assert await world.state("ani@warung.example") == {"News": "pending"}
    (mail,) = await world.mails(1)
    assert mail["To"] == "Ani@warung.example"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["From"].addresses[0].addr_spec == "news@toko.example"
    assert "List-Unsubscribe" not in mail
    path = link_of(mail)

    for agent in SCANNERS:
        for _ in range(2):
            answer, _ = await world.get(path, **{"User-Agent": agent})
            assert answer.status == 200
    assert await world.state("ani@warung.example") == {"News": "pending"}

    answer, page = await world.post(path, {"action": "confirm"})
    assert answer.status == 200
    assert "You are subscribed" in page
    assert await world.state("ani@warung.example") == {"News": "subscribed"}
    asked, given = await world.consents("ani@warung.example")
    assert (asked.action, given.action) == ("requested", "subscribed")
    assert (asked.source, given.source) == ("page: /s/toko/news", "confirmed: link")
    for record in (asked, given):
        assert (record.ip, record.user_agent, record.actor) == ("127.0.0.1", AGENT, "contact")
        assert record.wording == "I want “News” from Toko by e-mail. I can leave at any time."
        assert record.wording_id
    again, page = await world.post(path, {"action": "confirm"})
    assert again.status == 200
    assert len(await world.consents("ani@warung.example")) == 2
    async with world.database.read() as connection:
        assert (await connection.execute(select(lists.c.subscribed_count))).scalar_one() == 1  # seeded ones are not
        state = (await connection.execute(select(deliveries.c.state).where(deliveries.c.contact_id < 0))).scalar_one()
        assert state == "delivered"


async def test_one_confirmation_a_day_whatever_lists_and_spellings(world: World) -> None:
    for name in ("Offers", "Events", "Jobs"):
        await world.add_list(name)
    for path, email in (("news", "ani@gmail.com"), ("offers", "a.n.i@gmail.com"), ("events", "ani+x@gmail.com"),
                        ("jobs", "ani@googlemail.com")):
        assert (await world.sign_up(email, f"/s/toko/{path}"))[0].status == 303
        await world.answer()
    assert await world.rows(messages) == 1
    world.clock.by += timedelta(days=1, seconds=1)
    await world.sign_up("ani@gmail.com", "/s/toko/offers")
    await world.answer()
    assert await world.rows(messages) == 2


async def test_a_second_list_joins_the_confirmation_that_is_waiting(world: World) -> None:
    offers = await world.add_list("Offers")
    await world.sign_up("ani@warung.example")
    await world.answer()
    await world.sign_up("ani@warung.example", "/s/toko/offers")
    await world.answer()
    (mail,) = await world.mails(1)
    _, page = await world.get(link_of(mail))
    assert "News" in page
    assert "Offers" in page
    _, page = await world.post(link_of(mail), {"action": "confirm", "list": str(offers)})
    assert await world.state("ani@warung.example") == {"Offers": "subscribed"}


async def test_known_and_unknown_addresses_get_the_same_answer(world: World) -> None:
    await world.app.store.contacts.suppress(
        world.workspace, "orang1@warung.example", SuppressionReason.COMPLAINT, world.clock.now())
    answers = [await world.sign_up(email) for email in
               ("new@warung.example", "orang0@warung.example", "orang1@warung.example", "new@warung.example")]
    assert len({(one.status, one.headers["Location"], text) for one, text in answers}) == 1
    await world.answer()
    async with world.database.read() as connection:
        to = set((await connection.execute(
            select(deliveries.c.address).where(deliveries.c.contact_id < 0))).scalars())
    assert to == {"new@warung.example", "orang0@warung.example"}  # a complaint is heeded
    assert await world.state("orang0@warung.example") == {"News": "subscribed"}


async def test_single_opt_in_needs_the_proof_of_work_else_it_asks(world: World) -> None:
    await world.set_list(opt_in=OptIn.SINGLE, welcome=True)
    await world.sign_up("ani@warung.example")
    await world.sign_up("budi@warung.example", proven=False)
    await world.answer()
    assert await world.state("ani@warung.example") == {"News": "subscribed"}
    assert await world.state("budi@warung.example") == {"News": "pending"}
    mails = {str(mail["To"]): mail for mail in await world.mails(2)}
    assert mails["ani@warung.example"]["Subject"] == "Welcome to News"
    assert mails["budi@warung.example"]["Subject"] == "Please confirm: News"
    # Nobody is on a list yet who is asked to confirm, so there is nothing to leave.
    assert not {"List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"} & set(mails["budi@warung.example"].keys())


@pytest.mark.parametrize("way", ["one-click", "page", "mail"])
async def test_a_welcome_is_left_as_any_mail_of_a_list(world: World, way: str) -> None:
    await world.add_list("Offers")
    await world.set_list(opt_in=OptIn.SINGLE, welcome=True)
    await world.sign_up("ani@warung.example")
    await world.answer()
    (mail,) = await world.mails(1)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link, mailto = re.findall(r"<([^>]+)>", str(mail["List-Unsubscribe"]))
    signed = str(mail["DKIM-Signature"]).lower()
    assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(re.split(r"[:;\s]+", signed))  # RFC 8058 section 4
    assert link.startswith(world.app.settings.public_url)
    path = urlsplit(link).path
    response, page = await world.get(path)
    assert response.status == 200
    assert "News" in page
    assert "Offers" not in page
    assert await world.state("ani@warung.example") == {"News": "subscribed"}, "a look changes nothing"
    if way == "mail":
        async with open_post(world) as post:
            await post.write(mailto.removeprefix("mailto:"))
    else:
        data = {"List-Unsubscribe": "One-Click"} if way == "one-click" else {"action": "unsubscribe"}
        response, _ = await world.post(path, data)
        assert response.status == 200
    assert await world.state("ani@warung.example") == {"News": "unsubscribed"}
    async with world.database.read() as connection:
        barred = (await connection.execute(select(suppressions))).all()
    assert barred == [], "the list alone was left"


async def test_who_left_comes_back_only_by_a_confirmation(world: World) -> None:
    await world.set_list(opt_in=OptIn.SINGLE)
    await world.app.store.contacts.set_subscription(
        world.workspace, world.seeded.contacts[0], world.seeded.list_id, SubscriptionState.UNSUBSCRIBED,
        world.clock.now(), source="test")
    await world.sign_up("orang0@warung.example")
    await world.answer()
    assert await world.state("orang0@warung.example") == {"News": "unsubscribed"}
    (mail,) = await world.mails(1)
    await world.post(link_of(mail), {"action": "confirm"})
    assert await world.state("orang0@warung.example") == {"News": "subscribed"}
    assert (await world.consents("orang0@warung.example"))[-1].action == "resubscribed"


async def test_nothing_that_a_stranger_types_reaches_a_contact_before_it_is_confirmed(world: World) -> None:
    await world.set_list(fields=(AskedField("first_name", True), AskedField("city")))
    response, page = await world.sign_up("orang0@warung.example", f_city="Solo")
    assert response.status == 422
    assert "f_first_name-problem" in page
    await world.sign_up("orang0@warung.example", f_first_name="<b>Rude\r\nBcc: x</b>\u202e", f_city="Solo")
    await world.answer()
    before = await world.app.store.contacts.get(world.workspace, world.seeded.contacts[0])
    assert (before.first_name, before.city) == ("N0", "")
    (mail,) = await world.mails(1)
    assert "Rude" not in text_of(mail)
    await world.post(link_of(mail), {"action": "confirm"})
    after = await world.app.store.contacts.get(world.workspace, world.seeded.contacts[0])
    assert (after.first_name, after.city) == ("<b>Rude Bcc: x</b>\u202e", "Solo")


async def test_what_is_never_confirmed_leaves_nothing(world: World) -> None:
    await world.sign_up("ani@warung.example")
    await world.sign_up("orang0@warung.example", "/s/toko/news")
    offers = await world.add_list("Offers")
    await world.sign_up("orang1@warung.example", "/s/toko/offers")
    await world.answer()
    mail = next(mail for mail in await world.mails(3) if mail["To"] == "ani@warung.example")
    world.clock.by += timedelta(days=8)
    while await flow.expire_old(world.app):
        pass
    answer, _ = await world.get(link_of(mail))
    assert answer.status == 410
    answer, _ = await world.post(link_of(mail), {"action": "confirm"})
    assert answer.status == 410
    assert await world.state("ani@warung.example") == {}
    async with world.database.read() as connection:
        assert (await connection.execute(
            select(func.count()).where(contacts.c.email_key == "ani@warung.example"))).scalar_one() == 0
    assert await world.state("orang0@warung.example") == {"News": "subscribed"}
    assert await world.state("orang1@warung.example") == {"News": "subscribed"}
    assert [it.action for it in await world.consents("orang1@warung.example")] == ["requested", "expired"]
    assert offers
    world.clock.by += timedelta(days=40)
    while await flow.forget_old(world.app):
        pass
    assert (await world.rows(signups), await world.rows(signup_counts)) == (0, 0)


@pytest.mark.parametrize("brought", ["a file", "a tag", "nobody"])
async def test_whom_somebody_brought_meanwhile_does_not_go_with_an_expired_request(world: World, brought: str) -> None:
    await world.sign_up("ani@warung.example")
    await world.answer()
    store, key = world.app.store, "ani@warung.example"
    contact = (await store.contacts.search(world.workspace, key)).contacts[0]
    if brought == "a file":
        row = NewContact(key, key, "warung.example", {"city": "Solo"}, {"points": 7})
        await store.contacts.upsert(world.workspace, [row], "people.csv", world.clock.now())
    elif brought == "a tag":
        tag = await store.people.make_tag(world.workspace, "Wholesale")
        await store.people.tag(world.workspace, contact.id, tag.id, "sri@melati.example", world.clock.now())
    world.clock.by += timedelta(days=8)
    while await flow.expire_old(world.app):
        pass
    assert await world.state(key) == {}
    left = (await store.contacts.search(world.workspace, key)).contacts
    assert [(one.id, one.city) for one in left] == {
        "a file": [(contact.id, "Solo")], "a tag": [(contact.id, "")], "nobody": []}[brought]


async def test_marketers_see_what_was_asked_and_what_was_held_back(small: World) -> None:
    """Bounds of four a network, so that the fifth and sixth are turned away, one of them from memory."""
    store, news, today = small.app.store, small.seeded.list_id, small.clock.now().date()
    seen = await store.signups.public_pages(small.workspace)
    one = await store.signups.list_signup(small.workspace, news)
    spent = flow.Spent()

    async def ask(email: str) -> None:
        await flow.request(small.app, flow.Asked(
            SignupAction.SUBSCRIBE, parse_address(email), (one,), {}, "id", seen.brand, SignupChannel.PAGE, "",
            "192.0.2.7", "", False), spent)

    most = small.app.settings.signup.per_ip_an_hour
    await ask("ani@warung.example")
    await small.answer()
    await ask("a.n.i+2@gmail.com")
    await ask("ani+3@gmail.com")
    await small.answer()
    for number in range(most):
        await ask(f"robot{number}@warung.example")
    small.clock.by += timedelta(minutes=2)
    await ask("another@warung.example")
    await small.answer()
    counted = await store.signups.tallies(small.workspace, news, today)
    assert counted[SignupOutcome.REQUESTED] == most
    assert counted[SignupOutcome.TURNED_AWAY] == 4
    assert counted[SignupOutcome.ASKED_TODAY] == 1
    assert SignupOutcome.CONFIRMED not in counted
    small.clock.by += timedelta(days=8)
    while await flow.expire_old(small.app):
        pass
    assert (await store.signups.tallies(small.workspace, news, today))[SignupOutcome.EXPIRED] == most - 1
    assert await store.signups.tallies(small.workspace, news, small.clock.now().date() + timedelta(days=1)) == {}


async def test_a_form_posted_ten_thousand_times_is_bounded(small: World) -> None:
    _, page = await small.get("/s/toko/news")
    token = hidden(page, "token")
    small.clock.by += timedelta(seconds=10)
    codes = set()
    for number in range(200):
        form = {"token": token, "email": f"victim{number}@warung.example"}
        codes.add((await small.post("/s/toko/news", form))[0].status)
    assert codes == {303}
    bound = small.app.settings.signup.per_ip_an_hour
    assert await small.rows(signups) == bound

    # From ever new networks the bounds for the address, the domain and the workspace are what is left.
    one = await small.app.store.signups.list_signup(small.workspace, small.seeded.list_id)
    spent = flow.Spent()
    for number in range(10_000):
        await flow.request(small.app, flow.Asked(
            SignupAction.SUBSCRIBE, parse_address(f"v{number % 7}+{number}@warung.example"), (one,), {}, "en", "Toko",
            SignupChannel.PAGE, "/s/toko/news", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", AGENT, False,
        ), spent)
    await small.answer()
    most = 7 * small.app.settings.signup.per_address_a_day
    assert await small.rows(signups) <= bound + most
    assert await small.rows(messages) <= bound + 7
    assert await small.rows(signup_counts) < 500


async def test_one_victim_on_a_thousand_lists_gets_one_mail(small: World) -> None:
    names = [f"L{number}" for number in range(40)]
    for name in names:
        await small.add_list(name)
    for name in names:
        await small.sign_up("victim@warung.example", f"/s/toko/{name.lower()}")
    await small.answer()
    assert await small.rows(messages) == 1
    assert await small.rows(signups) == 1


async def test_a_robot_is_told_the_same_and_does_nothing(small: World) -> None:
    honest, _ = await small.sign_up("ani@warung.example")
    robot, _ = await small.sign_up("robot@warung.example", homepage="https://spam.example")
    assert (robot.status, robot.headers["Location"]) == (honest.status, honest.headers["Location"])
    assert await small.rows(signups) == 1


@pytest.mark.parametrize("wait", [0.5, 3.0, 60 * 60 * 13])
async def test_too_quick_or_too_old_a_form_asks_for_the_button_again(small: World, wait: float) -> None:
    response, page = await small.sign_up("ani@warung.example", wait=wait, proven=False)
    assert response.status == 200
    assert "Please press the button once more" in page
    assert 'value="ani@warung.example"' in page
    assert await small.rows(signups) == 0


async def test_a_token_of_another_page_workspace_or_purpose_is_none(small: World) -> None:
    await small.add_list("Offers")
    _, offers = await small.get("/s/toko/offers")
    good = hidden((await small.get("/s/toko/news"))[1], "token")
    stamp = round(small.clock.now().timestamp() * 1000)
    subject = small.seeded.list_id << 2 | 2
    tokens = small.app.tokens
    wrong = (
        hidden(offers, "token"), good[:-1], good + "A", "", "x" * 5000, good.replace(good[10], "-", 1),
        tokens.sign(Purpose.FORM, small.workspace + 1, subject, stamp),
        tokens.sign(Purpose.CONFIRM, small.workspace, subject, stamp),
    )
    small.clock.by += timedelta(seconds=10)
    for token in wrong:
        response, page = await small.post("/s/toko/news", {"token": token, "email": "ani@warung.example"})
        assert (response.status, "once more" in page) == (200, True), token
    assert await small.rows(signups) == 0
    response, _ = await small.post("/s/toko/news", {"token": good, "email": "ani@warung.example"})
    assert response.status == 303


async def test_the_json_way_with_cors_as_configured(small: World) -> None:
    pages = await small.app.store.signups.public_pages(small.workspace)
    await small.app.store.signups.save_public_pages(replace(pages, origins=("https://toko.example",)))
    allowed, _ = await small.get("/s/toko/news/token", Origin="https://toko.example")
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://toko.example"
    other, _ = await small.get("/s/toko/news/token", Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in other.headers
    given = await allowed.json()
    body = {"email": "ani@warung.example", "token": given["token"], "source": "https://toko.example/footer"}
    early = await small.client.post("/s/toko/news", json=body)
    assert (early.status, (await early.json())["status"]) == (409, "again")
    small.clock.by += timedelta(seconds=given["wait"] / 1000 + 0.1)
    body["proof"] = solve(given["token"], "ani@warung.example", given["bits"])
    sent = await small.client.post("/s/toko/news", json=body, headers={"Origin": "https://toko.example"})
    assert (sent.status, (await sent.json())["status"]) == (200, "ok")
    wrong = await small.client.post("/s/toko/news", json={"email": "nobody"})
    assert wrong.status == 422
    assert set((await wrong.json())["problems"]) == {"email"}
    await small.answer()
    (asked,) = await small.consents("ani@warung.example")
    assert asked.source == "form: https://toko.example/footer"
    for junk in (b"{", b"[]", b'{"email": {"a": 1}}', b'{"email": null}', b"\xff" * 10, b'{"email": "' + b"a" * 90_000):
        response = await small.client.post("/s/toko/news", data=junk, headers={"Content-Type": "application/json"})
        assert response.status == 422


async def test_the_words_are_versioned(small: World) -> None:
    await small.sign_up("ani@warung.example")
    await small.set_list(texts={"en": {"consent": "Send me {list} of {brand}, {0} {x.y}"}})
    await small.sign_up("budi@warung.example")
    await small.sign_up("citra@warung.example")
    async with small.database.read() as connection:
        rows = list(await connection.execute(select(wordings.c.version, wordings.c.text).order_by(wordings.c.id)))
    assert [row.version for row in rows] == [1, 2]
    assert rows[1].text == "Send me News of Toko, {0} {x.y}"


async def test_what_is_not_public_does_not_exist(small: World) -> None:
    await small.set_list(public=False)
    for path in ("/s/toko/news", "/s/toko", "/s/nobody/news", "/s/toko/none", "/s/toko/all", "/s/toko/news/token"):
        response, _ = await small.get(path)
        assert response.status == 404, path
    response, _ = await small.post("/s/toko/news", {"email": "ani@warung.example"})
    assert response.status == 404


async def test_the_pages_are_small_strict_and_bilingual(small: World) -> None:
    await small.add_list("Offers")
    for path in ("/s/toko", "/s/toko/news", "/s/toko/news/thanks"):
        response, page = await small.get(path, **{"Accept-Language": "id-ID,id;q=0.9"})
        assert 'lang="id"' in page
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "style=" not in page
        style = next(part for part in page.split('"') if part.endswith(".css"))
        sheet, css = await small.get(style)
        assert sheet.status == 200
        assert len(page.encode()) + len(css.encode()) < 50_000
    script, text = await small.get(next(part for part in (await small.get("/s/toko"))[1].split('"')
                                        if part.endswith(".js")))
    assert script.status == 200
    assert len(text) < 10_000


async def test_a_crash_between_record_and_answer_loses_and_repeats_nothing(small: World) -> None:
    await small.sign_up("ani@warung.example")
    real = small.app.store.signups.ask
    calls = 0

    async def dies(*arguments: object) -> bool:
        nonlocal calls
        calls += 1
        raise asyncio.CancelledError

    small.app.store.signups.ask = dies  # type: ignore[method-assign,assignment]
    with pytest.raises(asyncio.CancelledError):
        await small.answer()
    small.app.store.signups.ask = real  # type: ignore[method-assign]
    await small.answer()
    await small.answer()
    assert (calls, await small.rows(messages)) == (1, 1)


async def test_a_confirmation_that_bounces_suppresses_the_address(small: World) -> None:
    small.receiver.on_rcpt = lambda _address, _time: "550 5.1.1 no such user"
    await small.sign_up("gone@warung.example")
    await small.answer()
    async with working(small.app):
        await until(small, "gone@warung.example")
    async with small.database.write() as connection:
        await connection.execute(update(signup_counts).values(until=small.clock.now() - timedelta(days=2)))
    await small.sign_up("gone@warung.example")
    await small.answer()
    assert await small.rows(messages) == 1


async def until(world: World, email: str) -> None:
    """Until the address is suppressed."""
    while not await world.app.store.contacts.suppressions(world.workspace, email_key=email):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_without_a_database_nobody_loses_what_they_typed(small: World) -> None:
    store = small.app.store.signups
    _, page = await small.get("/s/toko/news")
    given = await (await small.get("/s/toko/news/token"))[0].json()
    small.clock.by += timedelta(seconds=10)
    form = {"token": hidden(page, "token"), "email": "ani@warung.example", "homepage": "", "lang": "id"}
    script = {"email": "ani@warung.example", "token": given["token"],
              "proof": solve(given["token"], "ani@warung.example", given["bits"])}

    async def away(*_: object) -> None:
        raise OSError("the database is gone")

    record, find, logo = store.record, store.find_page, store.logo
    store.record = away  # type: ignore[method-assign,assignment]
    answer, page = await small.post("/s/toko/news", form)
    assert answer.status == 503
    assert 'value="ani@warung.example"' in page
    assert "Silakan tekan tombolnya lagi" in page
    said = await small.client.post("/s/toko/news", json=script)
    assert (said.status, (await said.json())["status"]) == (503, "later")
    store.find_page = away  # type: ignore[method-assign,assignment]
    for answer in (await small.client.post("/s/toko/news", json=script), await small.client.get("/s/toko/news/token")):
        assert (answer.status, answer.content_type, (await answer.json())["status"]) == (
            503, "application/json", "later")
        assert answer.headers["Retry-After"] == "30"
    answer, page = await small.get("/s/toko/news", **{"Accept-Language": "id"})
    assert (answer.status, '<html lang="id">' in page) == (503, True)
    store.logo = away  # type: ignore[method-assign,assignment]
    assert (await small.get("/s/-/logo/1-0123456789abcdef"))[0].status == 503
    store.record, store.find_page, store.logo = record, find, logo  # type: ignore[method-assign]
    answer, _ = await small.post("/s/toko/news", form)
    assert answer.status == 303, "the very same form is taken once the database is back"
    missing = await small.client.post("/s/toko/none", json=script)
    assert (missing.status, (await missing.json())["status"]) == (404, "missing")
    assert (await small.get("/s/-/logo/1-0123456789abcdef"))[0].status == 404
    assert await small.rows(signups) == 1
