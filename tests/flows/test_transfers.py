"""Files that come and go by themselves: from addresses, folders, object stores and databases; and never from inside."""

import csv
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import update

from esp.adapters.places import Bounds, OutsidePlaces, is_public, sign_s3, workspace_folder
from esp.adapters.sql.database import Database
from esp.adapters.sql.exports import SqlExports
from esp.adapters.sql.schema import transfers
from esp.adapters.sql.transfers import SqlTransfers
from esp.errors import InputError
from esp.flows import segments
from esp.flows import transfers as flow
from esp.flows.exports import begin_export, read_export, run_exports
from esp.flows.imports import run_imports
from esp.model.schedule import Every, Schedule
from esp.model.segment_json import parse_rule
from esp.ports.exports import ExportFormat, ExportKind, ExportState
from esp.ports.people_bulk import Selection
from esp.ports.transfers import Direction, NewTransfer, PlaceKind, RunState
from tests.flows.audience_world import NOW, World, open_world
from tests.flows.test_import import begin, everybody, run

DAILY = Schedule(Every.DAY, at=time(3))


def places(folder: Path | None = None, private: bool = True, most: int = 10_000_000) -> OutsidePlaces:
    return OutsidePlaces(Bounds(str(folder) if folder else "", private, most, timedelta(seconds=20)))


def folder_of(world: World, tmp_path: Path) -> Path:
    return tmp_path / "drop" / workspace_folder(world.workspace)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(database, tmp_path) as world:
        folder_of(world, tmp_path).mkdir(parents=True)
        parts: Any = world.app.store
        parts.exports, parts.transfers = SqlExports(database), SqlTransfers(database)
        world.app = replace(world.app, places=places(tmp_path / "drop"), settings=world.app.settings.model_copy(
            update={"transfers": world.app.settings.transfers.model_copy(update={"folder": str(tmp_path / "drop")})}))
        yield world


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[TestServer]:
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


async def fetched(
    where: OutsidePlaces, kind: PlaceKind, place: dict[str, str], secret: str = "", workspace: int = 1,
) -> bytes:
    async with where.read(workspace, kind, place, secret) as (_, octets):
        return b"".join([piece async for piece in octets])


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.0.0.1", "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "255.255.255.255",
    "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1", "2001:db8::1",
])
def test_addresses_of_the_inside_are_known(address: str) -> None:
    assert not is_public(address)
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/x", "http://localhost/x", "http://[::1]/x", "http://2130706433/x", "http://0x7f000001/",
    "http://127.1/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "ftp://x.example/", "http://",
    "http://user:password@x.example/", "gopher://127.0.0.1/", "http://127.0.0.1:99999/",
])
async def test_nothing_of_the_inside_is_fetched(url: str) -> None:
    with pytest.raises(InputError):
        await fetched(places(private=False), PlaceKind.URL, {"url": url})


async def test_a_redirect_is_checked_like_the_first_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPFound("http://127.0.0.1:1/inside" if request.path == "/" else "/again")

    async with serving(answer) as server:
        with pytest.raises(InputError):
            await fetched(places(), PlaceKind.URL, {"url": str(server.make_url("/"))})
        with pytest.raises(InputError, match="on and on"):
            await fetched(places(), PlaceKind.URL, {"url": str(server.make_url("/loop"))})
    assert len(asked) == 5


async def test_a_file_that_is_too_large_is_given_up_and_a_bad_answer_is_said() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404) if request.path == "/none" else web.Response(body=b"x" * 50_000)

    async with serving(answer) as server:
        with pytest.raises(InputError, match="larger"):
            await fetched(places(most=10_000), PlaceKind.URL, {"url": str(server.make_url("/"))})
        with pytest.raises(InputError, match="404"):
            await fetched(places(), PlaceKind.URL, {"url": str(server.make_url("/none"))})


