"""What the door for apps says: replies by what was refused, each with an enhanced code (RFC 3463, RFC 2034)."""

import re
from typing import Final

from esp.errors import MerpatiError, StorageFullError
from esp.model.relay import RefusalCode, Refused

_CODES: Final = {
    RefusalCode.NOT_A_MESSAGE: "554 5.6.0",
    RefusalCode.SENDER_UNVERIFIED: "550 5.7.1",
    RefusalCode.SENDER_NOT_ALLOWED: "550 5.7.1",
    RefusalCode.RECIPIENT_INVALID: "553 5.1.3",
    RefusalCode.TOO_MANY_RECIPIENTS: "452 4.5.3",
    RefusalCode.SUPPRESSED: "550 5.7.1",
    RefusalCode.UNKNOWN_STREAM: "554 5.6.0",
    RefusalCode.BAD_CONTROL: "554 5.6.0",
    RefusalCode.RATE: "451 4.7.1",
    RefusalCode.IDEMPOTENCY_MISMATCH: "554 5.6.0",
    RefusalCode.TOO_LARGE: "552 5.3.4",
    RefusalCode.TOO_MANY_HOPS: "554 5.4.6",
}
_UNSAYABLE: Final = re.compile(r"[^ -~]+")
_LONGEST: Final = 400  # octets of text; a reply line has 512 (RFC 5321 section 4.5.3.1.5)

WRONG_LOGIN: Final = "535 5.7.8 The user name or the password is wrong"


def refusal(refused: Refused) -> str:
    """The reply for a submission that was refused, on one line of ASCII whatever an app put into it."""
    where = f" ({refused.where})" if refused.where and refused.where not in refused.message else ""
    return f"{_CODES[refused.code]} {_UNSAYABLE.sub('?', refused.message + where)[:_LONGEST]}"


def failure(problem: MerpatiError | OSError) -> str:
    """The reply where nothing could be kept: it is our fault, so the app should come again."""
    if isinstance(problem, StorageFullError | OSError):
        return "452 4.3.1 There is no room just now, please try again"
    return "451 4.3.0 We could not take this just now, please try again"
