"""The conversation with one server about one message after another: RFC 5321, pipelined by RFC 2920."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from esp.adapters.smtp.connection import Connection
from esp.adapters.smtp.replies import RawReply, to_reply
from esp.adapters.smtp.timeouts import Timeouts
from esp.adapters.smtp.wire import on_the_wire, path
from esp.model.attempt import Attempt, Failure, Phase
from esp.model.content import OutgoingMessage
from esp.ports.network import Target

_JOINED: Final = 131_072  # up to here the dot travels in the same write as the message
_AUTH: Final = (b"AUTH", b"AUTH=")
_STEPS: Final = (Phase.MAIL, Phase.RCPT, Phase.DATA)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the server said it can do, in its answer to EHLO."""

    pipelining: bool = False
    starttls: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    size: int = 0  # octets; 0 where it names no limit (RFC 1870)
    sizes: bool = False
    auth: frozenset[bytes] = frozenset()  # the ways to log in (RFC 4954)


def parse_offer(lines: list[bytes]) -> Offer:
    """Read the lines of an EHLO answer; words nobody knows, and sizes that are no number, mean nothing."""
    words = {(parts := line.upper().split())[0]: parts[1:] for line in lines[1:] if line.split()}
    # "AUTH=LOGIN" is how servers wrote it before there was a standard, and Exchange and Postfix still say both.
    auth = {way for word, ways in words.items() for way in (*word.split(b"=")[1:], *ways) if word[:5] in _AUTH}
    limit = words.get(b"SIZE", [])
    size = int(limit[0]) if limit and limit[0].isdigit() and len(limit[0]) < 20 else 0
    return Offer(
        b"PIPELINING" in words, b"STARTTLS" in words, b"8BITMIME" in words, b"SMTPUTF8" in words, size,
        b"SIZE" in words, frozenset(auth),
    )


