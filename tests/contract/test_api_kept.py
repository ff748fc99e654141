"""What the API keeps, on both databases: a claim is one's own, an answer is found again, the erased are not."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from esp.adapters.sql.api import SqlApi
from esp.adapters.sql.database import Database
from esp.adapters.sql.erasure_texts import look_ahead, sweep_texts
from esp.adapters.sql.schema import api_answers
from esp.ports.api import Begun, KeptAnswer
from tests.sending import seed

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LEASE, KEEP = NOW + timedelta(minutes=2), NOW + timedelta(days=1)


async def test_of_many_claims_of_one_key_one_goes_on(database: Database) -> None:
    ws = (await seed(database, ["a@b.example"])).workspace_id
    api = SqlApi(database)
    found = await asyncio.gather(*(api.begin(ws, "k", "d", str(n), NOW, LEASE, KEEP) for n in range(8)))
    assert sorted(one.running for one in found) == [False] + [True] * 7
    winner = next(str(n) for n, one in enumerate(found) if not one.running)
    await api.finish(ws, "k", "somebody else", KeptAnswer(200, b"{}"))
    assert await api.begin(ws, "k", "d", "x", NOW, LEASE, KEEP) == Begun(running=True)
    await api.finish(ws, "k", winner, KeptAnswer(202, b'{"a":1}'))
    assert await api.begin(ws, "k", "d", "x", NOW, LEASE, KEEP) == Begun(answered=KeptAnswer(202, b'{"a":1}'))
    assert await api.begin(ws, "k", "other", "x", NOW, LEASE, KEEP) == Begun(differs=True)
    await api.abandon(ws, "k", winner)  # an answer that is kept is not let go
    assert (await api.begin(ws, "k", "d", "x", NOW, LEASE, KEEP)).answered is not None
    assert await api.begin(ws, "k", "other", "x", KEEP, KEEP + timedelta(1), KEEP + timedelta(2)) == Begun()


async def test_a_claim_whose_process_died_is_taken_over_after_its_lease(database: Database) -> None:
    ws = (await seed(database, ["a@b.example"])).workspace_id
    api = SqlApi(database)
    assert await api.begin(ws, "k", "d", "one", NOW, LEASE, KEEP) == Begun()
    assert await api.begin(ws, "k", "d", "two", LEASE, LEASE + timedelta(1), KEEP) == Begun()
    await api.finish(ws, "k", "one", KeptAnswer(200, b"late"))
    assert await api.begin(ws, "k", "d", "x", LEASE, KEEP, KEEP) == Begun(running=True)
    assert await api.forget(NOW) == 0
    assert await api.forget(KEEP) == 1


async def test_an_answer_that_names_the_erased_is_gone(database: Database) -> None:
    ws = (await seed(database, ["a@b.example"])).workspace_id
    api = SqlApi(database)
    for key, body in (("one", b'{"to":"Ani@rumah.example"}'), ("two-ani@rumah.example", b"{}"), ("three", b"{}")):
        await api.begin(ws, key, "d", "o", NOW, LEASE, KEEP)
        await api.finish(ws, key, "o", KeptAnswer(200, body))
    spellings = ["ani@rumah.example"]
    ahead = await look_ahead(database, ws, spellings)
    async with database.write() as connection:
        await sweep_texts(connection, database.dialect, ws, spellings, (), ahead)
        left = (await connection.execute(select(api_answers.c.key))).scalars().all()
    assert left == ["three"]
