"""Erasing somebody: afterwards no table, file or log knows them; counts stay, and they are not written to again."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import JSON, LargeBinary, String, insert, select, update

from esp.adapters.sql import schema
from esp.adapters.sql.database import Database
from esp.adapters.sql.portable import tables_about
from esp.adapters.sql.schema import (
    campaigns,
    contacts,
    deliveries,
    erased_addresses,
    events,
    lists,
    metadata,
)
from esp.app import App
from esp.flows import erasure
from esp.flows import imports as import_flow
from esp.flows.contacts import add_contact
from esp.flows.erasure import address_digest, strike_out
from esp.model.contact import ExclusionReason, SuppressionReason
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
FORMER = "z.Verlorensen@Alt.example"  # the address of a contact that was merged into this one
#: Texts that are the team's own, codes, or keyed hashes. Whoever adds a column decides: swept, or listed here.
OURS = {
    "api_answers": "digest owner", "templates": "public_id name subject text html",
    "webhook_endpoints": "public_id url secret types paused_reason",
    "batches": "provider stream state owner", "bulk_actions": "public_id actor action state",
    "campaigns": "public_id state from_name from_address reply_to include_lists exclude_lists throttle "
                 "include_segments exclude_segments stream digest",
    "contact_fields": "public_id key label type choices",
    "contacts": "public_id domain city country language time_zone birth_date source",
    "credentials": "public_id kind name login secret_hash scopes stream domains networks rate created_by",
    "deliveries": "domain provider state reason report", "destinations": "domain provider", "digests": "cadence period",
    "dkim_keys": "selector algorithm private_pem public_key", "erased_addresses": "digest",
    "engagement_days": "day level", "engagement_fits": "covariance crowds", "engagement_odds": "level",
    "engagement_reports": "data", "event_folds": "name", "events": "type provider agent ip",
    "exports": "public_id what format state path",
    "hygiene_reports": "state phase counts", "imports": "public_id path state mapping signature",
    "inbound_messages": "peer state kind outcome", "journal_offsets": "journal", "links": "url text",
    "list_signups": "opt_in language fields texts command from_name",
    "lists": "public_id name description handle archive", "memberships": "role",
    "message_keys": "key fingerprint", "pickup_seen": "uid",
    "pickups": "public_id name protocol host security username secret folder afterwards position error",
    "public_pages": "handle accent logo_type logo_hash logo words origins", "segments": "public_id",
    "sending_domains": "public_id name check_result", "server_facts": "name value",
    "sessions": "token_hash csrf ip user_agent", "signup_counts": "key",
    "signup_tallies": "day outcome", "streams": "public_id handle name kind suppressed",
    "signup_pages": "public_id handle language list_ids", "tags": "name name_key",
    "tallies": "dimension member metric", "topics": "public_id name", "transfer_runs": "state",
    "transfers": "public_id direction kind secret schedule", "users": "public_id email name password_hash language",
    "variants": "label subject preheader kind source compiled", "wordings": "language hash text",
    "workspaces": "public_id name postal_address language time_zone",
}


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

        ours = {"workspace_id": ws}
        await add(schema.consents, **ids, action="subscribed", at=now, source=f"{NAME}'s form", wording=NAME)
        tag = await add(schema.tags, **ours, name="vip", name_key="vip")
        await connection.execute(insert(schema.contact_tags).values(**ids, tag_id=tag))
        await add(schema.contact_notes, **ids, author="sri", text=f"{NAME} rang", at=now)
        await add(schema.contact_notes, **ours, contact_id=sending.contacts[1], author="sri", at=now,
                  text=f"knows <{ADDRESS}>")
        await add(schema.contact_changes, **ids, at=now, kind="edited", actor="sri", detail={"first_name": NAME})
        await add(schema.contact_changes, **ids, at=now, kind="merged", actor="sri", detail={"email": FORMER})
        await add(schema.contact_changes, **ours, contact_id=sending.contacts[1], at=now, kind="merged", actor="sri",
                  detail={"email": ADDRESS})
        await connection.execute(insert(schema.contact_engagement).values(**ids, opportunities=3, responses=1))
        await add(schema.level_moves, **ids, at=now, from_level="active", to_level="cooling")
        await connection.execute(insert(schema.contact_redirects).values(
            **ids, old_id=900, old_public_id="old", at=now))
        await add(schema.digest_items, **ids, campaign_id=sending.campaign_id, delivery_id=sending.deliveries[0],
                  at=now)
        for key in (KEY, FORMER.lower()):
            await add(schema.suppression_changes, **ours, at=now, action="added", email_key=key, actor="sri", note=NAME)
        await add(schema.suppressions, **ours, email_key=FORMER.lower(), reason="manual", created_at=now)
        for key in ("rani@r.example", "ani@a.example"):
            await add(schema.suppressions, **ours, email_key=key, reason="manual", created_at=now,
                      note=f"wife of {ADDRESS}")
            await add(schema.suppression_changes, **ours, at=now, action="added", email_key=key, actor="sri",
                      note=f"wife of {ADDRESS}")
        bulk = await add(schema.bulk_actions, **ours, public_id="b1", actor="sri", action="tag", state="done",
                         selection={"search": KEY}, arguments={"note": ADDRESS}, error=f"stopped at {KEY}",
                         created_at=now, finished_at=now)
        for contact_id, before in ((contact.id, FORMER), (sending.contacts[1], ADDRESS)):
            await connection.execute(insert(schema.bulk_changes).values(
                **ours, bulk_id=bulk, contact_id=contact_id, before=before))
        report = await add(schema.hygiene_reports, **ours, created_at=now, options={"but": KEY}, error=f"odd: {KEY}")
        for column, value in (("group_key", KEY), ("suggestion", ADDRESS)):
            await add(schema.hygiene_findings, **ours, report_id=report, kind="duplicate", contact_id=999,
                      **{column: value})
        await add(schema.hygiene_findings, **ids, report_id=report, kind="role")
        file = await add(schema.imports, **ours, public_id="i1", file_name=f"{KEY}.csv", path="imports/x.csv",
                         state="done", error=f"row of {ADDRESS}", options={"tag": KEY}, created_at=now)
        for row, reason in ((f"{ADDRESS},{NAME}", "odd"), ("x", f"{KEY} stands in line 2")):
            await add(schema.import_rejects, **ours, import_id=file, line=3, reason=reason, row=row)
        await add(schema.exports, **ours, public_id="e1", what="contacts", format="csv", state="done", created_at=now,
                  options={"search": KEY}, error=f"no place for {ADDRESS}")
        transfer = await add(schema.transfers, **ours, public_id="t9", name=f"Sync of {KEY}", direction="import",
                             kind="url", place={"url": f"https://x.example/?of={KEY}"}, options={"tag": ADDRESS},
                             created_at=now)
        await add(schema.transfer_runs, **ours, transfer_id=transfer, state="failed", error=f"<{KEY}>", started_at=now)
        rule = {"all": [{"field": "email", "is": "equal", "value": ADDRESS}]}
        segment = await add(schema.segments, **ours, public_id="s1", name=f"Only {KEY}", description=ADDRESS,
                            rule=rule, created_at=now, updated_at=now)
        snapshot = await add(schema.segment_snapshots, **ours, segment_id=segment, name=KEY, rule=rule, created_at=now)
        await connection.execute(insert(schema.segment_members).values(**ids, snapshot_id=snapshot))
        await connection.execute(update(schema.topics).values(description=f"asked for by {ADDRESS}"))
        await add(schema.signup_pages, **ours, public_id="p1", handle="p", title=f"Ask {KEY}", intro=f"Ask {KEY}",
                  created_at=now)
        for public_id, email in (("q1", ADDRESS), ("q2", "budi@b.example")):
            await add(schema.signups, **ours, public_id=public_id, email=email, email_key=email.lower(),
                      contact_id=contact.id if email == ADDRESS else None, fields={"friend": ADDRESS},
                      source=f"https://x.example/?{KEY}", reason=f"as {KEY}",
                      created_at=now, expires_at=now)
        for key, body in ((f"order-{KEY}", b"{}"), ("order-2", f'{{"to":"{ADDRESS}"}}'.encode()), ("order-3", b"{}")):
            await connection.execute(insert(schema.api_answers).values(
                **ours, key=key, digest="d", owner="o", body=body, lease_until=now, keep_until=now))
        hook = await add(schema.webhook_endpoints, **ours, public_id="w1", url="https://x.example/", secret="s",
                         next_at=now, created_at=now)
        await add(schema.webhook_tries, **ours, endpoint_id=hook, event_id=1, at=now, milliseconds=1, status=500,
                  answer=f"nobody called {ADDRESS}")
        raw = f"To: {ADDRESS}\r\n\r\nDear {NAME}".encode()
        await add(schema.inbound_messages, received_at=now, mail_from="", rcpt_to="b-x@b.toko.example", raw=raw)
        await add(schema.inbound_messages, received_at=now, mail_from=KEY, rcpt_to="postmaster@b.toko.example",
                  raw=b"x")
        await add(schema.inbound_messages, received_at=now, mail_from="", rcpt_to=KEY, raw=b"x")
        test = await add(campaigns, **ours, public_id="t1", name=f"Test to {KEY}", state="sent", test_of=1,
                         sample={"email": KEY, "first_name": NAME}, segment_rules=[rule], state_reason=f"not {KEY}",
                         created_at=now, updated_at=now)
        single = {"workspace_id": ws, "campaign_id": test, "variant_id": 1, "address": ADDRESS, "created_at": now}
        await add(deliveries, **single, contact_id=0, state="delivered")
        answer = await add(deliveries, **single, contact_id=-77, state="delivered")
        await add(schema.messages, **ours, public_id="m1", delivery_id=answer, kind="answer", raw=raw, created_at=now)
        await add(schema.messages, **ids, public_id="m2", kind="welcome", raw=raw, subject=NAME, created_at=now)
        for public_id, others in (("m3", ()), ("m4", ("budi@b.example",))):  # what an app handed over
            relayed = await add(schema.messages, **ours, public_id=public_id, kind="relay", created_at=now, raw=b"",
                                subject="Yours" if others else NAME, subject_key="yours" if others else NAME.lower(),
                                header_id="x@x.example" if others else f"{NAME}@x.example",
                                metadata={} if others else {"customer": ADDRESS}, tags=[] if others else [KEY],
                                tag="" if others else KEY)
            await connection.execute(insert(schema.message_bodies).values(**ours, message_id=relayed, raw=raw))
            for address in (ADDRESS, *others):
                await add(deliveries, **single | {"address": address}, contact_id=-80 - relayed - len(address),
                          state="delivered", message_id=relayed, recipient_key=address.lower())
        await connection.execute(update(deliveries).where(deliveries.c.id == sending.deliveries[0])
                                 .values(reply=f"250 for {ADDRESS}"))
    await app.store.ledger.apply([
        NewEvent(kind, now, ws, sending.campaign_id, sending.deliveries[0], agent="human", ip="203.0.113.9",
                 user_agent="Zulaikha's phone", detail={"reply": f"250 for {ADDRESS}"}, link_index=index)
        for kind, index in ((EventType.OPENED, None), (EventType.CLICKED, 0))
    ])
    folder = app.settings.server.data_dir
    for name, text in {
        "imports/x.csv": f"email,name\r\nbudi@b.example,Budi\r\n{ADDRESS},{NAME} V\r\nani@a.example,Ani\r\n",
        "exports/all.jsonl": f'{{"email":"{KEY}","name":"{NAME}"}}\n{{"email":"budi@b.example"}}\n',
        "exports/half.csv": f"email\r\n\"{ADDRESS}\",{NAME}\r\n",
        "transfers/out.csv": f"{ADDRESS},{NAME}\r\n",
        "outcomes/w1.log": f"550 <{KEY}>\r\n",
        "journal/edge-old.jsonl": f'{{"ua":"550 <{KEY}> unknown"}}\n',
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
    return contact


async def standing(database: Database) -> dict[tuple[str, str], list[str]]:
    """Where the person stands in the database: values by table and column."""
    found: dict[tuple[str, str], list[str]] = {}
    async with database.read() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                for name, value in row._mapping.items():
                    if any(trace in repr(value).lower().encode() for trace in TRACES):
                        found.setdefault((table.name, str(name)), []).append(repr(value))
    return found


async def traces(database: Database, folder: Path) -> list[str]:
    """Where the person still stands: rows of tables, files."""
    found = [f"{'.'.join(place)}: {values}" for place, values in (await standing(database)).items()]
    return found + in_files(folder)


async def assert_stands_everywhere(database: Database, contact: Contact) -> None:
    """Each table about people has rows of this one, and each text of any other names them or is listed as ours:
    a new table or column fails here until somebody has thought of erasure."""
    about = [table for table in tables_about() if table is not deliveries and table is not events]
    async with database.read() as connection:
        for table in about:
            for name, value in (("contact_id", contact.id), ("email_key", KEY)):
                found = select(table).where(table.c[name] == value) if name in table.c else None
                assert found is None or (await connection.execute(found)).first(), f"{table.name}.{name}"
    there = await standing(database)
    for table in metadata.sorted_tables:
        ours = OURS.get(table.name, "").split()
        assert {*ours} <= {*table.c.keys()}, f"{table.name} lost a column that is listed as ours"
        for column in table.c if table not in about else ():
            if column.name not in ours and isinstance(column.type, String | JSON | LargeBinary):
                assert (table.name, column.name) in there, f"{table.name}.{column.name} names nobody: seed or list it"


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
    await assert_stands_everywhere(database, contact)
    assert len(in_files(app.settings.server.data_dir)) > 5
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
    assert {row.digest for row in kept} == {address_digest(app, ws, KEY), address_digest(app, ws, FORMER.lower())}
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


async def test_others_keep_what_is_theirs(
    house: tuple[App, Sending, Receiver], database: Database
) -> None:
    app, sending, _ = house
    ws, now = sending.workspace_id, app.clock.now()
    contact = await leave_traces(app, sending, database)
    longer = f"r{KEY}"
    async with database.write() as connection:
        await connection.execute(insert(schema.suppressions).values(
            workspace_id=ws, email_key="x@x.example", reason="manual", note=f"{longer} {KEY}.org <{KEY}>",
            created_at=now))
        await connection.execute(insert(schema.import_rejects).values(
            workspace_id=ws, import_id=1, line=9, reason="odd", row=longer))
        other = (await connection.execute(insert(schema.workspaces).values(
            public_id="other", name="Other", created_at=now).returning(schema.workspaces.c.id))).scalar_one()
        await connection.execute(insert(schema.suppressions).values(
            workspace_id=other, email_key=KEY, reason="manual", note=KEY, created_at=now))
    await app.store.contacts.upsert(  # who was corrected away from this address is another person today
        ws, [NewContact(FORMER, FORMER.lower(), "alt.example")], "test", now)
    await erasure.erase_contact(app, contact)
    async with database.read() as connection:
        notes = (await connection.execute(select(schema.suppressions.c.note).where(
            schema.suppressions.c.email_key == "x@x.example"))).scalar_one()
        assert notes == f"{longer} {KEY}.org <[erased]>"
        rows = (await connection.execute(select(schema.import_rejects.c.row))).scalars().all()
        assert rows == [longer], "the row of somebody whose address is longer stays"
        assert (await connection.execute(select(schema.suppressions.c.note).where(
            schema.suppressions.c.workspace_id == other))).scalar_one() == KEY
    assert await app.store.contacts.find(ws, FORMER.lower()) is not None
    assert not await erasure.erased_among(app, ws, [FORMER.lower()])


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


async def test_whoever_comes_back_by_a_file_is_counted_as_barred_and_may_come_back_themselves(
    house: tuple[App, Sending, Receiver]
) -> None:
    app, sending, _ = house
    ws = sending.workspace_id
    await erasure.erase(app, ws, ADDRESS)

    async def upload() -> AsyncIterator[bytes]:
        yield f"email\n{ADDRESS}\nnew@c.example\n".encode()

    stored = await import_flow.store_upload(app, ws, None, "again.csv", upload())
    await import_flow.begin_import(app, ws, stored.id, sending.list_id, {"email": "email"})
    assert await import_flow.run_imports(app)
    assert (await app.store.imports.get(ws, stored.id)).created == 2
    (bar,) = await app.store.contacts.suppressions(ws)
    assert (bar.email_key, bar.reason) == (KEY, SuppressionReason.UNSUBSCRIBED)
    campaign = (await app.store.campaigns.get(ws, sending.campaign_id)).campaign
    forecast = await app.store.campaigns.forecast(campaign, app.clock.now())
    assert (forecast.will_get, forecast.excluded) == (2, {ExclusionReason.UNSUBSCRIBED: 1})


async def test_a_contact_deleted_by_hand_leaves_its_mails_to_nobody_and_can_be_erased_later(
    house: tuple[App, Sending, Receiver], database: Database
) -> None:
    app, sending, _ = house
    ws = sending.workspace_id
    mail, it = sending.deliveries[1], deliveries.c  # of the contact with the highest number, which SQLite gives again
    await app.store.contacts.delete(ws, sending.contacts[1])
    made = await add_contact(app, ws, "citra@c.example", {}, {})
    assert await app.store.contacts.timeline(ws, made.id) == ()
    async with database.read() as connection:
        assert await connection.scalar(select(it.contact_id).where(it.id == mail)) == -mail
    await erasure.erase(app, ws, "budi@b.example")
    async with database.read() as connection:
        assert await connection.scalar(select(it.address).where(it.id == mail)) == ""


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
    near = folder / "near.csv"
    near.write_text(f"r{KEY},R\n{KEY}.au,A\nurl?e%3D{KEY}&x\n'{KEY}',Q\n")
    (folder / "near-wide.csv").write_bytes(f"r{KEY},R\nx {KEY} y\n".encode("utf-16-le"))
    assert strike_out(tmp_path, [ADDRESS, KEY]) == 2
    kept = near.read_text().splitlines()
    assert kept[:2] == [f"r{KEY},R", f"{KEY}.au,A"], "longer addresses are other people's"
    assert {*"".join(kept[2:])} == {"x"}
    assert (folder / "near-wide.csv").read_text("utf-16-le").splitlines()[0] == f"r{KEY},R"
