"""Hygiene reports and suppressions on SQLite and PostgreSQL."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from esp.adapters.sql.exclusion import suppression_rank
from esp.adapters.sql.hygiene import SqlHygiene
from esp.adapters.sql.people_bulk import SqlBulks
from esp.adapters.sql.schema import contacts, deliveries
from esp.adapters.sql.suppressions import SqlSuppressions
from esp.errors import InputError, LeaseLostError, NotFoundError
from esp.model.contact import SuppressionReason
from esp.ports.people_bulk import BulkAction, NewBulk, Selection
from esp.ports.people_hygiene import Finding, HygieneState, NewFinding
from esp.ports.people_suppressions import NewBar
from tests.contract.test_people import NOW, World, a_campaign, world

__all__ = ["world"]


async def test_duplicates_are_found_by_mailbox_and_by_person(world: World) -> None:
    emails = ("a.n.i@gmail.com", "ani+shop@googlemail.com", "ani@gmail.com", "ani@x.example", "budi@gmail.com")
    ids = [(await world.person(email)).id for email in emails]
    putri = {"first_name": "Ani", "last_name": "Putri", "birth_date": "1990-01-02"}
    same = [(await world.person(f"{x}@y.example", None, **putri)).id for x in "ab"]
    await world.person("c@y.example", None, first_name="Ani", last_name="Putri")
    it = SqlHygiene(world.database)
    found = await it.duplicates(world.mine, Finding.SAME_ADDRESS, ("", 0), 10)
    assert found == (("ani", ids[0]), ("ani", ids[1]), ("ani", ids[2]))
    assert await it.duplicates(world.mine, Finding.SAME_ADDRESS, found[0], 1) == found[1:2]
    assert await it.duplicates(world.mine, Finding.SAME_PERSON, ("", 0), 10) == tuple(
        ("ani putri|1990-01-02", one) for one in same)
    assert await it.duplicates(world.other, Finding.SAME_ADDRESS, ("", 0), 10) == ()


async def test_the_silent_are_who_got_much_and_opened_nothing(world: World) -> None:
    quiet, opener, rare, old = [await world.person(f"{x}@x.example") for x in "abcd"]
    sent = [await a_campaign(world) for _ in range(3)]
    async with world.database.write() as connection:
        await connection.execute(insert(deliveries), [
            {"workspace_id": world.mine, "campaign_id": sent[n], "contact_id": one.id, "variant_id": 1,
             "state": "delivered", "created_at": NOW - timedelta(days=days), "opened_at": opened}
            for one, mails, days, opened in ((quiet, 3, 5, None), (opener, 3, 5, NOW), (rare, 2, 5, None),
                                             (old, 3, 500, None))
            for n in range(mails)])
    it = SqlHygiene(world.database)
    since = NOW - timedelta(days=180)
    assert await it.silent(world.mine, quiet.id, old.id, since, 3) == (quiet.id,)
    assert await it.silent(world.other, quiet.id, old.id, since, 3) == ()


async def test_a_report_moves_on_from_where_it_is_and_the_newest_stays(world: World) -> None:
    a = await world.person("a@x.example")
    it = SqlHygiene(world.database)
    first = await it.create(world.mine, {"silent_months": 6, "silent_mails": 5}, NOW)
    assert (await it.create(world.mine, {}, NOW)).id == first.id
    claimed = await it.claim(NOW, NOW)
    assert claimed
    moved = await it.keep(claimed, [NewFinding(Finding.ROLE, a.id)], a.id, 1, NOW, phase="people")
    with pytest.raises(LeaseLostError):
        await it.keep(claimed, (), 9, 9, NOW)
    done = await it.keep(moved, (), a.id, 1, NOW, finished=True)
    assert (done.state, done.counts) == (HygieneState.DONE, {"role": 1})
    assert [one.email for one in await it.found(world.mine, done.id, Finding.ROLE)] == ["a@x.example"]
    assert await it.found(world.other, done.id, Finding.ROLE) == ()
    await it.create(world.mine, {}, NOW)
    again = await it.claim(NOW, NOW)
    assert again
    await it.keep(again, (), 0, 0, NOW, finished=True)
    with pytest.raises(NotFoundError):
        await it.get(world.mine, done.id)
    with pytest.raises(NotFoundError):
        await it.get(world.other, again.id)


async def test_domains_are_counted_and_remembered(world: World) -> None:
    for email in ("a@x.example", "b@x.example", "c@y.example"):
        await world.person(email)
    it = SqlHygiene(world.database)
    assert await it.domains(world.mine) == {"x.example": 2, "y.example": 1}
    await it.remember_checked({"x.example": True, "y.example": False}, NOW)
    await it.remember_checked({"x.example": True}, NOW + timedelta(days=9))
    found = await it.checked(["x.example", "y.example", "z.example"])
    assert found["x.example"].dead_since == NOW
    assert found["y.example"].dead_since is None
    await it.remember_checked({"x.example": False}, NOW + timedelta(days=10))
    assert (await it.checked(["x.example"]))["x.example"].dead_since is None


async def test_a_mistyped_domain_is_corrected_where_nobody_has_the_address_and_put_back(world: World) -> None:
    wrong, taken = await world.person("Ani@gmial.com"), await world.person("budi@gmial.com")
    await world.person("budi@gmail.com")
    it, bulks = SqlHygiene(world.database), SqlBulks(world.database)
    report = await it.create(world.mine, {}, NOW)
    claimed = await it.claim(NOW, NOW)
    assert claimed
    await it.keep(claimed, [NewFinding(Finding.MISTYPED, one.id, "gmial.com", "gmail.com") for one in (wrong, taken)],
                  0, 0, NOW)
    who = Selection(report_id=report.id, finding="mistyped")
    await bulks.create(world.mine, NewBulk(BulkAction.CORRECT_DOMAIN, who, "sri", {"report_id": report.id}), NOW)
    done = await bulks.claim(NOW, NOW)
    assert done
    done = await bulks.step(done, NOW, 10)
    assert (done.changed, done.kept) == (1, 1)
    mended = await world.contacts.get(world.mine, wrong.id)
    assert (mended.email, mended.email_key, mended.domain) == ("Ani@gmail.com", "ani@gmail.com", "gmail.com")
    await bulks.create_undo(world.mine, done.id, "sri", NOW)
    undo = await bulks.claim(NOW, NOW)
    assert undo
    await bulks.step(undo, NOW, 10)
    assert (await world.contacts.get(world.mine, wrong.id)).email == "Ani@gmial.com"


async def test_suppressions_are_found_added_once_and_removed_with_a_record(world: World) -> None:
    it = SqlSuppressions(world.database)
    news = await world.contacts.create_list(world.mine, "News", "news", "", NOW)
    rows = [NewBar(f"p{n}@x.example") for n in range(3)] + [NewBar("@bad.example", note="whole"), NewBar(
        "p0@x.example", SuppressionReason.COMPLAINT, news.id)]
    assert await it.add(world.mine, rows, "sri", NOW) == 5
    assert await it.add(world.mine, rows, "sri", NOW) == 0
    page = await it.search(world.mine, "p", limit=2)
    rest = await it.search(world.mine, "P", limit=9, after=page.next)
    assert [bar.key for bar in (*page.bars, *rest.bars)] == [
        "p0@x.example", "p0@x.example", "p1@x.example", "p2@x.example"]
    newest = await it.search(world.mine, limit=3)
    assert len(newest.bars) + len((await it.search(world.mine, after=newest.next)).bars) == 5
    (complaint,) = (await it.search(world.mine, reason=SuppressionReason.COMPLAINT)).bars
    assert complaint.list_name == "News"
    with pytest.raises(NotFoundError):
        await it.remove(world.other, complaint.id, "x", NOW)
    await it.remove(world.mine, complaint.id, "budi", NOW)
    change = (await it.changes(world.mine))[0]
    assert (change.action, change.key, change.actor) == ("removed", "p0@x.example", "budi")
    with pytest.raises(InputError):
        await it.search(world.mine, after="x")
    with pytest.raises(NotFoundError):
        await it.add(world.other, [NewBar("a@x.example", list_id=news.id)], "x", NOW)


async def test_a_domain_is_suppressed_for_everybody_there_until_it_ends(world: World) -> None:
    ids = [(await world.person(email)).id for email in ("a@bad.example", "a@sub.bad.example", "bad.example@x.example")]
    await SqlSuppressions(world.database).add(
        world.mine, [NewBar("@bad.example", expires_at=NOW + timedelta(days=1))], "sri", NOW)
    for when, barred in ((NOW, [ids[0]]), (NOW + timedelta(days=2), [])):
        async with world.database.read() as connection:
            rows = await connection.execute(
                select(contacts.c.id).where(suppression_rank(world.mine, [], when).is_not(None)))
            assert list(rows.scalars()) == barred
