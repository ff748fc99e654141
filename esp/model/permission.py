"""How somebody comes onto a list or off it: what is asked, by which way, and where the question stands."""

from enum import StrEnum


class OptIn(StrEnum):
    SINGLE = "single"
    DOUBLE = "double"  # a link in a mail must be followed first, for anybody can type anybody's address


class SignupAction(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"  # by a command in a mail, whose sender anybody can forge


class SignupChannel(StrEnum):
    """The way a request came; stands in the consent record's source."""

    PAGE = "page"
    FORM = "form"
    API = "api"
    MAIL = "mail"


class SignupState(StrEnum):
    NEW = "new"  # recorded by the door, not looked at yet
    ASKED = "asked"  # a mail asks for confirmation
    CONFIRMED = "confirmed"
    DONE = "done"  # nothing had to be confirmed
    HELD = "held"  # no mail went out: suppressed, or one was sent today
    EXPIRED = "expired"


class SignupOutcome(StrEnum):
    """What requests to join a list are counted as: marketers see what the protection against robots held back."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"  # or subscribed at once, where nothing had to be confirmed
    EXPIRED = "expired"
    TURNED_AWAY = "turned_away"  # more at once than the bounds allow
    ASKED_TODAY = "asked_today"  # this mailbox had its one confirmation of the day already
    SUPPRESSED = "suppressed"
    NO_SENDER = "no_sender"  # there is no domain to send the confirmation from
    FAILED = "failed"


HELD_BACK = (SignupOutcome.TURNED_AWAY, SignupOutcome.ASKED_TODAY, SignupOutcome.SUPPRESSED, SignupOutcome.NO_SENDER,
             SignupOutcome.FAILED)


class MessageKind(StrEnum):
    """What a single message is for."""

    CONFIRMATION = "confirmation"
    WELCOME = "welcome"
    ANSWER = "answer"


class Stream(StrEnum):
    """Mail that waits in one queue: single messages are claimed before broadcasts, for somebody waits for each."""

    BROADCAST = "broadcast"
    TRANSACTIONAL = "transactional"