@pytest.mark.parametrize("path", ["../secret.csv", "/etc/passwd", "a/../../secret.csv", "link.csv", "", ".", "a\0b",
                                  "out/secret.csv", "../*.csv", "*/../../*.csv"])
async def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    root = tmp_path / "drop"
    own = root / workspace_folder(1)
    own.mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("email\n")
    (own / "link.csv").symlink_to(tmp_path / "secret.csv")
    (own / "out").symlink_to(tmp_path)
    with pytest.raises(InputError):
        await fetched(places(root), PlaceKind.FOLDER, {"path": path})
    with pytest.raises(InputError):
        await fetched(places(None), PlaceKind.FOLDER, {"path": "x.csv"})


@pytest.mark.parametrize("path", [
    "{other}/people.csv", "../{other}/people.csv", "x/../../{other}/people.csv", "../{other}/*.csv", "link.csv",
    "*.csv", "all/people.csv", "all/*.csv", "around/{other}/people.csv", "{root}/{other}/people.csv",
    "./../{other}/people.csv",
])
async def test_no_workspace_reaches_another_s_folder(tmp_path: Path, path: str) -> None:
    own, other = tmp_path / workspace_folder(1), tmp_path / workspace_folder(2)
    own.mkdir()
    other.mkdir()
    (other / "people.csv").write_text("email\n")
    (own / "link.csv").symlink_to(other / "people.csv")
    (own / "all").symlink_to(other)
    (own / "around").symlink_to(tmp_path)
    place = {"path": path.format(other=other.name, root=tmp_path)}
    with pytest.raises(InputError):
        await fetched(places(tmp_path), PlaceKind.FOLDER, place)
    (tmp_path / "made.csv").write_text("email\nx@x.example\n")
    if "*" not in path and place["path"] != f"{other.name}/people.csv":  # below its own, that is a folder like any
        with pytest.raises(InputError):
            await places(tmp_path).write(1, PlaceKind.FOLDER, place, "", tmp_path / "made.csv", "made.csv")
    assert (other / "people.csv").read_text() == "email\n"
    assert await fetched(places(tmp_path), PlaceKind.FOLDER, {"path": "people.csv"}, workspace=2) == b"email\n"


def test_the_signature_is_that_of_amazon_s_own_library() -> None:
    place = {"endpoint": "https://s3.example:9000", "bucket": "b", "key": "2026/x y+ü.csv", "region": "eu-west-1",
             "access_key": "AKID"}
    where, headers = sign_s3("PUT", place, "secret/KEY", "e" * 64, datetime(2026, 11, 21, 3, tzinfo=UTC))
    assert where == "https://s3.example:9000/b/2026/x%20y%2B%C3%BC.csv"
    # What botocore's S3SigV4Auth 1.44.5 makes of the same request.
    signed = "e7ea2fb70cb17b9ae33359193908a0203cf5d922d9745ad48d6cff03c2d3630f"
    assert headers["Authorization"].endswith(f"Signature={signed}")


async def test_a_query_only_reads(tmp_path: Path) -> None:
    own = tmp_path / workspace_folder(1)
    own.mkdir()
    with sqlite3.connect(own / "shop.db") as shop:
        shop.execute("CREATE TABLE people (email, city)")
        shop.execute("INSERT INTO people VALUES ('a@x.example', 'Solo')")
    shop.close()
    where, secret = places(tmp_path), "sqlite:///shop.db"
    read = await fetched(where, PlaceKind.SQL, {"query": "SELECT email, city FROM people"}, secret)
    assert read == b"email,city\na@x.example,Solo\n"
    for query in ("DELETE FROM people", "DROP TABLE people", "SELECT nothing FROM nowhere", "ATTACH 'x.db' AS x"):
        with pytest.raises(InputError):
            await fetched(where, PlaceKind.SQL, {"query": query}, secret)
    with pytest.raises(InputError):
        await fetched(where, PlaceKind.SQL, {"query": "SELECT 1"}, "sqlite:///../workspace-1/shop.db", workspace=2)
    for other in ("sqlite:////etc/passwd", "sqlite:///../x.db", "mysql://x/y", "nonsense"):
        with pytest.raises(InputError):
            await fetched(where, PlaceKind.SQL, {"query": "SELECT 1"}, other)


