"""Places in a list, handed out and taken back: opaque, signed, and good for this list of this workspace alone."""

import base64
import binascii
import hmac
from typing import Final

import orjson

from esp.entry.api.problems import invalid
from esp.wire.tokens import TokenSigner

_MAC: Final = 16
Place = int | str


def write_cursor(tokens: TokenSigner, workspace_id: int, what: str, place: Place) -> str:
    """``place`` as a text for URLs. ``what`` names the list and whatever narrows it."""
    body = orjson.dumps(place)
    mac = tokens.fingerprint("cursor", f"{workspace_id}\0{what}\0{body.decode()}")[:_MAC]
    return base64.urlsafe_b64encode(mac.encode() + body).rstrip(b"=").decode()


def read_cursor(tokens: TokenSigner, workspace_id: int, what: str, text: str) -> Place:
    """The place that ``write_cursor`` was given; Problem for anything else."""
    wrong = invalid("This cursor is not of this list.", cursor="Send the next of the page before, or none.")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, body = raw[:_MAC].decode("ascii"), raw[_MAC:].decode()
        place = orjson.loads(body)
    except (binascii.Error, ValueError):
        raise wrong from None
    right = tokens.fingerprint("cursor", f"{workspace_id}\0{what}\0{body}")[:_MAC]
    if not hmac.compare_digest(mac, right) or not isinstance(place, int | str):
        raise wrong
    return place
