"""Erasing somebody: afterwards no table, file or log knows them; counts stay, and they are not written to again."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import (
    bulk_actions,
    campaigns,
    contact_changes,
    contact_notes,
    contact_tags,
    contacts,
    deliveries,
    digest_items,
    erased_addresses,
    events,
    hygiene_findings,
    hygiene_reports,
    import_rejects,
    imports,
    inbound_messages,
    lists,
    metadata,
    suppression_changes,
    tags,
)
from esp.app import App
from esp.flows import erasure
from esp.flows.erasure import address_digest, strike_out
from esp.model.contact import SuppressionReason
from esp.model.delivery import EventType, NewEvent
from esp.model.preference import Frequency
from esp.ports.contacts import Contact, NewContact, Subscribing
from esp.ports.preferences import Changes, Choices, Proof
from esp.wire.tokens import Purpose
from tests.receiver import Receiver, receiving
from tests.sending import Sending, seed, totals
from tests.sending_app import app_for, settings_for, until_closed, working
from tracking.edge.door import build_edge

ADDRESS, KEY, NAME = "Zulaikha.Verlorensen@Privat.example", "zulaikha.verlorensen@privat.example", "Zulaikha"
TRACES = (b"zulaikha", b"verlorensen")


@pytest.fixture
async def house(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[tuple[App, Sending, Receiver]]:
    """An application with a campaign of two deliveries under way, one to the person, one to somebody else."""
    sending = await seed(database, [KEY, "budi@b.example"])
    async with receiving(Receiver()) as receiver, app_for(settings_for(database_url, tmp_path, receiver)) as app:
        yield app, sending, receiver


async def leave_traces(app: App, sending: Sending, database: Database) -> Contact:
    """Put the person everywhere where a person may come to stand."""
    ws, now = sending.workspace_id, app.clock.now()
    row = NewContact(KEY, KEY, "privat.example", {"first_name": NAME, "last_name": "Verlorensen"}, {"nick": "Zulaikha"})
    joining = Subscribing(sending.list_id, "zulaikha's form", wording=NAME)
    await app.store.contacts.upsert(ws, [row], "test", now, joining)
    contact = await app.store.contacts.find(ws, KEY)
    assert contact is not None
    await app.store.contacts.suppress(ws, KEY, SuppressionReason.MANUAL, now, note=f"asked by {NAME}")
    topic = await app.store.preferences.save_topic(ws, None, "Offers", "", now)
    reader = await app.store.preferences.reader(ws, contact.id)
    assert reader is not None
    await app.store.preferences.change(reader, Changes(Choices(Frequency.WEEKLY, {topic.id: Frequency.NONE})),
                                       Proof(now, "test"))
    ids = {"workspace_id": ws, "contact_id": contact.id}
    async with database.write() as connection:
        await connection.execute(update(lists).values(subscribed_count=2))

        async def add(table: Any, **values: Any) -> int:
            made = await connection.execute(insert(table).values(**values))
            return int(made.inserted_primary_key[0])

        tag = await add(tags, workspace_id=ws, name="vip", name_key="vip")
        await connection.execute(insert(contact_tags).values(**ids, tag_id=tag))
        await add(contact_notes, **ids, author="sri", text=f"{NAME} rang", at=now)
        await add(contact_changes, **ids, at=now, kind="edited", actor="sri", detail={"first_name": NAME})
        await add(digest_items, **ids, campaign_id=sending.campaign_id, delivery_id=sending.deliveries[0], at=now)
        await add(suppression_changes, workspace_id=ws, at=now, action="added", email_key=KEY, actor="sri", note=NAME)
        await add(bulk_actions, public_id="b1", workspace_id=ws, actor="sri", action="tag", state="done",
                  selection={"search": KEY}, arguments={}, created_at=now, finished_at=now)
        report = await add(hygiene_reports, workspace_id=ws, created_at=now)
        await add(hygiene_findings, workspace_id=ws, report_id=report, kind="duplicate", contact_id=999, group_key=KEY)
        file = await add(imports, public_id="i1", workspace_id=ws, file_name="x.csv", path="imports/x.csv",
                         state="done", error=f"row of {ADDRESS}", created_at=now)
        await add(import_rejects, workspace_id=ws, import_id=file, line=3, reason="odd", row=f"{ADDRESS},{NAME}")
        raw = f"To: {ADDRESS}\r\n\r\nDear {NAME}".encode()
        await add(inbound_messages, received_at=now, mail_from="", rcpt_to="b-x@b.toko.example", raw=raw)
        await add(inbound_messages, received_at=now, mail_from=KEY, rcpt_to="postmaster@b.toko.example", raw=b"x")
        test = await add(campaigns, public_id="t1", workspace_id=ws, name="Test", state="sent", test_of=1,
                         sample={"email": KEY, "first_name": NAME}, created_at=now, updated_at=now)
        await add(deliveries, workspace_id=ws, campaign_id=test, contact_id=0, variant_id=1, address=ADDRESS,
                  state="delivered", created_at=now)
    await app.store.ledger.apply([
        NewEvent(kind, now, ws, sending.campaign_id, sending.deliveries[0], agent="human", ip="203.0.113.9",
                 user_agent="Zulaikha's phone", detail={"reply": f"250 for {ADDRESS}"}, link_index=index)
        for kind, index in ((EventType.OPENED, None), (EventType.CLICKED, 0))
    ])
    folder = app.settings.server.data_dir
    for name, text in {
        "imports/x.csv": f"email,name\r\nbudi@b.example,Budi\r\n{ADDRESS},{NAME} V\r\nani@a.example,Ani\r\n",
        "exports/all.jsonl": f'{{"email":"{KEY}","name":"{NAME}"}}\n{{"email":"budi@b.example"}}\n',
        "journal/edge-old.jsonl": f'{{"ua":"550 <{KEY}> unknown"}}\n',
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return contact


async def traces(database: Database, folder: Path) -> list[str]:
    """Where the person still stands: rows of tables, files."""
    found = []
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                text = repr(row).lower().encode()
                found += [f"{table.name}: {row}" for trace in TRACES if trace in text]
    return found + in_files(folder)


def in_files(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            octets = path.read_bytes().lower()
            found += [str(path) for trace in (*TRACES, "zulaikha".encode("utf-16-le")) if trace in octets]
    return found


async def test_nothing_is_left_but_counts_and_a_hash(
    house: tuple[App, Sending, Receiver], database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    app, sending, receiver = house
    ws = sending.workspace_id
    contact = await leave_traces(app, sending, database)
    assert len(await traces(database, app.settings.server.data_dir)) > 15, "they do stand everywhere before"
    before = await totals(database, sending.campaign_id)
    found = await erasure.erase_contact(app, contact)
    assert found.deleted > 10
    assert await traces(database, tmp_path) == []
    assert "zulaikha" not in "".join(capfd.readouterr()).lower()
    after = await totals(database, sending.campaign_id)
    assert {**before, "suppressed": 1} == after, "counts stay, and what was still to be sent is accounted for"
    async with database.read() as connection:
        assert (await connection.scalar(select(lists.c.subscribed_count))) == 1
        kept = (await connection.execute(select(erased_addresses))).all()
        rows = (await connection.execute(select(events).where(events.c.type == "clicked"))).all()
        mail = (await connection.execute(select(deliveries).where(deliveries.c.id == sending.deliveries[0]))).one()
        others = (await connection.execute(select(contacts.c.email))).scalars().all()
    assert [row.digest for row in kept] == [address_digest(app, ws, KEY)]
    assert [(row.ip, row.user_agent, row.contact_id, row.link_index) for row in rows] == [("", "", None, 0)]
    assert (mail.address, mail.contact_id, mail.state, mail.reason) == ("", -mail.id, "suppressed", "erased")
    assert others == ["budi@b.example"]
    assert (app.settings.server.data_dir / "imports" / "x.csv").read_text().splitlines()[::3] == [
        "email,name", "ani@a.example,Ani"], "other people's lines stand where they stood"
    async with working(app):
        await until_closed(app, sending.campaign_id, ws)
    assert receiver.taken == {"budi@b.example": 1}
    again = await erasure.erase(app, ws, ADDRESS)
    assert (again.deleted, again.emptied) == (0, 0)


async def test_whoever_comes_back_by_a_file_is_not_written_to(
    house: tuple[App, Sending, Receiver], database: Database
) -> None:
    app, sending, receiver = house
    ws = sending.workspace_id
    await erasure.erase(app, ws, ADDRESS)
    second = await seed_again(app, sending, database)
    async with working(app):
        states = await until_closed(app, second, ws)
    assert states == {"suppressed": 1}
    assert KEY not in receiver.taken
    assert await app.store.erasure.forgive(ws, address_digest(app, ws, KEY))
    assert not await erasure.erased_among(app, ws, [KEY])


async def seed_again(app: App, sending: Sending, database: Database) -> int:
    """The person once more, from a file, and a campaign that was walked before anybody noticed."""
    now = app.clock.now()
    ws = sending.workspace_id
    await app.store.contacts.upsert(
        ws, [NewContact(ADDRESS, KEY, "privat.example")], "file", now, Subscribing(sending.list_id, "file"))
    contact = await app.store.contacts.find(ws, KEY)
    assert contact is not None
    assert contact.id not in sending.contacts[1:]
    batches = metadata.tables["batches"]
    async with database.write() as connection:
        row = dict((await connection.execute(select(campaigns))).one()._mapping)
        del row["id"]
        made = await connection.execute(insert(campaigns).values(**{**row, "public_id": "again"}))
        campaign = int(made.inserted_primary_key[0])
        batch = (await connection.execute(insert(batches).values(
            workspace_id=ws, campaign_id=campaign, provider="x", state="ready", due_at=now, size=1))
        ).inserted_primary_key[0]
        await connection.execute(insert(deliveries).values(
            workspace_id=ws, campaign_id=campaign, contact_id=contact.id, variant_id=sending.variant_id,
            batch_id=batch, address=ADDRESS, domain="privat.example", provider="x", created_at=now, due_at=now))
    return campaign


async def test_their_own_wish_is_confirmed_by_mail(
    house: tuple[App, Sending, Receiver], database: Database
) -> None:
    app, sending, receiver = house
    ws, tokens = sending.workspace_id, app.tokens
    from_mail = f"/p/{tokens.sign(Purpose.PREFERENCES, ws, sending.campaign_id, sending.deliveries[0])}"
    async with served(app) as client:
        assert "JSON" in await (await client.get(from_mail)).text()
        data = await (await client.post(from_mail, data={"action": "download"})).json()
        assert data["contact"]["email"] == KEY
        assert data["deliveries"][0]["campaign"] == "First"
        assert "budi" not in str(data)
        asked = await client.post(from_mail, data={"action": "erase"})
        assert "mailbox" in await asked.text()
        async with working(app):
            link = None
            while link is None:
                await asyncio.sleep(0.05)
                link = re.search(rb"/p/-/erase/([\w-]+)", b"".join(receiver.messages).replace(b"=\r\n", b""))
        path = link[0].decode()
        assert (await client.get(path)).status == 200
        assert (await client.head(path)).status == 200
        assert await app.store.contacts.find(ws, KEY), "a look erases nobody"
        for odd in (path[:-1], path + "A", f"/p/-/erase/{tokens.sign(Purpose.ERASE, ws, 1, 5)}"):
            assert (await client.post(odd, data={"action": "erase"})).status in (404, 410)
        done = await client.post(path, data={"action": "erase"})
        assert "erased" in await done.text()
        assert await app.store.contacts.find(ws, KEY) is None
        for used in (path, from_mail):
            for method in ("GET", "POST"):
                answer = await client.request(method, used, data={"action": "erase"} if method == "POST" else None)
                assert answer.status == 410
        newcomer = NewContact("new@x.example", "new@x.example", "x.example")
        await app.store.contacts.upsert(ws, [newcomer], "t", app.clock.now())
        assert (await client.get(from_mail)).status == 410, "a later contact inherits no old link"
        assert (await client.post(path, data={"action": "erase"})).status == 410
    assert await app.store.contacts.find(ws, "new@x.example")


def served(app: App) -> Any:
    application = web.Application()
    build_edge(app).mount(application)
    return TestClient(TestServer(application))


def test_files_are_struck_out_in_place(tmp_path: Path) -> None:
    folder = tmp_path / "imports"
    folder.mkdir()
    wide = folder / "wide.csv"
    wide.write_bytes(f"a@x.example\r\n{ADDRESS}\r\nb@x.example".encode("utf-16"))
    long = folder / "long.csv"
    many = [f"p{number}@x.example,Name {number}" for number in range(60_000)]
    long.write_text("\n".join([*many, f"{KEY},Z", "last@x.example,L"]))
    size = long.stat().st_size
    assert strike_out(tmp_path, [ADDRESS, KEY]) == 2
    assert long.stat().st_size == size
    lines = long.read_text().splitlines()
    assert lines[-2] == "x" * len(f"{KEY},Z")
    assert (lines[-1], len(lines)) == ("last@x.example,L", 60_002)
    assert ADDRESS not in wide.read_bytes().decode("utf-16")
    assert strike_out(tmp_path, [ADDRESS, KEY]) == 0