@pytest.mark.parametrize("secret", [
    "postgresql://u:p@127.0.0.1/x", "postgres://u:p@localhost/x", "postgresql+asyncpg://u:p@127.0.0.1/x",
    "postgresql+psycopg://u:p@[::1]/x", "POSTGRESQL://u@127.0.0.1/x", "postgresql:///x?host=/var/run/postgresql",
    "postgresql+asyncpg:///x?host=/var/run/postgresql", "postgresql+asyncpg:///x", "mysql://u@127.0.0.1/x",
])
async def test_no_database_of_the_inside_is_asked(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a spelling of the scheme nor a socket leads past the check."""
    connected: list[str] = []
    monkeypatch.setattr("esp.adapters.sql.outside.create_async_engine", lambda url, **_: connected.append(str(url)))
    with pytest.raises(InputError):
        await fetched(places(private=False), PlaceKind.SQL, {"query": "SELECT 1"}, secret)
    assert not connected


async def test_a_postgres_query_reads_and_cannot_write(database: Database, database_url: str) -> None:
    if not database_url.startswith("postgresql"):
        return
    read = await fetched(places(), PlaceKind.SQL, {"query": "SELECT 'a@x.example' AS email, 12::int AS n"},
                         database_url)
    assert read == b"email,n\na@x.example,12\n"
    for query, words in (("DELETE FROM contacts", "begin with SELECT"),
                         ("WITH x AS (DELETE FROM contacts RETURNING 1) SELECT 1", "read-only")):
        with pytest.raises(InputError, match=words):
            await fetched(places(), PlaceKind.SQL, {"query": query}, database_url)


async def test_an_import_runs_by_the_clock_and_its_log_says_what_came_of_it(world: World, tmp_path: Path) -> None:
    news = await world.add_list("News")
    it = await flow.save(world.app, world.workspace, NewTransfer(
        "Shop", Direction.IMPORT, PlaceKind.FOLDER, {"path": "people-*.csv"}, {"list_id": news.id}, DAILY))
    assert it.next_at == datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert not await flow.run_due(world.app)
    (folder_of(world, tmp_path) / "people-1.csv").write_text("email\na@x.example\nnobody\n")
    world.clock.turn(timedelta(days=1, hours=1))
    assert await flow.run_due(world.app)
    assert not await flow.run_due(world.app)
    assert await run_imports(world.app)
    (one,) = await world.app.store.transfers.runs(world.workspace, it.id)
    assert (one.state, one.error) == (RunState.DONE, "")
    assert one.import_id is not None
    done = await world.app.store.imports.get(world.workspace, one.import_id)
    assert (done.created, done.rejected, done.list_id) == (1, 1, news.id)
    (folder_of(world, tmp_path) / "people-1.csv").unlink()
    await flow.run_now(world.app, world.workspace, it.id)
    assert await flow.run_due(world.app)
    failed = (await world.app.store.transfers.runs(world.workspace, it.id))[0]
    assert failed.state is RunState.FAILED
    assert "no such file" in failed.error
    await flow.pause(world.app, world.workspace, it.id, True)
    world.clock.turn(timedelta(days=3))
    assert not await flow.run_due(world.app)


async def test_an_export_is_put_where_it_belongs_and_its_secret_stays_ours(world: World, tmp_path: Path) -> None:
    got: list[tuple[str, str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.path, request.headers.get("Authorization", ""), await request.read()))
        return web.Response(status=201)

    await world.add_list("News", "a@x.example")
    async with serving(take) as server:
        it = await flow.save(world.app, world.workspace, NewTransfer(
            "Out", Direction.EXPORT, PlaceKind.URL, {"url": str(server.make_url("/")) + "{date}.jsonl"},
            {"what": "contacts", "format": "jsonl"}, DAILY, "Bearer hush"))
        s3 = await flow.save(world.app, world.workspace, NewTransfer(
            "Store", Direction.EXPORT, PlaceKind.S3,
            {"endpoint": str(server.make_url("")), "bucket": "b", "key": "{date}/x y.csv", "access_key": "AK"},
            {"what": "subscriptions", "format": "csv"}, DAILY, "hush"))
        for one in (it, s3):
            await flow.run_now(world.app, world.workspace, one.id)
        while await flow.run_due(world.app):
            pass
    assert [(path, body.count(b"a@x.example")) for path, _, body in got] == [
        ("/2026-11-21.jsonl", 1), ("/b/2026-11-21/x y.csv", 1)]
    assert got[0][1] == "Bearer hush"
    assert got[1][1].startswith("AWS4-HMAC-SHA256 Credential=AK/")
    kept = await world.app.store.transfers.get(world.workspace, it.id)
    assert "hush" not in repr(kept)
    assert "hush" not in kept.secret
    assert world.app.tokens.unseal("transfer", world.workspace, kept.secret) == "Bearer hush"
    (folder_of(world, tmp_path) / "x").mkdir()
    folder = await flow.save(world.app, world.workspace, NewTransfer(
        "Folder", Direction.EXPORT, PlaceKind.FOLDER, {"path": "x/"}, {}, DAILY))
    await flow.run_now(world.app, world.workspace, folder.id)
    await flow.run_due(world.app)
    assert (folder_of(world, tmp_path) / "x" / "contacts-2026-11-21.csv").read_bytes().startswith(b"\xef\xbb\xbfemail,")


async def test_a_secret_that_this_server_did_not_seal_is_asked_for_again(world: World, database: Database) -> None:
    it = await flow.save(world.app, world.workspace, NewTransfer(
        "Shop", Direction.IMPORT, PlaceKind.URL, {"url": "http://127.0.0.1:1/"}, {}, DAILY, "Bearer hush"))
    async with database.write() as connection:
        await connection.execute(update(transfers).values(secret="Bearer hush"))
    await flow.run_now(world.app, world.workspace, it.id)
    assert await flow.run_due(world.app)
    (failed,) = await world.app.store.transfers.runs(world.workspace, it.id)
    assert (failed.state, failed.error) == (
        RunState.FAILED, "Its secret cannot be read with this server's key. Write it in again.")


async def test_what_is_exported_is_imported_again_as_it_was(world: World, tmp_path: Path) -> None:
    odd = ["=1+1", "'=1+1", "''@x", "+62 812", "-5", "plain", "“quoted, \"twice\"”", "@SUM(A1)", "'apostrophe", "é☂"]
    rows = "email,city,tags,note\n" + "".join(
        f'p{n}@x.example,"{cell.replace(chr(34), chr(34) * 2)}",a; B,"{cell.replace(chr(34), chr(34) * 2)}"\n'
        for n, cell in enumerate(odd))
    mapping = {"email": "email", "city": "city", "tags": "tags", "note": "note"}
    await run(world, await begin(world, rows.encode(), mapping=mapping))
    before = await everybody(world)
    made = await begin_export(world.app, world.workspace, None, ExportKind.CONTACTS, ExportFormat.CSV)
    assert await run_exports(world.app)
    assert (await world.app.store.exports.get(world.workspace, made.id)).state is ExportState.DONE
    _, octets = await read_export(world.app, world.workspace, made.id)
    data = b"".join([piece async for piece in octets])
    for line in data.decode("utf-8-sig").splitlines()[1:]:
        assert not any(cell.lstrip('"').startswith(("=", "@")) for cell in line.split(","))
    again = await run(world, await begin(world, data))
    assert (again.created, again.updated, again.unchanged) == (0, 0, len(odd)), again.error
    assert await everybody(world) == before


@pytest.mark.parametrize("kind", ExportKind)
@pytest.mark.parametrize("form", ExportFormat)
@pytest.mark.parametrize("of", ["everybody", "list", "segment", "chosen"])
async def test_each_kind_of_export_in_each_format_holds_whom_it_should(
    world: World, kind: ExportKind, form: ExportFormat, of: str,
) -> None:
    news = await world.add_list("News", "ani@x.example", "=budi@x.example")
    await world.add_list("Other", "wulan@x.example")
    ani = (await world.app.store.contacts.search(world.workspace, "ani")).contacts[0]
    rule = parse_rule({"rules": [{"field": "email", "op": "starts_with", "value": "ani"}]})
    segment = await segments.create(world.app, world.workspace, "Ani", "", rule)
    made = await begin_export(
        world.app, world.workspace, None, kind, form, list_id=news.id if of == "list" else None,
        segment_id=segment.id if of == "segment" else None,
        selection=Selection((ani.id,)) if of == "chosen" else None)
    assert await run_exports(world.app)
    done = await world.app.store.exports.get(world.workspace, made.id)
    assert (done.state, done.error) == (ExportState.DONE, "")
    _, octets = await read_export(world.app, world.workspace, made.id)
    text = b"".join([piece async for piece in octets]).decode("utf-8-sig")
    if form is ExportFormat.JSONL:
        emails = [json.loads(line)["email"] for line in text.splitlines()]
    else:
        emails = [row["email"].removeprefix("'") for row in csv.DictReader(text.splitlines())]
    expected = {"everybody": {"ani@x.example", "=budi@x.example", "wulan@x.example"},
                "list": {"ani@x.example", "=budi@x.example"}}.get(of, {"ani@x.example"})
    assert set(emails) == expected
    assert len(emails) == done.rows_written


async def test_an_export_broken_off_goes_on_and_holds_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch,
) -> None:
    await world.add_list("News", *(f"p{n}@x.example" for n in range(2500)))
    made = await begin_export(world.app, world.workspace, None, ExportKind.CONTACTS, ExportFormat.JSONL)
    real, calls = SqlExports.rows, 0

    async def breaks(self: SqlExports, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("power cut")
        return await real(self, *args)

    monkeypatch.setattr(SqlExports, "rows", breaks)
    assert await run_exports(world.app)
    half = await world.app.store.exports.get(world.workspace, made.id)
    assert (half.state, half.rows_written) == (ExportState.QUEUED, 1000)
    path = world.app.settings.server.data_dir / "exports" / f"{made.public_id}.jsonl"
    path.write_bytes(path.read_bytes() + b"half a li")
    assert await run_exports(world.app)
    _, octets = await read_export(world.app, world.workspace, made.id)
    lines = b"".join([piece async for piece in octets]).splitlines()
    assert len(lines) == len(set(lines)) == 2500


@pytest.mark.parametrize(("schedule", "zone", "now", "then"), [
    (Schedule(Every.MINUTES, 15), "UTC", NOW, NOW + timedelta(minutes=15)),
    (Schedule(Every.MINUTES, 0), "UTC", NOW, NOW + timedelta(minutes=5)),
    (Schedule(Every.HOUR, 30), "UTC", NOW, NOW + timedelta(minutes=30)),
    (Schedule(Every.DAY, at=time(9)), "Asia/Jakarta", NOW, datetime(2026, 11, 22, 2, tzinfo=UTC)),
    (Schedule(Every.WEEK, at=time(9), weekday=0), "Asia/Jakarta", NOW, datetime(2026, 11, 23, 2, tzinfo=UTC)),
    (Schedule(Every.DAY, at=time(2, 30)), "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC),
     datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
])
def test_the_next_run_is_by_the_clock_of_the_workspace(
    schedule: Schedule, zone: str, now: datetime, then: datetime,
) -> None:
    assert schedule.next_after(now, zone) == then
    assert Schedule.of(schedule.plain()) == schedule
