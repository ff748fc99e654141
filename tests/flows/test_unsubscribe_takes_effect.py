"""From the click to "not mailed any more": at the next dequeue, and never later than five seconds."""

from pathlib import Path

from esp.adapters.sql.database import Database
from esp.flows.mailroom import process_new
from esp.inbound.service import Reader
from esp.ports.mailroom import NewInbound
from esp.wire.tokens import Purpose
from tests.flows.test_erasure import served
from tests.receiver import Receiver, receiving
from tests.sending import seed
from tests.sending_app import app_for, settings_for, until_closed, working


async def test_one_click_and_a_mail_are_honoured_by_a_worker_under_way(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """A slow campaign; two leave while it runs, one by RFC 8058 and one by mailto, and neither gets it."""
    people = [f"p{number}@a.example" for number in range(40)]
    sending = await seed(database, people, batch_size=40, throttle="8/s")
    ids = [(sending.workspace_id, sending.campaign_id, one) for one in sending.deliveries]
    async with receiving(Receiver()) as receiver, app_for(settings_for(database_url, tmp_path, receiver)) as app:
        reader = Reader()
        try:
            async with working(app), served(app) as client:
                await receiver.arrived.wait()
                path = f"/u/{app.tokens.sign(Purpose.UNSUBSCRIBE, *ids[-1])}"
                answer = await client.post(path, data="List-Unsubscribe=One-Click", headers={
                    "Content-Type": "application/x-www-form-urlencoded"})
                assert answer.status == 200
                mailbox = f"{app.tokens.unsubscribe_mailbox(*ids[-2])}@bounce.toko.example"
                raw = f"From: p38@a.example\r\nTo: {mailbox}\r\nSubject: unsubscribe\r\n\r\n".encode()
                kept = NewInbound(app.clock.now(), "127.0.0.1", "p38@a.example", (mailbox,), raw)
                await app.store.mailroom.keep(kept)
                await process_new(app, reader)
                states = await until_closed(app, sending.campaign_id, sending.workspace_id)
        finally:
            await reader.close()
    assert states == {"delivered": 38, "suppressed": 2}
    assert people[-1] not in receiver.taken
    assert people[-2] not in receiver.taken
