"""What is said to log in at a server of ours: AUTH PLAIN (RFC 4616) or AUTH LOGIN, as lines and expected answers."""

from base64 import b64encode
from collections.abc import Collection
from typing import Final

from esp.adapters.smtp.replies import RawReply
from esp.ports.network import Login

_MORE: Final = 334
_DONE: Final = 235
_LONGEST_COMMAND: Final = 510  # octets without CRLF (RFC 5321 section 4.5.3.1.4), which RFC 4954 section 4 holds us to
_HIDDEN: Final = b"[hidden]"


def steps(login: Login, offered: Collection[bytes]) -> list[tuple[bytes, int]]:
    """Each line to say (without CRLF) and the code that lets us go on; empty where the server offers no way we know.

    PLAIN first, which is one round trip and a standard; LOGIN is neither, and all that some old relays have.
    """
    user, password = login.user.encode(), login.password.encode()
    if b"PLAIN" in offered:
        proof = b64encode(b"\0" + user + b"\0" + password)
        if len(b"AUTH PLAIN " + proof) <= _LONGEST_COMMAND:
            return [(b"AUTH PLAIN " + proof, _DONE)]
        return [(b"AUTH PLAIN", _MORE), (proof, _DONE)]
    if b"LOGIN" in offered:
        return [(b"AUTH LOGIN", _MORE), (b64encode(user), _MORE), (b64encode(password), _DONE)]
    return []


def without_secrets(answer: RawReply, login: Login) -> RawReply:
    """``answer`` with what we said left out: some servers quote the line that they refuse, and answers are kept."""
    user, password = login.user.encode(), login.password.encode()
    secrets = (b64encode(b"\0" + user + b"\0" + password), b64encode(password), password)
    code, lines = answer
    for secret in secrets:
        lines = [line.replace(secret, _HIDDEN) for line in lines]
    return code, lines
