"""Our SMTP client against every conversation in this folder, on asyncio's loop."""

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path

import pytest
import trustme

from esp.adapters.smtp import SmtpTransport, Timeouts
from esp.model.attempt import Attempt, Phase
from esp.model.content import OutgoingMessage
from esp.model.verdict import Permanence, Scope
from esp.ports.network import ConnectError, Login, Target, TlsPolicy
from esp.verdict import judge_attempt
from tests.dialogues.script import Dialogue, ScriptedServer, octets, read

FOLDER = Path(__file__).parent
DIALOGUES = sorted(FOLDER.glob("client-*.smtp"))
QUICK = Timeouts(connect=20, greeting=2, hello=20, tls=20, mail=20, rcpt=20, data=20, block=20, dot=1, quit=1)
PATIENT = Timeouts(connect=10, greeting=20, hello=20, tls=10, mail=20, rcpt=20, data=20, block=20, dot=20, quit=4)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx.toko.example").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """Nothing but our own authority: reading the system's costs a quarter of a second on a busy machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def outcome(attempt: Attempt) -> str:
    return f"{attempt.phase} {attempt.reply.code if attempt.reply else attempt.failure}"


def message(dialogue: Dialogue) -> OutgoingMessage:
    data = octets(dialogue.one("data", r"Subject: hello\r\n\r\n.dot\r\ntext\r\n"))
    times = int(dialogue.one("data_times", "1"))
    to = dialogue.one("to", "anna@toko.example")
    utf8 = dialogue.one("smtputf8", "no") == "yes"
    return OutgoingMessage(1, "b-1@news.example", to, data * times, "<1@news.example>", utf8)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
async def test_dialogue(path: Path, server_context: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    dialogue = read(path)
    timeouts = QUICK if dialogue.one("patience", "yes") == "no" else PATIENT
    seen: list[str] = []
    marked: list[bool] = []
    last: Attempt | None = None
    async with ScriptedServer(dialogue, server_context) as server:
        policy = TlsPolicy(dialogue.one("tls", "none"))
        user, _, password = dialogue.one("login", "").partition(" ")
        login = Login(user, password) if user else None
        target = Target("mx.toko.example", "127.0.0.1", server.port, "mail.merpati.example", tls=policy, login=login)
        try:
            session = await SmtpTransport(timeouts, trust).connect(target)
        except ConnectError as error:
            last = error.attempt
            seen.append("connect-error " + outcome(error.attempt))
        else:
            for _ in range(int(dialogue.one("messages", "1"))):
                if not session.usable:
                    break
                marked.append(False)
                last = await session.send(message(dialogue), lambda: marked.__setitem__(-1, True))
                seen.append(outcome(last))
                assert last.dot_sent == marked[-1], "the caller is told of the dot exactly when it is sent"
            for _ in range(100):
                if session.usable == (dialogue.one("usable", "yes") == "yes"):
                    break
                await asyncio.sleep(0.01)
            assert session.usable == (dialogue.one("usable", "yes") == "yes")
            assert bool(session.tls) == (dialogue.one("encrypted", "no") == "yes")
            await session.close()
            assert not session.usable
        await server.finish()
    assert seen == dialogue.head["outcome"]
    assert last is not None
    assert last.dot_sent == (dialogue.one("dot_sent", "yes" if last.phase is Phase.DOT else "no") == "yes")
    assert last.delivered == dialogue.head["outcome"][-1].startswith("dot 2")
    if login is not None:
        assert login.password not in repr(last) + repr(login) + repr(target)
        assert b64encode(login.password.encode()).decode() not in repr(last)
        assert b64encode(f"\0{login.user}\0{login.password}".encode()).decode() not in repr(last)
        assert last.delivered or judge_attempt(last).scope is Scope.SITE
        assert last.delivered or judge_attempt(last).permanence is Permanence.TRANSIENT
    if last.reply is not None:
        assert "\x00" not in last.reply.text
        assert len(last.reply.text) <= 1000


async def test_a_dialogue_that_the_client_does_not_follow_fails(server_context: ssl.SSLContext) -> None:
    """The player itself must be able to fail, or it proves nothing."""
    dialogue = Dialogue("wrong", {}, [("S:", "220 hi"), ("C:", "HELO never")])
    async with ScriptedServer(dialogue, server_context) as server:
        target = Target("mx.toko.example", "127.0.0.1", server.port, "mail.merpati.example", tls=TlsPolicy.NONE)
        with pytest.raises(ConnectError):
            await SmtpTransport(QUICK).connect(target)
        with pytest.raises(AssertionError, match="the client said"):
            await server.finish()


@pytest.mark.parametrize("name", ["mx.toko.example", "other.example"])
async def test_verified_means_the_name_in_the_certificate(
    server_context: ssl.SSLContext, trust: ssl.SSLContext, name: str
) -> None:
    dialogue = read(FOLDER / "client-starttls.smtp")
    async with ScriptedServer(dialogue, server_context) as server:
        target = Target(name, "127.0.0.1", server.port, "mail.merpati.example", tls=TlsPolicy.VERIFIED)
        if name == "mx.toko.example":
            session = await SmtpTransport(PATIENT, trust).connect(target)
            assert (await session.send(message(dialogue))).delivered
            await session.close()
        else:
            with pytest.raises(ConnectError) as caught:
                await SmtpTransport(PATIENT, trust).connect(target)
            assert outcome(caught.value.attempt) == "starttls tls"


async def test_an_unknown_authority_is_not_verified(server_context: ssl.SSLContext) -> None:
    dialogue = read(FOLDER / "client-starttls.smtp")
    async with ScriptedServer(dialogue, server_context) as server:
        target = Target("mx.toko.example", "127.0.0.1", server.port, "mail.merpati.example", tls=TlsPolicy.VERIFIED)
        with pytest.raises(ConnectError) as caught:
            await SmtpTransport(PATIENT).connect(target)
        assert outcome(caught.value.attempt) == "starttls tls"
