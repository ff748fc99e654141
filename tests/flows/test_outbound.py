"""A worker and a real receiver: everybody gets one copy, and what the receiver says becomes states and events."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import batches, deliveries, subscriptions, suppressions
from esp.model.content import Recipient
from esp.render.message import Merged, Renderer
from tests.receiver import Receiver, receiving
from tests.sending import event_types, seed, set_campaign_state, states, totals
from tests.sending_app import HostsFile, app_for, settings_for, until_closed, working
from tests.services import RedisServer, free_port

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def people(count: int, domain: str = "a.example") -> list[str]:
    return [f"p{number:04}@{domain}" for number in range(count)]


async def flush(redis: RedisServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()


async def test_everybody_gets_one_copy(database: Database, database_url: str, tmp_path: Path) -> None:
    addresses = people(250) + people(120, "b.example")
    sending = await seed(database, addresses, batch_size=100)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(addresses, 1)
    assert await states(database, sending.campaign_id) == {"delivered": 370}
    assert await totals(database, sending.campaign_id) == {"delivered": 370}
    assert await totals(database, sending.campaign_id, "provider", "b.example") == {"delivered": 120}
    assert receiver.connections <= 10
    async with database.read() as connection:
        rows = (await connection.execute(select(deliveries))).all()
    assert not any(row.maybe_duplicate for row in rows)
    assert {(row.attempts, row.reply_code, row.batch_id) for row in rows} == {(1, 250, None)}


async def test_a_fault_that_one_person_brings_out_holds_up_nobody(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = await seed(sqlite_database, people(20), batch_size=20)
    merge = Renderer.merge

    def faulty(renderer: Renderer, recipient: Recipient) -> Merged:
        if recipient.address == "p0007@a.example":
            raise TypeError("a fault of ours")
        return merge(renderer, recipient)

    monkeypatch.setattr(Renderer, "merge", faulty)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(set(people(20)) - {"p0007@a.example"}, 1)
    assert await states(sqlite_database, sending.campaign_id) == {"delivered": 19, "bounced": 1}


async def test_the_throttle_of_a_campaign_is_kept(sqlite_database: Database, tmp_path: Path) -> None:
    sending = await seed(sqlite_database, people(40), throttle="20/s")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            began = app.clock.monotonic()
            await until_closed(app, sending.campaign_id, sending.workspace_id)
            # A bucket of a second's worth at the start, the rest at the rate: never faster, however fast we are.
            assert app.clock.monotonic() - began >= 0.9
    assert receiver.taken.total() == 40


async def test_a_slow_campaign_holds_up_no_other(sqlite_database: Database, tmp_path: Path) -> None:
    slow = await seed(sqlite_database, people(60), throttle="1/h", batch_size=10)
    quick = await seed(sqlite_database, [f"q{number}@a.example" for number in range(60)], batch_size=10)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            async with asyncio.timeout(30):
                await until_closed(app, quick.campaign_id, quick.workspace_id)
    assert (await states(sqlite_database, slow.campaign_id))["queued"] >= 58


async def test_what_is_deferred_is_tried_again_and_counted(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, people(30))
    greylisting = Receiver(on_rcpt=lambda _, time: "451 4.7.1 greylisted, come back" if time == 1 else "250 ok")
    async with receiving(greylisting) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(people(30), 1)
    counts = await totals(database, sending.campaign_id)
    assert (counts["delivered"], counts["deferred"]) == (30, 30)
    assert await event_types(database, sending.deliveries[0]) == ["deferred", "delivered"]
    assert await totals(database, sending.campaign_id, "reason", "greylisted") == {"deferred": 30}


async def test_an_address_that_does_not_exist_is_not_written_to_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, people(6))
    dead = Receiver(on_rcpt=lambda address, _: "550 5.1.1 no such user" if address < "p0002" else "250 ok")
    async with receiving(dead) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert await states(database, sending.campaign_id) == {"delivered": 4, "bounced": 2}
    async with database.read() as connection:
        rows = (await connection.execute(select(suppressions).order_by(suppressions.c.email_key))).all()
    assert [(row.email_key, row.reason) for row in rows] == [
        (people(2)[0], "hard_bounce"), (people(2)[1], "hard_bounce")]


async def test_a_refused_message_suppresses_nobody(database: Database, database_url: str, tmp_path: Path) -> None:
    sending = await seed(database, people(2))
    async with receiving(Receiver(on_dot=lambda *_: "554 5.7.1 looks like spam")) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert await states(database, sending.campaign_id) == {"bounced": 2}
    async with database.read() as connection:
        assert (await connection.execute(select(suppressions))).first() is None


async def test_a_connection_lost_after_the_dot_is_tried_once_more_and_marked(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, people(20))

    def hang_up(address: str, time: int) -> str | None:
        if address == "p0003@a.example" and time == 1:
            return None  # the receiver has it, and dies before it can say so
        return None if address == "p0004@a.example" else "250 2.0.0 taken"

    async with receiving(Receiver(on_dot=hang_up)) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    twice = {"p0003@a.example": 2, "p0004@a.example": 2}
    assert receiver.taken == dict.fromkeys(people(20), 1) | twice
    assert all(len(ids) == 1 for ids in receiver.message_ids.values())  # so that a mailbox can drop the second
    assert await states(database, sending.campaign_id) == {"delivered": 19, "expired": 1}
    async with database.read() as connection:
        marked = set((await connection.execute(
            select(deliveries.c.address).where(deliveries.c.maybe_duplicate.is_(True)))).scalars())
    assert marked == set(twice)


async def test_one_bad_provider_holds_up_nobody_else(database: Database, database_url: str, tmp_path: Path) -> None:
    bad, good = people(60, "bad.example"), people(60, "good.example")
    await seed(database, bad + good, batch_size=30)
    port = free_port("127.0.0.3")
    storm = Receiver(on_connect=lambda _: "421 4.7.0 too many connections, try again later")
    async with receiving(Receiver(), "127.0.0.2", port) as receiver, receiving(storm, "127.0.0.3", port):
        settings = settings_for(database_url, tmp_path, receiver, smart_host="", port=port,
                                allow_private_addresses=True, retry_delays=["1h"])
        async with app_for(settings) as app:
            await app.resolver.close()
            app.resolver = HostsFile({"bad.example": "127.0.0.3", "good.example": "127.0.0.2"})
            async with working(app):
                await receiver.wait_for(60)
        assert receiver.taken == dict.fromkeys(good, 1)
        # Those that met the storm have an attempt less; those that did not were given back untouched.
        async with database.read() as connection:
            rows = (await connection.execute(
                select(deliveries.c.state, deliveries.c.attempts).where(deliveries.c.domain == "bad.example"))).all()
        assert {(row.state, row.attempts) for row in rows} <= {("deferred", 1), ("queued", 0)}
        tried = sum(row.attempts for row in rows)
        assert 0 < tried < 40
        assert storm.connections <= tried + 1


async def test_pause_stops_and_resume_goes_on(database: Database, database_url: str, tmp_path: Path) -> None:
    sending = await seed(database, people(300), throttle="100/s")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app) as worker:
            await receiver.wait_for(20)
            await set_campaign_state(database, sending.campaign_id, "paused")
            await worker.idle()
            taken = receiver.taken.total()
            assert taken < 300
            assert await states(database, sending.campaign_id) == {"delivered": taken, "queued": 300 - taken}
            await set_campaign_state(database, sending.campaign_id, "sending")
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(people(300), 1)


async def test_cancel_stops_and_counts_everybody(database: Database, database_url: str, tmp_path: Path) -> None:
    sending = await seed(database, people(300), throttle="100/s")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app) as worker:
            await receiver.wait_for(20)
            await set_campaign_state(database, sending.campaign_id, "cancelled")
            await worker.idle()
            (campaign,) = await app.store.campaigns.cancelled_with_open()
            while await app.store.campaigns.cancel_open(campaign, app.clock.now()):
                pass
    found = await states(database, sending.campaign_id)
    assert found == {"delivered": receiver.taken.total(), "cancelled": 300 - receiver.taken.total()}
    assert found["cancelled"] > 0


async def test_who_leaves_while_the_campaign_runs_gets_nothing_more(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, people(200), throttle="50/s")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await receiver.wait_for(10)
            async with database.write() as connection:
                await connection.execute(insert(suppressions).values(
                    workspace_id=sending.workspace_id, email_key=people(200)[198], reason="complaint", created_at=NOW))
                await connection.execute(update(subscriptions).where(
                    subscriptions.c.contact_id == sending.contacts[199]).values(state="unsubscribed"))
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(people(198), 1)
    assert await states(database, sending.campaign_id) == {"delivered": 198, "suppressed": 2}
    assert await totals(database, sending.campaign_id, "reason", "suppressed_complaint") == {"suppressed": 1}
    assert await totals(database, sending.campaign_id, "reason", "unsubscribed") == {"suppressed": 1}


async def test_a_batch_taken_over_by_another_is_dropped_at_once(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    sending = await seed(database, people(100), throttle="20/s")
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app) as worker:
            await receiver.wait_for(5)
            async with database.write() as connection:  # what a claim by another node writes
                await connection.execute(update(batches).values(owner="another", fence=batches.c.fence + 1))
            await worker.idle()
            taken = receiver.taken.total()
            assert taken < 100
            found = await states(database, sending.campaign_id)
            assert found["queued"] >= 100 - taken
    async with database.read() as connection:
        (batch,) = (await connection.execute(select(batches))).all()
    assert (batch.owner, batch.state, batch.fence) == ("another", "leased", 2)


async def test_a_lease_lives_as_long_as_its_worker_and_no_longer_than_its_batch(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """A slow batch outlives many leases; and where another has it by now, asking again is how one finds out."""
    await seed(sqlite_database, people(20), throttle="1/h")
    leases: set[object] = set()

    async def changed() -> None:
        while len(leases) < 3:
            async with sqlite_database.read() as connection:
                leases.add(await connection.scalar(select(batches.c.lease_until).where(batches.c.state == "leased")))
            leases.discard(None)
            await asyncio.sleep(0.05)

    async with receiving(Receiver()) as receiver:
        settings = settings_for(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, receiver, lease="1500ms")
        async with app_for(settings) as app, working(app) as worker, asyncio.timeout(60):
            await receiver.wait_for(1)
            await changed()
            (run,) = worker._runs.values()
            ends = run.recorder.lease_ends
            await worker._renew(app.clock.monotonic() + 100)
            assert run.recorder.lease_ends > ends + 50, "a dot may go out until then"
            async with sqlite_database.write() as connection:  # what a claim by another node writes
                await connection.execute(update(batches).values(owner="another", fence=batches.c.fence + 1))
            await worker._renew(app.clock.monotonic())
            await worker.idle()  # told to halt, for nothing else would end its wait for the next hour
    assert receiver.taken.total() == 1


@pytest.mark.parametrize("workers", [2])
async def test_workers_that_share_a_campaign_send_each_message_once(
    database: Database, database_url: str, tmp_path: Path, workers: int
) -> None:
    sending = await seed(database, people(600), batch_size=25)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app, workers), working(app, workers):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(people(600), 1)


async def test_a_flush_of_redis_loses_and_repeats_nothing(
    database: Database, database_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    sending = await seed(database, people(200), throttle="100/s", batch_size=20)
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver, redis_url=redis_server.url)
        async with app_for(settings) as app, working(app, 2), working(app, 2):
            for count in (20, 60, 120):
                await receiver.wait_for(count)
                await flush(redis_server)
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert receiver.taken == dict.fromkeys(people(200), 1)


async def test_a_message_that_cannot_be_made_stops_nobody_else(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    source = "{% for a in contact.many %}{% for b in contact.many %}{% for c in contact.many %}{{ c }}" \
             "{% endfor %}{% endfor %}{% endfor %}<p>Hello <a href='https://toko.example/'>look</a></p>"
    sending = await seed(database, people(3), source=source)
    async with database.write() as connection:
        contacts = deliveries.metadata.tables["contacts"]
        await connection.execute(update(contacts).where(contacts.c.id == sending.contacts[1]).values(
            fields={"many": list(range(500))}))
    async with receiving(Receiver()) as receiver:
        settings = settings_for(database_url, tmp_path, receiver)
        async with app_for(settings) as app, working(app):
            await until_closed(app, sending.campaign_id, sending.workspace_id)
    assert await states(database, sending.campaign_id) == {"delivered": 2, "bounced": 1}
    assert await totals(database, sending.campaign_id, "reason", "content") == {"bounced": 1}
