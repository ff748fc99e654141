"""A relay that wants a password: settings that do not go together, and a real server that asks for it."""

import ssl
from collections.abc import Iterator

import pytest
import structlog
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from esp.adapters.smtp import SmtpTransport, Timeouts
from esp.adapters.smtp.login import steps
from esp.adapters.smtp.session import parse_offer
from esp.deliver.route import SmartHost, parse_smart_host
from esp.deliver.service import Sending, find_targets
from esp.errors import SettingsError
from esp.flows.connections import Connected, Connections
from esp.model.attempt import Attempt, Failure, Phase
from esp.model.content import OutgoingMessage
from esp.model.verdict import Permanence, Reason, Reply, Scope
from esp.ports.clock import SystemClock
from esp.ports.network import DnsError, Login, MxHost, Target, TlsPolicy
from esp.settings import dump, load
from esp.throttle.pace import DEAD_AFTER, Pace
from esp.verdict import judge, judge_attempt
from tests.services import free_port

NAME = "relay.example"
USER, PASSWORD = "merpati@relay.example", "cor:rect 🐎 häst"
DATA = b"Subject: hello\r\n\r\n.text\r\n"
MESSAGE = OutgoingMessage(1, "b-1@news.example", "anna@toko.example", DATA, "<1@x.example>")
TIMEOUTS = Timeouts(connect=20, greeting=20, hello=20, tls=20, mail=20, rcpt=20, data=20, block=20, dot=20, quit=4)


class Names:
    """A resolver that knows the relay, at two addresses where it is asked for."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses or ("127.0.0.1",)

    async def mx(self, domain: str) -> tuple[MxHost, ...]:
        raise DnsError(f"nobody asks for {domain}", permanent=True)

    async def addresses(self, host: str) -> tuple[str, ...]:
        return self._addresses

    async def txt(self, name: str) -> tuple[str, ...]:
        return ()

    async def cname(self, name: str) -> str | None:
        return None

    async def close(self) -> None: ...


class Relay:
    """aiosmtpd with AUTH; keeps what it took and counts who tried."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.tried = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.taken.append(envelope.content)
        return "250 2.0.0 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, way: str, data: object) -> AuthResult:
        self.tried += 1
        right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def serve(relay: Relay, context: ssl.SSLContext, implicit: bool, without: tuple[str, ...]) -> Controller:
    # Inside implicit TLS aiosmtpd does not know that it is encrypted, and would not offer AUTH.
    return Controller(
        relay, hostname="127.0.0.1", port=free_port(), authenticator=relay.authenticate, auth_required=not implicit,
        auth_exclude_mechanism=without, auth_require_tls=not implicit, ready_timeout=60,
        ssl_context=context if implicit else None, tls_context=None if implicit else context,
    )


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture(params=["plain", "login", "implicit"])
def server(request: pytest.FixtureRequest, authority: trustme.CA, relay: Relay) -> Iterator[Controller]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    without = ("PLAIN",) if request.param == "login" else ()
    controller = serve(relay, context, request.param == "implicit", without)
    controller.start()
    yield controller
    controller.stop()


def through(controller: Controller, trust: ssl.SSLContext, password: str = PASSWORD, *addresses: str) -> Connections:
    tls = TlsPolicy.IMPLICIT if controller.ssl_context else TlsPolicy.OPPORTUNISTIC
    host = parse_smart_host(f"{NAME}:{controller.port}", tls, USER, password)
    sending = Sending("mail.merpati.example")
    return Connections(SmtpTransport(TIMEOUTS, trust), Names(*addresses), sending, host, SystemClock())


async def test_a_relay_that_knows_us_takes_mail(server: Controller, relay: Relay, trust: ssl.SSLContext) -> None:
    connections = through(server, trust)
    for _ in range(2):
        connected = await connections.open("toko.example")
        assert isinstance(connected, Connected), connected
        attempt = await connected.session.send(MESSAGE)
        assert attempt.delivered
        assert attempt.tls.startswith("TLS")
        await connections.give_back(connected, 100)
    await connections.close()
    assert relay.taken == [MESSAGE.data, MESSAGE.data]
    assert relay.tried == 1  # once a connection


async def test_a_wrong_password_stops_everything_and_blames_nobody(
    server: Controller, relay: Relay, trust: ssl.SSLContext
) -> None:
    connections = through(server, trust, "wr0ng-passw0rd", "127.0.0.1", "127.0.0.1")
    with structlog.testing.capture_logs() as logs:
        failed = await connections.open("toko.example")
    assert isinstance(failed, Attempt)
    assert failed.reply is not None
    assert (failed.phase, failed.reply.code) == (Phase.AUTH, 535)
    verdict = judge_attempt(failed)
    assert (verdict.scope, verdict.permanence, verdict.reason) == (Scope.SITE, Permanence.TRANSIENT, Reason.LOGIN)
    assert relay.tried == 1, "a second address is not tried: that is how accounts get locked"
    assert relay.taken == []
    assert [log["phase"] for log in logs] == ["auth"]
    assert "535" in logs[0]["why"]
    assert "wr0ng" not in repr(logs) + repr(failed)


async def test_a_stranger_with_the_relays_name_gets_no_password(
    server: Controller, relay: Relay
) -> None:
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    failed = await through(server, nobody).open("toko.example")
    assert isinstance(failed, Attempt)
    assert (failed.phase, failed.failure) == (Phase.STARTTLS, Failure.TLS)
    assert relay.tried == 0


