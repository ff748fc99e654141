"""What a mailbox provider finds out about one copy: its signatures, its headers, and the addresses in it.

Pure and slow (dkimpy verifies in Python), so it runs in a process of its own beside the provider's.
"""

import binascii
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dkim

_BOUNDARY: Final = re.compile(
    rb'^Content-Type:[^\n]*(?:\n[ \t][^\n]*)*?boundary="?([^"\s;]+)"?', re.IGNORECASE | re.MULTILINE
)
_LINK: Final = re.compile(r"<a\b[^>]*?\shref=[\"'](https?://[^\"']+)[^>]*>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]*>")
# Every mail has these at its foot; people who want to read on do not click them.
_FOOT: Final = frozenset(("unsubscribe", "preferences", "view in browser"))
_IMAGE: Final = re.compile(r"<img\b[^>]*?\ssrc=[\"'](https?://[^\"']+)", re.IGNORECASE)
_ANGLED: Final = re.compile(rb"<(https?://[^<>\s]+)>")
_ALGORITHMS: Final = ("rsa-sha256", "ed25519-sha256")  # RFC 8463 section 3: sign with both, some know only the older
_ONE_OF_EACH: Final = (b"from", b"date", b"message-id", b"subject", b"to", b"mime-version", b"list-id", b"feedback-id",
                       b"list-unsubscribe", b"list-unsubscribe-post")


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as a provider accepted it; ``raw`` is without dot-stuffing."""

    number: int
    mail_from: str
    recipient: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Examined:
    """``dkim_valid``: an aligned signature by each algorithm verifies, none fails. ``complaints`` say what is wrong.

    ``links`` are those that a reader would click, ``foot`` the rest; a scanner follows both.
    """

    number: int
    message_id: str
    subject: str
    dkim_valid: bool
    one_click: str
    complaints: tuple[str, ...]
    images: tuple[str, ...]
    links: tuple[str, ...]
    foot: tuple[str, ...]


def examine(copies: Sequence[Copy], texts: Mapping[str, str]) -> list[Examined]:
    """Look at each copy; ``texts`` are the TXT records that DNS publishes, by name."""
    return [_examine(copy, texts) for copy in copies]


def _examine(copy: Copy, texts: Mapping[str, str]) -> Examined:
    header, _, body = copy.raw.partition(b"\r\n\r\n")
    fields = _fields(header)
    complaints = [f"{name.decode()} appears {len(fields.get(name, ()))} times" for name in _ONE_OF_EACH
                  if len(fields.get(name, ())) != 1]
    one_click = _one_click(fields)
    if not one_click:
        complaints.append("no one-click unsubscription by RFC 8058")
    if any(len(line) > 998 for line in copy.raw.split(b"\r\n")):
        complaints.append("a line of more than 998 octets")
    valid, signature_complaints = _verify(copy.raw, fields, texts)
    page = _html_part(header, body)
    links = [(html.unescape(url), _TAG.sub("", text).strip().lower()) for url, text in _LINK.findall(page)]
    return Examined(
        copy.number, _first(fields, b"message-id"), _first(fields, b"subject"), valid, one_click,
        tuple(complaints + signature_complaints),
        tuple(map(html.unescape, _IMAGE.findall(page))),
        tuple(url for url, text in links if text not in _FOOT), tuple(url for url, text in links if text in _FOOT),
    )


def _fields(header: bytes) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in re.sub(rb"\r\n(?=[ \t])", b"", header).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.strip().lower(), []).append(value.strip())
    return fields


def _first(fields: Mapping[bytes, list[bytes]], name: bytes) -> str:
    return fields.get(name, [b""])[0].decode("utf-8", "replace")


def _one_click(fields: Mapping[bytes, list[bytes]]) -> str:
    """The address for the POST of RFC 8058 section 3.1, or empty where the two headers do not offer one."""
    if fields.get(b"list-unsubscribe-post") != [b"List-Unsubscribe=One-Click"]:
        return ""
    found = _ANGLED.search(fields.get(b"list-unsubscribe", [b""])[0])
    return found[1].decode("ascii", "replace") if found else ""


def _verify(raw: bytes, fields: Mapping[bytes, list[bytes]], texts: Mapping[str, str]) -> tuple[bool, list[str]]:
    signatures = fields.get(b"dkim-signature", [])
    sender = _first(fields, b"from").rpartition("@")[2].rstrip("> ").lower()
    valid: list[str] = []
    complaints: list[str] = []
    try:
        verifier = dkim.DKIM(raw, minkey=1024)
    except dkim.MessageFormatError:
        return False, ["its header is no header"]

    def published(name: bytes, timeout: int = 5) -> bytes | None:
        text = texts.get(name.decode("ascii").rstrip(".").lower())
        return text.encode() if text is not None else None

    for index, signature in enumerate(signatures):
        tags = dict(part.strip().partition(b"=")[::2] for part in signature.split(b";") if part.strip())
        domain = tags.get(b"d", b"").decode("ascii", "replace").lower()
        if b"l" in tags:
            complaints.append("a signature has l=")
        try:
            if not verifier.verify(idx=index, dnsfunc=published):
                complaints.append(f"signature {index + 1} does not verify")
            elif sender == domain or sender.endswith("." + domain):
                valid.append(tags.get(b"a", b"").decode("ascii", "replace").lower())
        except dkim.DKIMException as error:
            complaints.append(f"signature {index + 1} does not verify: {error}")
        signed = [name.strip().lower() for name in tags.get(b"h", b"").split(b":")]
        if signed.count(b"list-unsubscribe") < 1 or signed.count(b"list-unsubscribe-post") < 1:
            complaints.append("the unsubscribe headers are not signed (RFC 8058 section 4)")
    if not signatures:
        complaints.append("not signed")
    elif missing := [algorithm for algorithm in _ALGORITHMS if algorithm not in valid]:
        complaints.append(f"no valid signature of its sender by {' and '.join(missing)}")
    return bool(signatures) and not complaints, complaints


def _html_part(header: bytes, body: bytes) -> str:
    """The HTML part of a message of ours, decoded; our own mail is simple, so no parser for the world's is needed."""
    boundary = _BOUNDARY.search(header.replace(b"\r\n", b"\n") + b"\n")
    parts = body.split(b"--" + boundary[1]) if boundary else [header + b"\r\n\r\n" + body]
    for part in parts:
        head, _, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        head = head.lower()
        if b"multipart/" in head and boundary and _BOUNDARY.search(head.replace(b"\r\n", b"\n")):
            inner = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
            found = _html_part(inner[0], inner[2])
            if found:
                return found
        if b"text/html" in head:
            if b"quoted-printable" in head:
                content = binascii.a2b_qp(content)
            elif b"base64" in head:
                content = binascii.a2b_base64(content)
            return content.decode("utf-8", "replace")
    return ""
