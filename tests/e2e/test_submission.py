"""The door for apps against clients that are ordinary, odd, greedy and hostile."""

import asyncio
import base64
import random
import smtplib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from esp.adapters.sql.schema import deliveries, events, message_bodies, messages
from esp.entry import submission
from esp.entry.submission import SubmissionDoor
from esp.errors import DependencyError, StorageFullError
from esp.flows.accounts import Passwords
from esp.flows.credentials import Keyring
from esp.model.contact import SuppressionReason
from esp.model.relay import SuppressedPolicy
from esp.ports.ledger import NewSuppression
from tests.relay_house import MAIL, House, house_at
from tests.sending_app import working


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
            with suppress(ConnectionError):
                await self.writer.drain()
            answer = await self.reply()
        return answer

    async def rest(self) -> list[str]:
        """All replies until the server hangs up."""
        replies = []
        while reply := await self.reply():
            replies.append(reply)
        return replies

    async def begin(self, *to: str) -> None:
        """An envelope up to its 354."""
        await self.say("MAIL FROM:<app@toko.example>", *(f"RCPT TO:<{one}>" for one in to or ("ani@rumah.example",)))
        assert (await self.say("DATA")).startswith("354")


@dataclass(slots=True)
class Door:
    house: House
    door: SubmissionDoor

    @asynccontextmanager
    async def connect(self, *, login: bool = True, tls: bool = True, local: str = "127.0.0.1") -> AsyncIterator[Client]:
        """A client on the port with TLS from the start (logged in), or on the other one in clear."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = self.door.tls_port if tls else self.door.port
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context if tls else None, local_addr=(local, 0))
        client = Client(reader, writer)
        try:
            assert (await client.reply()).startswith("220 ")
            assert (await client.say("EHLO app.example")).startswith("250")
            if login:
                assert (await client.say("AUTH PLAIN " + self.secret())).startswith("235")
            yield client
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def secret(self, password: str = "") -> str:
        it = self.house.credential.login, password or self.house.password
        return base64.b64encode("\0".join(("", *it)).encode()).decode()

    async def kept(self) -> list[bytes]:
        async with self.house.app.store.database.read() as connection:  # type: ignore[attr-defined]
            return list((await connection.execute(select(message_bodies.c.raw))).scalars())


@asynccontextmanager
async def door_of(house: House, **settings: Any) -> AsyncIterator[Door]:
    of = house.app.settings
    house.app.settings = of.model_copy(update={"submission": of.submission.model_copy(
        update={"port": 0, "tls_port": 0, **settings})})
    passwords = Passwords()
    door = SubmissionDoor(house.app, house.relay, Keyring(house.app, passwords), passwords)
    await door.start()
    try:
        yield Door(house, door)
    finally:
        await door.close()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with house_at(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as house, door_of(house) as found:
        yield found


# ---- the ordinary ----------------------------------------------------------------------------------------------------


async def test_a_librarys_mail_is_kept_octet_for_octet_and_sent(door: Door) -> None:
    raw = MAIL + b".dot\r\n..two\r\n\xc3\xa9\r\n"

    def send() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", door.door.port, local_hostname="app.example") as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            client.starttls(context=context)
            client.ehlo()
            assert {"pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes", "dsn"} \
                <= client.esmtp_features.keys()
            client.login(door.house.credential.login, door.house.password)
            client.sendmail("app@toko.example", ["ani@rumah.example", "budi@rumah.example"], raw)

    await asyncio.to_thread(send)
    (kept,) = await door.kept()
    assert kept.startswith(b"Received: from app.example ([127.0.0.1])\r\n\tby merpati.example with ESMTPSA (TLSv1.3 ")
    assert kept.endswith(raw)
    async with working(door.house.app), asyncio.timeout(30):
        await door.house.receiver.wait_for(2)
    for arrived in door.house.receiver.messages:
        assert arrived.endswith(kept)
        assert arrived.startswith(b"DKIM-Signature: ")


async def test_commands_in_one_packet_are_answered_in_order(door: Door) -> None:
    async with door.connect() as client:
        client.writer.write(b"MAIL FROM:<app@toko.example>\r\nRCPT TO:<a@b.example>\r\nRCPT TO:<no one>\r\nDATA\r\n")
        assert [(await client.reply())[:9] for _ in range(4)] == ["250 2.1.0", "250 2.1.5", "553 5.1.3", "354 End w"]
        client.writer.write(MAIL + b".\r\nNOOP\r\nQUIT\r\n")
        assert [reply[:9] for reply in await client.rest()] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]


async def test_every_reply_has_an_enhanced_code(door: Door) -> None:
    async with door.connect() as client:
        for line in ("MAIL FROM:<a@b.example>", "RSET", "NOOP", "VRFY x", "HELP", "RCPT TO:<x>", "DATA", "NONSENSE",
                     "AUTH PLAIN", "STARTTLS"):
            reply = await client.say(line)
            assert reply[4:9].replace(".", "").isdigit(), reply


async def test_parameters_of_the_envelope_are_kept_for_the_report(door: Door) -> None:
    async with door.connect() as client:
        assert (await client.say(
            "MAIL FROM:<app@toko.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ314+2B1 SMTPUTF8 AUTH=<>"
        )).startswith("250")
        assert (await client.say("RCPT TO:<a@b.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;A+40B.example"
                                 )).startswith("250")
        await client.say("DATA")
        assert (await client.say(MAIL + b".")).startswith("250 2.0.0")
    async with door.house.app.store.database.read() as connection:  # type: ignore[attr-defined]
        (dsn,) = (await connection.execute(select(messages.c.dsn))).scalars()
    assert dsn == {"ret": "HDRS", "envid": "QQ314+2B1", "to": {
        "a@b.example": {"notify": ["DELAY", "FAILURE"], "orcpt": "rfc822;A+40B.example"}}}


@pytest.mark.parametrize("command", [
    "MAIL FROM:app@toko.example", "MAIL FROM:<app@toko.example", "MAIL FROM:<app@toko.example> SIZE=x",
    "MAIL FROM:<app@toko.example> RET=ALL", "MAIL FROM:<app@toko.example> ODD", "MAIL TO:<app@toko.example>",
    "MAIL FROM:<app@toko.example> SIZE=1 SIZE=2", "MAIL FROM:<@a,@b:app@toko.example>",
    "MAIL FROM:<app@toko.example>SIZE=1", "MAIL FROM:<\"a b\"@toko.example>", "MAIL FROM:<\u00e9@toko.example>",
])
async def test_a_sender_that_can_be_read_in_two_ways_is_refused(door: Door, command: str) -> None:
    async with door.connect() as client:
        assert (await client.say(command))[0] == "5"


async def test_control_headers_are_heeded_and_removed(door: Door) -> None:
    async with door.connect() as client:
        await client.begin()
        controls = (b"X-Merpati-Tag: invoice\r\nX-Merpati-Metadata: order=17; shop=2\r\nX-Merpati-Track: none\r\n"
                    b"x-merpati-idempotency-key: 17\r\nBcc: secret@else.example\r\n")
        assert (await client.say(controls + MAIL + b".")).startswith("250")
        await client.begin()
        assert (await client.say(controls + MAIL + b".")).startswith("250")  # the same once more is the same
        await client.begin()
        reply = await client.say(b"X-Merpati-Colour: red\r\n" + MAIL + b".")
        assert reply.startswith("554 5.6.0 X-Merpati-Colour is not known")
    (kept,) = await door.kept()
    assert b"erpati-" not in kept.replace(b"merpati.example", b"")
    assert b"secret" not in kept
    async with door.house.app.store.database.read() as connection:  # type: ignore[attr-defined]
        row = (await connection.execute(select(messages.c.tag, messages.c.metadata))).one()
    assert tuple(row) == ("invoice", {"order": "17", "shop": "2"})


# ---- who may come in -------------------------------------------------------------------------------------------------


async def test_nothing_is_taken_without_tls_and_a_login(door: Door) -> None:
    async with door.connect(login=False, tls=False) as client:
        assert (await client.say("MAIL FROM:<app@toko.example>")).startswith("530 5.7.0 Issue STARTTLS")
        assert (await client.say("AUTH PLAIN " + door.secret())).startswith("538 5.7.11")
    async with door.connect(login=False) as client:
        assert (await client.say("MAIL FROM:<app@toko.example>")).startswith("530 5.7.0 Log in")


async def test_what_follows_starttls_in_clear_is_never_heard(door: Door) -> None:
    async with door.connect(login=False, tls=False) as client:
        client.writer.write(b"STARTTLS\r\nEHLO injected.example\r\n")
        assert [reply[:9] for reply in await client.rest()] == ["501 5.5.1"]


async def test_login_by_plain_and_by_login_and_called_off(door: Door) -> None:
    name, password = (base64.b64encode(text.encode()).decode() for text in (
        door.house.credential.login, door.house.password))
    async with door.connect(login=False) as client:
        assert (await client.say("AUTH CRAM-MD5")).startswith("504 5.5.4")
        assert await client.say("AUTH PLAIN") == "334 "
        assert (await client.say("*")).startswith("501 5.5.2")
        assert await client.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await client.say(name) == "334 UGFzc3dvcmQ6"
        assert (await client.say(password)).startswith("235 2.7.0")
        assert (await client.say("AUTH LOGIN")).startswith("503 5.5.1")
    async with door.connect(login=False) as client:
        assert await client.say("AUTH PLAIN") == "334 "
        assert (await client.say(door.secret())).startswith("235 2.7.0")


async def test_wrong_logins_are_answered_alike_and_the_third_ends_it(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr("esp.entry.login_guard._SLOWEST", 0.0)
    unknown = base64.b64encode(b"\0smtp-nobody\0wrong").decode()
    async with door.connect(login=False) as client:
        answers = {await client.say("AUTH PLAIN " + door.secret("wrong")), await client.say("AUTH PLAIN " + unknown)}
        assert answers == {"535 5.7.8 The user name or the password is wrong"}
        assert (await client.say("AUTH PLAIN " + unknown)).startswith("421 4.7.0")
        assert await client.rest() == []


async def test_an_account_is_locked_for_strangers_and_not_for_its_own_addresses(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr("esp.entry.login_guard._SLOWEST", 0.0)
    async with door.connect():
        pass  # from here it was used
    for _ in range(4):
        async with door.connect(login=False, local="127.0.0.2") as client:
            await client.say(*["AUTH PLAIN " + door.secret("wrong")] * 3)
    async with door.connect(login=False, local="127.0.0.2") as client:
        assert (await client.say("AUTH PLAIN " + door.secret())).startswith("535 5.7.8")
    async with door.connect():
        pass


async def test_a_revoked_credential_sends_no_more(door: Door, monkeypatch: Any) -> None:
    monkeypatch.setattr("esp.flows.credentials._FRESH", -1.0)
    house = door.house
    async with door.connect() as client:
        await house.app.store.relay.revoke_credential(
            house.workspace, house.credential.public_id, house.app.clock.now())
        assert (await client.say("MAIL FROM:<app@toko.example>")).startswith("421 4.7.0")
    async with door.connect(login=False) as client:
        assert (await client.say("AUTH PLAIN " + door.secret())).startswith("535")


@pytest.mark.parametrize("sender", ["a@else.example", "a@sub.toko.example", "a@unproven.example"])
async def test_a_sender_must_be_of_a_verified_domain_of_the_workspace(door: Door, sender: str) -> None:
    await door.house.add_domain("unproven.example", verified=False)
    async with door.connect() as client:
        assert (await client.say(f"MAIL FROM:<{sender}>")).startswith("550 5.7.1")
        for name in ("From", "Sender", "Resent-From"):
            await client.begin()
            own = b"" if name == "From" else b"From: app@toko.example\r\n"
            reply = await client.say(own + f"{name}: <{sender}>\r\n\r\nx\r\n.".encode())
            assert reply.startswith("550 5.7.1"), name
    assert await door.kept() == []


@pytest.mark.parametrize("value", [
    "app@toko.example, boss@bank.example", "boss@bank.example <app@toko.example>", "a: app@toko.example;",
    "<app@toko.example> <boss@bank.example>", "<@bank.example:app@toko.example>", "app@toko.example (a", "",
    "\"x\" <app@toko.example>, <boss@bank.example>",
])
async def test_a_from_that_can_be_read_in_two_ways_is_refused(door: Door, value: str) -> None:
    async with door.connect() as client:
        await client.begin()
        assert (await client.say(f"From: {value}\r\nSubject: x\r\n\r\nx\r\n.")).startswith("554 5.6.0")
        await client.begin()
        assert (await client.say(b"From: boss@bank.example\r\n" + MAIL + b".")).startswith("554 5.6.0")
    assert await door.kept() == []


async def test_the_null_sender_may_send_in_its_domain(door: Door) -> None:
    async with door.connect() as client:
        assert (await client.say("MAIL FROM:<>")).startswith("250")
        await client.say("RCPT TO:<ani@rumah.example>", "DATA")
        assert (await client.say(MAIL + b".")).startswith("250")


# ---- the greedy and the hostile --------------------------------------------------------------------------------------

_ENDS = (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\r\n\x00.\r\n")


@pytest.mark.parametrize("end", _ENDS)
async def test_only_crlf_dot_crlf_ends_a_message(door: Door, end: bytes) -> None:
    second = b"MAIL FROM:<app@toko.example>\r\nRCPT TO:<v@b.example>\r\nDATA\r\n" + MAIL + b".\r\n"
    smuggled = MAIL + b"x" + end + second
    async with door.connect() as client:
        await client.begin()
        client.writer.write(smuggled + b"QUIT\r\n")
        replies = await client.rest()
        assert replies[0][:3] == "550", replies
        assert all(reply[:3] in ("221",) for reply in replies[1:]), replies
    assert await door.kept() == []


async def test_the_end_is_found_however_it_is_cut(door: Door) -> None:
    async with door.connect() as client:
        whole = MAIL + b"..x\r\n.\r\n"
        for at in range(len(whole) - 9, len(whole)):
            await client.begin()
            client.writer.write(whole[:at])
            await client.writer.drain()
            await asyncio.sleep(0)
            client.writer.write(whole[at:])
            assert (await client.reply()).startswith("250")
        await client.begin()
        for place in range(len(whole)):
            client.writer.write(whole[place:place + 1])
            await client.writer.drain()
        assert (await client.reply()).startswith("250")
    assert all(raw.endswith(MAIL + b".x\r\n") for raw in await door.kept())


@pytest.mark.parametrize("line", [b"NOOP\nNOOP", b"NO\rOP", b"NO\x00OP", b"x" * 20_000])
async def test_a_command_with_a_bare_line_end_ends_the_connection(door: Door, line: bytes) -> None:
    async with door.connect() as client:
        assert (await client.say(line)).startswith("500 5.5.2")
        assert await client.rest() == []


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "POST / HTTP/1.0", "BDAT 10 LAST"])
async def test_other_protocols_and_chunks_end_the_connection(door: Door, line: str) -> None:
    async with door.connect() as client:
        assert (await client.say(line))[:3] in ("421", "502")
        assert await client.rest() == []


async def test_the_thousand_and_first_recipient_comes_in_another_message(door: Door) -> None:
    async with door.connect() as client:
        await client.say("MAIL FROM:<app@toko.example>")
        client.writer.write(b"".join(b"RCPT TO:<p%d@rumah.example>\r\n" % number for number in range(10_000)))
        codes = [(await client.reply())[:9] for _ in range(10_000)]
        assert codes == ["250 2.1.5"] * 1000 + ["452 4.5.3"] * 9000
        await client.say("DATA")
        assert (await client.say(MAIL + b".")).startswith("250")
    async with door.house.app.store.database.read() as connection:  # type: ignore[attr-defined]
        assert len((await connection.execute(select(deliveries.c.id).where(
            deliveries.c.message_id.is_not(None)))).all()) == 1000
        assert len((await connection.execute(select(message_bodies.c.message_id))).all()) == 1


async def test_a_message_that_is_too_large_is_told_so(tmp_path: Path) -> None:
    async with house_at(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as house, \
            door_of(house, max_message_bytes=20_000) as door, door.connect() as client:
        assert (await client.say("MAIL FROM:<app@toko.example> SIZE=20001")).startswith("552 5.3.4")
        await client.begin()
        assert (await client.say(MAIL + (b"x" * 70 + b"\r\n") * 400 + b".")).startswith("552 5.3.4")
        await client.begin()
        assert (await client.say(MAIL + b".")).startswith("250")
        await client.begin()
        client.writer.write((b"x" * 70 + b"\r\n") * 4000)
        assert [reply[:3] for reply in await client.rest()] == ["552"]


async def test_a_line_without_an_end_is_cut_off(door: Door) -> None:
    async with door.connect() as client:
        await client.begin()
        with suppress(ConnectionError):
            for _ in range(100):
                client.writer.write(b"x" * 65_536)
                await client.writer.drain()
        replies = await client.rest()
        assert [reply[:9] for reply in replies] in (["554 5.6.0"], [])  # a reset may take the reply with it


async def test_a_large_message_is_kept_whole(door: Door) -> None:
    raw = MAIL + (b"y" * 70 + b"\r\n") * 40_000
    async with door.connect() as client:
        await client.begin()
        client.writer.write(raw + b".\r\n")
        assert (await client.reply()).startswith("250")
    (kept,) = await door.kept()
    assert kept.endswith(raw)


async def test_connections_are_counted_by_address_and_in_all(tmp_path: Path) -> None:
    async with house_at(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as house, \
            door_of(house, max_connections_per_peer=2, max_connections=3) as door:
        async def greeting(local: str) -> tuple[str, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.door.port, local_addr=(local, 0))
            return (await reader.readline()).decode()[:3], writer

        found = [await greeting(local) for local in ("127.0.0.1",) * 3 + ("127.0.0.2",) * 2]
        assert [code for code, _ in found] == ["220", "220", "421", "220", "421"]
        for _, writer in found:
            writer.close()


async def test_five_hundred_slow_clients_hold_up_nobody(tmp_path: Path) -> None:
    async with house_at(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as house, \
            door_of(house, max_connections_per_peer=600) as door:
        slow = await asyncio.gather(*(
            asyncio.open_connection("127.0.0.1", door.door.port, local_addr=("127.0.0.3", 0)) for _ in range(500)))
        try:
            for _, writer in slow:
                writer.write(b"E")
            async with asyncio.timeout(30), door.connect() as client:
                await client.begin()
                assert (await client.say(MAIL + b".")).startswith("250")
        finally:
            for _, writer in slow:
                writer.close()


async def test_who_is_silent_too_long_or_never_logs_in_is_sent_away(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(submission, "_SWEEP", 0.01)
    monkeypatch.setattr(submission, "_BEFORE_LOGIN", 0.3)
    async with house_at(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as house, door_of(house) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.door.port)

        async def drip() -> None:
            with suppress(ConnectionError):
                while True:  # never silent, and yet never an app
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        said = b""
        async with asyncio.timeout(30):  # it ends, whatever is dripped
            with suppress(ConnectionError):  # a drop on its way when the door closed resets the connection
                while octets := await reader.read(1000):
                    said += octets
        assert b"421 4.4.2 That took too long\r\n".startswith(said.partition(b"ESMTP\r\n")[2])
        dripping.cancel()
        writer.close()


# ---- when the house cannot -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("problem", "reply"), [
    (DependencyError("away"), "451 4.3.0"), (StorageFullError("full"), "452 4.3.1"),
])
async def test_what_cannot_be_kept_is_not_accepted(
    door: Door, monkeypatch: Any, problem: Exception, reply: str
) -> None:
    async def fail(*_: object) -> None:
        raise problem

    async with door.connect() as client:
        with monkeypatch.context() as broken:
            broken.setattr(door.house.app.store.relay, "keep", fail)
            await client.begin()
            assert (await client.say(MAIL + b".")).startswith(reply)
        await client.begin()
        assert (await client.say(MAIL + b".")).startswith("250")
    assert len(await door.kept()) == 1


async def test_a_full_disk_is_recognised(door: Door) -> None:
    async with door.connect() as client:
        async with door.house.app.store.database.write() as connection:  # type: ignore[attr-defined]
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        await client.begin()
        assert (await client.say(MAIL + b"x" * 60_000 + b"\r\n.")).startswith("452 4.3.1")
        async with door.house.app.store.database.write() as connection:  # type: ignore[attr-defined]
            await connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        await client.begin()
        assert (await client.say(MAIL + b".")).startswith("250")


async def test_suppressed_recipients_are_refused_where_the_stream_says_so(door: Door) -> None:
    house = door.house
    await house.app.store.ledger.apply([], [
        NewSuppression(house.workspace, "gone@rumah.example", SuppressionReason.HARD_BOUNCE)])
    async with door.connect() as client:
        await client.begin("gone@rumah.example", "ani@rumah.example")
        assert (await client.say(MAIL + b".")).startswith("250")  # dropped, with an event
    async with house.app.store.database.read() as connection:  # type: ignore[attr-defined]
        states = (await connection.execute(select(deliveries.c.address, deliveries.c.state, deliveries.c.reason).where(
            deliveries.c.message_id.is_not(None)).order_by(deliveries.c.id))).all()
        assert [tuple(row) for row in states] == [
            ("gone@rumah.example", "suppressed", "suppressed_bounce"), ("ani@rumah.example", "queued", "")]
        assert "suppressed" in (await connection.execute(select(events.c.type))).scalars().all()
    (_, stream) = await house.app.store.relay.streams(house.workspace)
    await house.app.store.relay.change_stream(
        house.workspace, stream.public_id, name="T", track_opens=False, track_clicks=False,
        suppressed=SuppressedPolicy.REFUSE, keep_days=1, keep_octets=0)
    house.relay._houses.clear()
    async with door.connect() as client:
        await client.say("MAIL FROM:<app@toko.example>")
        assert (await client.say("RCPT TO:<gone@rumah.example>")).startswith("550 5.7.1 This address is suppressed")
        assert (await client.say("RCPT TO:<ani@rumah.example>")).startswith("250")


# ---- nonsense --------------------------------------------------------------------------------------------------------

_WORDS = (
    b"EHLO a.example", b"HELO", b"MAIL FROM:<app@toko.example>", b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA",
    b"RSET", b"NOOP x", b"AUTH PLAIN", b"AUTH LOGIN", b"*", b"=", b".", b"..", b"", b"From: app@toko.example", b"QUIT",
    b"STARTTLS", b"VRFY", b"\xff\xfe", b"MAIL FROM:<\xc3\xa9@toko.example> SMTPUTF8", b"RCPT TO:<a@b.example> NOTIFY=",
)


def _dialogues(seed: int, count: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    for _ in range(count):
        lines = [dice.choice(_WORDS) for _ in range(dice.randrange(1, 25))]
        if dice.random() < 0.3:
            lines.insert(dice.randrange(len(lines)), dice.randbytes(dice.randrange(200)))
        yield b"".join(line + dice.choice((b"\r\n",) * 12 + (b"\n", b"\r", b"")) for line in lines)


async def test_nonsense_is_answered_or_hung_up_on_and_the_door_stays_open(door: Door, caplog: Any) -> None:
    """The short form of a fuzz: each reply is one, and the session after it works."""
    for dialogue in _dialogues(20261122, 150):
        async with door.connect() as client:
            client.writer.write(dialogue + b"\r\nQUIT\r\n")
            if client.writer.can_write_eof():
                client.writer.write_eof()
            else:
                client.writer.write(b".\r\nQUIT\r\n*\r\nQUIT\r\n")
            async with asyncio.timeout(30):
                for reply in await client.rest():
                    assert reply[:3].isdigit(), reply
    async with door.connect() as client:
        await client.begin()
        assert (await client.say(MAIL + b".")).startswith("250")


async def test_swaks_sends(door: Door) -> None:
    process = await asyncio.create_subprocess_exec(
        "swaks", "-s", "127.0.0.1", "-p", str(door.door.port), "--tls", "-a", "LOGIN", "-au",
        door.house.credential.login, "-ap", door.house.password, "-f", "app@toko.example", "-t", "ani@rumah.example",
        "--hide-all")
    assert await process.wait() == 0
    assert len(await door.kept()) == 1
