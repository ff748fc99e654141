"""What no dialogue file can say about the client: bounds, refusals of our own mail, cancelling, source addresses."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from esp.adapters.smtp import SmtpTransport, Timeouts
from esp.adapters.smtp.replies import MAX_LINE, MAX_TEXT, ReplyError, ReplyReader, to_reply
from esp.adapters.smtp.wire import hello_name, on_the_wire, path
from esp.errors import LeaseLostError
from esp.model.attempt import Failure, Phase
from esp.model.content import OutgoingMessage
from esp.ports.network import ConnectError, Target, TlsPolicy
from tests.dialogues.script import ScriptedServer, read
from tests.services import free_port

FOLDER = Path(__file__).parents[1] / "dialogues"
GOOD = OutgoingMessage(1, "b-1@news.example", "anna@toko.example", b"Subject: hello\r\n\r\ntext\r\n", "<1@x.example>")


def target(port: int, source: str = "") -> Target:
    return Target("mx.toko.example", "127.0.0.1", port, "mail.merpati.example", source, TlsPolicy.NONE)


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("mx.toko.example").configure_cert(context)
    return context


# The wire.


@given(st.lists(st.sampled_from([b"\r\n", b".", b"..", b"a", b"", b" ", b"\r\n.\r\n"]), max_size=40))
def test_no_message_can_end_early_and_each_comes_back_whole(parts: list[bytes]) -> None:
    data = b"".join(parts)
    wire = on_the_wire(data) + b".\r\n"
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    lines = wire[:-3].split(b"\r\n")
    back = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    assert back in (data, data + b"\r\n")


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"a"]), max_size=30))
def test_a_bare_cr_or_lf_never_leaves(parts: list[bytes]) -> None:
    data = b"".join(parts)
    stripped = data.replace(b"\r\n", b"")
    if b"\r" in stripped or b"\n" in stripped:
        with pytest.raises(ValueError, match="CRLF"):
            on_the_wire(data)
    else:
        assert on_the_wire(data).endswith(b"\r\n")


@pytest.mark.parametrize(
    "end", ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n\x00.\r\n\r"]
)
def test_every_spelling_of_a_smuggled_end_is_refused(end: str) -> None:
    with pytest.raises(ValueError, match="CRLF"):
        on_the_wire(b"Subject: x\r\n\r\nhello" + end.encode() + b"MAIL FROM:<evil@example>\r\n")


@pytest.mark.parametrize(
    "address",
    ["a@b.example>\r\nRCPT TO:<c@d.example", "a b@c.example", "a@b.example\n", "<a@b.example>", "a@b\x00",
     "a\u2028@b.example", "a\x85@b.example", "a\x7f@b.example", "a" * 400],
)
def test_an_address_that_would_end_the_command_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="cannot stand"):
        path(address)


def test_the_null_sender_is_a_path() -> None:
    assert path("") == b"<>"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nRSET", "tökö.example"])
def test_a_wrong_hello_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="EHLO"):
        hello_name(name)


# Replies.


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_octets_are_a_reply_or_an_error_however_they_are_cut(data: bytes, size: int) -> None:
    def outcome(pieces: list[bytes]) -> list[object]:
        reader = ReplyReader()
        found: list[object] = []
        try:
            for piece in pieces:
                found += [to_reply(raw) for raw in reader.feed(piece)]
        except ReplyError:
            found.append("error")
        return found
    whole = outcome([data])
    assert outcome([data[at : at + size] for at in range(0, len(data), size)])[-1:] == whole[-1:]


def test_enhanced_codes_are_told_from_numbers_in_the_text() -> None:
    assert to_reply((550, [b"5.1.1 no such user", b"5.1.1 really"])).text == "no such user\nreally"
    assert to_reply((250, [b"2.0.0"])).enhanced == "2.0.0"
    assert to_reply((550, [b"4.0.25 is our version"])).enhanced == ""
    assert to_reply((550, [b"5.1.1.7 is an address"])).enhanced == ""


def test_reply_text_is_bounded_and_printable() -> None:
    reply = to_reply((550, [b"\x00\x07\x1b[1m\xff\xc2\x85x" * 300] * 3))
    assert len(reply.text) <= MAX_TEXT
    assert reply.text.replace("\n", "").replace("\ufffd", "").isprintable()


def test_a_line_just_within_the_bound_is_read() -> None:
    assert ReplyReader().feed(b"250 " + b"x" * (MAX_LINE - 4) + b"\r\n")[0][0] == 250
    with pytest.raises(ReplyError):
        ReplyReader().feed(b"250 " + b"x" * (MAX_LINE - 3) + b"\r\n")


# The conversation.


async def test_our_own_bad_mail_is_refused_before_a_word_is_said(context: ssl.SSLContext) -> None:
    async with ScriptedServer(read(FOLDER / "client-size-too-small.smtp"), context) as server:
        session = await SmtpTransport().connect(target(server.port))
        with pytest.raises(ValueError, match="CRLF"):
            await session.send(OutgoingMessage(1, "a@b.example", "c@d.example", b"x\n.\nMAIL", "<1@x>"))
        with pytest.raises(ValueError, match="cannot stand"):
            await session.send(OutgoingMessage(1, "a@b.example", "c@d.example>\r\nRSET", b"x\r\n", "<1@x>"))
        assert session.usable
        await session.close()
        await server.finish()


async def test_what_before_dot_raises_stops_the_message(context: ssl.SSLContext) -> None:
    """A lease lost while the conversation ran: the dot is not sent, and the session is not used again."""
    def lost() -> None:
        raise LeaseLostError("another worker has it")
    async with ScriptedServer(read(FOLDER / "client-dot-5xx.smtp"), context) as server:
        session = await SmtpTransport().connect(target(server.port))
        with pytest.raises(LeaseLostError):
            await session.send(GOOD, lost)
        assert not session.usable
        await session.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await server.finish()
        assert server.received == []


async def test_a_cancelled_message_ends_the_session(context: ssl.SSLContext) -> None:
    async with ScriptedServer(read(FOLDER / "client-dot-silence.smtp"), context) as server:
        session = await SmtpTransport().connect(target(server.port))
        sending = asyncio.create_task(session.send(GOOD))
        await server.got_message.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert not session.usable
        await session.close()


async def test_refused_and_unreachable_are_told_apart() -> None:
    with pytest.raises(ConnectError) as caught:
        await SmtpTransport().connect(target(free_port()))
    assert (caught.value.attempt.phase, caught.value.attempt.failure) == (Phase.CONNECT, Failure.REFUSED)
    with pytest.raises(ConnectError) as caught:
        await SmtpTransport().connect(target(free_port(), source="192.0.2.1"))  # not an address of this machine
    assert caught.value.attempt.failure is Failure.UNREACHABLE


async def test_mail_leaves_from_the_source_address() -> None:
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def took(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peername")[0])
        writer.write(b"554 no\r\n")
        writer.close()
    server = await asyncio.start_server(took, "127.0.0.1", 0)
    with pytest.raises(ConnectError):
        await SmtpTransport().connect(target(server.sockets[0].getsockname()[1], source="127.0.0.77"))
    assert await seen == "127.0.0.77"
    server.close()
    await server.wait_closed()


def test_the_final_dot_is_waited_for_ten_minutes() -> None:
    assert Timeouts().dot >= 600
    assert Timeouts().mail >= 300
    assert Timeouts().data >= 120


async def test_a_name_that_no_certificate_can_hold_is_a_failed_handshake(context: ssl.SSLContext) -> None:
    """Somebody's DNS names their MX; what Python's ssl cannot spell must not look like a bug of ours."""
    async with ScriptedServer(read(FOLDER / "client-starttls.smtp"), context) as server:
        wrong = Target("a" * 64 + ".example", "127.0.0.1", server.port, "mail.merpati.example", tls=TlsPolicy.REQUIRED)
        with pytest.raises(ConnectError) as caught:
            await SmtpTransport().connect(wrong)
    assert (caught.value.attempt.phase, caught.value.attempt.failure) == (Phase.STARTTLS, Failure.TLS)


async def test_a_server_that_is_silent_in_the_handshake_is_left(context: ssl.SSLContext) -> None:
    dialogue = read(FOLDER / "client-starttls.smtp")
    dialogue.steps = [*dialogue.steps[: dialogue.steps.index(("TLS", ""))], ("HANG", "")]
    for policy in (TlsPolicy.REQUIRED, TlsPolicy.VERIFIED):
        async with ScriptedServer(dialogue, context) as server:
            silent = Target("mx.toko.example", "127.0.0.1", server.port, "mail.merpati.example", tls=policy)
            with pytest.raises(ConnectError) as caught:
                await SmtpTransport(Timeouts(tls=0.5)).connect(silent)
            await server.finish()
        assert (caught.value.attempt.phase, caught.value.attempt.failure) == (Phase.STARTTLS, Failure.TLS)