def test_a_refused_login_closes_the_gate() -> None:
    pace = Pace(maximum=10)
    verdict = judge(Reply(535, "5.7.8", "no"), Phase.AUTH)
    for _ in range(DEAD_AFTER):
        pace.settle(verdict, 100.0)
    assert pace.suspended
    assert pace.connections == 1
    assert pace.resume_at > 100.0
    assert pace.learnt is None, "a wrong password says nothing about how fast mail may go once it is right"


@pytest.mark.parametrize("code", [334, 421, 432, 454, 500, 501, 504, 530, 534, 535, 538, 550, 554])
def test_no_answer_to_a_login_is_final_for_anybody(code: int) -> None:
    verdict = judge_attempt(Attempt(Phase.AUTH, Reply(code, "", "5.1.1 user unknown, mailbox does not exist")))
    assert (verdict.scope, verdict.permanence) == (Scope.SITE, Permanence.TRANSIENT)


def test_a_relay_that_asks_for_a_password_that_is_not_set_bounces_nobody() -> None:
    verdict = judge(Reply(530, "5.7.0", "Authentication required"), Phase.MAIL)
    assert (verdict.scope, verdict.permanence, verdict.reason) == (Scope.SITE, Permanence.TRANSIENT, Reason.LOGIN)


@pytest.mark.parametrize(
    ("text", "tls", "user", "password", "match"),
    [
        ("r.example:587", TlsPolicy.NONE, "u", "hunter2", "never sent in the clear"),
        ("127.0.0.1:25", TlsPolicy.NONE, "u", "hunter2", "never sent in the clear"),
        ("r.example:587", TlsPolicy.VERIFIED, "u", "", "go together"),
        ("r.example:587", TlsPolicy.VERIFIED, "", "hunter2", "go together"),
        ("", TlsPolicy.VERIFIED, "u", "hunter2", "smart_host is not"),
        ("r.example:465", TlsPolicy.VERIFIED, "", "", "implicit"),
        ("r.example:587", TlsPolicy.VERIFIED, "u", "hunter2\0", "NUL"),
        ("r.example:587", TlsPolicy.VERIFIED, "u", "hunter2\udcff", "UTF-8"),
    ],
)
def test_what_does_not_go_together_is_told(text: str, tls: TlsPolicy, user: str, password: str, match: str) -> None:
    with pytest.raises(SettingsError, match=match) as caught:
        parse_smart_host(text, tls, user, password)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [(TlsPolicy.OPPORTUNISTIC, TlsPolicy.VERIFIED), (TlsPolicy.REQUIRED, TlsPolicy.REQUIRED),
     (TlsPolicy.VERIFIED, TlsPolicy.VERIFIED), (TlsPolicy.IMPLICIT, TlsPolicy.IMPLICIT)],
)
async def test_with_a_password_the_relay_must_prove_its_name(asked: TlsPolicy, becomes: TlsPolicy) -> None:
    host = parse_smart_host("r.example:587", asked, "u", "hunter2")
    assert host == SmartHost("r.example", 587, becomes, Login("u", "hunter2"))
    assert host is not None
    found = await find_targets(host, Names("10.0.0.5"), Sending("mail.example", tls=TlsPolicy.OPPORTUNISTIC))
    assert found == (Target("r.example", "10.0.0.5", 587, "mail.example", tls=becomes, login=Login("u", "hunter2")),)
    assert "hunter2" not in repr(host) + repr(found)


def test_without_a_password_a_relay_is_asked_for_what_is_set() -> None:
    assert parse_smart_host("r.example", TlsPolicy.NONE) == SmartHost("r.example", 25, TlsPolicy.NONE)
    assert parse_smart_host("r.example:465", TlsPolicy.IMPLICIT) == SmartHost("r.example", 465, TlsPolicy.IMPLICIT)


def test_the_settings_hide_the_password_and_hand_it_on() -> None:
    settings = load(delivery={"smart_host": "r.example", "smart_host_user": "u", "smart_host_password": "hunter2",
                              "smart_host_tls": "verified"})
    assert "hunter2" not in repr(settings) + str(settings)
    assert load(**dump(settings)) == settings
    with pytest.raises(SettingsError, match="smart_host_tls"):
        load(delivery={"smart_host_tls": "sometimes"})


def test_a_long_password_does_not_make_a_long_command() -> None:
    """RFC 4954 section 4: no initial response where the command would grow beyond 512 octets."""
    for length in range(360, 400):
        said = steps(Login("u", "p" * length), {b"PLAIN"})
        assert len(said[0][0]) + 2 <= 512
        assert [code for _, code in said] in ([235], [334, 235])
    assert steps(Login("u", "p" * 400), {b"PLAIN"})[0] == (b"AUTH PLAIN", 334)


def test_ways_to_log_in_are_read_in_both_spellings() -> None:
    assert parse_offer([b"mx", b"auth plain Login"]).auth == {b"PLAIN", b"LOGIN"}
    assert parse_offer([b"mx", b"AUTH=LOGIN PLAIN", b"AUTH NTLM"]).auth == {b"LOGIN", b"PLAIN", b"NTLM"}
    assert parse_offer([b"mx", b"AUTH", b"AUTHORITY PLAIN"]).auth == frozenset()
