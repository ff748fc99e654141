"""A message and its envelope as octets for the wire: checked, dot-stuffed, never with a bare CR or LF."""

import re
from typing import Final

# Neither white space nor angle brackets nor control characters: nothing that could end a command or a path early.
_PATH: Final = re.compile(r"[^\x00-\x20\x7f-\xa0<>\u2028\u2029]{0,320}")
_DOT_LINE: Final = re.compile(rb"\n\.")
_PARAMETER: Final = re.compile(r"[!-~]{1,255}")


def on_the_wire(data: bytes) -> bytes:
    """``data`` dot-stuffed (RFC 5321 section 4.5.2) and ending in CRLF, without the final dot.

    Raises ValueError for a CR or LF that is not part of a CRLF: a lenient server could take it for the end of the
    message and what follows for commands (SMTP smuggling).
    """
    # There and back: only a message whose every CR and LF is part of a CRLF survives it. Replacing single octets runs
    # at the speed of memchr, and the regular expression is three times as fast as ``in``: a quarter of the time that
    # counting pairs takes, and this runs over every octet that we send.
    plain = data.replace(b"\r", b"")
    if plain.replace(b"\n", b"\r\n") != data:
        raise ValueError("the message holds a CR or LF that is not part of a CRLF")
    if _DOT_LINE.search(plain):
        data = data.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data if data.endswith(b"\r\n") else data + b"\r\n"


def path(address: str) -> bytes:
    """``<address>`` for MAIL and RCPT; raises ValueError for what could not stand there whole."""
    if not _PATH.fullmatch(address):
        raise ValueError(f"the address {address[:80]!r} cannot stand in an SMTP command")
    return b"<" + address.encode() + b">"


def hello_name(name: str) -> bytes:
    """The name for EHLO; raises ValueError for what is no single word of ASCII."""
    if not _PARAMETER.fullmatch(name):
        raise ValueError(f"{name[:80]!r} cannot be said in EHLO")
    return name.encode()
