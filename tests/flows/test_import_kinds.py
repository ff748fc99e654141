"""Workbooks, other systems' exports, typed fields, dry runs and kills: what an import makes of each."""

import asyncio
import os
import signal
import sys
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import select

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import consents
from esp.errors import InputError
from esp.flows import imports as flow
from esp.model.contact import SubscriptionState
from esp.model.fields import FieldType
from esp.ports.imports import Import, ImportState
from tests.flows.audience_world import NOW, World, open_world
from tests.flows.test_import import begin, everybody, refused, run, upload


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path) as world:
        yield world


@pytest.fixture
async def small_world(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(sqlite_database, tmp_path) as world:
        yield world


def workbook(path: Path, *rows: tuple[Any, ...]) -> bytes:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.save(path)
    return path.read_bytes()


async def test_a_workbook_is_read_with_its_dates_and_numbers(small_world: World, tmp_path: Path) -> None:
    data = workbook(tmp_path / "a.xlsx", ("E-mail", "Nama", "Birthday", "points"),
                    ("siti@x.example", "Siti Aminah", date(1990, 5, 31), 12.0), ("nobody", "x", None, None))
    mapping = {"E-mail": "email", "Nama": "full_name", "Birthday": "birth_date", "points": "points"}
    done = await run(small_world, await begin(small_world, data, mapping=mapping))
    (siti,) = await everybody(small_world)
    assert (siti.last_name, siti.birth_date, siti.fields) == ("Aminah", "1990-05-31", {"points": 12})
    assert [line for line, _ in await refused(small_world, done)] == [3]


async def test_a_workbook_that_is_a_bomb_or_none_is_refused(small_world: World, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * 60_000_000)
    plain = tmp_path / "plain.zip"
    with zipfile.ZipFile(plain, "w") as archive:
        archive.writestr("../../evil.csv", "email\na@x.example\n")
    for data, words in ((bomb.read_bytes(), "unpack to too much"), (plain.read_bytes(), "no Excel workbook"),
                        (b"PK\x03\x04" + b"rubbish" * 50, "no Excel workbook")):
        with pytest.raises(InputError, match=words):
            await upload(small_world, data)
    left = list((small_world.app.settings.server.data_dir / "imports").iterdir())
    assert left == []


async def test_a_name_beside_the_address_is_taken_where_there_is_no_other(small_world: World) -> None:
    rows = ('email;nama depan\nSiti Aminah <siti@x.example>;\n"""Budi, S.E."" <budi@x.example>";Boy\n'
            "<a@x.example> <b@x.example>;x\na@x.example <b@x.example>;x\n")
    done = await run(small_world, await begin(small_world, rows.encode()))
    assert [(it.email, it.first_name, it.last_name) for it in await everybody(small_world)] == [
        ("siti@x.example", "Siti", "Aminah"), ("budi@x.example", "Boy", "S.E.")]
    assert done.rejected == 2


MAILCHIMP = '"Email Address","First Name","Last Name",MEMBER_RATING,OPTIN_TIME,LEID,EUID,TAGS{more}\n' \
            'a@x.example,Ani,Sari,2,"2024-01-01",1,e,"""VIP"",""jakarta"""{end}\n'


@pytest.mark.parametrize(("more", "end", "state", "suppressed"), [
    ("", "", SubscriptionState.SUBSCRIBED, 0), (",UNSUB_TIME", ",2025-01-01", SubscriptionState.UNSUBSCRIBED, 0),
    (",CLEAN_TIME", ",2025-01-01", None, 1),
])
async def test_exports_of_mailchimp_keep_their_states_and_tags(
    world: World, more: str, end: str, state: SubscriptionState | None, suppressed: int,
) -> None:
    news = await world.add_list("News")
    made = await upload(world, MAILCHIMP.format(more=more, end=end).encode())
    found = await flow.inspect_import(world.app, world.workspace, made.id)
    assert found.preset == "Mailchimp"
    await run(world, await flow.begin_import(
        world.app, world.workspace, made.id, news.id, found.mapping, standing=found.standing))
    (ani,) = await everybody(world)
    assert (ani.first_name, ani.fields) == ("Ani", {})
    standing = await world.app.store.contacts.subscriptions(world.workspace, ani.id)
    assert [it.state for it in standing] == ([state] if state else [])
    assert len(await world.app.store.contacts.suppressions(world.workspace)) == suppressed
    tags = await world.app.store.people.tags_of(world.workspace, [ani.id])
    assert {tag.name for tag in tags[ani.id]} == {"VIP", "jakarta"}
    again = await world.app.store.contacts.get_list(world.workspace, news.id)
    assert again.subscribed == (state is SubscriptionState.SUBSCRIBED)
    assert again.unsubscribed == (state is SubscriptionState.UNSUBSCRIBED)


async def test_when_and_where_somebody_agreed_elsewhere_is_kept_as_consents_of_that_time(
    world: World, database: Database,
) -> None:
    news = await world.add_list("News")
    rows = ("Email Address,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LEID,EUID\n"
            "a@x.example,2023-12-31 23:00:00,192.0.2.7,2024-01-01 08:30:00,2001:DB8::1,1,e\n"
            "b@x.example,,,,,2,f\nc@x.example,soon,nowhere,,,3,g\n")
    for again in (False, True):
        made = await upload(world, rows.encode())
        found = await flow.inspect_import(world.app, world.workspace, made.id)
        done = await run(world, await flow.begin_import(world.app, world.workspace, made.id, news.id, found.mapping))
        assert (done.created, done.rejected) == (0 if again else 2, 1)
    (reject,) = await world.app.store.imports.rejects(world.workspace, done.id)
    assert "'soon' is no time" in reject.reject.reason  # a refused row names all that is wrong with it
    assert "'nowhere' is no IP address" in reject.reject.reason
    async with database.read() as connection:
        kept = (await connection.execute(select(consents).order_by(consents.c.id))).all()
    a, b = await everybody(world)
    assert [(it.contact_id, it.action, it.at, it.ip) for it in kept] == [
        (a.id, "subscribed", datetime(2023, 12, 31, 23, tzinfo=UTC), "192.0.2.7"),
        (a.id, "confirmed", datetime(2024, 1, 1, 8, 30, tzinfo=UTC), "2001:db8::1"),
        (a.id, "subscribed", NOW, ""), (b.id, "subscribed", NOW, "")]


async def test_exports_of_listmonk_keep_their_attributes_and_states(world: World) -> None:
    news = await world.add_list("News")
    rows = ('uuid,email,name,attributes,status,created_at,updated_at\n'
            '1,a@x.example,Ani Sari,"{""plan"":""pro"",""n"":3,""nested"":{""a"":1},""empty"":null}",enabled,x,x\n'
            '2,b@x.example,Budi,{},blocklisted,x,x\n3,c@x.example,Cici,"[1]",enabled,x,x\n'
            '4,d@x.example,Dedi,{},sleeping,x,x\n')
    made = await upload(world, rows.encode())
    found = await flow.inspect_import(world.app, world.workspace, made.id)
    assert found.preset == "listmonk"
    done = await run(world, await flow.begin_import(world.app, world.workspace, made.id, news.id, found.mapping))
    a, b = await everybody(world)
    assert a.fields == {"plan": "pro", "n": 3, "nested": '{"a":1}'}
    assert (await world.app.store.contacts.get_list(world.workspace, news.id)).subscribed == 1
    assert [it.email_key for it in await world.app.store.contacts.suppressions(world.workspace)] == [b.email_key]
    assert [line for line, _ in await refused(world, done)] == [4, 5]


async def test_typed_fields_are_read_as_their_type_says(small_world: World) -> None:
    people = small_world.app.store.people
    await people.add_field(small_world.workspace, "vip", "VIP", FieldType.BOOLEAN, (), False, NOW)
    await people.add_field(small_world.workspace, "size", "Size", FieldType.CHOICE, ("S", "M"), False, NOW)
    rows = b"email,vip,size\na@x.example,ya,m\nb@x.example,maybe,S\nc@x.example,,XL\n"
    done = await run(small_world, await begin(
        small_world, rows, mapping={"email": "email", "vip": "vip", "size": "size"}))
    (a,) = await everybody(small_world)
    assert a.fields == {"vip": True, "size": "M"}
    assert [reason.partition(":")[0] for _, reason in await refused(small_world, done)] == ["VIP", "Size"]


async def test_a_dry_run_says_what_would_happen_and_does_nothing(world: World) -> None:
    news = await world.add_list("News", "a@x.example", "b@x.example", "c@x.example")
    left = SubscriptionState.UNSUBSCRIBED
    await world.app.store.contacts.set_subscription(
        world.workspace, await world.id_of("c@x.example"), news.id, left, NOW, source="page")
    made = await upload(world, b"email,city\na@x.example,\nb@x.example,Solo\nc@x.example,\nd@x.example,\nnobody,\n")
    mapping = {"email": "email", "city": "city"}
    before = await everybody(world)
    tried = await flow.try_import(world.app, world.workspace, made.id, news.id, mapping)
    assert (tried.rows, tried.created, tried.updated, tried.unchanged, tried.kept_out, tried.rejected) == (
        5, 1, 1, 2, 1, 1)
    assert (tried.created_sample, tried.updated_sample) == (("d@x.example",), ("b@x.example",))
    assert tried.reasons == (("The address has no @.", 1),)
    assert await everybody(world) == before
    done = await run(world, await flow.begin_import(world.app, world.workspace, made.id, news.id, mapping))
    assert (done.created, done.updated, done.unchanged, done.kept_out, done.rejected) == (1, 1, 2, 1, 1)


async def test_the_next_file_of_the_kind_finds_its_columns_named(small_world: World) -> None:
    await run(small_world, await begin(small_world, b"adr,wohin\na@x.example,Solo\n",
                                       mapping={"adr": "email", "wohin": "city"}))
    made = await upload(small_world, b"adr,wohin\nb@x.example,Medan\n")
    found = await flow.inspect_import(small_world.app, small_world.workspace, made.id)
    assert found.mapping == {"adr": "email", "wohin": "city"}
    assert found.remembered is not None


async def test_a_person_twice_in_a_file_is_counted_and_ends_as_the_last_row_says(world: World) -> None:
    data = b"email,city,plan\na@x.example,Solo,1\nA@X.example,,2\na@x.example,Medan,\na@x.example,Medan,\n"
    done = await run(world, await begin(world, data, mapping={"email": "email", "city": "city", "plan": "plan"}))
    (a,) = await everybody(world)
    assert (a.city, a.fields) == ("Medan", {"plan": 2})
    assert (done.created, done.updated, done.unchanged, done.rows_read) == (1, 2, 1, 4)


async def test_what_goes_wrong_three_times_is_given_up(small_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = await begin(small_world, b"email\na@x.example\n")

    async def breaks(*_: object) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(type(small_world.app.store.imports), "apply", breaks)
    states = []
    for _ in range(3):
        assert await flow.run_imports(small_world.app)
        states.append((await small_world.app.store.imports.get(small_world.workspace, queued.id)).state)
    assert states == [ImportState.QUEUED, ImportState.QUEUED, ImportState.FAILED]
    assert not await flow.run_imports(small_world.app)


async def test_files_are_deleted_some_days_after_their_import(small_world: World) -> None:
    done = await run(small_world, await begin(small_world, b"email\na@x.example\n"))
    file = small_world.app.settings.server.data_dir / done.path
    await flow.forget_files(small_world.app)
    assert file.exists()
    small_world.clock.turn(timedelta(days=8))
    await flow.forget_files(small_world.app)
    assert not file.exists()
    assert (await small_world.app.store.imports.get(small_world.workspace, done.id)).path == ""


_KILLED = """
import asyncio, sys
from esp import wiring
from esp.adapters.sql.imports import SqlImports
from esp.flows.imports import run_imports
from esp.settings import load
SqlImports.chunk_rows = 500
async def main():
    app = await wiring.build(load(server={"data_dir": sys.argv[1]}, database={"url": sys.argv[2]}), migrate=False)
    await run_imports(app)
asyncio.run(main())
"""


async def test_an_import_killed_hard_loses_nobody_and_doubles_nobody(
    world: World, database_url: str, tmp_path: Path,
) -> None:
    news = await world.add_list("News")
    rows = "".join(f"p{n}@x.example,{'x' * 190},{n}\n" for n in range(30_000))
    mapping = {"email": "email", "city": "city", "n": "n"}
    queued = await begin(world, ("email,city,n\n" + rows).encode(), news, mapping=mapping)
    store = world.app.store.imports
    kills = 0

    async def now() -> Import:
        return await store.get(world.workspace, queued.id)

    while (before := await now()).state is not ImportState.DONE and kills < 2:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _KILLED, str(tmp_path), database_url, stdout=-3, stderr=-3)
        while (await now()).rows_read == before.rows_read and process.returncode is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        kills += 1
        world.clock.turn(timedelta(minutes=10))
        await _take_for_dead(world, queued.id)
    assert kills == 2
    done = await run(world, queued)
    assert (done.created, done.unchanged, done.rejected, done.rows_read) == (30_000, 0, 0, 30_000)
    again = await world.app.store.contacts.get_list(world.workspace, news.id)
    assert again.subscribed == 30_000


async def _take_for_dead(world: World, import_id: int) -> None:
    """The child wrote its heartbeat by the real clock, which is after the one that stands in this test."""
    it = await world.app.store.imports.get(world.workspace, import_id)
    if it.state is ImportState.RUNNING:
        await world.app.store.imports.release(it)
