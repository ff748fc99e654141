"""The shape of a body: one text part, or multipart/alternative of text and HTML (RFC 2046 section 5.1.4)."""

from dataclasses import dataclass
from typing import Final

# "=_" cannot occur in quoted-printable data, so no content can hold the boundary (RFC 2045 section 6.7).
BOUNDARY: Final = b"=_merpati"

_PART: Final = b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'


@dataclass(frozen=True, slots=True)
class BodyShape:
    """What stands around the encoded parts: ``headers`` go to the message, the other octets to the body."""

    headers: tuple[tuple[bytes, bytes], ...]
    before: bytes
    between: bytes
    after: bytes


ALTERNATIVE: Final = BodyShape(
    headers=((b"Content-Type", b'multipart/alternative; boundary="' + BOUNDARY + b'"'),),
    before=b"--" + BOUNDARY + b"\r\n" + _PART % b"plain" + b"\r\n",
    between=b"\r\n--" + BOUNDARY + b"\r\n" + _PART % b"html" + b"\r\n",
    after=b"\r\n--" + BOUNDARY + b"--\r\n",
)

TEXT_ONLY: Final = BodyShape(
    headers=(
        (b"Content-Type", b'text/plain; charset="utf-8"'),
        (b"Content-Transfer-Encoding", b"quoted-printable"),
    ),
    before=b"",
    between=b"",
    after=b"",
)
