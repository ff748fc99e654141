"""CSV files of every kind through the ordinary import: what is good arrives once, the rest is refused with a reason."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from esp.adapters.sql.database import Database
from esp.adapters.sql.imports import SqlImports
from esp.errors import InputError, MerpatiError
from esp.flows import imports as flow
from esp.model.contact import SubscriptionState, SuppressionReason
from esp.ports.contacts import Contact, ContactList
from esp.ports.imports import Import, ImportState
from tests.flows.audience_world import NOW, World, open_world

CORPUS = Path(__file__).parents[1] / "corpus" / "csv"
FILES = sorted(CORPUS.glob("*.csv"))


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path) as world:
        yield world


@pytest.fixture
async def small_world(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """On SQLite alone, for what the kind of database means nothing to."""
    async with open_world(sqlite_database, tmp_path) as world:
        yield world


def contents(path: Path) -> bytes:
    return path.read_bytes()


async def upload(world: World, data: bytes, name: str = "people.csv") -> Import:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 65536):
            yield data[start:start + 65536]

    return await flow.store_upload(world.app, world.workspace, None, name, chunks())


async def begin(world: World, data: bytes, into: ContactList | None = None, **options: Any) -> Import:
    made = await upload(world, data)
    found = await flow.inspect_import(world.app, world.workspace, made.id)
    mapping = options.pop("mapping", found.mapping)
    return await flow.begin_import(world.app, world.workspace, made.id, into.id if into else None, mapping, **options)


async def run(world: World, queued: Import) -> Import:
    while await flow.run_imports(world.app):
        pass
    return await world.app.store.imports.get(world.workspace, queued.id)


async def everybody(world: World) -> list[Contact]:
    page = await world.app.store.contacts.search(world.workspace, limit=1000)
    return list(reversed(page.contacts))


async def refused(world: World, done: Import) -> list[tuple[int, str]]:
    rows = await world.app.store.imports.rejects(world.workspace, done.id)
    return [(row.reject.line, row.reject.reason) for row in rows]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_every_file_of_the_corpus_gives_what_it_says(small_world: World, path: Path) -> None:
    world, data, expected = small_world, contents(path), json.loads(contents(path.with_suffix(".json")))
    if "error" in expected:
        with pytest.raises(InputError, match=expected["error"]) as error:
            await begin(world, data)
        assert str(error.value)
        return
    done = await run(world, await begin(world, data))
    assert done.state is ImportState.DONE, done.error
    people = [[it.email, it.first_name, it.city] for it in await everybody(world)]
    assert people == expected["people"]
    found = await refused(world, done)
    assert [line for line, _ in found] == [line for line, _ in expected["rejects"]]
    for (_, reason), (_, words) in zip(found, expected["rejects"], strict=True):
        assert words in reason
    if "birth_dates" in expected:
        assert [it.birth_date for it in await everybody(world)] == expected["birth_dates"]
    assert done.rows_read == done.created + done.updated + done.unchanged + done.rejected
    assert done.bytes_read == done.bytes_total == len(data)


async def test_a_cell_of_ten_megabytes_costs_one_row(small_world: World) -> None:
    big = b"x" * 10_000_000
    data = b"email,city\na@x.example,\"" + big + b"\"\nb@x.example,Solo\nc@x.example," + big + b"\nd@x.example,Medan"
    done = await run(small_world, await begin(small_world, data))
    assert [it.email for it in await everybody(small_world)] == ["b@x.example", "d@x.example"]
    assert [line for line, _ in await refused(small_world, done)] == [2, 4]


async def test_a_wide_cell_of_ten_megabytes_in_utf_16_costs_one_row(small_world: World) -> None:
    text = "email,city\na@x.example," + "\u0a0d\u0d0a" * 3_000_000 + "\nb@x.example,Solo\n"
    done = await run(small_world, await begin(small_world, b"\xff\xfe" + text.encode("utf-16-le")))
    assert [it.email for it in await everybody(small_world)] == ["b@x.example"]
    assert [line for line, _ in await refused(small_world, done)] == [2]


@pytest.mark.parametrize("header", [
    b"email," + b",".join(b"c%d" % n for n in range(1000)), b"," * 1_000_000, b"email," + b"x," * 1_000_000,
    b"x" * 3_000_000,
], ids=["a thousand", "empty ones", "a million", "endless"])
async def test_too_many_columns_are_a_clear_error(small_world: World, header: bytes) -> None:
    with pytest.raises(InputError) as error:
        await begin(small_world, header + b"\na@x.example\n")
    assert len(str(error.value)) < 300


async def test_quotes_that_never_close_cost_their_lines_and_no_more(small_world: World) -> None:
    lines = [f'p{n}@x.example,"{"open" if n % 100 == 0 else "fine" + chr(34)}' for n in range(1000)]
    done = await run(small_world, await begin(small_world, "\n".join(["email,city", *lines]).encode()))
    # An open quotation mark is closed by the next line's first one, which then stands in the middle of a cell.
    assert done.rejected <= 20
    assert done.created >= 980
    assert done.created + done.rejected == 1000


async def test_people_who_left_stay_away_unless_it_is_said_and_recorded(world: World) -> None:
    news = await world.add_list("News", "a@x.example", "b@x.example")
    contacts, left = world.app.store.contacts, SubscriptionState.UNSUBSCRIBED
    a = await world.id_of("a@x.example")
    await contacts.set_subscription(world.workspace, a, news.id, left, NOW, source="page")
    await contacts.suppress(world.workspace, "b@x.example", SuppressionReason.COMPLAINT, NOW)
    data = b"email\na@x.example\nb@x.example\nc@x.example\n"
    done = await run(world, await begin(world, data, news))
    assert done.kept_out == 1
    assert (await contacts.get_list(world.workspace, news.id)).subscribed == 2
    (standing,) = await contacts.subscriptions(world.workspace, a)
    assert standing.state is left

    done = await run(world, await begin(world, data, news, resubscribe=True, wording="asked at the fair", actor="ani"))
    assert done.kept_out == 0
    assert (await contacts.get_list(world.workspace, news.id)).subscribed == 3
    newest = (await contacts.timeline(world.workspace, a, limit=1))[0]
    assert newest.detail["action"] == "resubscribed"
    assert newest.detail["wording"] == "asked at the fair"
    assert len(await contacts.suppressions(world.workspace)) == 1


async def test_the_same_file_twice_changes_nothing(world: World) -> None:
    news = await world.add_list("News")
    data = "\n".join(["email,first name,points,plan", *(f"p{n}@x.example,N{n},{n},pro" for n in range(2500))]).encode()
    chosen = {"email": "email", "first name": "first_name", "points": "points", "plan": "plan"}
    first = await run(world, await begin(world, data, news, mapping=chosen))
    assert (first.created, first.rows_read) == (2500, 2500)
    again = await run(world, await begin(world, data, news, mapping=chosen))
    assert (again.created, again.updated, again.unchanged) == (0, 0, 2500)
    found = await world.app.store.contacts.find(world.workspace, "p7@x.example")
    assert found is not None
    assert found.fields == {"points": 7, "plan": "pro"}
    assert (await world.app.store.contacts.get_list(world.workspace, news.id)).subscribed == 2500


async def test_an_import_leaves_no_row_that_points_nowhere(small_world: World, sqlite_database: Database) -> None:
    """On SQLite its connection looks up no foreign keys."""
    news = await small_world.add_list("News")
    rows = "email,status,tags\na@x.example,active,vip\nb@x.example,unsubscribed,vip\nc@x.example,cleaned,\nnobody,,\n"
    mapping = {"email": "email", "status": "status", "tags": "tags"}
    await run(small_world, await begin(small_world, rows.encode(), news, mapping=mapping))
    async with sqlite_database.read() as connection:
        assert (await connection.execute(text("PRAGMA foreign_key_check"))).all() == []
        assert (await connection.execute(text("SELECT count(*) FROM consents"))).scalar_one() == 2


async def test_columns_that_nobody_chose_are_not_imported(small_world: World) -> None:
    await run(small_world, await begin(small_world, b"email,secret\na@x.example,42\n"))
    (a,) = await everybody(small_world)
    assert a.fields == {}


async def test_a_killed_import_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlImports, "chunk_rows", 500)
    rows = "".join(f"p{n}@x.example,{'x' * 199}\n" for n in range(8000))
    queued = await begin(world, ("email,city\n" + rows).encode())
    store = world.app.store.imports
    work = asyncio.create_task(flow.run_imports(world.app))
    while (await store.get(world.workspace, queued.id)).rows_read == 0:  # noqa: ASYNC110
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    half = await store.get(world.workspace, queued.id)
    assert half.state is ImportState.QUEUED
    assert 0 < half.rows_read < 8000
    done = await run(world, queued)
    assert (done.created, done.unchanged, done.rows_read, done.rejected) == (8000, 0, 8000, 0)


async def test_an_import_whose_process_died_without_a_word_is_taken_over(world: World) -> None:
    queued = await begin(world, b"email\na@x.example\n")
    assert await world.app.store.imports.claim(NOW, NOW) is not None  # and then it died
    assert not await flow.run_imports(world.app)
    world.clock.turn(timedelta(minutes=1))
    done = await run(world, queued)
    assert (done.state, done.created) == (ImportState.DONE, 1)


async def test_refused_rows_come_back_as_a_file_without_formulas(small_world: World) -> None:
    done = await run(small_world, await begin(small_world, contents(CORPUS / "21-formulas.csv")))
    text = "".join([part async for part in flow.rejects_csv(small_world.app, small_world.workspace, done.id)])
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == ["line", "reason", "row"]
    assert rows[1:] == [["3", "The address holds a blank or an invisible character.", "'=cmd|' /C calc'!A0,x,y"]]


async def test_a_mapping_that_cannot_be_is_refused_by_column(small_world: World) -> None:
    data = b"email,city,town\na@x.example,Solo,Solo\n"
    for mapping, name in (
        ({"email": "email", "nothing": "city"}, "nothing"), ({"email": "email", "city": "Kota Besar"}, "city"),
        ({"email": "email", "city": "city", "town": "city"}, "town"), ({"city": "city"}, "mapping"),
    ):
        with pytest.raises(InputError) as error:
            await begin(small_world, data, mapping=mapping)
        assert name in error.value.problems


async def test_a_file_that_has_gone_is_said_and_not_waited_for(small_world: World) -> None:
    queued = await begin(small_world, b"email\na@x.example\n")
    (small_world.app.settings.server.data_dir / queued.path).unlink()
    done = await run(small_world, queued)
    assert done.state is ImportState.FAILED
    assert "Upload it again" in done.error


async def test_a_name_that_climbs_out_of_the_folder_is_only_shown(small_world: World) -> None:
    made = await upload(small_world, b"email\n", "../../etc/passwd\r\n.csv")
    assert made.file_name == "passwd.csv"
    assert made.path.startswith("imports/")
    assert ".." not in made.path


async def test_another_workspace_sees_no_import(world: World) -> None:
    other = (await world.app.store.accounts.create_workspace("Other", "", NOW)).id
    queued = await begin(world, b"email\na@x.example\n")
    for attempt in (
        flow.inspect_import(world.app, other, queued.id),
        flow.begin_import(world.app, other, queued.id, None, {"email": "email"}),
        anext(flow.rejects_csv(world.app, other, queued.id)),
    ):
        with pytest.raises(MerpatiError, match="no such import"):
            await attempt
