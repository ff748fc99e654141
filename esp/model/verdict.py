"""What a remote server's answer means: scope x permanence x reason."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """How far a failure reaches, as Postfix's queue manager separates them."""

    NONE = "none"
    RECIPIENT = "recipient"
    MESSAGE = "message"
    SITE = "site"  # the whole destination: stop trying it for a while, burn no attempts of others


class Permanence(StrEnum):
    SUCCESS = "success"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


class Reason(StrEnum):
    """The one vocabulary for why; what no rule knows is ``other``, never an exception."""

    OK = "ok"
    UNKNOWN_USER = "unknown_user"
    DISABLED = "disabled"
    MAILBOX_FULL = "mailbox_full"
    MOVED = "moved"
    GREYLISTED = "greylisted"
    RATE_LIMITED = "rate_limited"
    REPUTATION = "reputation"
    SPAM = "spam"
    VIRUS = "virus"
    POLICY = "policy"
    AUTHENTICATION = "authentication"
    TOO_LARGE = "too_large"
    CONTENT = "content"
    RELAYING = "relaying"
    LOGIN = "login"  # a server of ours wants another user and password than it got
    DNS = "dns"
    NETWORK = "network"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    AMBIGUOUS = "ambiguous"  # the connection was lost between the dot and its answer: it may have arrived (RFC 1047)
    SYSTEM = "system"  # the server's own trouble: disk full, internal error
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply as received: three-digit code, enhanced code (RFC 3463) or empty, text with lines joined by LF."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


@dataclass(frozen=True, slots=True)
class Verdict:
    scope: Scope
    permanence: Permanence
    reason: Reason
    rule: str = ""  # name of the rule that decided, for the person who wonders why
