"""Our MX against clients that are ordinary, odd, greedy and hostile."""

import asyncio
import logging
import resource
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from esp.adapters.sql.database import Database
from esp.entry.mx import Mx
from esp.ports.mailroom import NewInbound
from tests.mailroom_house import SIGNER, House, open_house, sample


@dataclass(slots=True)
class Client:
    """A peer that sends what it likes and reads replies as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> str:
        """The next reply, its lines joined by LF; empty where the server hung up."""
        lines = []
        while True:
            try:
                line = (await self.reader.readuntil(b"\r\n")).decode("ascii").rstrip("\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return ""
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, *lines: str | bytes) -> str:
        """Send lines; the reply to the last one."""
        answer = ""
        for line in lines:
            self.writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
            await self.writer.drain()
            answer = await self.reply()
        return answer

    async def rest(self) -> list[str]:
        """All replies until the server hangs up."""
        replies = []
        while reply := await self.reply():
            replies.append(reply)
        return replies


@dataclass(slots=True)
class Door:
    house: House
    port: int
    mx: Mx

    @asynccontextmanager
    async def connect(self, greet: bool = True) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = Client(reader, writer)
        try:
            if greet:
                assert (await client.reply()).startswith("220 ")
                assert (await client.say("EHLO peer.example")).startswith("250")
            yield client
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def kept(self) -> list[bytes]:
        return [row.raw for row in await self.house.inbound()]


@asynccontextmanager
async def open_door(database: Database, *, seconds: float = 60.0, **settings: int) -> AsyncIterator[Door]:
    async with open_house(database, **settings) as house:
        mx = Mx(house.app, command_timeout=seconds, message_timeout=seconds)
        port = await mx.start()
        try:
            yield Door(house, port, mx)
        finally:
            await mx.close()


@pytest.fixture
async def door(sqlite_database: Database) -> AsyncIterator[Door]:
    async with open_door(sqlite_database) as door:
        yield door


# ---- the ordinary --------------------------------------------------------------------------------------------------


async def test_a_bounce_is_kept_octet_for_octet(door: Door) -> None:
    to, raw = door.house.return_path(), sample("01-hard.eml") + b".dot\r\n..two\r\n\xff\r\n"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", door.port, local_hostname="peer.example") as client:
            client.ehlo()
            assert {"pipelining", "size", "8bitmime", "enhancedstatuscodes"} <= client.esmtp_features.keys()
            client.sendmail("", [to, "postmaster@toko.example"], raw)

    await asyncio.to_thread(send)
    (row,) = await door.house.inbound()
    assert row.raw == raw
    assert row.rcpt_to.split("\n") == [to, "postmaster@toko.example"]
    assert (row.mail_from, row.state) == ("", "new")


async def test_commands_in_one_packet_are_answered_in_order(door: Door) -> None:
    to = door.house.return_path()
    async with door.connect() as client:
        client.writer.write(f"MAIL FROM:<>\r\nRCPT TO:<{to}>\r\nRCPT TO:<no@toko.example>\r\nDATA\r\n".encode())
        codes = [(await client.reply())[:9] for _ in range(4)]
        assert codes == ["250 2.1.0", "250 2.1.5", "550 5.1.1", "354 End w"]
        client.writer.write(b"A: b\r\n\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n")
        assert [reply[:9] for reply in await client.rest()] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
    assert await door.kept() == [b"A: b\r\n\r\nx\r\n"]


async def test_every_reply_has_an_enhanced_code(door: Door) -> None:
    async with door.connect() as client:
        for line in ("MAIL FROM:<a@b.example>", "RSET", "NOOP", "VRFY x", "HELP", "RCPT TO:<x>", "DATA", "NONSENSE"):
            reply = await client.say(line)
            assert reply[4:9].replace(".", "").isdigit(), reply


async def test_postmaster_needs_no_domain_and_abuse_is_ours_too(door: Door) -> None:
    async with door.connect() as client:
        await client.say("MAIL FROM:<someone@else.example>")
        for good in ("postmaster", "PostMaster@toko.example", "abuse@toko.example", "abuse@bounce.toko.example"):
            assert (await client.say(f"RCPT TO:<{good}>")).startswith("250 2.1.5"), good


async def test_the_hundred_and_first_recipient_is_told_to_come_in_another_message(door: Door) -> None:
    async with door.connect() as client:
        await client.say("MAIL FROM:<>")
        for _ in range(100):
            assert (await client.say("RCPT TO:<postmaster@toko.example>")).startswith("250")
        assert (await client.say("RCPT TO:<postmaster@toko.example>")).startswith("452 4.5.3")


# ---- whom we do not receive for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipient", [
    "victim@else.example", "victim%else.example@toko.example", "else.example!victim@toko.example",
    "@toko.example:victim@else.example", '"victim@else.example"@toko.example', '"victim@else.example"',
    "victim@else.example@toko.example", "victim@[127.0.0.1]", "victim", "victim@else.example>@toko.example",
    "a@toko.example>,<victim@else.example", "{return_path_at_else}", "=?utf-8?q?x?=@toko.example",
    "abuse@eltoko.example", "b-aaaa@toko.example", "a\tb@toko.example", "", "postmaster@else.example",
    "postmaster(c)@toko.example", "abuse@toko.example ORCPT=rfc822;x",
])
async def test_no_spelling_makes_us_a_relay(door: Door, recipient: str) -> None:
    local = SIGNER.return_path(1, 1, 1)
    recipient = recipient.replace("{return_path_at_else}", f"{local}@else.example")
    async with door.connect() as client:
        await client.say("MAIL FROM:<spammer@else.example>")
        reply = await client.say(f"RCPT TO:<{recipient}>")
        assert reply.startswith("5"), reply
        assert (await client.say("DATA")).startswith("503 5.5.1")
    assert await door.kept() == []


async def test_a_forged_return_path_is_refused_before_its_content(door: Door) -> None:
    good = door.house.return_path()
    async with door.connect() as client:
        await client.say("MAIL FROM:<>")
        for forged in (good[:4] + ("a" if good[4] != "a" else "b") + good[5:], good.replace("@", "a@"), "u" + good[1:]):
            assert (await client.say(f"RCPT TO:<{forged}>")).startswith("550 5.1.1")
        assert (await client.say(f"RCPT TO:<{good.upper()}>")).startswith("250")
        assert (await client.say(f"RCPT TO:<{door.house.unsubscribe_address()}>")).startswith("250")


# ---- smuggling -----------------------------------------------------------------------------------------------------

_NUL = b"\r\n\x00.\r\n"  # holds no line end but CRLF: it is content, and ends nothing
ENDS = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r\n.\r\r\n", _NUL]


def _smuggled(end: bytes, to: str) -> bytes:
    inner = f"MAIL FROM:<evil@else.example>\r\nRCPT TO:<{to}>\r\nDATA\r\nSubject: smuggled\r\n\r\nx".encode()
    return b"Subject: outer\r\n\r\nfirst" + end + inner + b"\r\n.\r\n"


@pytest.mark.parametrize("end", ENDS)
async def test_no_spelling_of_the_end_makes_two_messages_of_one(door: Door, end: bytes) -> None:
    to = door.house.return_path()
    data = _smuggled(end, to)
    async with door.connect() as client:
        await client.say("MAIL FROM:<>", f"RCPT TO:<{to}>", "DATA")
        client.writer.write(data)
        reply = await client.reply()
        if end == _NUL:
            assert reply.startswith("250")
            assert len(await door.kept()) == 1
            return
        assert reply.startswith("550 5.6.11")
        assert await client.reply() == ""
    assert await door.kept() == []


@pytest.mark.parametrize("end", [b"\r\n.\r\n", *ENDS])
async def test_how_it_is_cut_into_packets_changes_nothing(sqlite_database: Database, end: bytes) -> None:
    async with open_door(sqlite_database, max_connections_per_peer=200, max_connections=400) as door:
        to = door.house.return_path()
        data = b"A: b\r\n\r\n" + b"x" + end + b"QUIT\r\n.\r\n"
        first = len(b"A: b\r\n\r\n")

        async def send(cut: int) -> list[str]:
            async with door.connect() as client:
                await client.say("MAIL FROM:<>", f"RCPT TO:<{to}>", "DATA")
                client.writer.write(data[:cut])
                await client.writer.drain()
                await asyncio.sleep(0)
                client.writer.write(data[cut:])
                return [(await client.reply())[:3], (await client.reply())[:3] if end != _NUL else ""]

        replies = {tuple(await send(cut)) for cut in range(first, len(data))}
        assert len(replies) == 1
        (codes,) = replies
        if end == b"\r\n.\r\n":
            assert codes == ("250", "221")
            assert set(await door.kept()) == {b"A: b\r\n\r\nx\r\n"}
        elif end == _NUL:
            assert codes == ("250", "")
            assert set(await door.kept()) == {data[:-3]}
        else:
            assert codes == ("550", "")
            assert await door.kept() == []


@pytest.mark.parametrize("line", [b"NOOP\nNOOP", b"NOOP\rNOOP", b"NO\x00OP", b"MAIL FROM:<a\x00@b.example>"])
async def test_bare_line_ends_and_nul_in_commands_end_the_session(door: Door, line: bytes) -> None:
    async with door.connect() as client:
        assert (await client.say(line)).startswith("500 5.5.2")
        assert await client.reply() == ""


async def test_starttls_is_not_offered_and_nothing_hides_behind_it(door: Door) -> None:
    async with door.connect(greet=False) as client:
        await client.reply()
        assert "STARTTLS" not in await client.say("EHLO peer.example")
        client.writer.write(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")
        assert (await client.reply()).startswith("502 5.5.1")


# ---- greed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["GET / HTTP/1.1", "POST / HTTP/1.1", "OPTIONS * HTTP/1.1", "Host: toko.example",
                                  "PRI * HTTP/2.0"])
async def test_a_browser_is_sent_away(door: Door, verb: str) -> None:
    async with door.connect(greet=False) as client:
        await client.reply()
        assert (await client.say(verb)).startswith("421")
        assert await client.reply() == ""


async def test_a_body_without_line_ends_does_not_fill_the_memory(sqlite_database: Database) -> None:
    async with open_door(sqlite_database, max_message_bytes=4_000_000) as door:
        async with door.connect() as client:
            await client.say("MAIL FROM:<>", f"RCPT TO:<{door.house.return_path()}>", "DATA")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with suppress(ConnectionError):
                for _ in range(100):
                    client.writer.write(b"x" * 1_000_000)
                    await client.writer.drain()
            assert await client.reply() in ("", "552 5.3.4 That message is far too large")
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 30_000  # kilobytes, of which the client's own buffers are a part
        assert await door.kept() == []


async def test_what_is_too_large_is_refused_at_mail_and_after_the_dot(sqlite_database: Database) -> None:
    async with open_door(sqlite_database, max_message_bytes=10_000) as door:
        async with door.connect() as client:
            assert (await client.say("MAIL FROM:<> SIZE=10001")).startswith("552 5.3.4")
            await client.say("MAIL FROM:<> SIZE=10000 BODY=8BITMIME", f"RCPT TO:<{door.house.return_path()}>", "DATA")
            client.writer.write(b"x" * 70 + b"\r\n" + b"0123456789\r\n" * 1000 + b".\r\n")
            assert (await client.reply()).startswith("552 5.3.4")
        assert await door.kept() == []


async def test_an_endless_command_ends_the_session(door: Door) -> None:
    async with door.connect() as client:
        client.writer.write(b"NOOP " + b"x" * 100_000)
        assert (await client.reply()).startswith("500 5.5.2")
        assert await client.reply() == ""


async def test_a_peer_that_is_wrong_all_the_time_is_sent_away(door: Door) -> None:
    async with door.connect() as client:
        replies = [await client.say("BOGUS") for _ in range(10)]
        assert [reply[:3] for reply in replies] == ["500"] * 9 + ["421"]


async def test_a_flood_of_empty_commands_ends_the_session(door: Door) -> None:
    async with door.connect() as client:
        client.writer.write(b"NOOP\r\n" * 1100)
        replies = await client.rest()
        assert replies[-1].startswith("421 4.7.0")
        assert len(replies) < 1001


async def test_connections_are_bounded_for_each_peer_and_given_back(sqlite_database: Database) -> None:
    async with (open_door(sqlite_database, max_connections_per_peer=2) as door, door.connect(),
                door.connect() as second, door.connect(greet=False) as third):
        assert (await third.reply()).startswith("421 4.7.0")
        assert await third.reply() == ""
        await second.say("QUIT")
        assert await second.reply() == ""
        async with door.connect() as fourth:
            assert (await fourth.say("NOOP")).startswith("250")


async def test_a_silent_peer_is_cut_off_while_others_are_served(sqlite_database: Database) -> None:
    async with open_door(sqlite_database, seconds=0.2) as door:
        async with door.connect() as slow:
            slow.writer.write(b"MAIL FR")
            assert await slow.reply() == ""
        async with door.connect() as good:
            assert (await good.say("NOOP")).startswith("250")


# ---- when we fail --------------------------------------------------------------------------------------------------


class _BrokenRoom:
    async def receiving_domains(self) -> frozenset[str]:
        return frozenset({"toko.example"})

    async def keep(self, message: NewInbound) -> int:
        raise RuntimeError("secret detail")


async def test_a_failure_of_ours_is_451_and_says_nothing(door: Door) -> None:
    object.__setattr__(door.house.app.store, "mailroom", _BrokenRoom())
    async with door.connect() as client:
        reply = await client.say("MAIL FROM:<>", f"RCPT TO:<{door.house.return_path()}>", "DATA", b"x\r\n.")
        assert reply.startswith("451 4.3.0")
        assert "secret" not in reply
        assert "Runtime" not in reply


async def test_nothing_of_the_mail_is_logged(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with door.connect() as client:
            await client.say("MAIL FROM:<canary-sender@else.example>", f"RCPT TO:<{door.house.return_path()}>", "DATA",
                             b"canary-body\r\n.")
    # The database driver's own lines are kept out by esp.log, which lets libraries speak from warnings on.
    ours = [record.getMessage() for record in caplog.records if record.name != "aiosqlite"]
    assert "canary" not in "\n".join(ours)
