"""Commands by mail, through the real MX and mailroom: what a mail may do, and what one with a forged sender may not."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from esp.adapters.sql.database import Database
from esp.adapters.sql.schema import messages, signups
from esp.entry.mx import Mx
from esp.flows import mailroom
from esp.inbound.commands import Command, CommandAddress, command_addresses, command_of
from esp.inbound.service import Reader
from esp.wire.tokens import Purpose
from tests.signup_world import World, signup_world, text_of

ANI = "ani@warung.example"


@dataclass
class Post:
    """The world with its MX open and its mailroom at work."""

    world: World
    port: int
    reader: Reader

    async def write(self, to: str, sender: str = ANI, subject: str = "", envelope: str | None = None,
                    **headers: str) -> None:
        """Send a mail by SMTP and have it judged."""
        extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        raw = (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <c1@warung.example>\r\n{extra}"
               "\r\nhi\r\n")

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", self.port, local_hostname="peer.example") as client:
                client.sendmail(sender if envelope is None else envelope, [to], raw.encode())

        await asyncio.to_thread(send)
        while await mailroom.process_new(self.world.app, self.reader):
            pass
        await self.world.answer()


@asynccontextmanager
async def open_post(world: World) -> AsyncIterator[Post]:
    world.app.settings = world.app.settings.model_copy(
        update={"mx": world.app.settings.mx.model_copy(update={"port": 0})})
    mx, reader = Mx(world.app), Reader()
    try:
        yield Post(world, await mx.start(), reader)
    finally:
        await mx.close()
        await reader.close()


@pytest.fixture
async def post(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Post]:
    async with signup_world(database, database_url, tmp_path) as world, open_post(world) as post:
        yield post


@pytest.fixture
async def small(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[Post]:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    async with signup_world(sqlite_database, url, tmp_path) as world, open_post(world) as post:
        yield post


async def test_subscribe_is_confirmed_by_an_answer(post: Post) -> None:
    world = post.world
    await post.write("News-Subscribe@bounce.toko.example", sender=f"Ani <{ANI}>", envelope=ANI)
    assert await world.state(ANI) == {"News": "pending"}
    (mail,) = await world.mails(1)
    assert mail["Subject"] == "Please confirm: News"
    reply_to = mail["Reply-To"].addresses[0].addr_spec
    assert reply_to.startswith("c-")
    assert reply_to.endswith("@bounce.toko.example")

    await post.write(reply_to, sender="evil@warung.example")  # whoever was asked must answer
    await post.write(reply_to, Auto_Submitted="auto-replied")  # an absence notice is no consent
    await post.write(reply_to, envelope="")
    assert await world.state(ANI) == {"News": "pending"}
    await post.write(reply_to, subject="Re: Please confirm: News")
    assert await world.state(ANI) == {"News": "subscribed"}
    assert [it.source for it in await world.consents(ANI)] == [
        "mail: News-Subscribe@bounce.toko.example", "confirmed: mail"]


async def test_unsubscribe_asks_first_because_a_sender_can_be_forged(post: Post) -> None:
    world = post.world
    member = "orang0@warung.example"
    await post.write("news-leave@bounce.toko.example", sender=member)
    assert await world.state(member) == {"News": "subscribed"}
    (mail,) = await world.mails(1)
    assert mail["Subject"] == "Please confirm that you want to leave: News"
    await post.write(mail["Reply-To"].addresses[0].addr_spec, sender=member)
    assert await world.state(member) == {"News": "unsubscribed"}
    assert (await world.consents(member))[-1].action == "unsubscribed"


async def test_by_subject_and_by_the_token_in_it(small: Post) -> None:
    world = small.world
    await small.write("news@bounce.toko.example", subject="berlangganan")
    await world.mails(1)
    async with world.database.read() as connection:
        row = (await connection.execute(signups.select())).one()
    token = world.app.tokens.sign(Purpose.CONFIRM, world.workspace, row.id, int(row.expires_at.timestamp()))
    await small.write("news-request@bounce.toko.example", subject=f"Re: confirm {token[:-2]}xx")
    assert await world.state(ANI) == {"News": "pending"}
    await small.write("news-request@bounce.toko.example", subject=f"confirm {token}")
    assert await world.state(ANI) == {"News": "subscribed"}


async def test_help_comes_once_a_day_and_never_to_machines(small: Post) -> None:
    world = small.world
    for headers in ({"Auto_Submitted": "auto-generated"}, {"Precedence": "bulk"}, {"List_Id": "<x.example>"},
                    {"X_Loop": "y"}, {"envelope": ""}, {"sender": "mailer-daemon@warung.example"},
                    {"sender": "no-reply@warung.example"}, {"sender": "a@x.example, b@x.example"},
                    {"sender": "ani-request@warung.example"}, {"sender": "nobody"}):
        envelope = headers.pop("envelope", "x@warung.example")
        await small.write("news-help@bounce.toko.example", envelope=envelope, **headers)
    assert await world.rows(messages) == 0
    for _ in range(3):
        await small.write("news-help@bounce.toko.example", subject="what?")
        await small.write("news@bounce.toko.example")
    (mail,) = await world.mails(1)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == "<c1@warung.example>"
    assert "news-unsubscribe@bounce.toko.example" in text_of(mail)
    assert await world.rows(messages) == 1


async def test_our_own_answers_start_no_loop(small: Post) -> None:
    """Two servers of this kind that write to each other fall silent at once."""
    world = small.world
    await small.write("news-help@bounce.toko.example")
    (mail,) = await world.mails(1)
    await small.write("news-help@bounce.toko.example", sender="other@warung.example",
                      Auto_Submitted=str(mail["Auto-Submitted"]))
    assert await world.rows(messages) == 1


async def test_a_private_list_takes_no_subscription_and_a_stranger_who_leaves_hears_so(small: Post) -> None:
    world = small.world
    await world.set_list(public=False)
    await small.write("news-subscribe@bounce.toko.example")
    assert await world.rows(signups) == 0
    await small.write("news-unsubscribe@bounce.toko.example", sender="budi@warung.example")
    mails = {str(mail["To"]): str(mail["Subject"]) for mail in await world.mails(2)}
    assert mails == {ANI: "How to use News by mail", "budi@warung.example": "You are not on the list News"}
    assert await world.state("budi@warung.example") == {}


@pytest.mark.parametrize("to", ["nolist@bounce.toko.example", "news-subscribe@else.example", "c-aaaa@toko.example",
                                "news-evil@toko.example", "-subscribe@toko.example", "news.subscribe@toko.example"])
async def test_what_is_no_command_address_is_refused_at_rcpt(small: Post, to: str) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await small.write(to)


def test_how_addresses_and_subjects_are_read() -> None:
    assert command_addresses("News-Leave") == (
        CommandAddress("news", Command.UNSUBSCRIBE), CommandAddress("news-leave", None))
    assert command_addresses("news") == (CommandAddress("news", None),)
    assert command_addresses("a b") == ()
    news = CommandAddress("news", None)
    assert command_of(news, "Re: Unsubscribe please")[0] is Command.UNSUBSCRIBE
    assert command_of(news, "hello")[0] is Command.HELP
    assert command_of(news, "confirm " + "x" * 40) == (Command.CONFIRM, "x" * 40)
