"""One try at handing one message to one server: how far it came, what was answered, or what broke instead."""

from dataclasses import dataclass
from enum import StrEnum

from esp.model.verdict import Reply


class Phase(StrEnum):
    """Which step of the conversation (RFC 5321 section 3) an answer belongs to."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  # the answer to the whole message, which alone decides about it
    REPORT = "report"  # not a conversation: a delivery status notification (RFC 3464)


class Failure(StrEnum):
    """What broke where no reply says it."""

    DNS_TEMPORARY = "dns_temporary"  # SERVFAIL, time-out: the name may exist
    DNS_MISSING = "dns_missing"  # NXDOMAIN, or neither MX nor address
    DNS_NULL_MX = "dns_null_mx"  # RFC 7505: takes no mail at all
    FORBIDDEN_ADDRESS = "forbidden_address"  # the MX points into a private network
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    TLS = "tls"
    LOGIN = "login"  # we have a user and password and cannot say them here: no TLS, or no way that both know
    PROTOCOL = "protocol"  # an answer that is no SMTP, too long, or to a question nobody asked
    TOO_LARGE = "too_large"  # larger than the SIZE announced (RFC 1870): not even tried
    NO_8BITMIME = "no_8bitmime"
    NO_SMTPUTF8 = "no_smtputf8"


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended: either ``reply`` or ``failure`` is set, at ``phase``.

    ``dot_sent`` says that the end of the message was written: with no reply, the server may or may not have it
    (RFC 1047). ``host`` and ``address`` name the server, ``tls`` the protocol version or nothing.
    """

    phase: Phase
    reply: Reply | None = None
    failure: Failure | None = None
    dot_sent: bool = False
    detail: str = ""
    host: str = ""
    address: str = ""
    tls: str = ""

    @property
    def delivered(self) -> bool:
        """The server took the message and answers for it from now on (RFC 5321 section 6.1)."""
        return self.phase is Phase.DOT and self.reply is not None and 200 <= self.reply.code < 300

    @property
    def ambiguous(self) -> bool:
        """The connection was lost between the dot and its reply: the message may or may not have arrived."""
        return self.dot_sent and self.reply is None