class SmtpSession:
    """A greeted connection. One message at a time; the next may follow while ``usable``."""

    __slots__ = ("_announced", "_connection", "_offer", "_over", "_reset", "_target", "_timeouts", "sent", "tls")

    def __init__(self, connection: Connection, target: Target, offer: Offer, timeouts: Timeouts, tls: str) -> None:
        self._connection = connection
        self._target = target
        self._offer = offer
        self._timeouts = timeouts
        self._over = False
        self._reset = False
        self._announced: OutgoingMessage | None = None  # its envelope was said behind the last dot
        self.tls = tls
        self.sent = 0

    @property
    def usable(self) -> bool:
        """Whether another message may be sent here."""
        return not self._over and self._connection.failure is None

    @property
    def chains(self) -> bool:
        """See ``esp.ports.network.Session.chains``."""
        return self._offer.pipelining

    async def send(
        self, message: OutgoingMessage, before_dot: Callable[[], None] | None = None,
        following: OutgoingMessage | None = None,
    ) -> Attempt:
        """Hand ``message`` over; see ``esp.ports.network.Session.send``."""
        data = message.data if message.checked else on_the_wire(message.data)
        announced, self._announced = self._announced, None
        envelope = None
        if announced is None:
            found = self._envelope(message, data)
            self.sent += 1
            if isinstance(found, Failure):
                return self._failed(Phase.MAIL, found)
            envelope = found
        try:
            if announced is not None and announced is not message:
                raise ValueError("another message was announced to this server")
            if envelope is None or self._offer.pipelining:
                refused = await self._ask_at_once(envelope)
            else:
                refused = await self._ask_in_turn(envelope)
            if refused is not None:
                return refused
            return await self._hand_over(data, before_dot, following)
        except BaseException:
            # Cancelled or told not to: nobody knows where the conversation stands, so it must not go on. The message
            # is incomplete without its dot, and an incomplete message is none (RFC 5321 section 4.1.1.4).
            self._over = True
            self._connection.abort()
            raise

    async def close(self) -> None:
        """QUIT, and whatever is answered (5xx, nothing, nonsense) changes nothing."""
        if self._announced is not None:
            # A server that waits for a message would take QUIT for its text.
            self._over = True
            self._connection.abort()
        if self.usable:
            self._connection.ask(b"QUIT\r\n")
            await self._connection.answers(1, self._timeouts.quit)
        self._over = True
        await self._connection.end(self._timeouts.quit)

    def _envelope(self, message: OutgoingMessage, data: bytes) -> tuple[bytes, bytes, bytes] | Failure:
        """The three commands, or why this server cannot take this message at all."""
        offer = self._offer
        sender, recipient = path(message.mail_from), path(message.rcpt_to)
        words = [b"MAIL FROM:", sender]
        if offer.sizes:
            if 0 < offer.size < len(data):
                return Failure.TOO_LARGE
            words.append(b" SIZE=%d" % len(data))
        if message.smtputf8 or not (sender.isascii() and recipient.isascii()):
            if not offer.smtputf8:
                return Failure.NO_SMTPUTF8
            words.append(b" SMTPUTF8")
        if not data.isascii():
            if not offer.eight_bit:
                return Failure.NO_8BITMIME
            words.append(b" BODY=8BITMIME")
        return b"".join((*words, b"\r\n")), b"RCPT TO:" + recipient + b"\r\n", b"DATA\r\n"

    async def _ask_at_once(self, envelope: tuple[bytes, bytes, bytes] | None) -> Attempt | None:
        """All three commands in one write, with the RSET that a refusal before left to be said; None where they were
        said behind the last dot."""
        connection, reset = self._connection, self._reset
        if envelope is not None:
            connection.ask((b"RSET\r\n" if reset else b"") + b"".join(envelope), 3 + reset)
        answers = await connection.answers(3 + reset, self._timeouts.rcpt)
        if len(answers) == 3 and not reset and answers[0][0] == answers[1][0] == 250 and answers[2][0] == 354:
            return None
        if reset and answers:
            answer = answers.pop(0)
            self._reset = False
            if answer[0] // 100 != 2:
                return await self._refused(Phase.MAIL, answer, answers)
        for phase, answer in zip(_STEPS, answers, strict=False):
            if answer[0] // 100 != 2 and not (phase is Phase.DATA and answer[0] == 354):
                return await self._refused(phase, answer, answers)
            if phase is Phase.DATA and answer[0] != 354:
                return self._nonsense(phase, answer)
        if len(answers) < 3:
            return self._failed(_STEPS[len(answers)])
        return None

    def _next_envelope(self, following: OutgoingMessage | None) -> tuple[bytes, bytes, bytes] | None:
        """What to say behind the dot (RFC 2920 section 3.1: a new group of commands); None where nothing is to follow,
        or what is wrong with it is for its own turn to say."""
        if following is None or not self._offer.pipelining:
            return None
        try:
            envelope = self._envelope(following, following.data if following.checked else on_the_wire(following.data))
        except ValueError:
            return None
        return None if isinstance(envelope, Failure) else envelope

    async def _ask_in_turn(self, envelope: tuple[bytes, bytes, bytes]) -> Attempt | None:
        """One command after the other, for servers that cannot read ahead."""
        connection = self._connection
        if self._reset:
            self._reset = False
            connection.ask(b"RSET\r\n")
            await connection.answers(1, self._timeouts.mail)
        for phase, command in zip(_STEPS, envelope, strict=True):
            connection.ask(command)
            answers = await connection.answers(1, self._timeouts.data if phase is Phase.DATA else self._timeouts.rcpt)
            if not answers:
                return self._failed(phase)
            code = answers[0][0]
            if phase is Phase.DATA and code == 354:
                return None
            if code // 100 != 2:
                return await self._refused(phase, answers[0], answers)
            if phase is Phase.DATA:
                return self._nonsense(phase, answers[0])
        return None

    async def _refused(self, phase: Phase, answer: RawReply, answers: list[RawReply]) -> Attempt:
        """A refusal before the message: note it, and bring the conversation back to where the next one can start."""
        if answer[0] == 421:
            self._over = True
        elif answer[0] // 100 not in (4, 5):
            return self._nonsense(phase, answer)
        elif len(answers) == 3 and phase is not Phase.DATA and answers[2][0] == 354:
            # The server asks for a message although nobody is to get it; a lone dot ends that (RFC 2920 section 3.1).
            self._connection.ask(b".\r\n")
            await self._connection.answers(1, self._timeouts.dot)
        self._reset = True
        return self._answered(phase, answer)

    async def _hand_over(
        self, data: bytes, before_dot: Callable[[], None] | None, following: OutgoingMessage | None
    ) -> Attempt:
        """The message, the dot, what may follow at once, and the one answer that counts."""
        connection = self._connection
        if len(data) > _JOINED:
            await connection.pour(data)
            data = b""
        if connection.spoke_early:
            connection.fail(Failure.PROTOCOL, "the server answered before the message was sent")
        if connection.failure is not None:
            return self._failed(Phase.DATA)
        envelope = self._next_envelope(following)
        if before_dot is not None:
            before_dot()
        if envelope is not None:
            self._announced = following
            self.sent += 1
            connection.ask(b"".join((data, b".\r\n", *envelope)), 4)
        else:
            connection.ask(data + b".\r\n")
        answers = await connection.answers(1, self._timeouts.dot)
        if not answers:
            return self._failed(Phase.DOT, dot_sent=True)
        answer = answers[0]
        if answer[0] == 421:
            self._over = True
        elif answer[0] // 100 not in (2, 4, 5):
            return self._nonsense(Phase.DOT, answer, dot_sent=True)
        return self._answered(Phase.DOT, answer, dot_sent=True)

    def _answered(self, phase: Phase, answer: RawReply, dot_sent: bool = False) -> Attempt:
        target = self._target
        return Attempt(phase, to_reply(answer), None, dot_sent, "", target.host, target.address, self.tls)

    def _failed(self, phase: Phase, failure: Failure | None = None, dot_sent: bool = False) -> Attempt:
        target, connection = self._target, self._connection
        why = failure or connection.failure or Failure.CLOSED
        detail = connection.detail if failure is None else ""
        return Attempt(phase, None, why, dot_sent, detail, target.host, target.address, self.tls)

    def _nonsense(self, phase: Phase, answer: RawReply, dot_sent: bool = False) -> Attempt:
        """An answer that cannot be one to what was asked: the two sides disagree about where they are."""
        self._connection.fail(Failure.PROTOCOL, f"the server answered {to_reply(answer)} to {phase}")
        return self._failed(phase, dot_sent=dot_sent)
