"""Link scanners fetch everything that any mail of ours leads to, twice and as a dozen machines: nothing changes."""

import re
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import update

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import campaigns, lists
from esp.flows import erasure
from esp.flows import preferences as flow
from esp.model.permission import OptIn
from esp.model.preference import ArchiveAccess
from esp.ports.preferences import Publicity
from tests.edge_world import snapshot
from tests.flows.test_edge import SCANNERS
from tests.flows.test_signup_commands import open_post
from tests.signup_world import signup_world
from tracking.jobs import fold

#: What a fold may count; everything else stays as it was.
COUNTED = ("events", "tallies", "journal_offsets", "deliveries")


def urls_of(mail: EmailMessage) -> set[str]:
    """Every address of the web in a mail's parts and headers, as a scanner finds them."""
    text = " ".join(str(value) for value in mail.values())
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            text += f" {part.get_content()}"
    return {url.replace("&amp;", "&") for url in re.findall(r"https?://[^\s\"'<>)]+", text)}


async def test_every_url_of_every_kind_of_mail_may_be_fetched(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with signup_world(database, database_url, tmp_path) as world:
        app, ws = world.app, world.workspace
        await app.store.preferences.set_publicity(
            ws, world.seeded.list_id, Publicity(ArchiveAccess.PRIVATE, False, True))
        await world.add_list("Offers", opt_in=OptIn.SINGLE, welcome=True)
        async with database.write() as connection:
            await connection.execute(update(campaigns).where(campaigns.c.state == "paused").values(state="sending"))
            await connection.execute(update(lists).values(description="Recipes"))
        await world.sign_up("new@warung.example")
        await world.sign_up("quick@warung.example", "/s/toko/offers")
        async with open_post(world) as post:
            await post.write("news-unsubscribe@bounce.toko.example", sender="orang1@warung.example")
        reader = await app.store.preferences.reader(ws, world.seeded.contacts[2])
        assert reader
        assert await erasure.ask(app, reader)
        assert await flow.renew(app, reader)
        await world.answer()
        mails = await world.mails(8)
        subjects = sorted(str(mail["Subject"]) for mail in mails)
        assert subjects == ["Hello N0", "Hello N1", "Hello N2", "Please confirm that you want to leave: News",
                            "Please confirm: News", "Please confirm: erase my data", "Welcome to Offers",
                            "Your link to your choices"]
        ours = app.settings.public_url
        paths = {urlsplit(url)._replace(scheme="", netloc="").geturl() for mail in mails for url in urls_of(mail)
                 if url.startswith(ours)}
        doors = {"/".join(path.split("/")[1:3]) if path.startswith(("/p/-", "/s/-")) else path.split("/")[1]
                 for path in paths}
        assert doors == {"o", "c", "u", "v", "p", "p/-", "s/-"}
        before = await snapshot(database)
        further: set[str] = set()
        for agent in (*SCANNERS, *SCANNERS):
            for path in sorted(paths | further):
                for method in ("GET", "HEAD", "OPTIONS"):
                    answer = await world.client.request(method, path, allow_redirects=False, headers={
                        "User-Agent": agent, "Purpose": "prefetch", "Cookie": "a=b", "Referer": path})
                    assert answer.status < 500, (method, path)
                    assert not answer.cookies
                    if method == "GET" and answer.content_type == "text/html":  # some follow what they find
                        further |= set(re.findall(r'href="(/[^"]+)"', await answer.text()))
        assert any(path.startswith("/a/") for path in further)
        assert await snapshot(database) == before
        while await fold(app):
            pass
        after = await snapshot(database, COUNTED)
        assert after == {name: rows for name, rows in before.items() if name not in COUNTED}
